//! Logins: made once, carried to every connection, made again when they may be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use strongroom_client::{Client, ClientError};
use strongroom_types::{CertificateFilter, CertificateTemplate, Password, Role, Secret, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::world::{Reaction, World, alice, give_credentials, password, sign};

fn is_login(kind: &Operation) -> bool {
    matches!(kind, Operation::Login(_))
}

fn is_attach(kind: &Operation) -> bool {
    matches!(kind, Operation::Attach(_))
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, ClientError>, status: Status) -> bool {
    matches!(result.unwrap_err(), ClientError::Refused(refusal) if refusal.status == status)
}

#[test]
fn a_login_is_carried_to_every_member_and_ends_everywhere() {
    let world = World::new(2);
    let client = world.client();
    assert!(matches!(sign(&client), Err(ClientError::NoCredentials)));
    assert!(matches!(client.logout(), Err(ClientError::NoCredentials)));
    assert_eq!(client.logged_in(), None);
    let who = client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!((who.user_name.clone(), who.role), (alice(), Role::CryptoUser));
    assert_eq!(client.logged_in(), Some(who));
    for _ in 0..6 {
        sign(&client).unwrap();
    }
    assert_eq!((world.count(is_login), world.count(is_attach)), (1, 1));
    client.logout().unwrap();
    assert_eq!(client.logged_in(), None);
    assert!(matches!(sign(&client), Err(ClientError::NoCredentials)));
    // Connections that had the old login get the new one.
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    for _ in 0..6 {
        sign(&client).unwrap();
    }
    assert_eq!((world.count(is_login), world.count(is_attach)), (2, 2));
}

#[test]
fn a_wrong_password_is_refused_and_leaves_the_old_login() {
    let world = World::new(2);
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    let wrong = Password::for_login(Secret::from(&b"wrong-password"[..]));
    let error = client.login(&alice(), Role::CryptoUser, &wrong).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("wrong-password"));
    assert!(is_refused(Err::<(), _>(error), Status::LoginFailed));
    sign(&client).unwrap();
}

#[test]
fn many_threads_log_in_once() {
    let world = World::new(2);
    let client = world.user();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| sign(&client).unwrap());
        }
    });
    assert_eq!(world.count(is_login), 1);
}

#[test]
fn a_login_that_ended_is_made_again_with_credentials_and_not_otherwise() {
    let world = World::new(2);
    let (with, without) = (world.user(), world.client());
    without.login(&alice(), Role::CryptoUser, &password()).unwrap();
    for client in [&with, &without] {
        for _ in 0..4 {
            sign(client).unwrap();
        }
    }
    world.end_logins();
    sign(&with).unwrap();
    assert_eq!(world.count(is_login), 3);
    assert!(is_refused(sign(&without), Status::LoginEnded));
    assert_eq!(without.logged_in(), None);
    assert!(matches!(sign(&without), Err(ClientError::NoCredentials)));
}

/// Whether each certificate that was made is nobody's.
fn are_nobodys(world: &World) -> Vec<bool> {
    let heard = world.hsms[0].heard().into_iter();
    let made = heard.filter_map(|heard| match heard.request.operation {
        Some(Operation::CertificateCreate(create)) => Some(create.without_login),
        _ => None,
    });
    made.collect()
}

/// A program whose password was changed goes on making certificates. They would be anybody's to replace, and it would not know.
#[test]
fn who_had_a_login_that_ended_is_nobody_only_after_a_logout() {
    let world = World::new(1);
    world.hsms[0].script(|request| match request.operation {
        // What is made is of no matter here.
        Some(Operation::CertificateCreate(ref create)) if create.without_login => {
            crate::world::refusal(Status::CertificatesFull)
        }
        _ => Reaction::Usual,
    });
    let client = world.client();
    let make = || client.certificate_create(&CertificateTemplate::default());
    assert!(is_refused(make(), Status::CertificatesFull));
    for end in [Some(sign as fn(&Client) -> _), None] {
        client.login(&alice(), Role::CryptoUser, &password()).unwrap();
        world.end_logins();
        match end {
            // Another call has learnt it.
            Some(learns) => assert!(is_refused(learns(&client), Status::LoginEnded)),
            None => assert!(is_refused(make(), Status::LoginEnded)),
        }
        assert_eq!(client.logged_in(), None);
        for _ in 0..2 {
            assert!(matches!(make(), Err(ClientError::NoCredentials)));
            let found = client.certificate_find(&CertificateFilter::default());
            assert!(matches!(found, Err(ClientError::NoCredentials)));
        }
    }
    // There is nothing to log out of, and it is said.
    assert!(matches!(client.logout(), Err(ClientError::NoCredentials)));
    assert!(is_refused(make(), Status::CertificatesFull));
    // One that was logged out of is nobody's either.
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    client.logout().unwrap();
    assert!(is_refused(make(), Status::CertificatesFull));
    assert_eq!(are_nobodys(&world), [true, false, true, true]);
}

