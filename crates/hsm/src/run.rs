//! `strongroom-hsm run`: from a folder to an HSM that serves, and to its end.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strongroom_crypto_keys::seal::RootKeyError;
use strongroom_store::SqliteError;
use thiserror::Error;

use crate::accept_rollback;
use crate::cluster::cloning::CloneError;
use crate::cluster::rollback::RollbackError;
use crate::cluster::{Cluster, StartError};
use crate::connections::{ConnectionLimits, Connections};
use crate::key_cache::KeyCache;
use crate::log::Log;
use crate::os::{self, MemoryLock};
use crate::server::{Parts, ServeError, Server};
use crate::settings::{Settings, SettingsError};
use crate::watch::{Bell, Watch};

/// The log, in the HSM's folder.
pub(crate) const LOG: &str = "hsm.log";
/// After a signal the process is gone within this time, whatever hangs.
const STOP_MAX: Duration = Duration::from_millis(900);
/// Arenas of the allocator: threads that allocate at once share few.
const ARENAS: i32 = 2;
/// Descriptors beside those of connections.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Why an HSM does not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its log cannot be written.
    #[error("the log {} cannot be written: {source}; look at the folder, its permissions and its disk", path.display())]
    Log {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The process cannot be protected.
    #[error("the process cannot be kept from core dumps and debuggers: {0}")]
    Harden(#[source] io::Error),
    /// Its address is somebody else's.
    #[error("{address} is in use; stop who uses it (`ss -ltnp` shows it), or give the HSM another address in hsm.json")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// Its address is none of this machine.
    #[error("{address} cannot be bound: {source}; give the HSM an address of this machine in hsm.json")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It does not become a member.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It takes no connections.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Signals cannot be caught.
    #[error("signals cannot be caught: {0}")]
    Signals(#[source] io::Error),
    /// A rollback is not accepted.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// A clone is not founded.
    #[error(transparent)]
    Clone(#[from] CloneError),
    /// What was asked for is done and cannot be told.
    #[error("the answer cannot be written, though the command did its work: {0}")]
    Print(#[source] io::Error),
    /// The root key cannot be made.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
}

impl RunError {
    /// The error and those behind it, as one line.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(source) = cause {
            let more = source.to_string();
            // Many texts hold their cause's already.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = source.source();
        }
        text
    }

    /// The process' exit code, as the help lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Settings(_) | RunError::Log { .. } | RunError::Address { .. } => 2,
            RunError::AddressInUse { .. } => 3,
            RunError::Serve(ServeError::Listen(source)) if source.kind() == ErrorKind::AddrInUse => 3,
            RunError::Serve(ServeError::Certificate(_)) => 4,
            RunError::Start(error) => start_code(error),
            RunError::RootKey(error) => root_key_code(error),
            RunError::Rollback(RollbackError::Start(error)) => start_code(error),
            RunError::Rollback(RollbackError::Refused(_)) => 5,
            RunError::Rollback(RollbackError::Apart { .. } | RollbackError::LeftOut(_)) => 2,
            RunError::Clone(CloneError::Start(error)) => start_code(error),
            RunError::Clone(CloneError::Withheld { .. } | CloneError::Taken(_)) => 4,
            RunError::Clone(CloneError::Refused(_)) => 5,
            RunError::Clone(CloneError::Apart { .. } | CloneError::LeftOut(_) | CloneError::OtherRootKey { .. }) => 2,
            RunError::Clone(CloneError::Lock { .. })
            | RunError::Rollback(RollbackError::Anchor { .. })
            | RunError::Harden(_)
            | RunError::Serve(_)
            | RunError::Signals(_)
            | RunError::Print(_) => 1,
        }
    }
}

fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::Open(SqliteError::InUse { .. }) => 5,
        error if error.is_state_refused() => 4,
        error if error.is_setup_refused() => 2,
        StartError::RootKey(error) => root_key_code(error),
        _ => 1,
    }
}

fn root_key_code(error: &RootKeyError) -> u8 {
    match error {
        RootKeyError::Io { .. } => 1,
        _ => 2,
    }
}

/// What ends a running HSM.
enum Event {
    Signal,
    Failed(ServeError),
}

/// Is the HSM of a folder until it is told to stop.
pub fn run(folder: &Path) -> Result<(), Failed> {
    let settings = Settings::read(folder).map_err(RunError::from)?;
    let path = settings.folder.join(LOG);
    let log = Log::open(&path).map_err(|source| RunError::Log { path, source })?;
    let log = Arc::new(log);
    let outcome = serve(&settings, &log);
    match &outcome {
        Ok(()) => log.info(format_args!("{} stopped", settings.setup.hsm.id)),
        Err(error) => log.error(format_args!("{}", error.with_causes())),
    }
    outcome.map_err(|error| Failed { error, is_said: log.is_standard_error() })
}

