//! Mutual TLS: certificates made by the `openssl` command, which is also a client here that knows nothing of Strongroom.

mod s_client;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom_tests::{Nginx, P256, P521, Pki, RSA, Ran, SiteKey, Tls, World, get, run, run_with_input};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::disk::{Signing, ec_pair, sign, users};
use crate::hand::Hand;
use crate::https::two_sites;
use crate::quorum::{PASSWORD, Person, REQUIRED, approve, make_user};
use s_client::{answered, s_client};

#[track_caller]
fn register(world: &World, path: &Path) -> String {
    let path = path.to_str().expect("temporary paths are text");
    let answer = world.admin_cli(&["cluster", "mtls", "register-trust-anchor", "--path", path]).ok().json();
    let anchor = &answer["data"]["trust_anchor"];
    assert_eq!(anchor["cluster-coverage"], "full");
    anchor["certificate-reference"].as_str().expect("a reference").to_owned()
}

#[track_caller]
fn deregister(world: &World, reference: &str) {
    let command = ["cluster", "mtls", "deregister-trust-anchor", "--certificate-reference", reference];
    let expected = format!("Trust anchor with reference {reference} deregistered successfully");
    assert_eq!(world.admin_cli(&command).ok().json()["data"]["message"], expected);
}

#[track_caller]
fn enforce(world: &World, level: &str) {
    let answer = world.admin_cli(&["cluster", "mtls", "set-enforcement", "--level", level]).ok().json();
    let shown = if level == "cluster" { "Cluster" } else { "None" };
    assert_eq!(answer["data"]["message"], format!("Mtls enforcement level set to {shown} successfully"));
    let answer = world.admin_cli(&["cluster", "mtls", "get-enforcement"]).ok().json();
    assert_eq!(answer["data"]["mtls-enforcement-level"], level);
}

/// What the tool says without success.
#[track_caller]
fn said(ran: Ran) -> String {
    let json: Value = ran.failed().json();
    json["data"].as_str().expect("an error is a text").to_owned()
}

fn info() -> Operation {
    Operation::ClusterInfo(v1::ClusterInfo {})
}

#[test]
fn enforcing_it_ends_connections_without_a_certificate_on_every_hsm_and_keeps_the_others() {
    let world = World::quick(&["--hsms", "3"]);
    let pki = Pki::new(&world);
    pki.ca("ca", P256);
    pki.client("ca", "client", P256);
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let plain = |ip: &String| {
        let mut hand = Hand::at(&world, ip);
        hand.log_in(&user, &password).expect("logged in");
        hand
    };
    let mut idle: Vec<Hand> = world.hsm_ips().iter().map(plain).collect();
    register(&world, &pki.crt("ca"));
    // Registering ends nothing.
    idle.iter_mut().for_each(|hand| drop(hand.ask(info()).expect("an answer")));
    pki.configure("configure-cli", "client", "client");
    let mut shown: Vec<Hand> = (world.hsm_ips().iter())
        .map(|ip| Hand::with_certificate(&world, ip, &pki.crt("client"), &pki.key("client")))
        .collect();
    shown.iter_mut().for_each(|hand| drop(hand.log_in(&user, &password).expect("logged in")));
    enforce(&world, "cluster");
    for (number, hand) in idle.iter_mut().enumerate() {
        assert!(hand.is_ended(), "the plain connection to HSM {number} still stands");
    }
    shown.iter_mut().for_each(|hand| drop(hand.ask(info()).expect("an answer")));
    for (number, ip) in world.hsm_ips().iter().enumerate() {
        assert!(Hand::at(&world, ip).is_ended(), "{ip} takes a client without a certificate");
        let plain = s_client(&world, number, &[]);
        assert!(plain.contains("alert certificate required"), "{plain}");
        // The HSM names the CA whose certificates it takes.
        assert!(plain.contains("Acceptable client certificate CA names\nCN = ca\n"), "{plain}");
        let with = s_client(&world, number, &["-cert", "client.crt", "-key", "client.key"]);
        assert!(answered(&world, number, &with) && with.contains("Verify return code: 0 (ok)"), "{with}");
    }
    for hsm in world.hsm_ids() {
        let log = world.hsm_log(&hsm);
        assert!(log.contains("it showed no client certificate, and mutual TLS is enforced"), "{log}");
    }
    // All of it holds after everything was down.
    let mut world = world;
    world.stop();
    world.start();
    for number in 0..3 {
        assert!(s_client(&world, number, &[]).contains("alert certificate required"));
    }
    world.data(&["key", "list"]);
    enforce(&world, "none");
    Hand::at(&world, &world.hsm_ips()[2]).ask(info()).expect("an answer");
}

