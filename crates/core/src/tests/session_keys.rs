//! Keys that live as long as a login.

use strongroom_types::limits::TICKET_SECONDS;
use strongroom_types::{
    AttributeName, AttributeValue, Flag, KeyClass, KeyReference, KeyType, Refusal, Role, SignMechanism, Status,
    Template,
};

use super::world::{P256, SECOND, World, name};
use crate::permissions::{Operation, permit};
use crate::{
    Actor, Command, CorruptSessionKey, KeyUse, KeyView, Made, PlanError, SessionKey, authorize, authorize_session_key,
    check_delete_session_key, check_session_keys, is_for_session, session_keys,
};

const SIGN: KeyUse<'static> = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);

fn flags(values: &[(Flag, bool)]) -> Template {
    values.iter().map(|(flag, value)| (AttributeName::Flag(*flag), AttributeValue::Bool(*value))).collect()
}

fn pair_command(public: &[(Flag, bool)], private: &[(Flag, bool)]) -> Command {
    Command::GeneratePair {
        algorithm: P256,
        public_template: flags(public),
        private_template: flags(private),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    }
}

fn usual_pair() -> Command {
    pair_command(&[(Flag::Token, false), (Flag::Verify, true)], &[(Flag::Token, false), (Flag::Sign, true)])
}

fn aes_command(values: &[(Flag, bool)], share_with: &[&str]) -> Command {
    let share_with = share_with.iter().map(|user| name(user)).collect();
    Command::GenerateSecret {
        key_type: KeyType::Aes,
        length_bytes: 32,
        template: flags(values),
        share_with,
        quorum: strongroom_types::KeyQuorum::NONE,
    }
}

/// Public and private half of a session pair.
fn session_pair(world: &mut World, actor: &Actor) -> [SessionKey; 2] {
    let made = world.made_pair(&P256);
    session_keys(&world.state, actor, &usual_pair(), &made, world.now_ms).unwrap().try_into().unwrap()
}

fn sign(world: &World, actor: &Actor, key: &SessionKey) -> Option<Status> {
    authorize_session_key(&world.state, actor, SIGN, key, world.now_ms).err().map(|refusal| refusal.status)
}

#[test]
fn a_session_pair_is_made_for_one_login_and_is_no_record() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let before = world.state.clone();
    let [public, private] = session_pair(&mut world, &alice);
    assert_eq!(world.state, before);
    assert_eq!((public.attributes.class, public.sealed.is_none()), (KeyClass::PublicKey, true));
    assert_eq!((private.attributes.class, private.sealed.is_some()), (KeyClass::PrivateKey, true));
    for key in [&public, &private] {
        assert!(!key.attributes.flags.has(Flag::Token) && key.attributes.flags.has(Flag::Local));
        assert!(key.is_of(&alice));
        let view = KeyView::of_session_key(&world.state, key).unwrap();
        assert_eq!((view.reference, view.owner.as_str(), view.revision.0), (key.reference, "alice", 0));
        assert_eq!(world.state.key(key.reference), None);
    }
    assert_eq!(sign(&world, &alice, &private), None);
    assert_eq!(sign(&world, &alice, &public), Some(Status::KeyTypeInconsistent));
    let verify = KeyUse::Verify(SignMechanism::Ecdsa, &[1; 32]);
    authorize_session_key(&world.state, &alice, verify, &public, world.now_ms).unwrap();
    // What is no key of the store is not found in it.
    let of_store = authorize(&world.state, &alice, SIGN, private.reference, world.now_ms);
    assert_eq!(of_store.unwrap_err().status, Status::KeyUnknown);
}

