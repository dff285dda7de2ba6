//! An HSM that takes connections: the listeners' threads, and their orderly end.

use std::fs::{File, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use strongroom_types::limits::CONTROL_CONNECTIONS_MAX;
use thiserror::Error;

use crate::cluster::Cluster;
use crate::connection::Gates;
use crate::connections::{ConnectionLimits, Connections};
use crate::key_cache::KeyCache;
use crate::listener::{Common, Stop, take_clients, take_control};
use crate::log::Log;
use crate::service::Service;
use crate::tls::{self, CertificateError};
use crate::watch::Bell;

/// The control socket, in the HSM's folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// How long requests may take to end when the HSM stops.
const STOP_PATIENCE: Duration = Duration::from_millis(400);
/// How long the control plane's may.
const STOP_PATIENCE_CONTROL: Duration = Duration::from_millis(100);

/// Why an HSM takes no connections, or no more.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The control socket cannot be made.
    #[error("the control socket {} cannot be made: {source}; look at the folder, its permissions and its disk", path.display())]
    ControlSocket {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}; look at the limits of processes and memory")]
    Thread(#[source] io::Error),
    /// Listening failed.
    #[error("connections cannot be taken: {0}")]
    Listen(#[source] io::Error),
    /// The cluster's certificate cannot be served with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What a server is made of.
pub struct Parts {
    /// This HSM as a member.
    pub cluster: Arc<Cluster>,
    /// The cache that the member's watcher empties.
    pub keys: Arc<KeyCache>,
    /// The bell that the member's watcher rings.
    pub bell: Arc<Bell>,
    /// Those of clients, some of which the member's watcher ends.
    pub clients: Arc<Connections>,
    /// The log.
    pub log: Arc<Log>,
    /// Bound to the HSM's address. Connections are refused until the cluster has its certificate.
    pub listener: TcpListener,
    /// The HSM's folder, for the control socket.
    pub folder: PathBuf,
    /// What connections may do.
    pub limits: ConnectionLimits,
}

/// A server that runs. [`stop`](Server::stop) ends it.
pub struct Server {
    cluster: Arc<Cluster>,
    bell: Arc<Bell>,
    clients: Arc<Connections>,
    control: Arc<Connections>,
    /// Dropping these ends the listeners.
    stops: Mutex<Vec<UnixStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    socket: PathBuf,
}

impl Server {
    /// Opens the control socket and starts the listeners' threads. What ends one of them for another reason than
    /// [`stop`](Server::stop) is sent to `failed`.
    pub fn start(parts: Parts, failed: &Sender<ServeError>) -> Result<Server, ServeError> {
        let Parts { cluster, keys, bell, clients, log, listener, folder, limits } = parts;
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let service = Service::new(Arc::clone(&cluster), keys, Arc::clone(&clients), Arc::clone(&log));
        let common = Arc::new(Common { service, log, limits, gates: Gates::new(cores) });
        let few = ConnectionLimits { connections_max: CONTROL_CONNECTIONS_MAX, ..limits };
        let control = Connections::new(&few);
        let socket = folder.join(CONTROL_SOCKET);
        let control_listener =
            bind(&folder).map_err(|source| ServeError::ControlSocket { path: socket.clone(), source })?;
        let server = Server {
            cluster,
            bell,
            clients,
            control,
            stops: Mutex::new(Vec::new()),
            threads: Mutex::new(Vec::new()),
            socket,
        };
        let (stop, connections, of_thread) = (server.stop_signal()?, Arc::clone(&server.control), Arc::clone(&common));
        server.spawn("strongroom-controls", failed, move || {
            take_control(&control_listener, &stop, &of_thread, &connections).map_err(ServeError::Listen)
        })?;
        let (stop, connections) = (server.stop_signal()?, Arc::clone(&server.clients));
        let (cluster, bell) = (Arc::clone(&server.cluster), Arc::clone(&server.bell));
        server.spawn("strongroom-clients", failed, move || {
            clients_when_certified(&listener, &stop, &common, &connections, &cluster, &bell)
        })?;
        Ok(server)
    }

    /// Takes no more connections, lets requests end, leaves the cluster. Nothing is answered afterwards.
    pub fn stop(&self) {
        let stops = std::mem::take(&mut *self.stops.lock().unwrap_or_else(PoisonError::into_inner));
        if stops.is_empty() {
            // Stopped before. The folder may be another process' by now.
            return;
        }
        drop(stops);
        self.bell.stop();
        self.clients.stop(STOP_PATIENCE);
        self.control.stop(STOP_PATIENCE_CONTROL);
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        // Nobody else's: only one process holds this HSM's entry.
        let _ = std::fs::remove_file(&self.socket);
        self.cluster.stop();
    }

    fn stop_signal(&self) -> Result<Stop, ServeError> {
        let (held, given) = UnixStream::pair().map_err(ServeError::Listen)?;
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        Ok(Stop(given))
    }

    fn spawn(
        &self,
        name: &str,
        failed: &Sender<ServeError>,
        run: impl FnOnce() -> Result<(), ServeError> + Send + 'static,
    ) -> Result<(), ServeError> {
        let failed = failed.clone();
        let body = move || {
            if let Err(error) = run() {
                // Nobody listens any more when the process is about to end.
                let _ = failed.send(error);
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body).map_err(ServeError::Thread)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the cluster's certificate, then takes clients; a new certificate, and other trust anchors, are used for
/// connections from then on.
fn clients_when_certified(
    listener: &TcpListener,
    stop: &Stop,
    common: &Arc<Common>,
    connections: &Arc<Connections>,
    cluster: &Cluster,
    bell: &Bell,
) -> Result<(), ServeError> {
    let mut seen = bell.count();
    let mut current = loop {
        match tls::configuration(&cluster.state(), cluster.sealer())? {
            Some(found) => break found,
            None if !bell.wait(seen) => return Ok(()),
            None => seen = bell.count(),
        }
    };
    common.log.info(format_args!("the cluster has its certificate; clients are taken"));
    let configuration = || {
        let count = bell.count();
        if count != seen {
            seen = count;
            match tls::configuration(&cluster.state(), cluster.sealer()) {
                Ok(found) => current = found.unwrap_or_else(|| current.clone()),
                Err(error) => common.log.error(format_args!("{error}; the certificate before it serves on")),
            }
        }
        current.clone()
    };
    take_clients(listener, stop, common, connections, configuration).map_err(ServeError::Listen)
}

/// Makes the control socket in `folder`, readable by its owner alone. The folder may have a longer path than a socket's
/// address holds, hence the way over its descriptor.
fn bind(folder: &Path) -> io::Result<UnixListener> {
    let path = folder.join(CONTROL_SOCKET);
    // What is there was left behind by a process of this HSM that is gone: it would hold the HSM's entry otherwise.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{CONTROL_SOCKET}", opened.as_raw_fd()))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
