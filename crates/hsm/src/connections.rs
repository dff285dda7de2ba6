//! The open connections: how many there may be, which of them goes when there are too many, and how all of them end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_core::LoginActor;
use strongroom_types::{Role, limits};

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
    open: BTreeMap<u64, Arc<dyn Endable>>,
    /// Without a login: since when, and which.
    without_login: BTreeSet<(u64, u64)>,
    /// Logins of crypto users, by connection.
    crypto_users: BTreeMap<u64, LoginActor>,
    drawn: u64,
    stopped: bool,
}

/// One connection's entry; taken out when dropped.
pub struct Entry {
    connections: Arc<Connections>,
    number: u64,
    /// Since when it is without a login; none with one.
    without_login: Option<u64>,
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

    /// Takes a new connection in, without a login. With too many of those the one that waited longest is ended. None
    /// when there is no room for the new one either, or no more are taken.
    pub fn enter(self: &Arc<Connections>, socket: Arc<dyn Endable>) -> Option<Entry> {
        let mut inner = self.lock();
        let full = inner.open.len() >= self.connections_max;
        if full || inner.without_login.len() >= self.without_login_max {
            inner.end_longest_waiting();
        }
        if full || inner.stopped {
            return None;
        }
        let number = inner.draw();
        inner.open.insert(number, socket);
        inner.without_login.insert((number, number));
        Some(Entry { connections: Arc::clone(self), number, without_login: Some(number) })
    }

    /// Whether a crypto user may log in over one more connection. When not, those are ended whose login does not stand
    /// any more, so that there is room soon: they would hold it for as long as they ask nothing.
    pub fn has_room_for_crypto_user(&self, stands: impl Fn(&LoginActor) -> bool) -> bool {
        let inner = self.lock();
        let has_room = inner.crypto_users.len() < self.crypto_users_max;
        if !has_room {
            let over = inner.crypto_users.iter().filter(|(_, login)| !stands(login));
            over.filter_map(|(number, _)| inner.open.get(number)).for_each(|socket| socket.end(Shutdown::Both));
        }
        has_room
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
        inner.open.values().for_each(|socket| socket.end(Shutdown::Read));
        let deadline = Instant::now() + patience;
        while !inner.open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.left.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.open.values().for_each(|socket| socket.end(Shutdown::Both));
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

    fn end_longest_waiting(&mut self) {
        if let Some((_, number)) = self.without_login.pop_first()
            && let Some(socket) = self.open.get(&number)
        {
            socket.end(Shutdown::Both);
        }
    }
}

impl Entry {
    /// Says which login the connection has now. One too many of crypto users, which came at the same moment as others,
    /// is ended.
    pub fn set_login(&mut self, login: Option<LoginActor>) {
        self.set_known(login.is_some());
        let mut inner = self.connections.lock();
        match login.filter(|login| login.role == Role::CryptoUser) {
            Some(login) => {
                inner.crypto_users.insert(self.number, login);
                if inner.crypto_users.len() > self.connections.crypto_users_max
                    && let Some(socket) = inner.open.get(&self.number)
                {
                    socket.end(Shutdown::Both);
                }
            }
            None => {
                inner.crypto_users.remove(&self.number);
            }
        }
    }

