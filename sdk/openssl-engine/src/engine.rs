//! The one engine of a process: a client, a log, and what it knows of keys.

use std::sync::OnceLock;

use strongroom_client::{Client, ClientError, Level, Log, Logging};

use crate::error::EngineError;
use crate::keys::KnownKeys;
use crate::settings::{self, Loaded, SettingsError};

/// An engine whose settings are read.
pub(crate) struct Engine {
    /// The cluster. It finds out by itself that the process was forked, and begins anew.
    pub(crate) client: Client,
    /// Where keys were found.
    pub(crate) known: KnownKeys,
    log: Log,
    has_credentials: bool,
}

static ENGINE: OnceLock<Engine> = OnceLock::new();

/// The process's engine. Settings are read by the first call that finds them usable, which is when the library is
/// loaded; forked children have them from their parent.
pub(crate) fn engine() -> Result<&'static Engine, SettingsError> {
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let Loaded { client, log, has_credentials } = settings::load()?;
    Ok(ENGINE.get_or_init(|| Engine { client, known: KnownKeys::default(), log, has_credentials }))
}

/// The engine for an operation on a key in the HSMs. Whoever can't log in is told so before an HSM is asked.
pub(crate) fn for_operation() -> Result<&'static Engine, EngineError> {
    let engine = engine()?;
    if engine.has_credentials { Ok(engine) } else { Err(ClientError::NoCredentials.into()) }
}

/// Notes an error for whoever operates the program: its own log may not show OpenSSL's error queue.
pub(crate) fn note(error: &EngineError) {
    if error.is_logged_by_client() {
        return;
    }
    let line = format!("OpenSSL engine cloudhsm: {}", error.line());
    match ENGINE.get() {
        Some(engine) => engine.log.write(Level::Error, &line),
        // Where the log is stands in the settings that could not be read.
        None => Log::new(&Logging::default()).write(Level::Error, &line),
    }
}