/// An HSM that does not run, or no more.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: RunError,
    /// Whether standard error has it already, because it is the log.
    pub is_said: bool,
}

impl From<RunError> for Failed {
    fn from(error: RunError) -> Failed {
        Failed { error, is_said: false }
    }
}

fn serve(settings: &Settings, log: &Arc<Log>) -> Result<(), RunError> {
    let hsm = &settings.setup.hsm.id;
    log.info(format_args!("{hsm} {} starts as process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
    os::keep_few_arenas(ARENAS);
    let locked = os::harden().map_err(RunError::Harden)?;
    say_limits(log, locked);
    panics_to(log);
    let events = events()?;
    let listener = bind(settings.address)?;
    let (keys, bell) = (Arc::new(KeyCache::default()), Arc::new(Bell::default()));
    let limits = ConnectionLimits::default();
    let clients = Connections::new(&limits);
    let watch = Watch::new(Arc::clone(&keys), Arc::clone(&bell), Arc::clone(&clients));
    let cluster = Cluster::start(&settings.setup, Arc::clone(log) as Arc<_>, Box::new(watch))?;
    let (failed, failures) = channel();
    let server = Server::start(
        Parts {
            cluster: Arc::clone(&cluster),
            keys,
            bell,
            clients,
            log: Arc::clone(log),
            listener,
            folder: settings.folder.clone(),
            limits,
        },
        &failed,
    )?;
    log.info(format_args!(
        "{hsm} is a member of {} at revision {}; its address is {}",
        settings.setup.cluster_id,
        cluster.state().revision(),
        settings.address
    ));
    for rollback in cluster.state().rollbacks() {
        log.warn(format_args!("{}", accept_rollback::event_text(rollback)));
    }
    match first(&events, failures)? {
        Event::Signal => {
            log.info(format_args!("{hsm} was told to stop"));
            server.stop();
            Ok(())
        }
        Event::Failed(error) => Err(error.into()),
    }
}

/// Waits for the first of a signal and a failure.
fn first(events: &(Sender<Event>, Receiver<Event>), failures: Receiver<ServeError>) -> Result<Event, RunError> {
    let (sender, receiver) = events;
    let sender = sender.clone();
    let forward = move || {
        if let Ok(error) = failures.recv() {
            // The process is about to end anyway when nobody listens.
            let _ = sender.send(Event::Failed(error));
        }
    };
    thread::Builder::new().spawn(forward).map_err(|source| RunError::Serve(ServeError::Thread(source)))?;
    Ok(receiver.recv().unwrap_or(Event::Signal))
}

/// SIGTERM and SIGINT become an event. Whatever hangs then, the process ends soon.
fn events() -> Result<(Sender<Event>, Receiver<Event>), RunError> {
    let (sender, receiver) = channel();
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(RunError::Signals)?;
    let told = sender.clone();
    let wait = move || {
        if signals.forever().next().is_some() {
            let _ = told.send(Event::Signal);
            thread::sleep(STOP_MAX);
            std::process::exit(0);
        }
    };
    thread::Builder::new().name("strongroom-signals".into()).spawn(wait).map_err(RunError::Signals)?;
    Ok((sender, receiver))
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, RunError> {
    os::bind_only(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => RunError::AddressInUse { address },
        _ => RunError::Address { address, source },
    })
}

fn say_limits(log: &Log, locked: MemoryLock) {
    match locked {
        MemoryLock::Everything => log.info(format_args!("all memory of the process is locked")),
        MemoryLock::KeysOnly => log.info(format_args!(
            "the process may not lock memory without limit (RLIMIT_MEMLOCK), so the cluster key and its subkeys alone \
             are locked"
        )),
    }
    let wanted = u64::try_from(strongroom_types::limits::CONNECTIONS_MAX).unwrap_or(u64::MAX) + DESCRIPTORS_BESIDE;
    match os::raise_descriptors() {
        Ok(Some(allowed)) if allowed < wanted => log.warn(format_args!(
            "the process may open {allowed} descriptors only (RLIMIT_NOFILE), too few for {} connections",
            strongroom_types::limits::CONNECTIONS_MAX
        )),
        Ok(_) => {}
        Err(error) => log.warn(format_args!("the limit of descriptors cannot be raised: {error}")),
    }
}

/// A bug says where it is in the log.
fn panics_to(log: &Arc<Log>) {
    let log = Arc::clone(log);
    std::panic::set_hook(Box::new(move |panic| {
        // What a panic says may hold anything; where it is suffices to find it.
        match panic.location() {
            Some(place) => log.error(format_args!("a bug at {place}")),
            None => log.error(format_args!("a bug at an unknown place")),
        }
    }));
}