/// A certificate, a key, and whether an HSM takes them, or the alert that it sends and what the tool then says.
type Case = (&'static str, &'static str, Result<(), (&'static str, &'static str)>);

#[test]
fn certificates_are_taken_or_refused_for_what_they_are() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    for (name, key) in [("root", P256), ("stranger", P256), ("rsa-ca", RSA)] {
        pki.ca(name, key);
    }
    pki.lower_ca("root", "middle", P521);
    pki.lower_ca("root", "aside", P256);
    pki.lower_ca("middle", "low", RSA);
    pki.chain("anchor", &["middle", "root"]);
    let sign = "keyUsage=critical,digitalSignature";
    pki.client("middle", "ec", P256);
    pki.client("middle", "rsa", RSA);
    pki.client("middle", "p521", P521);
    pki.issue("middle", "bare", P256, 30, &["basicConstraints=CA:FALSE"]);
    pki.client("rsa-ca", "of-rsa", P256);
    pki.client("low", "deep", P256);
    pki.chain("deep-with-chain", &["deep", "low"]);
    pki.client("root", "of-root", P256);
    pki.client("aside", "of-aside", P256);
    pki.chain("aside-with-chain", &["of-aside", "aside", "root"]);
    pki.client("stranger", "strange", P256);
    pki.issue("middle", "over", P256, -1, &[sign, "extendedKeyUsage=clientAuth"]);
    pki.issue("middle", "server", P256, 30, &[sign, "extendedKeyUsage=serverAuth"]);
    pki.issue("middle", "wrong-usage", P256, 30, &["keyUsage=critical,keyEncipherment"]);
    pki.ca("self-signed", P256);
    pki.sh("openssl x509 -req -in ec.csr -CA middle.crt -CAkey middle.key -CAcreateserial -days 30 -out v1.crt");
    pki.sh(
        "openssl x509 -req -sha1 -in ec.csr -CA middle.crt -CAkey middle.key -CAcreateserial -days 30 -out sha1.crt",
    );
    register(&world, &pki.crt("anchor"));
    register(&world, &pki.crt("rsa-ca"));
    pki.configure("configure-cli", "ec", "ec");
    let unknown = "it is not under a registered trust anchor";
    let cases: [Case; 15] = [
        ("ec", "ec", Ok(())),
        ("rsa", "rsa", Ok(())),
        ("p521", "p521", Ok(())),
        ("bare", "bare", Ok(())),
        ("v1", "ec", Ok(())),
        ("of-rsa", "of-rsa", Ok(())),
        ("deep-with-chain", "deep", Ok(())),
        ("deep", "deep", Err(("unknown ca", unknown))),
        ("of-root", "of-root", Err(("unknown ca", unknown))),
        ("aside-with-chain", "of-aside", Err(("unknown ca", unknown))),
        ("strange", "strange", Err(("unknown ca", unknown))),
        ("self-signed", "self-signed", Err(("unknown ca", unknown))),
        ("over", "over", Err(("certificate expired", "has expired or is not valid yet"))),
        ("server", "server", Err(("unsupported certificate", "does not allow to authenticate a client"))),
        ("wrong-usage", "wrong-usage", Err(("unsupported certificate", "does not allow to authenticate a client"))),
    ];
    for level in ["none", "cluster"] {
        pki.configure("configure-cli", "ec", "ec");
        enforce(&world, level);
        for (certificate, key, expected) in cases {
            let (crt, chain) = (format!("{certificate}.crt"), format!("{certificate}.crt"));
            let key_file = format!("{key}.key");
            let by_openssl = s_client(&world, 0, &["-cert", &crt, "-cert_chain", &chain, "-key", &key_file]);
            pki.configure("configure-cli", certificate, key);
            let by_tool = run(&mut world.bare_cli(&["cluster", "hsm-info"]));
            match expected {
                Ok(()) => {
                    assert!(answered(&world, 0, &by_openssl), "{certificate} at {level}: {by_openssl}");
                    by_tool.ok();
                }
                Err((alert, text)) => {
                    assert!(by_openssl.contains(&format!("alert {alert}")), "{certificate} at {level}: {by_openssl}");
                    assert!(!answered(&world, 0, &by_openssl), "{certificate} at {level}: {by_openssl}");
                    let said = said(by_tool);
                    assert!(said.contains(text) && said.contains(&crt), "{certificate} at {level}: {said}");
                }
            }
        }
    }
    // `openssl s_client` would not even show it.
    pki.configure("configure-cli", "sha1", "ec");
    let weak = said(run(&mut world.bare_cli(&["cluster", "hsm-info"])));
    assert!(weak.contains("the HSM's log says more"), "{weak}");
    let log: String = world.hsm_ids().iter().map(|hsm| world.hsm_log(hsm)).collect();
    for line in [
        "its client certificate is not under a registered trust anchor",
        "its client certificate, or one that vouches for it, has expired",
        "its certificate's usage does not allow to authenticate a client",
        "is signed with SHA-1",
    ] {
        assert!(log.contains(line), "{line} is not in:\n{log}");
    }
}

