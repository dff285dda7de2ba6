//! What one user can make the store keep: somebody who logs in and out, or changes things, without end.

use strongroom_types::limits::{
    BATCH_LEN_MAX, ENDED_LOGINS_EACH_MAX, RECEIPT_SECONDS_MIN, RECEIPTS_EACH_MAX, RECEIPTS_LASTING_EACH_MAX,
    RECEIPTS_LASTING_MAX,
};
use strongroom_types::{AttributeName, AttributeValue, Flag, LoginId, RequestId, Role, Status, UserId};

use super::world::{DAY, HOUR, SECOND, World, name};
use crate::records::{Asker, Outcome};
use crate::{
    Actor, Batch, Command, Draft, Effect, EndedLogin, LoginActor, Made, PLANNED_RECORDS_MAX, Receipt, Record, State,
    apply, login_stands,
};

const MINUTES: u64 = RECEIPT_SECONDS_MIN * SECOND;

fn login_of(actor: &Actor) -> LoginActor {
    match actor {
        Actor::Login(login) => *login,
        other => panic!("{other:?}"),
    }
}

/// Writes records as if they had come with many batches.
fn write(world: &mut World, puts: Vec<Record>) {
    let batch = Batch { revision: world.state.revision().next(), time_ms: world.now_ms, puts, deletes: Vec::new() };
    world.commit(&batch);
}

fn receipt(asker: Asker, number: usize, time_ms: u64) -> Record {
    let mut request = [0xee; 16];
    request[..8].copy_from_slice(&number.to_be_bytes());
    Record::Receipt(Receipt {
        asker,
        request: RequestId::from_bytes(request),
        digest: [1; 32],
        outcome: Outcome::Done,
        effect: Effect::Revoking,
        time_ms,
    })
}

fn receipts(of: UserId, numbers: std::ops::Range<usize>, time_ms: u64) -> Vec<Record> {
    numbers.map(|number| receipt(Asker::User(of), number, time_ms)).collect()
}

fn ended_logins(of: &LoginActor, len: usize, until_ms: u64) -> Vec<Record> {
    let login = |number: usize| {
        let mut login = [0xdd; 16];
        login[..8].copy_from_slice(&number.to_be_bytes());
        LoginId::from_bytes(login)
    };
    let (user, credential) = (of.user, of.credential);
    (0..len).map(|number| Record::EndedLogin(EndedLogin { login: login(number), user, credential, until_ms })).collect()
}

