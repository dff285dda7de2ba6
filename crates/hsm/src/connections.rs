//! The open connections: how many there may be, which of them goes when there are too many, and how all of them end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
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
        inner.open.insert(number, Open { socket, thread: None, is_ended: Arc::clone(&is_ended) });
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

#[cfg(test)]
mod tests {
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

    fn enter_from(connections: &Arc<Connections>, peer: &str) -> (Arc<Socket>, Option<Entry>) {
        let socket = Arc::new(Socket::default());
        let origin = Origin::of(peer.parse().unwrap());
        let entry = connections.enter(Arc::clone(&socket) as Arc<dyn Endable>, origin);
        (socket, entry)
    }

    fn enter(connections: &Arc<Connections>) -> (Arc<Socket>, Option<Entry>) {
        enter_from(connections, "192.0.2.1")
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
    fn a_stranger_with_many_closes_their_own() {
        let connections = connections(100, 4);
        let (user, user_entry) = enter_from(&connections, "192.0.2.1");
        let user_entry = user_entry.unwrap();
        let strangers: Vec<_> = (0..20).map(|_| enter_from(&connections, "192.0.2.2")).collect();
        assert!(!is_ended(&user) && !user_entry.is_ended());
        let ended: Vec<_> = strangers.iter().map(|(socket, _)| is_ended(socket)).collect();
        assert_eq!(ended, [vec![true; 17], vec![false; 3]].concat());
        assert!(strangers[0].1.as_ref().unwrap().is_ended());
        // Others get in as well, until everybody has one.
        let others: Vec<_> = (3..=4).map(|n| enter_from(&connections, &format!("192.0.2.{n}"))).collect();
        assert!(!is_ended(&user) && !others.iter().any(|(socket, _)| is_ended(socket)));
        assert_eq!(strangers.iter().filter(|(socket, _)| !is_ended(socket)).count(), 1);
        let _one_more = enter_from(&connections, "192.0.2.5");
        assert!(is_ended(&user), "the one that waited longest");
    }

    #[test]
    fn a_host_is_one_address_or_the_half_of_one() {
        let same = |a: &str, b: &str| Origin::of(a.parse().unwrap()) == Origin::of(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1:2:3") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn what_is_worked_on_stays_for_half_of_the_places() {
        let connections = connections(100, 4);
        let mut working: Vec<_> = (0..3).map(|_| enter(&connections)).collect();
        for (_, entry) in &mut working {
            entry.as_mut().unwrap().set_working(true);
        }
        let waiting: Vec<_> = (0..4).map(|_| enter(&connections)).collect();
        let ended: Vec<_> = working.iter().chain(&waiting).map(|(socket, _)| is_ended(socket)).collect();
        assert_eq!(ended, [false, false, true, true, true, false, false]);
        // Done, and not logged in: the first of them waited longest.
        for (_, entry) in &mut working {
            entry.as_mut().unwrap().set_working(false);
        }
        let (_, _next) = enter(&connections);
        assert!(is_ended(&working[0].0) && !is_ended(&working[1].0) && !is_ended(&waiting[2].0));
        drop((working, waiting));
        assert_eq!(connections.count(), 1);
        let inner = connections.lock();
        assert_eq!((inner.waiting_len, inner.working, inner.waiting.len()), (1, 0, 1));
    }

    #[test]
    fn whoever_is_ended_in_a_queue_leaves_it() {
        let connections = connections(100, 1);
        let queue = crate::pools::Pool::new(1, 10);
        let deadline = Instant::now() + Duration::from_secs(20);
        let held = queue.enter((), deadline).unwrap();
        let (_, entry) = enter(&connections);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let entry = entry.unwrap();
                entry.served_here();
                queue.enter_while((), deadline, || !entry.is_ended()).map(drop)
            });
            // Ended before or while it waits: both must wake it.
            let _next = enter(&connections);
            assert!(waits.join().unwrap().is_err());
        });
        drop(held);
        assert!(Instant::now() < deadline);
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
