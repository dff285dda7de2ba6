//! Everything of a client that belongs to one process and must be fresh in a forked child: connections, the login, what
//! has been seen.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use strongroom_ffi::fork::Mark;
use strongroom_types::{ClusterId, Password, Refusal, Role, Secret, UserName};

use crate::answers::{Hello, LoggedIn};
use crate::config::Server;
use crate::descriptors::Descriptors;
use crate::error::ConnectError;
use crate::names::Names;
use crate::pool::Pool;
use crate::session_keys::SessionKeys;

/// How often a client asks for the cluster's members.
const GREETING_PAUSE: Duration = Duration::from_secs(60);
/// For how long credentials that were refused are not tried again: five wrong passwords in a row lock the user, and a
/// busy server would try many.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// For how long an HSM is not asked again that refused the client's certificate: nothing but a change of configuration helps,
/// and a busy server would try with every request.
const CERTIFICATE_PAUSE: Duration = Duration::from_secs(1);

/// A login, as the client holds it.
pub(crate) struct Login {
    /// Tells logins of this process apart; never zero. A renewed ticket keeps the number.
    pub(crate) number: u64,
    pub(crate) ticket: Secret,
    /// Tells the tickets of a login apart.
    pub(crate) ticket_number: u64,
    /// Stay with the login when its ticket is renewed.
    pub(crate) session_keys: Arc<SessionKeys>,
    pub(crate) who: LoggedIn,
    /// Made with stored credentials, and so made again when it ends.
    pub(crate) from_credentials: bool,
}

/// A user's name and password, kept for logins to come.
pub(crate) struct Credentials {
    pub(crate) user: UserName,
    pub(crate) role: Role,
    pub(crate) password: Password,
    /// Tells credentials apart.
    pub(crate) number: u64,
}

/// See the module.
pub(crate) struct Generation {
    pub(crate) mark: Mark,
    pub(crate) pool: Pool,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) names: Names,
    pub(crate) login: ArcSwapOption<Login>,
    logins: AtomicU64,
    /// The newest login of which an HSM has said that it is over.
    ended_login: AtomicU64,
    /// The newest login that was left by a logout.
    left_login: AtomicU64,
    turn: LoginTurn,
    refused: Mutex<Option<(u64, Instant, Refusal)>>,
    /// Who refused the client's certificate, or its having none, and when.
    certificate_refusals: Mutex<Vec<(Server, Instant, ConnectError)>>,
    /// The highest revision in any answer.
    seen: AtomicU64,
    cluster: OnceLock<ClusterId>,
    born: Instant,
    /// When a member was last asked for the list, in milliseconds since birth and one; zero is never.
    greeted_ms: AtomicU64,
    /// HSMs the cluster has, alive or not; zero is unknown.
    pub(crate) hsms: AtomicUsize,
}

impl Generation {
    pub(crate) fn new(servers: &[Server]) -> Generation {
        Generation {
            mark: Mark::new(),
            pool: Pool::new(servers),
            descriptors: Descriptors::new(),
            names: Names::default(),
            login: ArcSwapOption::empty(),
            logins: AtomicU64::new(0),
            ended_login: AtomicU64::new(0),
            left_login: AtomicU64::new(0),
            turn: LoginTurn::default(),
            refused: Mutex::new(None),
            certificate_refusals: Mutex::new(Vec::new()),
            seen: AtomicU64::new(0),
            cluster: OnceLock::new(),
            born: Instant::now(),
            greeted_ms: AtomicU64::new(0),
            hsms: AtomicUsize::new(0),
        }
    }

