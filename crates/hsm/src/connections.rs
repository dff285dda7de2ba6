//! The open connections: how many there may be, which of them goes when there are too many, and how all of them end.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use strongroom_core::LoginActor;
use strongroom_types::{CertificateFingerprint, Role, limits};

/// What a connection may do. The limits of the protocol, unless a test makes them small.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections without a login at once.
    pub without_login_max: usize,
    /// From accepting a connection to its first complete request.
    pub first_request_max: Duration,
    /// From the first byte of an answer to its last, when the client takes it slowly.
    pub unread_max: Duration,
    /// Bytes of a frame's message before a login.
    pub frame_len_max_before_login: usize,
    /// Bytes of a frame's message after a login.
    pub frame_len_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections_max: limits::CONNECTIONS_MAX,
            without_login_max: limits::CONNECTIONS_WITHOUT_LOGIN_MAX,
            first_request_max: Duration::from_millis(limits::FIRST_REQUEST_MS_MAX),
            unread_max: Duration::from_millis(limits::UNREAD_MS_MAX),
            frame_len_max_before_login: limits::FRAME_LEN_MAX_BEFORE_LOGIN,
            frame_len_max: limits::FRAME_LEN_MAX,
        }
    }
}

impl ConnectionLimits {
    /// How many connections crypto users may hold together. The others stay for who logs in, and for admins: nobody who
    /// only uses keys can keep out those who could end that.
    pub fn crypto_users_max(&self) -> usize {
        self.connections_max - self.without_login_max.min(self.connections_max / 4)
    }
}

/// Where a connection comes from, as far as others from there share what it may have: an IPv4 address, or the 64 bits of
/// an IPv6 address within which a host chooses as it likes (RFC 4291 §2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(IpAddr);

impl Origin {
    /// Of the peer with this address.
    pub fn of(peer: IpAddr) -> Origin {
        Origin(match peer.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }
}

/// A socket that another thread can end.
pub trait Endable: Send + Sync {
    /// Ends one or both directions; whoever is blocked in one returns.
    fn end(&self, how: Shutdown);
}

impl Endable for TcpStream {
    fn end(&self, how: Shutdown) {
        // A connection that is gone needs no end.
        let _ = self.shutdown(how);
    }
}

impl Endable for UnixStream {
    fn end(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

/// Every open connection of one listener.
pub struct Connections {
    inner: Mutex<Inner>,
    left: Condvar,
    connections_max: usize,
    without_login_max: usize,
    crypto_users_max: usize,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<u64, Open>,
    /// Without a login, by where they come from: since when, and which.
    waiting: BTreeMap<Origin, BTreeSet<(u64, u64)>>,
    /// How many these are.
    waiting_len: usize,
    /// Without a login, and not to go: the HSM works on what they asked.
    working: usize,
    /// Logins of crypto users, by connection.
    crypto_users: BTreeMap<u64, LoginActor>,
    drawn: u64,
    stopped: bool,
}

struct Open {
    socket: Arc<dyn Endable>,
    /// The thread that serves it, as soon as there is one.
    thread: Option<Thread>,
    is_ended: Arc<AtomicBool>,
    /// What its client has shown, as soon as the handshake is done: the trust anchor of a certificate, or none.
    presented: Option<Option<CertificateFingerprint>>,
    /// The HSM works on what may end the connection, and still answers that.
    has_last_word: bool,
}

impl Open {
    fn end(&self, how: Shutdown) {
        self.is_ended.store(true, Ordering::SeqCst);
        self.socket.end(how);
        // It may stand in a queue, where it would not see the end of its socket.
        self.thread.iter().for_each(Thread::unpark);
    }
}

/// One connection's entry; taken out when dropped.
pub struct Entry {
    connections: Arc<Connections>,
    number: u64,
    origin: Origin,
    standing: Standing,
    is_ended: Arc<AtomicBool>,
}

/// What a connection counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Without a login since then.
    Waiting(u64),
    /// The same, while the HSM works on what it asked.
    Working(u64),
    /// It is known who is at the other end.
    Known,
}

impl Connections {
    /// None yet, and so many at most.
    pub fn new(limits: &ConnectionLimits) -> Arc<Connections> {
        Arc::new(Connections {
            inner: Mutex::new(Inner::default()),
            left: Condvar::new(),
            connections_max: limits.connections_max,
            without_login_max: limits.without_login_max,
            crypto_users_max: limits.crypto_users_max(),
        })
    }