#[test]
fn configurations_that_cannot_be_used_say_why() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    pki.ca("ca", P256);
    pki.client("ca", "client", P256);
    pki.client("ca", "other", RSA);
    pki.sh("openssl pkey -in client.key -aes256 -passout pass:secret -out pkcs8.key");
    pki.sh("openssl ec -in client.key -aes256 -passout pass:secret -out sec1.key 2>&1");
    pki.sh("openssl ec -in client.key -out open-sec1.key; openssl rsa -in other.key -traditional -out open-pkcs1.key");
    pki.sh("echo nothing > nothing.key; echo nothing > nothing.crt; chmod 644 other.key");
    register(&world, &pki.crt("ca"));
    let check = |certificate: &str, key: &str, expected: Result<(), &str>| {
        pki.configure("configure-cli", certificate, key);
        let ran = world.admin_cli(&["cluster", "mtls", "get-enforcement"]);
        match expected {
            Ok(()) => drop(ran.ok()),
            Err(text) => {
                let said = said(ran);
                assert!(said.contains(text), "{certificate} with {key}: {said}");
            }
        }
    };
    check("client", "client", Ok(()));
    check("client", "open-sec1", Ok(()));
    check("other", "open-pkcs1", Ok(()));
    check("client", "pkcs8", Err("the private key is protected by a passphrase"));
    check("client", "sec1", Err("the private key is protected by a passphrase"));
    check("client", "other", Err("the certificate belongs to another private key"));
    check("client", "nothing", Err("there is no private key in PEM"));
    check("nothing", "client", Err("the certificate chain: no line `-----BEGIN CERTIFICATE-----`"));
    check("missing", "client", Err("cannot read the client's"));
    check("client", "missing", Err("cannot read the client's"));
    check("other", "other", Ok(()));
    let logs = std::fs::read_dir(world.home().join("run")).expect("the log's folder");
    let log: String =
        logs.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default()).collect();
    assert!(log.contains("others may read the client's private key") && log.contains("other.key"), "{log}");
}

