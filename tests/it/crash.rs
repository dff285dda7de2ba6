//! `kill -9` of every process at any moment: what was acknowledged is there after the next `up`.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use strongroom_client::{Client, ClientName, ClusterConfig, Config};
use strongroom_tests::{World, wait_for};
use strongroom_types::{AttributeName, AttributeValue, Filter, KeyType, Password, Role, Secret, UserName};

/// How often everything is killed.
const ROUNDS: u64 = 6;
/// At most this long after the work began, in milliseconds.
const MOMENT_MS_MAX: u64 = 400;

/// What one of the workers was told to be done.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Acknowledged {
    Key(u64),
    Deleted(u64),
    User(UserName),
}

pub(crate) fn client(world: &World) -> Client {
    let config = Config::read(&world.home().join("etc/cloudhsm-cli.cfg")).expect("the configuration that `up` wrote");
    let cluster: &ClusterConfig = ClusterConfig::select(&config, None).expect("one cluster");
    Client::open(cluster.clone(), ClientName::new("crash-test")).expect("a sound configuration")
}

pub(crate) fn login(world: &World, who: &str, role: Role) -> Client {
    let client = client(world);
    log_in(world, &client, who, role);
    client
}

pub(crate) fn log_in(world: &World, client: &Client, who: &str, role: Role) {
    let name: UserName = world.text(&format!("/{who}/username")).parse().expect("a name");
    let password = Password::for_login(Secret::from(world.text(&format!("/{who}/password")).as_bytes()));
    client.login(&name, role, &password).expect("the passwords that `up` printed");
}

/// Makes keys, and deletes every third, until told to stop. A call that fails was not acknowledged.
fn make_keys(client: &Client, stop: &AtomicBool, report: impl Fn(Acknowledged)) {
    while !stop.load(Ordering::Relaxed) {
        let template = vec![(AttributeName::Label, AttributeValue::Text("crash".to_owned()))];
        let Ok(key) = client.key_generate_secret(KeyType::Aes, 32, &template, &[]) else { continue };
        report(Acknowledged::Key(key.reference.as_u64()));
        if key.reference.as_u64() % 3 == 0 && client.key_delete(key.reference).is_ok() {
            report(Acknowledged::Deleted(key.reference.as_u64()));
        }
    }
}

fn make_users(client: &Client, round: u64, stop: &AtomicBool, report: impl Fn(Acknowledged)) {
    let password = Password::new(Secret::from(&b"long-enough"[..])).expect("a good password");
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name: UserName = format!("user-{round}-{number}").parse().expect("a name");
        if client.user_create(&name, Role::CryptoUser, &password).is_ok() {
            report(Acknowledged::User(name));
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_everything_was_killed() {
    let mut world = World::new();
    let mut expected: HashSet<Acknowledged> = HashSet::new();
    for round in 0..ROUNDS {
        let moment = Duration::from_millis(RandomState::new().hash_one(round) % MOMENT_MS_MAX);
        let clients = [login(&world, "crypto_user", Role::CryptoUser), login(&world, "crypto_user", Role::CryptoUser)];
        let admin = login(&world, "admin", Role::Admin);
        let (stop, (sender, acknowledged)) = (AtomicBool::new(false), channel());
        std::thread::scope(|scope| {
            for client in &clients {
                let (stop, sender) = (&stop, sender.clone());
                scope.spawn(move || make_keys(client, stop, |done| sender.send(done).expect("the test listens")));
            }
            let (admin, stop) = (&admin, &stop);
            scope.spawn(move || make_users(admin, round, stop, |done| sender.send(done).expect("the test listens")));
            let begun = Instant::now();
            wait_for("the moment", Duration::from_secs(10), || begun.elapsed() >= moment);
            // Calls that are under way then may still be answered by the HSMs that come back.
            stop.store(true, Ordering::Relaxed);
            world.kill_everything();
            world.start();
        });
        expected.extend(acknowledged.try_iter());
        check(&world, &expected, round, moment);
    }
    let keys = expected.iter().filter(|done| matches!(done, Acknowledged::Key(_))).count();
    let users = expected.iter().filter(|done| matches!(done, Acknowledged::User(_))).count();
    assert!(keys > 10 && users > 5, "{keys} keys and {users} users are too few to show anything");
}

fn check(world: &World, expected: &HashSet<Acknowledged>, round: u64, moment: Duration) {
    let client = login(world, "crypto_user", Role::CryptoUser);
    let mut found = BTreeSet::new();
    let filter = Filter(vec!["attr.label=crash".parse().expect("a term")]);
    loop {
        let offset = u32::try_from(found.len()).expect("few keys");
        let page = client.key_find(&filter, offset, 1000).expect("the keys are listed");
        found.extend(page.keys.iter().map(|key| key.reference.as_u64()));
        if page.keys.is_empty() {
            break;
        }
    }
    let users = client.user_list().expect("the users are listed");
    let users: HashSet<_> = users.into_iter().map(|user| user.name).collect();
    for done in expected {
        let (there, wanted) = match done {
            Acknowledged::Deleted(key) => (found.contains(key), false),
            // A key may have been deleted without the answer having come through.
            Acknowledged::Key(key) if key % 3 == 0 => continue,
            Acknowledged::Key(key) => (found.contains(key), true),
            Acknowledged::User(name) => (users.contains(name), true),
        };
        assert_eq!(there, wanted, "{done:?} in round {round}, killed after {moment:?}");
    }
}