    pub(crate) fn next_login_number(&self) -> u64 {
        self.logins.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a renewed ticket in place of the one of the same login, if that is still the one in use.
    pub(crate) fn renew_ticket(&self, used: &Arc<Login>, ticket: Secret) {
        let renewed = Arc::new(Login {
            number: used.number,
            ticket,
            ticket_number: used.ticket_number + 1,
            session_keys: Arc::clone(&used.session_keys),
            who: used.who.clone(),
            from_credentials: used.from_credentials,
        });
        self.login.compare_and_swap(used, Some(renewed));
    }

    /// Whether the login has got another ticket since this one was taken.
    pub(crate) fn was_renewed(&self, used: &Login) -> bool {
        let current = self.login.load();
        let is_other = |login: &Arc<Login>| login.number == used.number && login.ticket_number != used.ticket_number;
        current.as_ref().is_some_and(is_other)
    }

    /// Forgets a login that has ended, unless another one stands in its place by now. That there was one is remembered until
    /// somebody logs out: [`Generation::login_has_ended`].
    pub(crate) fn forget_login(&self, number: u64) {
        // First, so that no thread sees that there is no login and not why.
        self.ended_login.fetch_max(number, Ordering::SeqCst);
        let current = self.login.load();
        if current.as_ref().is_some_and(|login| login.number == number) {
            self.login.compare_and_swap(&*current, None);
        }
    }

    /// Takes the login out, for a logout. Nothing is left of it, nor of one that has ended.
    pub(crate) fn leave_login(&self) -> Option<Arc<Login>> {
        let login = self.login.swap(None);
        let left = login.as_ref().map_or_else(|| self.ended_login.load(Ordering::SeqCst), |login| login.number);
        self.left_login.fetch_max(left, Ordering::SeqCst);
        login
    }

    /// Whether a login was over because an HSM said so, and nobody has logged out since.
    pub(crate) fn login_has_ended(&self) -> bool {
        self.ended_login.load(Ordering::SeqCst) > self.left_login.load(Ordering::SeqCst)
    }

    /// Only one thread at a time logs in with stored credentials; the others find its login. None when the time is over
    /// before it is one's turn.
    pub(crate) fn login_turn(&self, deadline: Instant) -> Option<LoginTurnGuard<'_>> {
        self.turn.take(deadline)
    }

    /// The refusal of these credentials a short while ago.
    pub(crate) fn recent_refusal(&self, credentials: u64) -> Option<Refusal> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, at, refusal) = refused.as_ref()?;
        (*number == credentials && at.elapsed() < REFUSED_PAUSE).then(|| refusal.clone())
    }

    pub(crate) fn remember_refusal(&self, credentials: u64, refusal: &Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = Some((credentials, Instant::now(), refusal.clone()));
    }

    /// That this HSM refused the client's certificate a moment ago.
    pub(crate) fn recent_certificate_refusal(&self, server: &Server) -> Option<ConnectError> {
        let mut refusals = self.certificate_refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|(_, at, _)| at.elapsed() < CERTIFICATE_PAUSE);
        refusals.iter().find(|(of, ..)| of == server).map(|(_, _, refusal)| refusal.clone())
    }

    /// Remembers why there is no connection, if that is because of the client's certificate.
    pub(crate) fn certificate_refused(&self, server: &Server, error: &ConnectError) {
        if error.is_about_certificate() {
            let mut refusals = self.certificate_refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.retain(|(of, ..)| of != server);
            refusals.push((server.clone(), Instant::now(), error.clone()));
        }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    pub(crate) fn has_seen(&self, revision: u64) {
        if revision > self.seen.load(Ordering::Relaxed) {
            self.seen.fetch_max(revision, Ordering::AcqRel);
        }
    }

    /// The cluster that the first certificate named.
    pub(crate) fn cluster(&self) -> Option<&ClusterId> {
        self.cluster.get()
    }

    pub(crate) fn met_cluster(&self, cluster: ClusterId) {
        // Whoever came first is right: the next connection of another cluster is refused.
        let _ = self.cluster.set(cluster);
    }

    /// Whether the list of members is wanted now; who is told so asks for it.
    pub(crate) fn greeting_is_due(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let last = self.greeted_ms.load(Ordering::Relaxed);
        let due = last == 0 || u128::from(now - last.min(now)) >= GREETING_PAUSE.as_millis();
        due && self.greeted_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The greeting failed before it brought the list for the first time.
    pub(crate) fn greeting_failed(&self) {
        if self.hsms.load(Ordering::Relaxed) == 0 {
            self.greeted_ms.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn greeted(&self, hello: &Hello) {
        self.hsms.store(hello.members.len(), Ordering::Relaxed);
        self.pool.refresh(&hello.members);
    }
}

/// A lock that is waited for until a deadline.
#[derive(Default)]
struct LoginTurn {
    taken: Mutex<bool>,
    free: Condvar,
}

impl LoginTurn {
    fn take(&self, deadline: Instant) -> Option<LoginTurnGuard<'_>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, _) =
            self.free.wait_timeout_while(taken, left, |taken| *taken).unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return None;
        }
        *taken = true;
        Some(LoginTurnGuard(self))
    }
}

pub(crate) struct LoginTurnGuard<'a>(&'a LoginTurn);

impl Drop for LoginTurnGuard<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}
