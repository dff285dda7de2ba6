//! `openssl s_client` as a client of an HSM.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_tests::{World, wait_for};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::{frame, v1};

const PATIENCE: Duration = Duration::from_secs(20);

/// What `openssl s_client` says that greets an HSM, with these arguments about a certificate: until the HSM has told its
/// name, or has ended the connection.
pub(super) fn s_client(world: &World, number: usize, certificate: &[&str]) -> String {
    let (ip, name) = (&world.hsm_ips()[number], &world.hsm_ids()[number]);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("{ip}:2223"), "-tls1_3", "-alpn", "strongroom/1", "-ign_eof"]);
    command.args(["-verify_return_error", "-CAfile"]).arg(world.customer_ca()).args(certificate);
    command.current_dir(world.file(".")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl starts");
    let said = Arc::new(Mutex::new(String::new()));
    let outputs: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("a pipe")), Box::new(child.stderr.take().expect("a pipe"))];
    let readers = outputs.map(|mut output| {
        let said = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                said.lock().expect("no reader panicked").push_str(&String::from_utf8_lossy(&bytes[..len]));
            }
        })
    });
    let mut request = Vec::new();
    let hello = Operation::Hello(v1::Hello { client: "openssl".into() });
    frame::encode(&v1::Request { id: 1, operation: Some(hello), ..v1::Request::default() }, &mut request)
        .expect("short");
    // It may have ended already.
    let mut input = child.stdin.take().expect("a pipe");
    let _ = input.write_all(&request);
    let has_told = || said.lock().expect("no reader panicked").contains(name.as_str());
    wait_for("an answer to openssl", PATIENCE, || has_told() || child.try_wait().expect("a child").is_some());
    let _ = child.kill();
    let _ = child.wait();
    readers.into_iter().for_each(|reader| reader.join().expect("no reader panicked"));
    Arc::into_inner(said).expect("the readers are done").into_inner().expect("no reader panicked")
}

/// Whether the HSM answered `s_client`.
pub(super) fn answered(world: &World, number: usize, said: &str) -> bool {
    said.contains(&world.hsm_ids()[number])
}
