//! Members that die, hang, are busy or can't serve, and what callers notice of it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_client::{
    Cause, Client, ClientError, ClientName, ClusterConfig, Level, Log, LogKind, Logging, RetryMode, Rotation, Setting,
    Settings,
};
use strongroom_types::{KeyReference, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::world::{Hsm, Reaction, World, give_credentials, open, refusal, sign};

fn is_sign(kind: &Operation) -> bool {
    matches!(kind, Operation::Sign(_))
}

fn on_sign(hsm: &Hsm, reaction: fn() -> Reaction) {
    hsm.script(move |request| match &request.operation {
        Some(operation) if is_sign(operation) => reaction(),
        _ => Reaction::Usual,
    });
}

/// A user whose client keeps a log in this file.
fn user_with_log(world: &World, file: &Path) -> Client {
    let file = Some(file.to_owned());
    let log = Log::new(&Logging { kind: LogKind::File, file, level: Level::Info, interval: Rotation::Never });
    let client = Client::open_with_log(world.config(), ClientName::new("x"), log).unwrap();
    give_credentials(&client);
    client
}

#[test]
fn calls_are_spread_over_the_members() {
    let world = World::new(2);
    let client = world.user();
    for _ in 0..20 {
        sign(&client).unwrap();
    }
    for hsm in &world.hsms {
        assert!((9..=11).contains(&hsm.count(is_sign)), "{}", hsm.count(is_sign));
    }
}

#[test]
fn no_call_fails_when_a_member_is_killed_and_it_is_used_again_when_it_is_back() {
    let world = World::new(2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let client = user_with_log(&world, &file);
    let [wrong, done, stop] = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    wrong.fetch_add(usize::from(sign(&client).is_err()), Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more = || {
            let wanted = done.load(Ordering::Relaxed) + 100;
            crate::world::wait_for("more calls", || done.load(Ordering::Relaxed) >= wanted);
        };
        for _ in 0..3 {
            more();
            world.hsms[0].kill();
            more();
            world.hsms[0].revive();
            let before = world.hsms[0].count(is_sign);
            crate::world::wait_for("the member to be used again", || world.hsms[0].count(is_sign) > before);
        }
        stop.store(1, Ordering::Relaxed);
    });
    assert_eq!(wrong.into_inner(), 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let address = world.hsms[0].address;
    assert!(text.contains(&format!("WARN  the HSM at {address} is left: ")), "{text}");
    assert!(text.contains(&format!("INFO  the HSM at {address} answers again")), "{text}");
    assert!(text.lines().count() < 40, "one line a turn, not one a try: {text}");
}

#[test]
fn a_silent_member_costs_few_calls_a_second() {
    let world = World::new(2);
    let client = world.user();
    for _ in 0..4 {
        sign(&client).unwrap();
    }
    on_sign(&world.hsms[0], || Reaction::Silent);
    let slow = AtomicUsize::new(0);
    for _ in 0..20 {
        let began = Instant::now();
        sign(&client).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        slow.fetch_add(usize::from(began.elapsed() >= Duration::from_secs(1)), Ordering::Relaxed);
    }
    // On a busy machine the pause may end before the calls do, and one of them looks again.
    assert!((1..=3).contains(&slow.into_inner()));
}

#[test]
fn a_member_is_not_left_for_the_little_time_that_a_call_had() {
    let world = World::new(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let client = user_with_log(&world, &file);
    sign(&client).unwrap();
    world.hsms[0].script(|request| match &request.operation {
        Some(Operation::Logout(_)) => Reaction::Silent,
        _ => Reaction::Usual,
    });
    client.logout_within(Duration::from_millis(100)).unwrap_err();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("no HSM") && !text.contains("is left"), "{text}");
}

#[test]
fn an_answer_cut_anywhere_is_asked_for_elsewhere() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    for len in 0..40 {
        let cut = move |request: &v1::Request| match &request.operation {
            Some(operation) if is_sign(operation) => Reaction::Cut(len),
            _ => Reaction::Usual,
        };
        world.hsms[0].script(cut);
        for _ in 0..2 {
            assert_eq!(sign(&client).unwrap(), [7; 32], "cut to {len}");
        }
    }
}

#[test]
fn a_change_keeps_its_request_id_wherever_it_is_repeated() {
    let world = World::new(3);
    let client = world.user();
    sign(&client).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    for hsm in &world.hsms {
        let asked = Arc::clone(&asked);
        hsm.script(move |request| match request.operation {
            Some(Operation::KeyDelete(_)) if asked.fetch_add(1, Ordering::SeqCst) < 2 => Reaction::Cut(3),
            _ => Reaction::Usual,
        });
    }
    client.key_delete(KeyReference::from_u64(7).unwrap()).unwrap();
    client.key_delete(KeyReference::from_u64(8).unwrap()).unwrap();
    let heard = world.hsms.iter().flat_map(Hsm::heard);
    let deletions: Vec<_> =
        heard.filter(|heard| matches!(heard.request.operation, Some(Operation::KeyDelete(_)))).collect();
    assert_eq!(deletions.len(), 4);
    let ids = |reference: u64| {
        let of = |heard: &&crate::world::Heard| matches!(&heard.request.operation, Some(Operation::KeyDelete(delete)) if delete.reference == reference);
        deletions.iter().filter(of).map(|heard| heard.request.request_id.clone()).collect::<HashSet<_>>()
    };
    assert_eq!((ids(7).len(), ids(8).len()), (1, 1));
    assert!(ids(7).is_disjoint(&ids(8)) && ids(7).iter().all(|id| id.len() == 16));
}

#[test]
fn statuses_that_another_member_may_not_have_are_asked_elsewhere() {
    let check = |reaction: fn() -> Reaction| {
        let world = World::new(2);
        let client = world.user();
        sign(&client).unwrap();
        on_sign(&world.hsms[0], reaction);
        for _ in 0..4 {
            sign(&client).unwrap();
        }
        assert!(world.hsms[0].count(is_sign) >= 1);
    };
    check(|| refusal(Status::NotServing));
    check(|| refusal(Status::Busy));
    check(|| refusal(Status::DeadlineExceeded));
    check(|| refusal(Status::StoreUnavailable));
    check(|| refusal(Status::ClockOff));
    check(|| refusal(Status::Internal));
}

#[test]
fn a_busy_member_is_asked_again_when_it_wants_to_be() {
    let world = World::new(1);
    let client = world.user();
    sign(&client).unwrap();
    let asked = AtomicUsize::new(0);
    world.hsms[0].script(move |request| match &request.operation {
        Some(operation) if is_sign(operation) && asked.fetch_add(1, Ordering::SeqCst) < 2 => {
            Reaction::Answer(v1::Response {
                status: Status::Busy.number().into(),
                retry_after_ms: 80,
                ..v1::Response::default()
            })
        }
        _ => Reaction::Usual,
    });
    let began = Instant::now();
    sign(&client).unwrap();
    let took = began.elapsed();
    assert!((Duration::from_millis(160)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(world.hsms[0].connections(), 1);
}

#[test]
fn a_bug_that_every_member_has_is_told_after_one_round() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    for hsm in &world.hsms {
        on_sign(hsm, || refusal(Status::Internal));
    }
    let before = world.count(is_sign);
    let error = sign(&client).unwrap_err();
    assert!(matches!(error, ClientError::Refused(refusal) if refusal.status == Status::Internal));
    assert_eq!(world.count(is_sign), before + 2);
}

#[test]
fn refusals_are_final() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    let others = [Status::Busy, Status::NotServing, Status::DeadlineExceeded, Status::StoreUnavailable];
    let others = [&others[..], &[Status::ClockOff, Status::Internal, Status::LoginEnded, Status::NotLoggedIn]].concat();
    // Asked once more on a new connection, which shows a certificate if there is one: `certificates` tells the story.
    let others = [&others[..], &[Status::ClientCertificateRequired]].concat();
    for status in Status::ALL.iter().filter(|status| !others.contains(status)) {
        for hsm in &world.hsms {
            let status = *status;
            hsm.script(move |request| match &request.operation {
                Some(operation) if is_sign(operation) => refusal(status),
                _ => Reaction::Usual,
            });
        }
        let before = world.count(is_sign);
        let error = sign(&client).unwrap_err();
        assert!(matches!(&error, ClientError::Refused(refusal) if refusal.status == *status), "{error}");
        assert_eq!(world.count(is_sign), before + 1, "{status:?}");
    }
}

#[test]
fn dead_clusters_are_told_with_every_address_and_are_found_again_at_once() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    world.hsms.iter().for_each(Hsm::kill);
    let began = Instant::now();
    let error = sign(&client).unwrap_err();
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
    let text = error.to_string();
    for hsm in &world.hsms {
        assert!(text.contains(&format!("{}: cannot connect: connection refused", hsm.address)), "{text}");
    }
    // Both are in a long pause by now; that must not keep a call from trying them.
    world.hsms.iter().for_each(Hsm::revive);
    let began = Instant::now();
    sign(&client).unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_call_that_is_waiting_notices_when_the_cluster_is_back() {
    let world = World::new(2);
    let client = world.user();
    sign(&client).unwrap();
    world.hsms.iter().for_each(Hsm::kill);
    thread::scope(|scope| {
        let call = scope.spawn(|| sign(&client));
        let failed = Instant::now();
        crate::world::wait_for("two seconds", || failed.elapsed() > Duration::from_secs(2));
        world.hsms[1].revive();
        let back = Instant::now();
        call.join().unwrap().unwrap();
        assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
    });
}

#[test]
fn without_retries_the_first_failure_is_told_and_a_closed_connection_is_none() {
    let world = World::new(2);
    let client = open(ClusterConfig { retry: RetryMode::Off, ..world.config() });
    give_credentials(&client);
    for _ in 0..4 {
        sign(&client).unwrap();
    }
    // HSMs may close connections between requests.
    world.hsms.iter().for_each(Hsm::close_connections);
    for _ in 0..4 {
        sign(&client).unwrap();
    }
    for hsm in &world.hsms {
        on_sign(hsm, || refusal(Status::NotServing));
    }
    let before = world.count(is_sign);
    let error = sign(&client).unwrap_err();
    assert_eq!(world.count(is_sign), before + 1);
    let ClientError::Unavailable { tried } = error else { panic!("{error}") };
    assert!(
        matches!(&tried[..], [attempt] if matches!(&attempt.cause, Cause::Status(refusal) if refusal.status == Status::NotServing))
    );
}

#[test]
fn keys_are_kept_out_of_a_cluster_of_one() {
    let world = World::new(1);
    let client = world.user();
    let find = || client.key_find(&strongroom_types::Filter::default(), 0, 10);
    let error = find().unwrap_err();
    assert!(matches!(error, ClientError::KeyAvailability), "{error}");
    assert_eq!(
        error.to_string(),
        "Cannot perform the requested key operation as the key must be available on at least 2 HSMs before being used"
    );
    let secret = client.key_generate_secret(strongroom_types::KeyType::Aes, 32, &Vec::new(), &[]).unwrap_err();
    assert!(matches!(secret, ClientError::KeyAvailability), "{secret}");
    // Use of a key that is known goes on.
    sign(&client).unwrap();
    let unchecked = open(ClusterConfig {
        settings: Settings::default().with(Setting::KeyAvailabilityCheck, false),
        ..world.config()
    });
    give_credentials(&unchecked);
    assert_eq!(unchecked.key_find(&strongroom_types::Filter::default(), 0, 10).unwrap().total, 0);
    // The check counts HSMs that the cluster has, alive or not.
    world.tell_members(|members| {
        members.push(v1::Member { hsm_id: "hsm-bbbbbbbbbbb".into(), serving: false, port: 1, ..members[0].clone() });
    });
    assert_eq!(find().unwrap().total, 0);
}