#[test]
fn a_login_that_ends_again_and_again_is_made_again_once() {
    let world = World::new(1);
    let client = world.user();
    sign(&client).unwrap();
    world.hsms[0].script(|request| match request.operation {
        Some(Operation::Sign(_)) => crate::world::refusal(Status::LoginEnded),
        _ => Reaction::Usual,
    });
    let before = world.count(is_login);
    assert!(is_refused(sign(&client), Status::LoginEnded));
    assert_eq!(world.count(is_login), before + 1);
}

#[test]
fn refused_credentials_are_not_tried_again_at_once() {
    let world = World::new(2);
    let client = world.client();
    client.set_credentials(alice(), Role::CryptoUser, Password::for_login(Secret::from(&b"wrong-password"[..])));
    for _ in 0..5 {
        assert!(is_refused(sign(&client), Status::LoginFailed));
    }
    assert_eq!(world.count(is_login), 1, "five wrong passwords lock the user");
    // Others may be right.
    give_credentials(&client);
    sign(&client).unwrap();
    client.logout().unwrap();
    assert!(matches!(sign(&client), Err(ClientError::NoCredentials)));
}

#[test]
fn a_renewed_ticket_is_used_from_then_on() {
    let mut world = World::new(1);
    world.add();
    let client = world.user();
    let signed = AtomicUsize::new(0);
    world.hsms[0].script(move |request| match request.operation {
        Some(Operation::Sign(_)) if signed.fetch_add(1, Ordering::SeqCst) == 0 => {
            Reaction::Changed(|answer| answer.ticket = b"a-renewed-ticket".to_vec())
        }
        _ => Reaction::Usual,
    });
    world.hsms[1].script(|request| match &request.operation {
        Some(Operation::Attach(v1::Attach { ticket })) if ticket == b"a-renewed-ticket" => {
            Reaction::Answer(v1::Response {
                result: Some(v1::response::Result::Attach(v1::AttachResult { user_name: "alice".into(), role: 2 })),
                ..v1::Response::default()
            })
        }
        Some(Operation::Sign(_)) => Reaction::Answer(v1::Response {
            result: Some(v1::response::Result::Sign(v1::SignResult { signature: vec![2] })),
            ..v1::Response::default()
        }),
        Some(Operation::Login(_) | Operation::Attach(_)) => crate::world::refusal(Status::NotServing),
        _ => Reaction::Usual,
    });
    crate::world::wait_for("an answer of the second HSM", || sign(&client).unwrap() == [2]);
    let renewed = world.hsms[1].heard().into_iter().any(|heard| {
        matches!(heard.request.operation, Some(Operation::Attach(v1::Attach { ticket })) if ticket == b"a-renewed-ticket")
    });
    assert!(renewed);
    assert_eq!(world.hsms[0].count(is_attach), 0, "the connection that has the login keeps it");
}

