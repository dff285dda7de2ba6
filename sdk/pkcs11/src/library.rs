//! What `C_Initialize` makes and `C_Finalize` drops.
//!
//! After a fork the child neither uses nor drops what it inherited: another thread of the parent may have been about to
//! change it. It closes its copies of the parent's connections, and begins with `C_Initialize` of its own.

use std::mem;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use cryptoki_sys::{CK_SLOT_ID, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID};
use strongroom_client::{Component, Config, ConfigError, Level, Log, Logging};
use strongroom_ffi::fork::Mark;

use crate::failure::Failure;
use crate::session::Sessions;
use crate::slot::Slot;

/// The library between `C_Initialize` and `C_Finalize`.
pub(crate) struct Library {
    mark: Mark,
    /// A slot for each configured cluster, in the configuration's order.
    pub(crate) slots: Vec<Arc<Slot>>,
    /// Sessions of all slots.
    pub(crate) sessions: Sessions,
    /// Where lines go.
    pub(crate) log: Log,
}

static LIBRARY: ArcSwapOption<Library> = ArcSwapOption::const_empty();

/// The library, if this process has initialised it.
pub(crate) fn current() -> Result<Guard<Option<Arc<Library>>>, Failure> {
    let library = LIBRARY.load();
    match library.as_ref() {
        None => Err(Failure::call(CKR_CRYPTOKI_NOT_INITIALIZED, "call C_Initialize first")),
        Some(inherited) if inherited.mark.is_forked_child() => {
            inherited.close_inherited();
            Err(Failure::call(CKR_CRYPTOKI_NOT_INITIALIZED, "this process was forked; call C_Initialize in it"))
        }
        Some(_) => Ok(library),
    }
}

/// Reads the configuration and makes the library. Says nothing to any HSM.
pub(crate) fn initialize() -> Result<(), Failure> {
    let twice = || Failure::call(CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize was called before");
    let previous = LIBRARY.load();
    if previous.as_ref().is_some_and(|library| !library.mark.is_forked_child()) {
        return Err(twice());
    }
    if let Some(inherited) = previous.as_ref() {
        inherited.close_inherited();
    }
    let made = Arc::new(Library::load()?);
    let log = made.log.clone();
    let replaced = Guard::into_inner(LIBRARY.compare_and_swap(&*previous, Some(made)));
    let is_first = match (&replaced, previous.as_ref()) {
        (None, None) => true,
        (Some(replaced), Some(previous)) => Arc::ptr_eq(replaced, previous),
        _ => false,
    };
    if !is_first {
        return Err(twice());
    }
    mem::forget(replaced);
    log.write(Level::Debug, "C_Initialize: CKR_OK");
    Ok(())
}

/// Ends logins and sessions, and takes the library away from calls to come. Calls that run end by themselves.
pub(crate) fn finalize() -> Result<(), Failure> {
    current()?;
    let Some(library) = LIBRARY.swap(None) else {
        return Err(Failure::call(CKR_CRYPTOKI_NOT_INITIALIZED, "C_Finalize was called before"));
    };
    for slot in &library.slots {
        library.sessions.close_all(slot);
    }
    Ok(())
}

/// Tells whoever operates the program why the library can't be used: in its log, or on standard error where that is not
/// known or can't be written.
fn refused(error: ConfigError, log: Option<&Log>) -> Failure {
    let failure = Failure::Config(error);
    let line = format!("PKCS #11 library of CloudHSM: {}", failure.line("C_Initialize"));
    if log.is_none_or(|log| log.try_write(Level::Error, &line).is_err()) {
        Log::new(&Logging::default()).write(Level::Error, &line);
    }
    failure
}

impl Library {
    fn load() -> Result<Library, Failure> {
        let config = Config::load(Component::Pkcs11).map_err(|error| refused(error, None))?;
        let log = Log::new(&config.logging);
        let slots = config.clusters.into_iter().enumerate();
        let slots = slots.map(|(index, cluster)| Ok(Arc::new(Slot::new(index, cluster, log.clone())?)));
        let slots = slots.collect::<Result<_, ConfigError>>().map_err(|error| refused(error, Some(&log)))?;
        Ok(Library { mark: Mark::new(), slots, sessions: Sessions::default(), log })
    }

    /// The slot of this id.
    pub(crate) fn slot(&self, id: CK_SLOT_ID) -> Result<&Arc<Slot>, Failure> {
        let slot = self.slots.iter().find(|slot| slot.id == id);
        slot.ok_or(Failure::call(CKR_SLOT_ID_INVALID, "there is no such slot; C_GetSlotList names those there are"))
    }

    /// In a child: closes its copies of the parent's connections, once.
    fn close_inherited(&self) {
        for slot in &self.slots {
            slot.client.begin_in_child();
        }
    }
}
