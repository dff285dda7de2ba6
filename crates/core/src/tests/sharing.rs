//! Share lists: who may use a key, who may say so, and what takes it back.

use strongroom_types::{AttributeName, AttributeValue, Flag, KeyReference, Role, SignMechanism, Status, Template};

use super::world::{P256, World, name};
use crate::{Actor, Command, Effect, KeyUse, Made, Plan, Reply, authorize, key_view, plan};

fn share(key: KeyReference, user: &str) -> Command {
    Command::ShareKey { key, name: name(user), role: Role::CryptoUser }
}

fn unshare(key: KeyReference, user: &str) -> Command {
    Command::UnshareKey { key, name: name(user), role: Role::CryptoUser }
}

fn done(world: &mut World, actor: &Actor, command: &Command) -> Result<Reply, Status> {
    world.done(actor, command, &Made::Nothing)
}

fn signs(world: &World, actor: &Actor, key: KeyReference) -> Option<Status> {
    let key_use = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);
    authorize(&world.state, actor, key_use, key, world.now_ms).err().map(|refusal| refusal.status)
}

fn list(world: &World, actor: &Actor, key: KeyReference) -> Vec<String> {
    let view = key_view(&world.state, actor, key, world.now_ms).unwrap();
    view.shared_with.iter().map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn a_shared_user_may_use_the_key_and_nothing_else() {
    let mut world = World::active();
    let (alice, bob, carol) = (world.crypto_user("alice"), world.crypto_user("bob"), world.crypto_user("carol"));
    let (_, key) = world.pair(&alice, &P256);
    assert_eq!(signs(&world, &bob, key), Some(Status::KeyUnknown));
    done(&mut world, &alice, &share(key, "bob")).unwrap();
    assert_eq!((signs(&world, &bob, key), signs(&world, &carol, key)), (None, Some(Status::KeyUnknown)));
    assert_eq!((list(&world, &alice, key), list(&world, &bob, key)), (vec!["bob".into()], vec!["bob".into()]));
    let set = Command::SetAttribute {
        key,
        attribute: AttributeName::Label,
        value: AttributeValue::Text(String::from("bob's")),
    };
    for command in [share(key, "carol"), unshare(key, "bob"), set, Command::DeleteKey(key)] {
        assert_eq!(done(&mut world, &bob, &command), Err(Status::KeyNotOwned), "{command:?}");
        assert_eq!(done(&mut world, &carol, &command), Err(Status::KeyUnknown), "{command:?}");
    }
    done(&mut world, &alice, &unshare(key, "bob")).unwrap();
    assert_eq!((signs(&world, &bob, key), signs(&world, &alice, key)), (Some(Status::KeyUnknown), None));
    assert!(list(&world, &alice, key).is_empty(), "that was the last name");
}

#[test]
fn only_owners_who_are_logged_in_share_and_only_with_crypto_users() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    world.create("bob", Role::CryptoUser).unwrap();
    world.create("olga", Role::Admin).unwrap();
    let key = world.aes_reference(&alice, &[]);
    let missing = world.reference();
    for of in [share, unshare] {
        let mut check = |actor: &Actor, key, user: &str, expected: Option<Status>| {
            let command = of(key, user);
            assert_eq!(done(&mut world, actor, &command).err(), expected, "{actor:?} {command:?}");
        };
        check(&admin, key, "bob", Some(Status::RoleNotPermitted));
        check(&Actor::Anonymous, key, "bob", Some(Status::NotLoggedIn));
        check(&Actor::Appliance, key, "bob", Some(Status::RoleNotPermitted));
        check(&Actor::Hsm, key, "bob", Some(Status::RoleNotPermitted));
        check(&alice, missing, "bob", Some(Status::KeyUnknown));
        check(&alice, key, "nobody", Some(Status::UserUnknown));
        check(&alice, missing, "nobody", Some(Status::UserUnknown));
        // An admin of that name is no crypto user of that name.
        check(&alice, key, "olga", Some(Status::UserUnknown));
        check(&alice, key, "bob", None);
        // Oneself: nothing to do.
        check(&alice, key, "alice", None);
        for role in [Role::Admin, Role::UnactivatedAdmin, Role::ApplianceUser] {
            for user in ["olga", "app_user", "nobody"] {
                let name = name(user);
                let command = match of(key, user) {
                    Command::ShareKey { .. } => Command::ShareKey { key, name, role },
                    _ => Command::UnshareKey { key, name, role },
                };
                assert_eq!(done(&mut world, &alice, &command), Err(Status::RoleNotPermitted), "{command:?}");
            }
        }
    }
}