#[test]
fn only_the_login_that_made_it_uses_or_deletes_it() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let elsewhere = world.login("alice", Role::CryptoUser);
    let [_, key] = session_pair(&mut world, &alice);
    let delete = |actor: &Actor| {
        let outcome = check_delete_session_key(&world.state, actor, &key, world.now_ms);
        outcome.err().map(|refusal: Refusal| refusal.status)
    };
    for (actor, expected) in [
        (&alice, None),
        (&elsewhere, Some(Status::KeyUnknown)),
        (&bob, Some(Status::KeyUnknown)),
        (&admin, Some(Status::RoleNotPermitted)),
        (&Actor::Anonymous, Some(Status::NotLoggedIn)),
        (&Actor::Appliance, Some(Status::RoleNotPermitted)),
        (&Actor::Hsm, Some(Status::RoleNotPermitted)),
    ] {
        assert_eq!((sign(&world, actor, &key), delete(actor)), (expected, expected), "{actor:?}");
    }
    let lasting = SessionKey {
        attributes: strongroom_types::Attributes {
            flags: key.attributes.flags.with(Flag::Destroyable, false),
            ..key.attributes.clone()
        },
        ..key.clone()
    };
    let refusal = check_delete_session_key(&world.state, &alice, &lasting, world.now_ms).unwrap_err();
    assert_eq!(refusal.status, Status::KeyNotDestroyable);
}

#[test]
fn it_ends_with_logout_deletion_a_new_password_and_the_tickets_time() {
    let story = |end: &dyn Fn(&mut World, &Actor)| {
        let mut world = World::active();
        let alice = world.crypto_user("alice");
        let [_, key] = session_pair(&mut world, &alice);
        assert_eq!(sign(&world, &alice, &key), None);
        end(&mut world, &alice);
        assert_eq!(sign(&world, &alice, &key), Some(Status::LoginEnded));
        // Who starts now knows it too.
        world.state = world.loaded();
        assert_eq!(sign(&world, &alice, &key), Some(Status::LoginEnded));
        (world, alice, key)
    };
    let password =
        Command::ChangePassword { name: name("alice"), role: Role::CryptoUser, deregister: crate::Deregister::NONE };
    story(&|world, alice| drop(world.done(alice, &Command::Logout, &Made::Nothing).unwrap()));
    story(&|world, _| {
        let admin = world.admin();
        let delete = Command::DeleteUser { name: name("alice"), role: Role::CryptoUser };
        world.done(&admin, &delete, &Made::Nothing).unwrap();
    });
    story(&|world, _| {
        let (admin, made) = (world.admin(), Made::Password(world.credential()));
        world.done(&admin, &password, &made).unwrap();
    });
    story(&|world, _| world.now_ms += TICKET_SECONDS * SECOND);
    // A new password of one's own: the login goes on, the key does not.
    let (world, alice, key) = story(&|world, alice| {
        let made = Made::Password(world.credential());
        world.done(alice, &password, &made).unwrap();
    });
    let Actor::Login(login) = alice else { panic!() };
    let credential = world.state.user(login.user).unwrap().credential.as_ref().unwrap().id;
    let goes_on = Actor::Login(login.with_credential(credential));
    assert!(permit(&world.state, &goes_on, Operation::Sign, world.now_ms).is_ok());
    assert_eq!(sign(&world, &goes_on, &key), Some(Status::KeyUnknown));
}