#[test]
fn anchors_are_replaced_while_clients_go_on_and_a_deregistered_one_ends_its_connections() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    for (ca, client) in [("old-ca", "old"), ("new-ca", "new")] {
        pki.ca(ca, P256);
        pki.client(ca, client, P256);
    }
    let old = register(&world, &pki.crt("old-ca"));
    pki.configure("configure-cli", "old", "old");
    enforce(&world, "cluster");
    let new = register(&world, &pki.crt("new-ca"));
    let connect = |name: &str| {
        let hand = |ip: &String| Hand::with_certificate(&world, ip, &pki.crt(name), &pki.key(name));
        world.hsm_ips().iter().map(hand).collect::<Vec<_>>()
    };
    let (mut of_old, mut of_new) = (connect("old"), connect("new"));
    let answers = |hands: &mut [Hand]| hands.iter_mut().for_each(|hand| drop(hand.ask(info()).expect("an answer")));
    answers(&mut of_old);
    answers(&mut of_new);
    let deregistering = |reference: &str| {
        let command = ["cluster", "mtls", "deregister-trust-anchor", "--certificate-reference", reference];
        said(world.admin_cli(&command))
    };
    let own = deregistering(&old);
    assert!(own.contains("connect with a certificate under the other one first"), "{own}");
    pki.configure("configure-cli", "new", "new");
    deregister(&world, &old);
    of_old.iter_mut().for_each(|hand| assert!(hand.is_ended(), "a connection of the old CA stands"));
    answers(&mut of_new);
    connect("old").iter_mut().for_each(|hand| assert!(hand.is_ended(), "the old CA still opens the door"));
    pki.configure("configure-cli", "old", "old");
    let refused = said(world.admin_cli(&["cluster", "mtls", "get-enforcement"]));
    assert!(refused.contains("it is not under a registered trust anchor"), "{refused}");
    pki.configure("configure-cli", "new", "new");
    assert!(deregistering(&new).contains("it is the last one"));
    enforce(&world, "none");
    // The tool itself comes with a certificate under it: it gets its answer all the same.
    deregister(&world, &new);
    assert!(of_new.iter_mut().all(Hand::is_ended));
    let list = world.admin_cli(&["cluster", "mtls", "list-trust-anchors"]).ok().json();
    assert_eq!(list["data"]["trust_anchors"], serde_json::json!([]));
    Hand::at(&world, &world.hsm_ips()[0]).ask(info()).expect("an answer");
}

/// Services with a certificate sign on while the rules change under them: over connections from before anybody was asked for
/// one, while it is enforced, and while another CA takes the place of theirs.
#[test]
fn no_signature_fails_while_it_is_enforced_and_while_the_ca_is_replaced() {
    let world = World::quick(&["--hsms", "3"]);
    let pki = Pki::new(&world);
    for (ca, client) in [("old-ca", "old"), ("new-ca", "new")] {
        pki.ca(ca, P256);
        pki.client(ca, client, P256);
    }
    pki.configure("configure-cli", "old", "old");
    let of_old = users(&world);
    let key = ec_pair(&of_old[0]);
    let mut old = String::new();
    Signing::during(&of_old, key, |signing| {
        signing.more(100);
        old = register(&world, &pki.crt("old-ca"));
        signing.more(100);
        enforce(&world, "cluster");
        signing.more(100);
        enforce(&world, "none");
        signing.more(100);
        enforce(&world, "cluster");
        register(&world, &pki.crt("new-ca"));
        signing.more(100);
    });
    pki.configure("configure-cli", "new", "new");
    let of_new = users(&world);
    Signing::during(&of_new[..2], key, |moved| {
        // Those that are not restarted yet.
        Signing::during(&of_old[..2], key, |signing| {
            signing.more(100);
            moved.more(100);
        });
        deregister(&world, &old);
        moved.more(200);
    });
    assert!(sign(&of_old[0], key).is_err(), "the old CA is gone");
}

/// A session of the tool goes on over the change: what it was connected with is not enough any more, and it connects anew.
#[test]
fn a_shell_that_has_a_certificate_registers_and_enforces_in_one_session() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    pki.ca("ca", P256);
    pki.client("ca", "client", P256);
    pki.configure("configure-cli", "client", "client");
    let path = pki.crt("ca");
    let lines = format!(
        "login --username admin --role admin --password {}\ncluster mtls register-trust-anchor --path {}\n\
         cluster mtls set-enforcement --level cluster\ncluster mtls get-enforcement\nuser list\n",
        world.text("/admin/password"),
        path.display()
    );
    let ran = run_with_input(&mut world.bare_cli(&["interactive"]), &lines).ok();
    assert!(ran.stdout.contains("Mtls enforcement level set to Cluster successfully"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"mtls-enforcement-level\": \"cluster\""), "{}", ran.stdout);
    assert!(!ran.stdout.contains("\"error_code\": 1"), "{}", ran.stdout);
}

