//! Who can approve what, against a model that is written down plainly and shares no code with the rules.

use strongroom_types::{KeyQuorum, QuorumService, Role};

use super::super::world::{World, name};
use super::of_key;
use crate::{Actor, Approval, Command, Deregister, Made, Request};

/// Numbers without a pattern (xorshift64*), the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }
}

/// What the model knows of a user: whether there is one, which key is registered, whether the key is shared with it.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    is_there: bool,
    key: Option<u8>,
    shares: bool,
}

/// Users beside the owner, who is number 0.
const USERS: usize = 5;
const VALUE: u8 = 2;
/// Keys that users register: fewer than users, so that some have the same.
const KEYS: usize = 4;

fn user(number: usize) -> String {
    format!("user-{number}")
}

/// One signature: who is said to have made it, and with which key.
type Signed = (usize, u8);

fn expected(known: &[Known], signed: &[Signed]) -> bool {
    let mut keys = Vec::new();
    for (number, key) in signed {
        let of = known[*number];
        let counts = of.is_there && of.shares && of.key == Some(*key);
        if counts && !keys.contains(key) {
            keys.push(*key);
        }
    }
    keys.len() >= usize::from(VALUE)
}

#[test]
fn as_many_as_the_model_says_may_approve() {
    let mut numbers = Numbers(7);
    let (mut granted, mut denied) = (0, 0);
    for _ in 0..12 {
        let mut world = World::active();
        let admin = world.admin();
        let owner = world.crypto_user(&user(0));
        let mut known = [Known::default(); USERS];
        known[0] = Known { is_there: true, key: None, shares: true };
        for (number, known) in known.iter_mut().enumerate().skip(1) {
            world.create(&user(number), Role::CryptoUser).unwrap();
            known.is_there = true;
        }
        let everybody: Vec<String> = (1..USERS).map(user).collect();
        let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
        let key = world.quorum_key(&owner, &everybody, KeyQuorum { manage: 0, usage: VALUE }).unwrap();
        known.iter_mut().for_each(|known| known.shares = true);
        for _ in 0..30 {
            step(&mut world, (&admin, &owner), key, &mut known, &mut numbers);
            let signed: Vec<Signed> = (0..numbers.below(5))
                .map(|_| {
                    // Mostly the key that is registered, or it would hardly ever be enough.
                    let (number, other) = (numbers.below(USERS), u8::try_from(numbers.below(KEYS)).unwrap());
                    let registered = known[number].key.filter(|_| numbers.below(4) > 0);
                    (number, registered.unwrap_or(other))
                })
                .collect();
            let token = world.token(&owner, of_key(QuorumService::KeyUsage, key)).unwrap();
            let approvers = signed.iter().filter(|(number, _)| world.state.user_named(&name(&user(*number))).is_some());
            let approvers = approvers.map(|(number, key)| world.approver(&user(*number), *key)).collect();
            let request = Request { approvals: vec![Approval { token, approvers }], ..world.request() };
            let keys = vec![of_key(QuorumService::KeyUsage, key)];
            let command = Command::UseApproved { operation: crate::permissions::Operation::Sign, keys };
            let outcome = world.again(&owner, &command, &Made::Nothing, &request);
            assert_eq!(outcome.is_ok(), expected(&known, &signed), "{signed:?} {known:?}: {outcome:?}");
            if outcome.is_ok() { granted += 1 } else { denied += 1 }
        }
    }
    assert!(granted > 20 && denied > 20, "{granted} {denied}");
}

/// Something happens to one of the users; what the rules refuse does not happen in the model either.
fn step(
    world: &mut World,
    (admin, owner): (&Actor, &Actor),
    key: strongroom_types::KeyReference,
    known: &mut [Known; USERS],
    numbers: &mut Numbers,
) {
    let number = numbers.below(USERS);
    let (user, role) = (name(&user(number)), Role::CryptoUser);
    match numbers.below(6) {
        0..=2 if known[number].is_there => {
            let of = u8::try_from(numbers.below(KEYS)).unwrap();
            let actor = if number == 0 { *owner } else { world.login(user.as_str(), role) };
            world.register(&actor, of).unwrap();
            known[number].key = Some(of);
        }
        3 if number > 0 => {
            let unshare = Command::UnshareKey { key, name: user, role };
            if known[number].is_there && world.done(owner, &unshare, &Made::Nothing).is_ok() {
                known[number].shares = false;
            }
        }
        4 if number > 0 && known[number].is_there => {
            let share = Command::ShareKey { key, name: user, role };
            world.done(owner, &share, &Made::Nothing).unwrap();
            known[number].shares = true;
        }
        5 if number > 0 && known[number].is_there => {
            if numbers.below(2) == 0 {
                let deregister = Deregister { mfa: false, quorum: true };
                let made = Made::Password(world.credential());
                world.done(admin, &Command::ChangePassword { name: user, role, deregister }, &made).unwrap();
                known[number].key = None;
            } else if world.done(admin, &Command::DeleteUser { name: user.clone(), role }, &Made::Nothing).is_ok() {
                // Another user of the same name later has none of it.
                known[number] = Known::default();
                world.create(user.as_str(), role).unwrap();
                known[number].is_there = true;
            }
        }
        _ => {}
    }
}
