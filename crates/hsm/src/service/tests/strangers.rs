//! Whoever asks without a login while the store hangs or another member is stopped, and those who come with a ticket
//! meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use strongroom_types::Status;
use strongroom_types::limits::CERTIFICATE_CHANGE_MS_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::super::{Session, Turn};
use super::world::{Client, Member, World};
use crate::connections::Origin;
use crate::pools::Pool;

const PATIENCE: Duration = Duration::from_secs(20);

fn request(operation: Operation) -> v1::Request {
    v1::Request { request_id: vec![7; 16], operation: Some(operation), ..v1::Request::default() }
}

fn response(member: &Member, request: v1::Request, turn: &Turn<'_>) -> v1::Response {
    let mut session = Session::of_client("127.0.0.9:4711".parse().unwrap(), None);
    member.service.answer(&mut session, request, Instant::now(), turn)
}

fn answer(member: &Member, request: v1::Request, turn: &Turn<'_>) -> Option<Status> {
    Status::from_number(response(member, request, turn).status)
}

fn create() -> Operation {
    let attributes = v1::CertificateAttributes {
        label: "a stranger's".into(),
        subject: vec![0x30, 0],
        modifiable: true,
        destroyable: true,
        ..v1::CertificateAttributes::default()
    };
    let value = vec![0x30, 3, 2, 1, 7];
    Operation::CertificateCreate(v1::CertificateCreate { attributes: Some(attributes), value, ..Default::default() })
}

/// One place for all of them: each that waits for the store has given it back, so that the next one has it.
#[test]
fn who_waits_for_a_store_that_hangs_keeps_nobody_from_a_login() {
    let (_world, member) = World::active();
    let ticket = Client::alice(&member).ticket;
    let (pool, origin) = (Pool::new(1, 100), Origin::of("127.0.0.9".parse().unwrap()));
    let is_wanted = || true;
    let take = || Turn::take(&pool, origin, Instant::now() + PATIENCE, &is_wanted);
    let waiting = [
        request(create()),
        request(Operation::CertificateFind(v1::CertificateFind::default())),
        request(Operation::CertificateGet(v1::CertificateGet { reference: 1, without_login: true })),
        request(Operation::UserList(v1::UserList {})),
        v1::Request { seen_revision: u64::MAX, ..request(Operation::Hello(v1::Hello::default())) },
    ];
    let (count, begun, ended) = (waiting.len(), AtomicUsize::new(0), AtomicUsize::new(0));
    let ask = |request| {
        let turn = take().unwrap();
        begun.fetch_add(1, Ordering::SeqCst);
        let began = Instant::now();
        let answered = answer(&member, request, &turn);
        ended.fetch_add(1, Ordering::SeqCst);
        (answered, began.elapsed())
    };
    member.door.pause();
    thread::scope(|scope| {
        let ask = &ask;
        let mut threads = waiting.map(|request| scope.spawn(move || ask(request))).into_iter();
        let deadline = Instant::now() + PATIENCE / 2;
        while begun.load(Ordering::SeqCst) < count && Instant::now() < deadline {
            thread::yield_now();
        }
        let all_begun = begun.load(Ordering::SeqCst);
        let attached = Turn::take(&pool, origin, Instant::now() + Duration::from_secs(1), &is_wanted)
            .map(|turn| answer(&member, request(Operation::Attach(v1::Attach { ticket })), &turn));
        // The store still hangs.
        let created = threads.next().map(|thread| thread.join().unwrap());
        // All but the one whose read hangs.
        while ended.load(Ordering::SeqCst) < count - 1 && Instant::now() < deadline {
            thread::yield_now();
        }
        let all_ended = ended.load(Ordering::SeqCst);
        member.door.resume();
        assert_eq!(all_ended, count - 1, "whoever waits for another's read waits a short time");
        assert_eq!((all_begun, attached), (count, Ok(None)));
        let (status, took) = created.unwrap();
        // Whether or not the store had begun with it.
        assert!(matches!(status, Some(Status::StoreUnavailable | Status::DeadlineExceeded)), "{status:?}");
        assert!(took < Duration::from_millis(CERTIFICATE_CHANGE_MS_MAX) + PATIENCE / 2, "{took:?}");
    });
}

/// The store answers, and another member does not: who waits for it to apply a change has no place either. Asked for again,
/// the change is the one that was made, which takes no turn of the strangers'.
#[test]
fn who_waits_for_a_stopped_member_keeps_nobody_from_a_login() {
    let (world, member) = World::active();
    let second = world.member(2);
    let ticket = Client::alice(&member).ticket;
    // Each HSM has a strangers' turn of its own.
    let made = match response(&second, request(create()), &Turn::free()).result {
        Some(Answer::CertificateCreate(made)) => made.reference,
        _ => panic!("another answer"),
    };
    let delete = || {
        let message = v1::CertificateDelete { reference: made, without_login: true };
        v1::Request { request_id: vec![8; 16], ..request(Operation::CertificateDelete(message)) }
    };
    let (pool, origin) = (Pool::new(1, 100), Origin::of("127.0.0.9".parse().unwrap()));
    let is_wanted = || true;
    let take = || Turn::take(&pool, origin, Instant::now() + PATIENCE, &is_wanted).unwrap();
    second.door.pause();
    let (said, begun) = mpsc::channel();
    thread::scope(|scope| {
        let (member, take) = (&member, &take);
        let waiting = scope.spawn(move || {
            let turn = take();
            said.send(()).unwrap();
            let answered = response(member, delete(), &turn);
            (Instant::now(), answered)
        });
        begun.recv().unwrap();
        let attached = answer(member, request(Operation::Attach(v1::Attach { ticket })), &take());
        let attached_at = Instant::now();
        let (answered_at, answered) = waiting.join().unwrap();
        second.door.resume();
        assert_eq!(attached, None);
        assert!(attached_at < answered_at, "who waits for the member has kept the place");
        assert_eq!(Status::from_number(answered.status), Some(Status::StoreUnavailable), "{}", answered.about);
        assert_eq!(answered.about, "the change is made, but another HSM has not applied it yet");
    });
    // At once after another change, where a third one would be told to wait.
    assert_eq!(answer(&member, v1::Request { request_id: vec![10; 16], ..request(create()) }, &take()), None);
    assert_eq!(answer(&member, delete(), &take()), None);
    let again = v1::Request { request_id: vec![9; 16], ..delete() };
    assert_eq!(answer(&member, again, &take()), Some(Status::CertificateUnknown));
}