    /// Takes a new connection in, without a login. With too many of those one is ended: of whoever then has most, the one
    /// that waited longest. None when there is no room for the new one either, or no more are taken.
    pub fn enter(self: &Arc<Connections>, socket: Arc<dyn Endable>, origin: Origin) -> Option<Entry> {
        let mut inner = self.lock();
        let full = inner.open.len() >= self.connections_max;
        if full || inner.waiting_len + inner.working >= self.without_login_max {
            inner.end_longest_waiting(origin);
        }
        if full || inner.stopped {
            return None;
        }
        let number = inner.draw();
        let is_ended = Arc::new(AtomicBool::new(false));
        let open =
            Open { socket, thread: None, is_ended: Arc::clone(&is_ended), presented: None, has_last_word: false };
        inner.open.insert(number, open);
        inner.wait(origin, (number, number));
        let connections = Arc::clone(self);
        Some(Entry { connections, number, origin, standing: Standing::Waiting(number), is_ended })
    }

    /// Whether a crypto user may log in over one more connection. When not, those are ended whose login does not stand
    /// any more, so that there is room soon: they would hold it for as long as they ask nothing.
    pub fn has_room_for_crypto_user(&self, stands: impl Fn(&LoginActor) -> bool) -> bool {
        let inner = self.lock();
        let has_room = inner.crypto_users.len() < self.crypto_users_max;
        if !has_room {
            let over = inner.crypto_users.iter().filter(|(_, login)| !stands(login));
            over.filter_map(|(number, _)| inner.open.get(number)).for_each(|open| open.end(Shutdown::Both));
        }
        has_room
    }