#[test]
fn nginx_goes_on_under_mutual_tls_and_a_client_without_a_certificate_does_not_hammer() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    pki.ca("ca", P256);
    pki.client("ca", "client", P256);
    register(&world, &pki.crt("ca"));
    pki.configure("configure-cli", "client", "client");
    pki.configure("configure-dyn", "client", "client");
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let page = |site: usize, ca: &Path| {
        let page = get(nginx.port(site), ca, Tls::V13);
        assert_eq!((page.code, page.stdout.as_str()), (Some(0), "hello from nginx\n"), "{}", nginx.log());
    };
    page(0, &rsa.0);
    enforce(&world, "cluster");
    for _ in 0..3 {
        page(0, &rsa.0);
        page(1, &ec.0);
    }
    drop(nginx);
    // The same without a certificate: quickly refused, and the HSMs are asked once a second at most.
    let config = world.home().join("etc/cloudhsm-dyn.cfg");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).expect("a file")).expect("JSON");
    let cluster = json["clusters"][0]["cluster"].as_object_mut().expect("a cluster");
    assert!(cluster.remove("client_cert_path").is_some() && cluster.remove("client_key_path").is_some());
    std::fs::write(&config, json.to_string()).expect("a file");
    std::fs::write(world.file("data"), "data").expect("a file");
    let began = Instant::now();
    let sign = ["dgst", "-engine", "cloudhsm", "-sha256", "-sign", ec.1.to_str().expect("text"), "data"];
    let refused = world.openssl(&sign).failed();
    assert!(refused.stderr.contains("the HSM takes clients with a certificate only"), "{}", refused.stderr);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Tokens belong to a login, not to a connection: they outlive the one that enforcing ends.
#[test]
fn with_a_quorum_two_admins_decide_who_may_connect() {
    let world = World::quick(&[]);
    let pki = Pki::new(&world);
    pki.ca("ca", P256);
    pki.client("ca", "client", P256);
    pki.configure("configure-cli", "client", "client");
    make_user(&world, "bea", "admin");
    let password = world.text("/admin/password");
    let mut admin = Person::new(&world, "admin", "admin", &password);
    let mut bea = Person::new(&world, "bea", "admin", PASSWORD);
    admin.register();
    bea.register();
    admin.done("quorum token-sign set-quorum-value --service cluster --value 2");
    let path = pki.crt("ca");
    for (command, answer) in [
        (format!("register-trust-anchor --path {}", path.display()), "certificate-reference"),
        ("set-enforcement --level cluster".into(), "Mtls enforcement level set to Cluster successfully"),
        ("set-enforcement --level none".into(), "Mtls enforcement level set to None successfully"),
        ("deregister-trust-anchor --certificate-reference 0x01".into(), "0x01 deregistered successfully"),
    ] {
        let command = format!("cluster mtls {command}");
        admin.refused(&command, REQUIRED);
        let token = admin.token("cluster", "");
        approve(&world, &token, "admin", "admin");
        admin.refused(&format!("{command} --approval {token}"), REQUIRED);
        approve(&world, &token, "bea", "admin");
        let done = admin.done(&format!("{command} --approval {token}"));
        assert!(done.to_string().contains(answer), "{command}: {done}");
    }
    // Looking is for everybody.
    assert_eq!(bea.done("cluster mtls list-trust-anchors"), serde_json::json!({ "trust_anchors": [] }));
    assert_eq!(bea.done("cluster mtls get-enforcement"), serde_json::json!({ "mtls-enforcement-level": "none" }));
}

/// `docs/operating/mutual-tls.md`, every line of it that is typed.
#[test]
fn the_page_can_be_followed_word_by_word() {
    let world = World::quick(&[]);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/mutual-tls.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let typed: String =
        page.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| line.to_owned() + "\n").collect();
    let right = [
        ("$PWD/.strongroom/home", world.home().display().to_string()),
        ("admin:PASSWORD", world.admin_pin()),
        ("ADDRESS", world.hsm_ips()[0].clone()),
    ];
    let typed = right.iter().fold(typed, |typed, (from, to)| {
        assert!(typed.contains(from), "{from} is not on the page");
        typed.replace(from, to)
    });
    let folder = world.file("typed");
    std::fs::create_dir(&folder).expect("a folder");
    let ran = run(Command::new("sh").args(["-exc", &typed]).current_dir(folder)).ok();
    for expected in ["\"mtls-enforcement-level\": \"cluster\"", "0x02", "level set to None"] {
        assert!(ran.stdout.contains(expected), "{}{}", ran.stdout, ran.stderr);
    }
    assert!(ran.stderr.contains("CONNECTION ESTABLISHED"), "{}", ran.stderr);
    world.data(&["key", "list"]);
}