    /// Says whether it is known who is at the other end; else the connection may have to go for another.
    pub fn set_known(&mut self, is_known: bool) {
        if is_known == self.without_login.is_none() {
            return;
        }
        let mut inner = self.connections.lock();
        match self.without_login.take() {
            Some(since) => {
                inner.without_login.remove(&(since, self.number));
            }
            None => {
                let since = inner.draw();
                inner.without_login.insert((since, self.number));
                self.without_login = Some(since);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.connections.lock();
        inner.open.remove(&self.number);
        inner.crypto_users.remove(&self.number);
        if let Some(since) = self.without_login {
            inner.without_login.remove(&(since, self.number));
        }
        drop(inner);
        self.connections.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use strongroom_types::{CredentialId, LoginId, UserId};

    use super::*;

    #[derive(Default)]
    struct Socket(AtomicBool);

    impl Endable for Socket {
        fn end(&self, how: Shutdown) {
            self.0.fetch_or(how == Shutdown::Both, Ordering::SeqCst);
        }
    }

    fn connections(connections_max: usize, without_login_max: usize) -> Arc<Connections> {
        Connections::new(&ConnectionLimits { connections_max, without_login_max, ..ConnectionLimits::default() })
    }

    fn enter(connections: &Arc<Connections>) -> (Arc<Socket>, Option<Entry>) {
        let socket = Arc::new(Socket::default());
        let entry = connections.enter(Arc::clone(&socket) as Arc<dyn Endable>);
        (socket, entry)
    }

    fn is_ended(socket: &Socket) -> bool {
        socket.0.load(Ordering::SeqCst)
    }

    #[test]
    fn the_one_that_waited_longest_without_login_goes() {
        let connections = connections(10, 2);
        let (first, entry) = enter(&connections);
        let mut first_entry = entry.unwrap();
        let (second, _second_entry) = enter(&connections);
        first_entry.set_known(true);
        let (third, _third_entry) = enter(&connections);
        let (fourth, _fourth_entry) = enter(&connections);
        assert_eq!([&first, &second, &third, &fourth].map(|socket| is_ended(socket)), [false, true, false, false]);
        // A logout begins to wait then, behind the others.
        first_entry.set_known(false);
        let (_, _fifth_entry) = enter(&connections);
        assert_eq!([&first, &third, &fourth].map(|socket| is_ended(socket)), [false, true, false]);
    }

    #[test]
    fn a_full_house_takes_nobody_and_makes_room() {
        let connections = connections(2, 2);
        let (_, entry) = enter(&connections);
        let mut entry = entry.unwrap();
        entry.set_known(true);
        let (second, second_entry) = enter(&connections);
        assert!(enter(&connections).1.is_none());
        assert!(is_ended(&second));
        drop(second_entry);
        assert_eq!(connections.count(), 1);
        let (_, third) = enter(&connections);
        third.unwrap().set_known(true);
        drop(entry);
        assert_eq!(connections.count(), 0);
    }

    fn login(role: Role, number: u8) -> LoginActor {
        let (login, user) = (LoginId::from_bytes([number; 16]), UserId::from_bytes([number; 16]));
        LoginActor { login, user, credential: CredentialId::from_bytes([number; 16]), role, expires_ms: 1 }
    }

    #[test]
    fn crypto_users_leave_room_for_admins() {
        let connections = connections(8, 2);
        let mut entries = Vec::new();
        let mut sockets = Vec::new();
        for number in 0..6 {
            assert!(connections.has_room_for_crypto_user(|_| true), "{number}");
            let (socket, entry) = enter(&connections);
            let mut entry = entry.unwrap();
            entry.set_login(Some(login(Role::CryptoUser, number)));
            // A renewed login is no second one.
            entry.set_login(Some(login(Role::CryptoUser, number)));
            entries.push(entry);
            sockets.push(socket);
        }
        assert!(!connections.has_room_for_crypto_user(|_| true));
        assert!(!sockets.iter().any(|socket| is_ended(socket)));
        // Who asked at the same moment as the last of them.
        let (late, late_entry) = enter(&connections);
        let mut late_entry = late_entry.unwrap();
        late_entry.set_login(Some(login(Role::CryptoUser, 7)));
        assert!(is_ended(&late));
        drop(late_entry);
        let (admin, admin_entry) = enter(&connections);
        let mut admin_entry = admin_entry.unwrap();
        admin_entry.set_login(Some(login(Role::Admin, 8)));
        assert!(!is_ended(&admin));
        // A login that was ended takes its connection along when there is no room.
        assert!(!connections.has_room_for_crypto_user(|login| login.login != LoginId::from_bytes([3; 16])));
        let ended: Vec<_> = sockets.iter().map(|socket| is_ended(socket)).collect();
        assert_eq!(ended, [false, false, false, true, false, false]);
        drop(entries.remove(3));
        assert!(connections.has_room_for_crypto_user(|_| true));
        // Logging out makes room as well.
        entries[0].set_login(None);
        let (_, again) = enter(&connections);
        again.unwrap().set_login(Some(login(Role::CryptoUser, 9)));
        assert!(connections.has_room_for_crypto_user(|_| true));
    }

    #[test]
    fn stopping_ends_all_and_takes_no_more() {
        let connections = connections(2, 2);
        let (socket, _entry) = enter(&connections);
        connections.stop(Duration::ZERO);
        assert!(is_ended(&socket));
        assert!(enter(&connections).1.is_none());
    }
}
