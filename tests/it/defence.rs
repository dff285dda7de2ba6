//! Strangers try, and real users keep working: floods of connections, handshakes and passwords, a full house.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit};
use strongroom_client::{Client, ClientError, PairAlgorithm};
use strongroom_tests::{World, run, wait_for};
use strongroom_types::limits::{
    CLIENTS_MAX, CONNECTIONS_A_CLIENT, CONNECTIONS_MAX, CONNECTIONS_WITHOUT_LOGIN_MAX, FIRST_REQUEST_MS_MAX, HSM_PORT,
    LOGIN_FAILURES_MAX,
};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, KeyReference, Password, Role, Secret, SignMechanism, Status, UserName,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::crash::login;
use crate::hand::Hand;

const PATIENCE: Duration = Duration::from_secs(120);
/// Another host, as far as the HSM can tell.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Where this machine's clients come from.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Calls of real users that must succeed during each flood, at least.
const CALLS: usize = 300;

fn sign(client: &Client, key: KeyReference) -> Result<Vec<u8>, ClientError> {
    client.sign(key, SignMechanism::Ecdsa, &[7; 32])
}

fn signing_key(client: &Client) -> KeyReference {
    let may = |flag| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))];
    let made = client.key_generate_pair(&PairAlgorithm::Ec(Curve::P256), &may(Flag::Verify), &may(Flag::Sign), &[]);
    made.expect("a pair").1.reference
}

fn connect(from: IpAddr, hsm: &str) -> std::io::Result<TcpStream> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
    let ip: IpAddr = hsm.parse().expect("an address");
    rustix::net::connect(&socket, &SocketAddr::new(ip, HSM_PORT))?;
    Ok(TcpStream::from(socket))
}

/// Both ends of thousands of connections are on this machine.
fn raise_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).expect("a process may use what it is allowed");
}

/// Users at work while something goes on.
struct Work {
    stop: AtomicBool,
    calls: AtomicUsize,
}

