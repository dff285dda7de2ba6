//! `ssh` and its companions, with an `sshd` on loopback.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use strongroom_tests::{Page, free_port, wait_for};

use super::{Cluster, Server, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/openssh.md"));
const PROGRAMS: [&str; 5] = ["ssh", "ssh-keygen", "ssh-agent", "sshd", "pkcs11-tool"];

/// A server that lets in who has one of the keys in `hsm.pub`. Root's needs a folder in `/run`, which is made where nobody else
/// sees it.
fn sshd(story: &Story, port: u16) -> Server {
    let folder = story.folder.display();
    let configuration = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/hsm.pub\n\
         AuthenticationMethods publickey\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    );
    story.write("sshd_config", configuration.as_bytes());
    story.sh("ssh-keygen -q -t ed25519 -N '' -f host");
    let serve = "sshd=$(command -v sshd)\n\
                 [ \"$(id -u)\" = 0 ] || exec \"$sshd\" -D -e -f \"$PWD/sshd_config\"\n\
                 exec unshare --mount --propagation private sh -ec \
                 'mount -t tmpfs none /run; mkdir /run/sshd; exec \"$0\" -D -e -f \"$PWD/sshd_config\"' \"$sshd\"";
    let mut server = story.server(serve);
    wait_for("sshd to listen", Duration::from_secs(20), || {
        server.assert_runs();
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    server
}

#[test]
fn ssh_signs_in_with_a_key_in_the_hsms() {
    let Some(story) = Story::new("openssh", Cluster::Fips, &PROGRAMS) else { return };
    let askpass = story.file("askpass");
    story.write("askpass", b"#!/bin/sh\necho \"$PIN\"\n");
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).expect("a file of ours");
    // The pages say `ssh`: what a person has in ~/.ssh/config comes from a file of the test's.
    let port = free_port();
    let folder = story.folder.display();
    let client = format!(
        "Host *\nPort {port}\nUserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking accept-new\n\
         PasswordAuthentication no\n"
    );
    story.write("ssh_config", client.as_bytes());
    fs::create_dir(story.file("bin")).expect("a folder can be made");
    story.write("bin/ssh", format!("#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config \"$@\"\n").as_bytes());
    fs::set_permissions(story.file("bin/ssh"), fs::Permissions::from_mode(0o700)).expect("a file of ours");
    let path = format!("{folder}/bin:{}", std::env::var("PATH").expect("a path"));
    let story = story
        .with("SSH_ASKPASS", askpass.to_str().expect("temporary paths are text"))
        .with("SSH_ASKPASS_REQUIRE", "force")
        .with("HOST", "127.0.0.1")
        .with("PATH", &path);

    story.walk(PAGE, "A key and its line for authorized_keys");
    let keys = fs::read_to_string(story.file("hsm.pub")).expect("keys were written");
    assert!(keys.starts_with("ecdsa-sha2-nistp256 ") && keys.ends_with(" ssh-login\n"), "{keys}");
    assert_eq!(keys.lines().count(), 1, "{keys}");
    let server = sshd(&story, port);
    let accepted = || server.said().matches("Accepted publickey").count();
    story.walk(PAGE, "Sign in");
    assert_eq!(accepted(), 2, "{}", server.said());
    // Without the module nobody comes in; the file is as before the page's second way.
    story.write("ssh_config", client.as_bytes());
    let without = story.sh("ssh -o BatchMode=yes \"$HOST\" true 2>&1 || echo refused").stdout;
    assert!(without.contains("Permission denied") && without.ends_with("refused\n"), "{without}");
    // The page ends the agent; whatever happens before that, so does the test. It may be gone by then.
    let end = "trap '[ -z \"${SSH_AGENT_PID:-}\" ] || kill \"$SSH_AGENT_PID\" 2> gone || true' EXIT\n";
    let said = story.sh(&(end.to_owned() + &PAGE.commands("The agent"))).stdout;
    assert!(said.contains("ssh-login (ECDSA)"), "{said}");
    assert_eq!(accepted(), 3, "{}", server.said());
    // What came in is the key that was made: its fingerprint is in the server's log.
    let print = story.sh("ssh-keygen -lf hsm.pub").stdout;
    let print = print.split_whitespace().nth(1).expect("a fingerprint").to_owned();
    assert_eq!(server.said().matches(&print).count(), 3, "{print}: {}", server.said());
}