#[test]
fn commands_for_session_keys_are_told_from_others_and_checked_alike() {
    let mut world = World::active();
    let (alice, admin) = (world.crypto_user("alice"), world.admin());
    world.create("bob", Role::CryptoUser).unwrap();
    let check = |actor: &Actor, command: &Command, is_one: bool, expected: Option<(Status, &str)>| {
        assert_eq!(is_for_session(&world.state, actor, command), Ok(is_one), "{command:?}");
        let outcome = check_session_keys(&world.state, actor, command, world.now_ms);
        let outcome = outcome.err().map(|refusal| (refusal.status, refusal.about));
        assert_eq!(outcome, expected.map(|(status, about)| (status, about.to_owned())), "{command:?}");
    };
    let session = (Flag::Token, false);
    check(&alice, &usual_pair(), true, None);
    check(&alice, &aes_command(&[session], &[]), true, None);
    check(
        &alice,
        &aes_command(&[session], &["bob"]),
        true,
        Some((Status::SessionKeyFixed, "crypto users to share with")),
    );
    check(&alice, &aes_command(&[session, session], &[]), true, Some((Status::TemplateInconsistent, "token")));
    check(&alice, &aes_command(&[session, (Flag::Local, true)], &[]), true, Some((Status::AttributeReadOnly, "local")));
    // Half of a pair here and half there is not in this version.
    check(&alice, &pair_command(&[session], &[]), true, Some((Status::TemplateInconsistent, "token")));
    check(&alice, &pair_command(&[], &[session]), true, Some((Status::TemplateInconsistent, "token")));
    check(&admin, &usual_pair(), true, Some((Status::RoleNotPermitted, "")));
    check(&Actor::Anonymous, &usual_pair(), true, Some((Status::NotLoggedIn, "")));
    check(&alice, &aes_command(&[(Flag::Token, true)], &[]), false, Some((Status::AttributeValueInvalid, "token")));
    check(&alice, &aes_command(&[], &[]), false, Some((Status::AttributeValueInvalid, "token")));
    check(&alice, &Command::Logout, false, Some((Status::Internal, "command")));
    let short = Command::GenerateSecret {
        key_type: KeyType::Aes,
        length_bytes: 31,
        template: flags(&[session]),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    check(&alice, &short, true, Some((Status::KeySizeInvalid, "31 bytes: AES keys have 16, 24 or 32")));
    // The store takes none of them.
    let made = world.made_secret(KeyType::Aes);
    assert_eq!(world.done(&alice, &aes_command(&[session], &[]), &made), Err(Status::AttributeValueInvalid));
    let made = world.made_pair(&P256);
    assert_eq!(world.done(&alice, &usual_pair(), &made), Err(Status::AttributeValueInvalid));
}

#[test]
fn a_reference_that_is_taken_is_drawn_again() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let taken: KeyReference = world.aes_reference(&alice, &[]);
    let Made::Pair(pair) = world.made_pair(&P256) else { panic!() };
    let attempt = |public_reference, private_reference| {
        let made = Made::Pair(crate::MadePair { public_reference, private_reference, ..pair.clone() });
        session_keys(&world.state, &alice, &usual_pair(), &made, world.now_ms).map(drop)
    };
    let (public, private) = (pair.public_reference, pair.private_reference);
    assert_eq!(attempt(public, private), Ok(()));
    for (public, private) in [(taken, private), (public, taken), (public, public)] {
        assert_eq!(attempt(public, private), Err(PlanError::DrawAgain));
    }
}

#[test]
fn session_keys_read_back_and_nothing_else_does() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let [public, private] = session_pair(&mut world, &alice);
    let made = world.made_secret(KeyType::Aes);
    let command = aes_command(&[(Flag::Token, false)], &[]);
    let aes = session_keys(&world.state, &alice, &command, &made, world.now_ms).unwrap().remove(0);
    for key in [&public, &private, &aes] {
        let bytes = key.encode();
        assert_eq!(SessionKey::decode(&bytes).as_ref(), Ok(key));
        for len in 0..bytes.len() {
            assert_eq!(SessionKey::decode(&bytes[..len]), Err(CorruptSessionKey), "{len}");
        }
        for other in [[&[2][..], &bytes[1..]].concat(), [&bytes[..], &[0x20, 1]].concat()] {
            assert_eq!(SessionKey::decode(&other), Err(CorruptSessionKey));
        }
    }
    let wrong = |change: &dyn Fn(&mut SessionKey)| {
        let mut key = private.clone();
        change(&mut key);
        assert_eq!(SessionKey::decode(&key.encode()), Err(CorruptSessionKey));
    };
    wrong(&|key| key.attributes.flags = key.attributes.flags.with(Flag::Token, true));
    wrong(&|key| key.sealed = None);
    wrong(&|key| key.attributes.class = KeyClass::SecretKey);
    wrong(&|key| key.attributes.label = "x".repeat(128));
}
