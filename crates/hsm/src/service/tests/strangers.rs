//! Whoever asks without a login while the store hangs, and those who come with a ticket meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_types::Status;
use strongroom_types::limits::CERTIFICATE_CHANGE_MS_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use super::super::{Session, Turn};
use super::world::{Client, Member, World};
use crate::connections::Origin;
use crate::pools::Pool;

const PATIENCE: Duration = Duration::from_secs(20);

fn request(operation: Operation) -> v1::Request {
    v1::Request { request_id: vec![7; 16], operation: Some(operation), ..v1::Request::default() }
}

fn answer(member: &Member, request: v1::Request, turn: &Turn<'_>) -> Option<Status> {
    let mut session = Session::of_client("127.0.0.9:4711".parse().unwrap(), None);
    Status::from_number(member.service.answer(&mut session, request, Instant::now(), turn).status)
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
