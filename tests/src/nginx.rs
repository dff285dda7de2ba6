use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::process::{kill, program, wait_for};
use crate::world::World;

/// Where a site's key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteKey {
    /// In the HSMs: the file is a reference PEM.
    Hsm,
    /// In the file.
    File,
}

/// Processes that serve, beside the master.
const WORKERS: usize = 2;

/// A stock nginx that serves one page for each site, each on a port of its own.
pub struct Nginx {
    child: Child,
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Nginx {
    /// Starts nginx for sites `(certificate, key)`; the engine is loaded when one of the keys is in the HSMs.
    #[track_caller]
    pub fn start(world: &World, key: SiteKey, sites: &[(&Path, &Path)]) -> Nginx {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = world.file(&format!("nginx-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).expect("nginx's folder can be made");
        let ports: Vec<u16> = sites.iter().map(|_| free_port()).collect();
        let servers: String = sites
            .iter()
            .zip(&ports)
            .map(|((certificate, key), port)| {
                format!(
                    "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
                 location / {{ return 200 'hello from nginx\\n'; }} }}\n",
                    certificate.display(),
                    key.display()
                )
            })
            .collect();
        let engine = if key == SiteKey::Hsm { "ssl_engine cloudhsm; env CLOUDHSM_PIN;\n" } else { "" };
        let configuration = format!(
            "daemon off; pid nginx.pid; error_log error.log info; worker_processes {WORKERS};\n{engine}events {{}}\nhttp {{\n\
             access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; \
             scgi_temp_path t;\nssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;\n\
             keepalive_timeout 0;\n{servers}}}\n"
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("the configuration can be written");
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "error.log"]);
        world.with_engine(&mut command);
        let error = fs::File::create(folder.join("stderr")).expect("a file for nginx's words");
        let child = command.stdin(Stdio::null()).stderr(error).spawn().expect("nginx starts");
        let mut nginx = Nginx { child, folder, ports };
        let last = *nginx.ports.last().expect("at least one site");
        wait_for("nginx to listen", Duration::from_secs(20), || {
            let ended = nginx.child.try_wait().expect("nginx can be asked for");
            assert!(ended.is_none(), "nginx ended: {ended:?}\n{}", nginx.log());
            // The master listens before its workers are there.
            TcpStream::connect(("127.0.0.1", last)).is_ok() && nginx.pids().len() == 1 + WORKERS
        });
        nginx
    }

    /// The port of the site of this number.
    pub fn port(&self, site: usize) -> u16 {
        self.ports[site]
    }

    /// All it logged.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        read("error.log") + &read("stderr")
    }

    /// Process ids of the master and its workers.
    pub fn pids(&self) -> Vec<u32> {
        let master = self.child.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let workers = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(master).chain(workers).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        kill("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}