#[test]
fn sharing_grants_and_unsharing_revokes_also_when_there_is_nothing_to_take() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.create("bob", Role::CryptoUser).unwrap();
    let key = world.aes_reference(&alice, &[]);
    let effect = |world: &mut World, command: Command| {
        let request = world.request();
        let planned = plan(&world.state, &alice, &command, &Made::Nothing, &request, world.now_ms).unwrap();
        world.again(&alice, &command, &Made::Nothing, &request).unwrap();
        match planned {
            Plan::Change(planned) => Some(planned.effect),
            Plan::Nothing(_) => None,
            Plan::Replayed(_) => panic!("a request of its own"),
        }
    };
    assert_eq!(effect(&mut world, share(key, "bob")), Some(Effect::Granting));
    let revision = world.state.key(key).unwrap().revision;
    assert_eq!(effect(&mut world, share(key, "bob")), None);
    assert_eq!(world.state.key(key).unwrap().revision, revision, "the record was left alone");
    assert_eq!(effect(&mut world, unshare(key, "bob")), Some(Effect::Revoking));
    let revision = world.state.key(key).unwrap().revision;
    // Another member may not have applied the one before.
    assert_eq!(effect(&mut world, unshare(key, "bob")), Some(Effect::Revoking));
    assert_eq!(effect(&mut world, unshare(key, "alice")), Some(Effect::Revoking));
    assert_eq!(world.state.key(key).unwrap().revision, revision, "the record was left alone");
}

#[test]
fn a_repeat_acts_once() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let (_, key) = world.pair(&alice, &P256);
    let request = world.request();
    world.again(&alice, &share(key, "bob"), &Made::Nothing, &request).unwrap();
    done(&mut world, &alice, &unshare(key, "bob")).unwrap();
    // Late, after it was taken back: it was done, and is not done again.
    assert_eq!(world.again(&alice, &share(key, "bob"), &Made::Nothing, &request), Ok(Reply::Done));
    assert_eq!(signs(&world, &bob, key), Some(Status::KeyUnknown));
    let request = world.request();
    world.again(&alice, &unshare(key, "bob"), &Made::Nothing, &request).unwrap();
    done(&mut world, &alice, &share(key, "bob")).unwrap();
    assert_eq!(world.again(&alice, &unshare(key, "bob"), &Made::Nothing, &request), Ok(Reply::Done));
    assert_eq!(signs(&world, &bob, key), None);
}

#[test]
fn a_deleted_user_leaves_the_list_and_a_new_one_of_the_name_is_another() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let bob = world.crypto_user("bob");
    world.create("carol", Role::CryptoUser).unwrap();
    let (_, key) = world.pair(&alice, &P256);
    done(&mut world, &alice, &share(key, "bob")).unwrap();
    done(&mut world, &admin, &Command::DeleteUser { name: name("bob"), role: Role::CryptoUser }).unwrap();
    assert_eq!(signs(&world, &bob, key), Some(Status::LoginEnded));
    assert_eq!(done(&mut world, &alice, &unshare(key, "bob")), Err(Status::UserUnknown));
    assert!(list(&world, &alice, key).is_empty());
    let new_bob = world.crypto_user("bob");
    assert_eq!(signs(&world, &new_bob, key), Some(Status::KeyUnknown));
    assert_eq!(world.state.key(key).unwrap().shared.len(), 1, "an id that nobody has");
    done(&mut world, &alice, &share(key, "carol")).unwrap();
    assert_eq!(world.state.key(key).unwrap().shared.len(), 1, "it goes when the record is written");
    assert_eq!(list(&world, &alice, key), ["carol"]);
}

