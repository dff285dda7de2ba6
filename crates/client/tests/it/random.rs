//! Random bytes, with and without a login.

use strongroom_client::ClientError;
use strongroom_types::Role;
use strongroom_types::limits::{RANDOM_LEN_MAX, RANDOM_LEN_MAX_BEFORE_LOGIN};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{Reaction, World, alice, password};

fn lengths(world: &World) -> Vec<u32> {
    let heard = world.hsms[0].heard().into_iter();
    heard
        .filter_map(
            |heard| if let Some(Operation::Random(draw)) = heard.request.operation { Some(draw.len) } else { None },
        )
        .collect()
}

fn len(limit: usize) -> u32 {
    u32::try_from(limit).unwrap()
}

#[test]
fn many_bytes_are_drawn_in_parts_as_large_as_the_login_allows() {
    let world = World::new(1);
    world.hsms[0].script(|request| match &request.operation {
        Some(Operation::Random(draw)) => {
            let data = vec![draw.len.to_le_bytes()[0]; draw.len as usize];
            let result = Some(Answer::Random(v1::RandomResult { data }));
            Reaction::Answer(v1::Response { result, ..v1::Response::default() })
        }
        _ => Reaction::Usual,
    });
    let client = world.client();
    assert!(client.random(0).unwrap().is_empty() && lengths(&world).is_empty());
    let drawn = client.random(RANDOM_LEN_MAX_BEFORE_LOGIN + 3).unwrap();
    assert_eq!(drawn.len(), RANDOM_LEN_MAX_BEFORE_LOGIN + 3);
    assert_eq!(drawn.expose()[RANDOM_LEN_MAX_BEFORE_LOGIN..], [3; 3]);
    let mut expected = vec![len(RANDOM_LEN_MAX_BEFORE_LOGIN), 3];
    assert_eq!(lengths(&world), expected);
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    assert_eq!(client.random(RANDOM_LEN_MAX + 1).unwrap().len(), RANDOM_LEN_MAX + 1);
    expected.extend([len(RANDOM_LEN_MAX), 1]);
    assert_eq!(lengths(&world), expected);
}

/// Random bytes need no login, so one that has ended is no reason to give none.
#[test]
fn the_end_of_the_login_changes_nothing() {
    let world = World::new(1);
    world.hsms[0].script(|request| match &request.operation {
        Some(Operation::Random(draw)) => {
            let result = Some(Answer::Random(v1::RandomResult { data: vec![7; draw.len as usize] }));
            Reaction::Answer(v1::Response { result, ..v1::Response::default() })
        }
        _ => Reaction::Usual,
    });
    let client = world.client();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    client.random(1).unwrap();
    world.end_logins();
    // A connection of its own, which must attach first.
    world.hsms[0].close_connections();
    assert_eq!(client.random(RANDOM_LEN_MAX).unwrap().len(), RANDOM_LEN_MAX);
}

#[test]
fn fewer_bytes_than_asked_for_are_no_answer() {
    let world = World::new(1);
    world.hsms[0].script(|request| match &request.operation {
        Some(Operation::Random(_)) => {
            let result = Some(Answer::Random(v1::RandomResult { data: vec![7; 31] }));
            Reaction::Answer(v1::Response { result, ..v1::Response::default() })
        }
        _ => Reaction::Usual,
    });
    assert!(matches!(world.client().random(32), Err(ClientError::Protocol { .. })));
}