#[test]
fn a_change_that_ended_the_login_finds_its_receipt_elsewhere() {
    let world = World::new(2);
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    sign(&client).unwrap();
    // Every HSM does the change and loses the answer the first time; then the login has ended for all.
    let done = Arc::new(AtomicUsize::new(0));
    for hsm in &world.hsms {
        let done = Arc::clone(&done);
        hsm.script(move |request| match request.operation {
            Some(Operation::Attach(_)) => crate::world::refusal(Status::LoginEnded),
            Some(Operation::UserChangePassword(_)) if done.fetch_add(1, Ordering::SeqCst) == 0 => Reaction::Cut(5),
            Some(Operation::UserChangePassword(_)) => Reaction::Answer(v1::Response {
                result: Some(v1::response::Result::UserChangePassword(v1::User {
                    user_name: "alice".into(),
                    role: 2,
                    locked: false,
                    ..v1::User::default()
                })),
                ..v1::Response::default()
            }),
            _ => Reaction::Usual,
        });
    }
    let changed = client.user_change_password(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!((changed.name, changed.locked), (alice(), false));
    let heard = world.hsms.iter().flat_map(crate::world::Hsm::heard);
    let ids: Vec<_> = heard
        .filter(|heard| matches!(heard.request.operation, Some(Operation::UserChangePassword(_))))
        .map(|heard| heard.request.request_id)
        .collect();
    assert!(ids.len() == 2 && ids[0] == ids[1]);
    // Without a receipt the end of the login is what is told.
    world.end_logins();
    world.hsms.iter().for_each(|hsm| hsm.script(|_| Reaction::Usual));
    world.hsms.iter().for_each(crate::world::Hsm::close_connections);
    let key = strongroom_types::KeyReference::from_u64(7).unwrap();
    assert!(is_refused(client.key_delete(key), Status::LoginEnded));
}

#[test]
fn a_change_whose_answer_was_lost_is_not_called_refused_when_the_login_ends_meanwhile() {
    let delete = |client: &strongroom_client::Client| {
        client.key_delete(strongroom_types::KeyReference::from_u64(7).expect("a reference"))
    };
    // How the first HSM loses the answer; none is a refusal, after which nothing was made.
    let lost: [fn() -> Option<Reaction>; 4] = [
        || Some(Reaction::Cut(5)),
        || Some(crate::world::refusal(Status::StoreUnavailable)),
        || Some(crate::world::refusal(Status::NotServing)),
        || None,
    ];
    for (case, lost) in lost.into_iter().enumerate() {
        let world = World::new(2);
        let client = world.client();
        client.login(&alice(), Role::CryptoUser, &password()).unwrap();
        sign(&client).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        for hsm in &world.hsms {
            let asked = Arc::clone(&asked);
            hsm.script(move |request| match request.operation {
                Some(Operation::KeyDelete(_)) if asked.fetch_add(1, Ordering::SeqCst) == 0 => {
                    lost().unwrap_or_else(|| crate::world::refusal(Status::LoginEnded))
                }
                Some(Operation::KeyDelete(_) | Operation::Attach(_)) => crate::world::refusal(Status::LoginEnded),
                _ => Reaction::Usual,
            });
        }
        let outcome = delete(&client);
        match lost() {
            Some(_) => {
                let Err(ClientError::Unsettled(refusal)) = &outcome else { panic!("case {case}: {outcome:?}") };
                assert_eq!(refusal.status, Status::LoginEnded);
            }
            None => assert!(is_refused(outcome, Status::LoginEnded)),
        }
        assert!(client.logged_in().is_none());
        // Nothing was lost of a later one.
        assert!(matches!(delete(&client), Err(ClientError::NoCredentials)));
    }
}

#[test]
fn stored_credentials_that_are_wrong_by_then_do_not_make_it_refused_either() {
    let world = World::new(1);
    let client = world.client();
    crate::world::give_credentials(&client);
    sign(&client).unwrap();
    let asked = AtomicUsize::new(0);
    world.hsms[0].script(move |request| match request.operation {
        Some(Operation::KeyDelete(_)) if asked.fetch_add(1, Ordering::SeqCst) == 0 => Reaction::Cut(5),
        Some(Operation::KeyDelete(_) | Operation::Attach(_)) => crate::world::refusal(Status::LoginEnded),
        Some(Operation::Login(_)) => crate::world::refusal(Status::LoginFailed),
        _ => Reaction::Usual,
    });
    let outcome = client.key_delete(strongroom_types::KeyReference::from_u64(7).unwrap());
    let Err(ClientError::Unsettled(refusal)) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.status, Status::LoginFailed);
}

#[test]
fn a_ticket_that_was_replaced_ends_alone() {
    // The HSM's story: two tickets of one login, of which the first runs out.
    static NEW: &[u8] = b"the next ticket";
    let world = World::new(1);
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    // A second connection with the first ticket.
    thread::scope(|scope| {
        let (meet, calls) = (Arc::new(Barrier::new(2)), AtomicUsize::new(0));
        let at_hsm = Arc::clone(&meet);
        world.hsms[0].script(move |request| {
            if matches!(request.operation, Some(Operation::Sign(_))) && calls.fetch_add(1, Ordering::SeqCst) < 2 {
                at_hsm.wait();
            }
            Reaction::Usual
        });
        for _ in 0..2 {
            scope.spawn(|| sign(&client).unwrap());
        }
    });
    assert!(world.hsms[0].connections() >= 2);
    world.hsms[0].script(|request| match request.operation {
        Some(Operation::Sign(_)) => Reaction::Changed(|answer| answer.ticket = NEW.to_vec()),
        _ => Reaction::Usual,
    });
    sign(&client).unwrap();
    world.hsms[0].script(|_| Reaction::Usual);
    world.end_logins();
    world.admit(NEW);
    // Each connection that still has the old ticket gets the new one, and nobody is told.
    let before = world.count(is_attach);
    for _ in 0..6 {
        sign(&client).unwrap();
    }
    assert!(world.count(is_attach) > before);
    assert_eq!(world.count(is_login), 1);
    assert!(client.logged_in().is_some());
}

#[test]
fn a_call_that_met_the_end_of_an_old_ticket_goes_on_with_the_new_one() {
    let world = World::new(1);
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    let (reached, renewed) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (at_hsm, until) = (Arc::clone(&reached), Arc::clone(&renewed));
    let calls = AtomicUsize::new(0);
    world.hsms[0].script(move |request| match request.operation {
        Some(Operation::Sign(_)) => match calls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                at_hsm.wait();
                until.wait();
                crate::world::refusal(Status::LoginEnded)
            }
            1 => Reaction::Changed(|answer| answer.ticket = b"the next ticket".to_vec()),
            _ => Reaction::Usual,
        },
        _ => Reaction::Usual,
    });
    world.admit(b"the next ticket");
    thread::scope(|scope| {
        let slow = scope.spawn(|| sign(&client));
        reached.wait();
        sign(&client).unwrap();
        renewed.wait();
        slow.join().unwrap().unwrap();
    });
    assert_eq!(world.count(is_login), 1);
    assert!(client.logged_in().is_some());
}