impl Work {
    /// Does `call` again and again while `flood` runs on two threads; every call must succeed, and there must be
    /// [`CALLS`] of them and `floods` rounds of the flood.
    fn during(
        floods: usize,
        flood: impl Fn(&Work) -> usize + Sync,
        calls: &[&(dyn Fn() -> Result<(), String> + Sync)],
    ) {
        let work = Work { stop: AtomicBool::new(false), calls: AtomicUsize::new(0) };
        let flooded = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let guard = Guard(&work.stop);
            for _ in 0..2 {
                scope.spawn(|| {
                    while !work.stop.load(Ordering::Relaxed) {
                        flooded.fetch_add(flood(&work), Ordering::Relaxed);
                    }
                });
            }
            let threads: Vec<_> = calls
                .iter()
                .map(|call| {
                    scope.spawn(|| {
                        let _guard = Guard(&work.stop);
                        while !work.stop.load(Ordering::Relaxed) {
                            call().expect("a real user's call");
                            work.calls.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            wait_for("calls and floods", PATIENCE, || {
                let (calls, flooded) = (work.calls.load(Ordering::Relaxed), flooded.load(Ordering::Relaxed));
                (calls >= CALLS && flooded >= floods) || work.stop.load(Ordering::Relaxed)
            });
            drop(guard);
            threads.into_iter().for_each(|thread| thread.join().expect("every call succeeded"));
        });
        assert!(work.calls.load(Ordering::Relaxed) >= CALLS);
    }
}

/// Stops everything when it goes, also by a panic.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A flood of first messages of handshakes, none of which goes on: far more at once than an HSM keeps.
fn half_handshakes(world: &World, from: IpAddr) -> impl Fn(&Work) -> usize + Sync + use<> {
    let mut first_message = Vec::new();
    let mut session = strongroom_tests::Hand::session(&world.customer_ca()).expect("a TLS session");
    session.write_tls(&mut first_message).expect("written to memory");
    let hsms = world.hsm_ips();
    move |work| {
        let mut open = VecDeque::new();
        let mut done = 0;
        for round in 0..1_000 {
            if work.stop.load(Ordering::Relaxed) {
                break;
            }
            // An HSM that is too busy to take it, or ends it, does as it should.
            let Ok(mut socket) = connect(from, &hsms[round % hsms.len()]) else { continue };
            let _ = socket.write_all(&first_message);
            open.push_back(socket);
            done += 1;
            if open.len() > 2 * CONNECTIONS_WITHOUT_LOGIN_MAX {
                open.pop_front();
            }
        }
        done
    }
}

#[test]
fn a_flood_of_handshakes_from_elsewhere_keeps_nobody_out() {
    raise_descriptors();
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let key = signing_key(&client);
    let at_work = || sign(&client, key).map(drop).map_err(|error| error.to_string());
    // Connects, logs in, works, leaves.
    let comes = || {
        let client = login(&world, "crypto_user", Role::CryptoUser);
        sign(&client, key).map_err(|error| error.to_string())?;
        client.logout().map_err(|error| error.to_string())
    };
    Work::during(4_000, half_handshakes(&world, ELSEWHERE), &[&at_work, &comes]);
    assert_eq!(world.status()["state"], "ACTIVE");
}

/// Who is logged in is not concerned even by a flood from the same address.
#[test]
fn a_flood_of_handshakes_from_next_door_stops_nobody_at_work() {
    raise_descriptors();
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let key = signing_key(&client);
    let at_work = || sign(&client, key).map(drop).map_err(|error| error.to_string());
    Work::during(4_000, half_handshakes(&world, HERE), &[&at_work, &at_work]);
    assert_eq!(world.status()["state"], "ACTIVE");
}

fn guess(hand: &mut Hand, name: &str, role: v1::Role) -> std::io::Result<Result<(), Status>> {
    let login = v1::Login {
        user_name: name.into(),
        role: role.into(),
        password: "not-the-password".into(),
        ..v1::Login::default()
    };
    let request = v1::Request { operation: Some(Operation::Login(login)), ..v1::Request::default() };
    Ok(hand.try_send(request)?.map(drop))
}

/// Questions that anybody may ask, as fast as they are answered, over many connections.
#[test]
fn a_flood_of_questions_stops_nobody_at_work() {
    raise_descriptors();
    let world = World::new();
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let key = signing_key(&client);
    let at_work = || sign(&client, key).map(drop).map_err(|error| error.to_string());
    let comes = || {
        let client = login(&world, "crypto_user", Role::CryptoUser);
        sign(&client, key).map(drop).map_err(|error| error.to_string())
    };
    let hsms = world.hsm_ips();
    let questions = [
        Operation::Hello(v1::Hello { client: "a stranger".into() }),
        Operation::UserList(v1::UserList {}),
        Operation::ClusterInfo(v1::ClusterInfo {}),
    ];
    let flood = |work: &Work| {
        let asked = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..40 {
                let (asked, hsm, question) = (&asked, &hsms[number % hsms.len()], &questions[number % questions.len()]);
                let world = &world;
                scope.spawn(move || {
                    let Ok(socket) = connect(ELSEWHERE, hsm) else { return };
                    let mut hand = Hand::over(world, socket);
                    let ask = || v1::Request { operation: Some(question.clone()), ..v1::Request::default() };
                    for _ in 0..200 {
                        if work.stop.load(Ordering::Relaxed) || hand.try_send(ask()).is_err() {
                            return;
                        }
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        asked.into_inner()
    };
    Work::during(10_000, flood, &[&at_work, &comes]);
}

/// Every user's password is guessed at, and those of users who do not exist. All are locked; who is logged in works on,
/// and an admin who is logged in opens the locks.
#[test]
fn a_flood_of_guesses_ends_no_login() {
    let world = World::new();
    let admin = login(&world, "admin", Role::Admin);
    let password = Password::new(Secret::from(&b"long-enough"[..])).expect("a good password");
    let bea: UserName = "bea".parse().expect("a name");
    admin.user_create(&bea, Role::CryptoUser, &password).expect("made");
    let client = login(&world, "crypto_user", Role::CryptoUser);
    let key = signing_key(&client);
    let at_work = || sign(&client, key).map(drop).map_err(|error| error.to_string());
    let manages = || admin.user_list().map(drop).map_err(|error| error.to_string());
    let names = [("admin", v1::Role::Admin), ("crypto_user", v1::Role::CryptoUser), ("bea", v1::Role::CryptoUser)];
    let (locked, unknown) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = names.map(|_| AtomicUsize::new(0));
    let hsms = world.hsm_ips();
    let flood = |_: &Work| {
        let mut guesses = 0;
        for hsm in &hsms {
            let Ok(socket) = connect(ELSEWHERE, hsm) else { continue };
            let mut hand = Hand::over(&world, socket);
            // Until the HSM has had enough.
            for (name, role) in names.iter().chain(&[("nobody", v1::Role::CryptoUser)]).cycle() {
                match guess(&mut hand, name, *role) {
                    Ok(Err(Status::UserLocked)) => locked.fetch_add(1, Ordering::Relaxed),
                    Ok(Err(Status::LoginFailed)) => {
                        let known = names.iter().position(|known| known.0 == *name);
                        known.map_or(&unknown, |known| &wrong[known]).fetch_add(1, Ordering::Relaxed)
                    }
                    Ok(Err(Status::Busy)) => 0,
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => break,
                };
                guesses += 1;
            }
        }
        guesses
    };
    Work::during(500, flood, &[&at_work, &manages]);
    let (locked, unknown) = (locked.into_inner(), unknown.into_inner());
    assert!(locked > 100 && unknown > 100, "{locked} locked, {unknown} unknown");
    // Five guesses lock, wherever they come in; each HSM may be trying one more at that moment.
    let guesses = usize::try_from(LOGIN_FAILURES_MAX).expect("a few");
    for (count, (name, _)) in wrong.iter().zip(names) {
        let count = count.load(Ordering::Relaxed);
        assert!((guesses..guesses + hsms.len()).contains(&count), "{count} guesses at {name}");
    }
    // Each is locked on every HSM, with the right password too.
    for hsm in &hsms {
        let right = Hand::at(&world, hsm).log_in("bea", "long-enough");
        assert_eq!(right.err(), Some(Status::UserLocked));
    }
    // So is the last admin, for a while; who is logged in as such is not concerned.
    let (name, right) = (world.text("/admin/username"), world.text("/admin/password"));
    let again =
        v1::Login { user_name: name, role: v1::Role::Admin.into(), password: right.into(), ..v1::Login::default() };
    assert_eq!(Hand::at(&world, &hsms[0]).ask(Operation::Login(again)).err(), Some(Status::UserLocked));
    admin.user_change_password(&bea, Role::CryptoUser, &password).expect("an admin at work opens the lock");
    for hsm in &hsms {
        Hand::at(&world, hsm).log_in("bea", "long-enough").expect("open again");
    }
}

/// Names that are unknown or locked cost an HSM no hash: with passwords this dear, a thousand guesses would take minutes.
#[test]
fn guesses_at_locked_and_unknown_names_cost_nothing() {
    // A good part of a second for each password.
    let world = World::with(&["--hsms", "1", "--password-iterations", "600000", "--lease-ms", "2000"]);
    let hsm = &world.hsm_ips()[0];
    let mut hand = Hand::at(&world, hsm);
    for _ in 0..LOGIN_FAILURES_MAX {
        assert_eq!(guess(&mut hand, "crypto_user", v1::Role::CryptoUser).expect("answered"), Err(Status::LoginFailed));
    }
    let mut refused = 0;
    wait_for("a thousand refusals", PATIENCE, || {
        let mut hand = Hand::at(&world, hsm);
        for (name, status) in [("crypto_user", Status::UserLocked), ("nobody", Status::LoginFailed)].iter().cycle() {
            match guess(&mut hand, name, v1::Role::CryptoUser) {
                Ok(answer) => assert_eq!(answer, Err(*status)),
                Err(_) => break,
            }
            refused += 1;
        }
        refused >= 1_000
    });
}

/// So many, made by several threads.
fn many<T: Send>(count: usize, make: impl Fn() -> T + Sync) -> Vec<T> {
    let left = AtomicUsize::new(count);
    let take = || left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let work = || std::iter::from_fn(|| take().then(&make)).collect::<Vec<T>>();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("each is made")).collect()
    })
}

/// As many connections as an HSM takes: 1,024 clients with three each and more, admins beside them, and nobody beyond.
#[test]
fn a_full_house_serves_everybody_in_it() {
    raise_descriptors();
    let world = World::quick(&["--hsms", "1"]);
    let hsm = world.hsm_ips()[0].clone();
    let connections = || world.status()["hsms"][0]["connections"].as_u64().expect("a number");
    let attached = |ticket: &[u8]| {
        let mut hand = Hand::at(&world, &hsm);
        hand.attach(ticket).map(|()| hand)
    };
    let (user, password) = (world.text("/crypto_user/username"), world.text("/crypto_user/password"));
    let ticket = Hand::at(&world, &hsm).log_in(&user, &password).expect("the crypto user");
    wait_for("a quiet HSM", PATIENCE, || connections() == 0);
    // Below and at: every client has its three. The rest of what crypto users may have is there as well.
    let crypto_users = CONNECTIONS_MAX - CONNECTIONS_WITHOUT_LOGIN_MAX;
    assert!(CLIENTS_MAX * CONNECTIONS_A_CLIENT <= crypto_users);
    let mut house: Vec<Hand> = many(crypto_users, || attached(&ticket).expect("there is room"));
    // Above: refused by name, whoever it is.
    assert_eq!(attached(&ticket).err(), Some(Status::Busy));
    assert_eq!(Hand::at(&world, &hsm).log_in(&user, &password).err(), Some(Status::Busy));
    // Admins get in, until the house is full.
    let (admin, password) = (world.text("/admin/username"), world.text("/admin/password"));
    let ticket_of_admin = {
        let login = v1::Login {
            user_name: admin,
            role: v1::Role::Admin.into(),
            password: password.into(),
            ..v1::Login::default()
        };
        match Hand::at(&world, &hsm).ask(Operation::Login(login)).expect("the admin") {
            v1::response::Result::Login(result) => result.ticket,
            _ => panic!("another answer"),
        }
    };
    wait_for("who was refused to be gone", PATIENCE, || connections() == crypto_users as u64);
    let mut admins: Vec<Hand> =
        many(CONNECTIONS_MAX - crypto_users, || attached(&ticket_of_admin).expect("there is room"));
    assert_eq!(connections(), CONNECTIONS_MAX as u64);
    let hello = || v1::Request {
        operation: Some(Operation::Hello(v1::Hello { client: "one too many".into() })),
        ..v1::Request::default()
    };
    // The next one is closed before its handshake.
    assert!(Hand::at(&world, &hsm).try_send(hello()).is_err());
    // Everybody who is in is served.
    for hand in house.iter_mut().chain(&mut admins) {
        hand.send(hello()).expect("an answer");
    }
    // One goes, one comes.
    drop(house.pop());
    wait_for("room", PATIENCE, || connections() < CONNECTIONS_MAX as u64);
    house.push(attached(&ticket).expect("there is room again"));
    assert_eq!(world.status()["state"], "ACTIVE");
}

/// Whoever says nothing is let wait for the first request's time, and not for less.
#[test]
fn a_silent_connection_has_five_seconds() {
    let world = World::shared();
    let began = Instant::now();
    let mut silent = connect(HERE, &world.hsm_ips()[0]).expect("connected");
    silent.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert_eq!(silent.read(&mut [0; 16]).expect("closed in order"), 0);
    assert!(began.elapsed() >= Duration::from_millis(FIRST_REQUEST_MS_MAX), "{:?}", began.elapsed());
}

#[test]
fn other_versions_and_protocols_of_tls_get_no_handshake() {
    let world = World::shared();
    let address = format!("{}:{HSM_PORT}", world.hsm_ips()[0]);
    let shakes_hands = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-brief", "-connect", &address]).args(arguments);
        let ran = run(command.stdin(Stdio::null()));
        (ran.stderr.contains("CONNECTION ESTABLISHED") && ran.code == Some(0), ran)
    };
    for arguments in
        [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_3", "-alpn", "h2"], &["-tls1_3", "-alpn", "strongroom/2"]]
    {
        let (shakes, ran) = shakes_hands(arguments);
        assert!(!shakes, "{arguments:?}: {ran:?}");
    }
    let (shakes, ran) = shakes_hands(&["-tls1_3", "-alpn", "strongroom/1"]);
    assert!(shakes, "{ran:?}");
}
