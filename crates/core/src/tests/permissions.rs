use strongroom_types::{ClusterState, Role, Status};

use super::world::World;
use crate::Actor;
use crate::permissions::{Caller, Operation, TABLE, When, permit};

fn worlds() -> [(World, Option<ClusterState>); 4] {
    [
        (World::empty(), None),
        (World::uninitialized(), Some(ClusterState::Uninitialized)),
        (World::initialized(), Some(ClusterState::Initialized)),
        (World::active(), Some(ClusterState::Active)),
    ]
}

#[test]
fn every_operation_is_possible_in_its_states_and_for_its_callers_only() {
    for (mut world, now) in worlds() {
        let logins = (now == Some(ClusterState::Active)).then(|| (world.admin(), world.crypto_user("alice")));
        for row in TABLE {
            let possible = match row.when {
                When::Always => true,
                When::Made => now.is_some(),
                When::Before => now.is_none(),
                When::In(state) => now == Some(state),
            };
            let needs_login = row.callers.contains(&Caller::Admin) || row.callers.contains(&Caller::CryptoUser);
            let callers = [
                (Caller::Hsm, Some(Actor::Hsm)),
                (Caller::Appliance, Some(Actor::Appliance)),
                (Caller::Anonymous, Some(Actor::Anonymous)),
                (Caller::Admin, logins.as_ref().map(|(admin, _)| *admin)),
                (Caller::CryptoUser, logins.as_ref().map(|(_, user)| *user)),
            ];
            for (caller, actor) in callers {
                let Some(actor) = actor else { continue };
                let status =
                    permit(&world.state, &actor, row.operation, world.now_ms).err().map(|refusal| refusal.status);
                let expected = match (possible, row.callers.contains(&caller), caller) {
                    (false, ..) => Some(Status::WrongClusterState),
                    (true, true, _) => None,
                    (true, false, Caller::Anonymous) if needs_login => Some(Status::NotLoggedIn),
                    (true, false, _) => Some(Status::RoleNotPermitted),
                };
                assert_eq!(status, expected, "{:?} by {caller:?} in {now:?}", row.operation);
            }
        }
    }
}

/// The rules that must never slip in the table itself, said a second time.
#[test]
fn what_the_table_must_not_give() {
    let callers = |operation: Operation| TABLE[operation as usize].callers;
    for operation in [
        Operation::Sign,
        Operation::Decrypt,
        Operation::Verify,
        Operation::KeyCopy,
        Operation::KeyDelete,
        Operation::KeyShare,
        Operation::KeyUnshare,
        Operation::KeyImport,
        Operation::KeyUnwrap,
        Operation::KeyWrap,
    ] {
        assert_eq!(callers(operation), [Caller::CryptoUser], "{operation:?}");
    }
    for operation in [Operation::UserCreate, Operation::UserDelete] {
        assert_eq!(callers(operation), [Caller::Admin], "{operation:?}");
    }
    for row in TABLE {
        let by_control_plane = row.callers.contains(&Caller::Appliance);
        let closed_list = matches!(
            row.operation,
            Operation::ApplianceCsr
                | Operation::ApplianceInstallCertificate
                | Operation::ApplianceState
                | Operation::ClusterInfo
                | Operation::Hello
                | Operation::UserList
        );
        assert!(!by_control_plane || closed_list, "{:?}", row.operation);
        // Elsewhere a login that has ended is as good as none.
        let is_of_certificates = format!("{:?}", row.operation).starts_with("Certificate");
        assert_eq!(row.login_counts, is_of_certificates, "{:?}", row.operation);
        if row.callers.contains(&Caller::Hsm) {
            assert_eq!(row.callers, [Caller::Hsm], "{:?}", row.operation);
        }
    }
}

#[test]
fn a_login_that_has_ended_is_told_before_its_role() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let admin = world.admin();
    let delete = crate::Command::DeleteUser { name: super::world::name("alice"), role: Role::CryptoUser };
    world.done(&admin, &delete, &crate::Made::Nothing).unwrap();
    let status = |operation| permit(&world.state, &alice, operation, world.now_ms).unwrap_err().status;
    assert_eq!(status(Operation::UserCreate), Status::LoginEnded);
    assert_eq!(status(Operation::Sign), Status::LoginEnded);
    // Who needs no login needs none that stands.
    assert!(permit(&world.state, &alice, Operation::Login, world.now_ms).is_ok());
}

/// The services of the guide, said a second time.
#[test]
fn what_must_be_approved() {
    use strongroom_types::QuorumService::{self, Cluster, KeyManagement, KeyUsage, Quorum, User};
    let of = |service: QuorumService| -> Vec<Operation> {
        TABLE.iter().filter(|row| row.service == Some(service)).map(|row| row.operation).collect()
    };
    for operation in [Operation::UserChangePassword, Operation::UserCreate, Operation::UserDelete] {
        assert!(of(User).contains(&operation), "{operation:?}");
    }
    for operation in [Operation::KeySetAttribute, Operation::KeyShare, Operation::KeyUnshare] {
        assert!(of(KeyManagement).contains(&operation), "{operation:?}");
    }
    for operation in [Operation::Sign, Operation::Decrypt] {
        assert!(of(KeyUsage).contains(&operation), "{operation:?}");
    }
    let admins =
        |service| of(service).into_iter().all(|operation| TABLE[operation as usize].callers.contains(&Caller::Admin));
    assert!(admins(User) && admins(Quorum) && admins(Cluster));
    for never in [Operation::Login, Operation::Logout, Operation::KeyDelete, Operation::KeyFind, Operation::Verify] {
        assert_eq!(TABLE[never as usize].service, None, "{never:?}");
    }
}
