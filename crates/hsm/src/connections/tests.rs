//! Who goes when there is no room.

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

/// Records how it was ended.
#[derive(Default)]
struct Told(Mutex<Vec<Shutdown>>);

impl Endable for Told {
    fn end(&self, how: Shutdown) {
        self.0.lock().unwrap().push(how);
    }
}

#[test]
fn connections_that_may_be_no_more_are_ended_when_it_is_known_what_they_have_shown() {
    let connections = connections(10, 10);
    let enter = || {
        let socket = Arc::new(Told::default());
        let origin = Origin::of("192.0.2.1".parse().unwrap());
        let entry = connections.enter(Arc::clone(&socket) as Arc<dyn Endable>, origin).unwrap();
        (socket, entry)
    };
    let anchor = |number: u8| Some(CertificateFingerprint([number; 32]));
    let (shaking, plain, shown, other, last) = (enter(), enter(), enter(), enter(), enter());
    for (entry, presented) in [(&plain.1, None), (&shown.1, anchor(1)), (&other.1, anchor(2)), (&last.1, None)] {
        entry.set_presented(presented);
    }
    last.1.set_last_word(true);
    connections.end_those(|presented| presented != Some(&CertificateFingerprint([1; 32])));
    let told = |(socket, entry): &(Arc<Told>, Entry)| (socket.0.lock().unwrap().clone(), entry.is_ended());
    assert_eq!(told(&shaking), (vec![], false));
    assert_eq!(told(&plain), (vec![Shutdown::Both], true));
    assert_eq!(told(&shown), (vec![], false));
    assert_eq!(told(&other), (vec![Shutdown::Both], true));
    assert_eq!(told(&last), (vec![Shutdown::Read], true));
}