#[test]
fn logouts_fill_no_store_and_the_one_too_many_ends_every_login() {
    let mut world = World::active();
    let (first, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let until_ms = world.now_ms + 7 * DAY;
    write(&mut world, ended_logins(&login_of(&first), ENDED_LOGINS_EACH_MAX - 1, until_ms));
    let stands = |world: &World, actor: &Actor| login_stands(&world.state, &login_of(actor), world.now_ms).is_ok();
    let (last, other) = (world.login("alice", Role::CryptoUser), world.login("alice", Role::CryptoUser));
    let out = |world: &mut World, actor: &Actor| {
        let request = world.request();
        world.again(actor, &Command::Logout, &Made::Nothing, &request).unwrap();
        assert_eq!(world.again(actor, &Command::Logout, &Made::Nothing, &request), Ok(crate::Reply::Done));
    };
    out(&mut world, &last);
    assert_eq!(world.state.ended_logins.len(), ENDED_LOGINS_EACH_MAX, "at the limit");
    assert!(!stands(&world, &last) && stands(&world, &first) && stands(&world, &other));
    out(&mut world, &other);
    assert!(world.state.ended_logins.len() <= ENDED_LOGINS_EACH_MAX, "one above it");
    assert!(!stands(&world, &first) && !stands(&world, &other));
    assert!(stands(&world, &bob), "others are not concerned");
    let now = world.login("alice", Role::CryptoUser);
    assert!(stands(&world, &now), "the password is as it was");
    // The records go as batches come, and no ended login comes back.
    let mut batches = 0;
    while !world.state.ended_logins.is_empty() {
        let (admin, made, request) = (world.admin(), Made::Password(world.credential()), world.request());
        let change =
            Command::ChangePassword { name: name("bob"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
        world.again(&admin, &change, &made, &request).unwrap();
        batches += 1;
    }
    assert!(batches <= ENDED_LOGINS_EACH_MAX.div_ceil(BATCH_LEN_MAX - 2), "{batches}");
    assert!(!stands(&world, &first) && !stands(&world, &last) && !stands(&world, &other) && stands(&world, &now));
    assert_eq!(world.loaded(), world.state);
}

#[test]
fn ended_logins_go_with_their_user_and_their_password() {
    let mut world = World::active();
    let (admin, alice, bob) = (world.admin(), world.crypto_user("alice"), world.crypto_user("bob"));
    for actor in [&alice, &bob] {
        world.done(actor, &Command::Logout, &Made::Nothing).unwrap();
    }
    assert_eq!(world.state.ended_logins.len(), 2);
    let made = Made::Password(world.credential());
    let (user, role) = (name("alice"), Role::CryptoUser);
    world
        .done(&admin, &Command::ChangePassword { name: user, role, deregister: crate::Deregister::NONE }, &made)
        .unwrap();
    world.done(&admin, &Command::DeleteUser { name: name("bob"), role }, &Made::Nothing).unwrap();
    world.create("carol", role).unwrap();
    assert!(world.state.ended_logins.is_empty());
    for actor in [&alice, &bob] {
        assert!(login_stands(&world.state, &login_of(actor), world.now_ms).is_err());
    }
}

#[test]
fn changes_beyond_the_limit_are_refused_until_the_oldest_receipts_may_go() {
    let mut world = World::active();
    let (admin, alice, bob) = (world.admin(), world.crypto_user("alice"), world.crypto_user("bob"));
    let (key, bobs) = (world.aes_reference(&alice, &[]), world.aes_reference(&bob, &[]));
    let started_ms = world.now_ms;
    write(&mut world, receipts(login_of(&alice).user, 0..RECEIPTS_EACH_MAX - 1, started_ms));
    let set = |key, value| Command::SetAttribute {
        key,
        attribute: AttributeName::Flag(Flag::Sign),
        value: AttributeValue::Bool(value),
    };
    let change = |world: &mut World, actor: &Actor, command: &Command| {
        let request = world.request();
        world.again(actor, command, &Made::Nothing, &request)
    };
    change(&mut world, &alice, &set(key, false)).unwrap();
    assert_eq!(world.state.receipts_len_of(Asker::User(login_of(&alice).user)), RECEIPTS_EACH_MAX, "at the limit");
    let share = Command::ShareKey { key, name: name("bob"), role: Role::CryptoUser };
    for command in [set(key, true), share, Command::DeleteKey(key)] {
        assert_eq!(change(&mut world, &alice, &command), Err(Status::Busy), "{command:?}");
    }
    // A repeat is no further change, other users are not concerned, and what makes something leaves no receipt.
    let request = crate::Request::new(RequestId::from_bytes(first_id()), [1; 32]);
    assert!(world.again(&alice, &set(key, false), &Made::Nothing, &request).is_ok());
    change(&mut world, &bob, &set(bobs, false)).unwrap();
    change(&mut world, &admin, &Command::Logout).unwrap();
    world.aes_reference_unchecked(&alice);
    world.now_ms = started_ms + MINUTES - 1;
    change(&mut world, &bob, &set(bobs, true)).unwrap();
    assert_eq!(change(&mut world, &alice, &set(key, true)), Err(Status::Busy));
    world.now_ms = started_ms + MINUTES;
    change(&mut world, &bob, &set(bobs, false)).unwrap();
    change(&mut world, &alice, &set(key, true)).unwrap();
    // What ends a login is never refused.
    let more = receipts(login_of(&alice).user, RECEIPTS_EACH_MAX..RECEIPTS_EACH_MAX + 200, world.now_ms);
    write(&mut world, more);
    assert_eq!(change(&mut world, &alice, &set(key, false)), Err(Status::Busy));
    let own =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    let (made, request) = (Made::Password(world.credential()), world.request());
    world.again(&alice, &own, &made, &request).unwrap();
    let alice = world.login("alice", Role::CryptoUser);
    change(&mut world, &alice, &Command::Logout).unwrap();
}

fn first_id() -> [u8; 16] {
    match receipt(Asker::Hsm, 0, 0) {
        Record::Receipt(receipt) => *receipt.request.as_bytes(),
        _ => unreachable!("a receipt"),
    }
}

/// What a batch removes beside a change that leaves one receipt.
fn removed(world: &World, actor: &Actor) -> usize {
    let mut draft = Draft::new(world.state.clone());
    let request = crate::Request::new(RequestId::from_bytes([9; 16]), [9; 32]);
    draft.plan(actor, &Command::Logout, &Made::Nothing, &request, world.now_ms).unwrap();
    let batch = draft.finish();
    assert!(batch.puts.len() + batch.deletes.len() <= BATCH_LEN_MAX);
    batch.deletes.len()
}

#[test]
fn receipts_of_one_user_in_excess_go_when_nobody_repeats_their_requests_any_more() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let started_ms = world.now_ms;
    let user = login_of(&alice).user;
    write(&mut world, receipts(user, 0..RECEIPTS_LASTING_EACH_MAX, started_ms));
    world.now_ms = started_ms + MINUTES;
    assert_eq!(removed(&world, &bob), 0, "at the limit");
    let more = receipts(user, RECEIPTS_LASTING_EACH_MAX..RECEIPTS_LASTING_EACH_MAX + 3, started_ms + 1);
    write(&mut world, more);
    assert_eq!(removed(&world, &bob), 3, "three above it");
    world.now_ms = started_ms + MINUTES - 1;
    world.state.time_ms = world.now_ms;
    assert_eq!(removed(&world, &bob), 0, "and none of them too soon");
    world.now_ms = started_ms + HOUR;
    assert_eq!(removed(&world, &bob), BATCH_LEN_MAX - 2, "after an hour as many as there is room for");
}

#[test]
fn receipts_of_all_together_in_excess_go_too() {
    let mut world = World::active();
    let (alice, started_ms) = (world.crypto_user("alice"), world.now_ms);
    let each = RECEIPTS_LASTING_EACH_MAX / 2;
    let owner = |number: usize| UserId::from_bytes([u8::try_from(number / each).unwrap(); 16]);
    let puts = |numbers: std::ops::Range<usize>| -> Vec<Record> {
        numbers.map(|number| receipt(Asker::User(owner(number)), number, started_ms)).collect()
    };
    let put = |state: &State, numbers| {
        let mut state = state.clone();
        let revision = state.revision().next();
        apply(&mut state, &Batch { revision, time_ms: started_ms, puts: puts(numbers), deletes: Vec::new() }).unwrap();
        state
    };
    let own = world.state.receipts.len();
    world.now_ms = started_ms + MINUTES;
    world.state = put(&world.state, 0..RECEIPTS_LASTING_MAX - own);
    assert_eq!((world.state.receipts.len(), removed(&world, &alice)), (RECEIPTS_LASTING_MAX, 0), "at the limit");
    world.state = put(&world.state, RECEIPTS_LASTING_MAX..RECEIPTS_LASTING_MAX + 5);
    assert_eq!(removed(&world, &alice), 5, "five above it");
}

/// Whatever a batch is full of, it removes as much as it leaves to be removed.
#[test]
fn a_full_batch_removes_as_much_as_it_leaves() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let old_ms = world.now_ms;
    write(&mut world, receipts(login_of(&alice).user, 0..500, old_ms));
    world.now_ms += HOUR;
    let mut draft = Draft::new(world.state.clone());
    let mut logouts = 0;
    loop {
        let (actor, request) = (world.login("alice", Role::CryptoUser), world.request());
        if draft.plan(&actor, &Command::Logout, &Made::Nothing, &request, world.now_ms).is_err() {
            break;
        }
        logouts += 1;
    }
    let batch = draft.finish();
    assert_eq!((logouts * 2, batch.puts.len(), batch.deletes.len()), (PLANNED_RECORDS_MAX, 50, 50));
}
