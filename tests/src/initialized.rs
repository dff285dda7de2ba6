use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_client::Appliance;
use strongroom_crypto::certificates::{CertificateRequest, CustomerCa};
use strongroom_types::Secret;

use crate::process::{program, wait_for};
use crate::world::World;

/// A world's cluster as it is before its first admin has a password: it has its certificate, and one HSM that runs.
pub struct Initialized {
    hsm: Child,
}

impl Initialized {
    /// Makes the world's cluster so: everything that was in it is gone.
    #[track_caller]
    pub fn of(world: &World) -> Initialized {
        world.stop();
        let store = world.state().join("store");
        std::fs::remove_dir_all(&store).expect("the store is removed");
        std::fs::create_dir(&store).expect("made anew");
        for id in world.hsm_ids() {
            std::fs::remove_file(world.hsm_folder(&id).join("anchor")).expect("each HSM has an anchor");
        }
        let folder = world.hsm_folder(&world.hsm_ids()[0]);
        let mut command = Command::new(program("strongroom-hsm"));
        command.args(["run", "--folder"]).arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let initialized = Initialized { hsm: command.spawn().expect("the HSM starts") };
        let appliance = Appliance::new(&folder.join("control.sock"));
        let mut request = None;
        wait_for("the cluster's certificate request", Duration::from_secs(20), || {
            request = appliance.csr().ok();
            request.is_some()
        });
        let request = CertificateRequest::from_pem(request.expect("it was waited for").as_bytes()).expect("a request");
        let file = |name: &str| std::fs::read(world.state().join("ca").join(name)).expect("the CA is there");
        let anchor = file("customerCA.crt");
        let ca = CustomerCa::from_pem(&anchor, &Secret::from(file("customerCA.key").as_slice())).expect("a CA");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let certificate = ca.issue(&request, now).to_pem();
        let anchor = String::from_utf8(anchor).expect("PEM is text");
        appliance.install_certificate(&certificate, &anchor).expect("the certificate is taken");
        initialized
    }
}

impl Drop for Initialized {
    fn drop(&mut self) {
        let _ = self.hsm.kill();
        let _ = self.hsm.wait();
    }
}