/// What waits together is planned together, each seeing what those before it do.
#[test]
fn changes_of_one_key_in_one_batch_follow_each_other() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    world.create("carol", Role::CryptoUser).unwrap();
    let (admin, (_, key)) = (world.admin(), world.pair(&alice, &P256));
    let off = Command::SetAttribute {
        key,
        attribute: AttributeName::Flag(Flag::Decrypt),
        value: AttributeValue::Bool(false),
    };
    let delete_carol = Command::DeleteUser { name: name("carol"), role: Role::CryptoUser };
    let planned = [
        (&alice, share(key, "bob"), Ok(Effect::Granting)),
        (&alice, share(key, "carol"), Ok(Effect::Granting)),
        (&alice, off, Ok(Effect::Revoking)),
        (&admin, delete_carol, Ok(Effect::Revoking)),
        (&alice, share(key, "carol"), Err(Status::UserUnknown)),
        (&bob, unshare(key, "bob"), Err(Status::KeyNotOwned)),
        (&alice, unshare(key, "bob"), Ok(Effect::Revoking)),
        (&alice, share(key, "bob"), Ok(Effect::Granting)),
    ];
    let mut draft = crate::Draft::new(world.state.clone());
    for (actor, command, expected) in planned {
        let request = world.request();
        let outcome = match draft.plan(actor, &command, &Made::Nothing, &request, world.now_ms) {
            Ok(Plan::Change(planned)) => Ok(planned.effect),
            Err(crate::PlanError::Refused(refusal)) => Err(refusal.status),
            other => panic!("{command:?}: {other:?}"),
        };
        assert_eq!(outcome, expected, "{command:?}");
    }
    world.commit(&draft.finish());
    assert_eq!(world.loaded(), world.state);
    assert_eq!((signs(&world, &bob, key), list(&world, &alice, key)), (None, vec!["bob".into()]));
    let key = world.state.key(key).unwrap();
    assert!(!key.attributes.flags.has(Flag::Decrypt) && key.attributes.flags.has(Flag::Sign));
    assert_eq!(key.revision, world.state.revision());
}

#[test]
fn both_halves_are_shared_each_for_itself() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let (public, private) = world.pair(&alice, &P256);
    done(&mut world, &alice, &share(public, "bob")).unwrap();
    assert_eq!(
        (list(&world, &bob, public), signs(&world, &bob, private)),
        (vec!["bob".into()], Some(Status::KeyUnknown))
    );
    done(&mut world, &alice, &unshare(public, "bob")).unwrap();
    // Public keys are everybody's to see.
    assert!(list(&world, &bob, public).is_empty());
}