    /// Ends those that may be no more, with what their clients have shown. When this returns, nothing can be written over
    /// them; but one whose own request ends it still gets that answer. Handshakes go on: who has shaken hands is looked
    /// at before the first request.
    pub fn end_those(&self, are_over: impl Fn(Option<&CertificateFingerprint>) -> bool) {
        for open in self.lock().open.values() {
            if open.presented.as_ref().is_some_and(|presented| are_over(presented.as_ref())) {
                open.end(if open.has_last_word { Shutdown::Read } else { Shutdown::Both });
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Takes no more, lets those that are answering finish, and ends the others; those that take longer than `patience`
    /// are cut off.
    pub fn stop(&self, patience: Duration) {
        let mut inner = self.lock();
        inner.stopped = true;
        // Who waits for a request reads the end of the connection; who works on one still writes its answer.
        inner.open.values().for_each(|open| open.socket.end(Shutdown::Read));
        let deadline = Instant::now() + patience;
        while !inner.open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.left.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.open.values().for_each(|open| open.end(Shutdown::Both));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn wait(&mut self, origin: Origin, key: (u64, u64)) {
        self.waiting_len += usize::from(self.waiting.entry(origin).or_default().insert(key));
    }

    fn wait_no_more(&mut self, origin: Origin, key: (u64, u64)) {
        let Some(of_origin) = self.waiting.get_mut(&origin) else { return };
        self.waiting_len -= usize::from(of_origin.remove(&key));
        if of_origin.is_empty() {
            self.waiting.remove(&origin);
        }
    }

    /// Ends the one that waited longest of those who come from where most do, the one that `arrives` among them.
    fn end_longest_waiting(&mut self, arrives: Origin) {
        let most = self.waiting.iter().filter_map(|(origin, keys)| {
            let oldest = keys.first()?;
            Some((keys.len() + usize::from(*origin == arrives), std::cmp::Reverse(*oldest), *origin))
        });
        let Some((_, std::cmp::Reverse(oldest), origin)) = most.max() else { return };
        self.wait_no_more(origin, oldest);
        if let Some(open) = self.open.get(&oldest.1) {
            open.end(Shutdown::Both);
        }
    }
}

impl Entry {
    /// Says that this thread serves the connection, so that it hears of its end wherever it waits.
    pub fn served_here(&self) {
        if let Some(open) = self.connections.lock().open.get_mut(&self.number) {
            open.thread = Some(thread::current());
        }
    }

    /// Says what the client has shown in the handshake. From here on the connection ends when that is no more enough.
    pub fn set_presented(&self, presented: Option<CertificateFingerprint>) {
        if let Some(open) = self.connections.lock().open.get_mut(&self.number) {
            open.presented = Some(presented);
        }
    }

    /// Says whether the HSM works on what may end this connection.
    pub fn set_last_word(&self, has_last_word: bool) {
        if let Some(open) = self.connections.lock().open.get_mut(&self.number) {
            open.has_last_word = has_last_word;
        }
    }

    /// Where the connection comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the connection was ended from here.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::SeqCst)
    }

    /// Says which login the connection has now. One too many of crypto users, which came at the same moment as others,
    /// is ended.
    pub fn set_login(&mut self, login: Option<LoginActor>) {
        self.set_known(login.is_some());
        let mut inner = self.connections.lock();
        match login.filter(|login| login.role == Role::CryptoUser) {
            Some(login) => {
                inner.crypto_users.insert(self.number, login);
                if inner.crypto_users.len() > self.connections.crypto_users_max
                    && let Some(open) = inner.open.get(&self.number)
                {
                    open.end(Shutdown::Both);
                }
            }
            None => {
                inner.crypto_users.remove(&self.number);
            }
        }
    }

    /// Says whether it is known who is at the other end; else the connection may have to go for another.
    pub fn set_known(&mut self, is_known: bool) {
        match (is_known, self.standing) {
            (true, Standing::Known) | (false, Standing::Waiting(_) | Standing::Working(_)) => {}
            (true, _) => self.stand(|_| Standing::Known),
            (false, Standing::Known) => self.stand(|inner| Standing::Waiting(inner.draw())),
        }
    }

    /// Says whether the HSM works on what the connection asked. Without a login it need not go for another while that
    /// lasts, unless half of those without a login are in that case: a login takes longer than a flood would leave it.
    pub fn set_working(&mut self, works: bool) {
        let half = self.connections.without_login_max / 2;
        match (works, self.standing) {
            (true, Standing::Waiting(since)) if !self.is_ended() => self.stand(|inner| match inner.working < half {
                true => Standing::Working(since),
                false => Standing::Waiting(since),
            }),
            (false, Standing::Working(since)) => self.stand(|_| Standing::Waiting(since)),
            _ => {}
        }
    }

    fn stand(&mut self, next: impl FnOnce(&mut Inner) -> Standing) {
        let mut inner = self.connections.lock();
        self.standing = inner.stand(self.number, self.origin, self.standing, next);
    }
}

impl Inner {
    fn stand(
        &mut self,
        number: u64,
        origin: Origin,
        before: Standing,
        next: impl FnOnce(&mut Inner) -> Standing,
    ) -> Standing {
        self.stand_no_more(number, origin, before);
        let after = next(self);
        match after {
            Standing::Waiting(since) => self.wait(origin, (since, number)),
            Standing::Working(_) => self.working += 1,
            Standing::Known => {}
        }
        after
    }

    fn stand_no_more(&mut self, number: u64, origin: Origin, standing: Standing) {
        match standing {
            Standing::Waiting(since) => self.wait_no_more(origin, (since, number)),
            Standing::Working(_) => self.working -= 1,
            Standing::Known => {}
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.connections.lock();
        inner.open.remove(&self.number);
        inner.crypto_users.remove(&self.number);
        inner.stand_no_more(self.number, self.origin, self.standing);
        drop(inner);
        self.connections.left.notify_all();
    }
}