#[test]
fn owners_set_attributes_and_a_change_acts_at_once() {
    let mut world = World::active();
    let (admin, alice, bob) = (world.admin(), world.crypto_user("alice"), world.crypto_user("bob"));
    let (_, key) = world.pair(&alice, &P256);
    let set = |flag, value| Command::SetAttribute {
        key,
        attribute: AttributeName::Flag(flag),
        value: AttributeValue::Bool(value),
    };
    assert_eq!(done(&mut world, &bob, &set(Flag::Sign, false)), Err(Status::KeyUnknown));
    assert_eq!(done(&mut world, &admin, &set(Flag::Sign, false)), Err(Status::RoleNotPermitted));
    assert_eq!(done(&mut world, &Actor::Anonymous, &set(Flag::Sign, false)), Err(Status::NotLoggedIn));
    done(&mut world, &alice, &share(key, "bob")).unwrap();
    done(&mut world, &alice, &set(Flag::Sign, false)).unwrap();
    for actor in [&alice, &bob] {
        assert_eq!(signs(&world, actor, key), Some(Status::KeyFunctionNotPermitted));
    }
    assert_eq!(list(&world, &alice, key), ["bob"], "the list is as it was");
    let label = Command::SetAttribute {
        key,
        attribute: AttributeName::Label,
        value: AttributeValue::Text(String::from("renamed")),
    };
    done(&mut world, &alice, &label).unwrap();
    let filter = strongroom_types::Filter(vec!["attr.label=renamed".parse().unwrap()]);
    let found = crate::find_keys(&world.state, &bob, &filter, 0, 9, world.now_ms).unwrap();
    assert_eq!(found.keys.iter().map(|key| key.reference).collect::<Vec<_>>(), [key]);
    // The same value again: nothing is written to the key, and the answer is one of a revoking change.
    let revision = world.state.key(key).unwrap().revision;
    let request = world.request();
    let again = plan(&world.state, &alice, &label, &Made::Nothing, &request, world.now_ms).unwrap();
    assert!(matches!(&again, Plan::Change(planned) if planned.effect == Effect::Revoking), "{again:?}");
    done(&mut world, &alice, &label).unwrap();
    assert_eq!(world.state.key(key).unwrap().revision, revision);
    done(&mut world, &alice, &set(Flag::Sign, true)).unwrap();
    assert_eq!(signs(&world, &bob, key), None);
    done(&mut world, &alice, &set(Flag::Modifiable, false)).unwrap();
    for command in [label, set(Flag::Sign, false), set(Flag::Modifiable, true), set(Flag::Trusted, true)] {
        assert_eq!(done(&mut world, &alice, &command), Err(Status::KeyNotModifiable), "{command:?}");
    }
    // Sharing is no attribute.
    done(&mut world, &alice, &unshare(key, "bob")).unwrap();
}

#[test]
fn admins_set_trusted_alone_and_may_always_take_it_back() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    let unmodifiable: Template = vec![(AttributeName::Flag(Flag::Modifiable), AttributeValue::Bool(false))];
    let Ok(Reply::Key(view)) = world.aes(&alice, unmodifiable, &[]) else { panic!() };
    let key = view.reference;
    let set = |key, flag, value| Command::SetAttribute {
        key,
        attribute: AttributeName::Flag(flag),
        value: AttributeValue::Bool(value),
    };
    let trusted = |world: &World| world.state.key(key).unwrap().attributes.flags.has(Flag::Trusted);
    done(&mut world, &admin, &set(key, Flag::Trusted, true)).unwrap();
    assert!(trusted(&world));
    done(&mut world, &admin, &set(key, Flag::Trusted, false)).unwrap();
    assert!(!trusted(&world));
    for flag in Flag::ALL.iter().filter(|flag| **flag != Flag::Trusted) {
        assert_eq!(done(&mut world, &admin, &set(key, *flag, true)), Err(Status::RoleNotPermitted), "{flag:?}");
    }
    let other = world.aes_reference(&alice, &[]);
    assert_eq!(done(&mut world, &alice, &set(other, Flag::Trusted, true)), Err(Status::AttributeReadOnly));
    assert_eq!(done(&mut world, &alice, &set(other, Flag::Trusted, false)), Err(Status::AttributeReadOnly));
    let (public, private) = world.pair(&alice, &P256);
    done(&mut world, &admin, &set(public, Flag::Trusted, true)).unwrap();
    assert_eq!(done(&mut world, &admin, &set(private, Flag::Trusted, true)), Err(Status::AttributeUnknown));
    let missing = world.reference();
    assert_eq!(done(&mut world, &admin, &set(missing, Flag::Trusted, true)), Err(Status::KeyUnknown));
}
