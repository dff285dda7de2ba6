use strongroom_types::limits::{CA_CHAIN_LEN_MAX, HSMS_MAX};
use strongroom_types::{ClusterMode, ClusterState, HsmType, Role, Status};

use super::world::{World, hsm, install, name};
use crate::{Actor, Command, Hsm, Made, Plan, PlanError, Reply, cluster_view, list_users, plan};

#[test]
fn a_cluster_goes_from_nothing_to_active() {
    let mut world = World::empty();
    assert_eq!(cluster_view(&world.state).unwrap_err().status, Status::WrongClusterState);
    let (command, made) = (world.cluster_command(), world.made_cluster());
    assert_eq!(world.done(&Actor::Hsm, &command, &made), Ok(Reply::Done));
    assert_eq!(world.state.cluster().unwrap().state, ClusterState::Uninitialized);
    let roles: Vec<Role> = list_users(&world.state, &Actor::Anonymous, 0).unwrap().iter().map(|u| u.role).collect();
    assert_eq!(roles, [Role::UnactivatedAdmin, Role::ApplianceUser]);
    assert_eq!(world.done(&Actor::Appliance, &install(), &Made::Nothing), Ok(Reply::Done));
    let cluster = world.state.cluster().unwrap();
    assert_eq!((cluster.state, cluster.certificate_pem.as_str()), (ClusterState::Initialized, "certificate"));
    let credential = world.credential();
    assert_eq!(world.done(&Actor::Anonymous, &Command::Activate, &Made::Password(credential)), Ok(Reply::Done));
    assert_eq!(world.state.cluster().unwrap().state, ClusterState::Active);
    let admin = world.state.user_named(&name("admin")).unwrap();
    assert!(admin.role == Role::Admin && admin.credential.is_some());
}

#[test]
fn each_step_has_its_moment_and_its_actor() {
    let steps = |world: &mut World| {
        let create = (Actor::Hsm, world.cluster_command(), world.made_cluster());
        let activate = (Actor::Anonymous, Command::Activate, Made::Password(world.credential()));
        [create, (Actor::Appliance, install(), Made::Nothing), activate]
    };
    for (at, make) in [World::empty, World::uninitialized, World::initialized, World::active].into_iter().enumerate() {
        for (step, (actor, command, made)) in steps(&mut make()).into_iter().enumerate() {
            let mut world = make();
            let expected = if step == at { Ok(Reply::Done) } else { Err(Status::WrongClusterState) };
            assert_eq!(world.done(&actor, &command, &made), expected, "step {step} at {at}");
        }
    }
    let mut world = World::empty();
    let [create, install, _] = steps(&mut world);
    assert_eq!(world.done(&Actor::Appliance, &create.1, &create.2), Err(Status::RoleNotPermitted));
    let mut world = World::uninitialized();
    assert_eq!(world.done(&Actor::Hsm, &install.1, &install.2), Err(Status::RoleNotPermitted));
    assert_eq!(world.done(&Actor::Anonymous, &install.1, &install.2), Err(Status::RoleNotPermitted));
    let mut world = World::initialized();
    let [.., activate] = steps(&mut world);
    assert_eq!(world.done(&Actor::Appliance, &activate.1, &activate.2), Err(Status::RoleNotPermitted));
}

#[test]
fn clusters_that_cannot_be_are_refused() {
    let mut world = World::empty();
    world.hsm_type = HsmType::Hsm1Medium;
    let (command, made) = (world.cluster_command(), world.made_cluster());
    assert_eq!(world.done(&Actor::Hsm, &command, &made), Err(Status::WrongClusterState));
    world.mode = ClusterMode::Fips;
    let zero = |change: fn(&mut Command)| {
        let mut command = world.cluster_command();
        change(&mut command);
        command
    };
    let commands = [
        zero(|command| {
            if let Command::CreateCluster { epoch, .. } = command {
                *epoch = 0
            }
        }),
        zero(|command| {
            if let Command::CreateCluster { lease_ms, .. } = command {
                *lease_ms = 0
            }
        }),
        zero(|command| {
            if let Command::CreateCluster { password_iterations, .. } = command {
                *password_iterations = 0
            }
        }),
    ];
    for command in commands {
        assert_eq!(world.done(&Actor::Hsm, &command, &made), Err(Status::MalformedRequest), "{command:?}");
    }
    let Made::Cluster { sealed_tls_key, csr_der, admin, sealed_history_key, .. } = made.clone() else { unreachable!() };
    let same = Made::Cluster { sealed_tls_key, csr_der, admin, appliance: admin, sealed_history_key };
    let (command, request) = (world.cluster_command(), world.request());
    let outcome = plan(&world.state, &Actor::Hsm, &command, &same, &request, world.now_ms);
    assert_eq!(outcome, Err(PlanError::DrawAgain));
    assert_eq!(world.done(&Actor::Hsm, &command, &made), Ok(Reply::Done));
}

#[test]
fn hsms_enter_once_each_under_an_address_of_their_own() {
    let mut world = World::uninitialized();
    let register = |world: &mut World, hsm: Hsm| world.done(&Actor::Hsm, &Command::RegisterHsm(hsm), &Made::Nothing);
    assert_eq!(register(&mut world, hsm(1)), Ok(Reply::Done));
    let request = world.request();
    let again = plan(&world.state, &Actor::Hsm, &Command::RegisterHsm(hsm(1)), &Made::Nothing, &request, world.now_ms);
    assert_eq!(again, Ok(Plan::Nothing(Reply::Done)));
    let same_address = Hsm { ip: hsm(1).ip, ..hsm(2) };
    assert_eq!(register(&mut world, same_address.clone()), Err(Status::WrongClusterState));
    assert_eq!(register(&mut world, Hsm { port: 2224, ..same_address }), Ok(Reply::Done));
    assert_eq!(register(&mut world, Hsm { zone: String::from("b"), ..hsm(1) }), Ok(Reply::Done));
    assert_eq!(world.state.hsm(&hsm(1).id).unwrap().zone, "b");
    for bad in [
        Hsm { ip: String::from("localhost"), ..hsm(3) },
        Hsm { port: 0, ..hsm(3) },
        Hsm { zone: "z".repeat(65), ..hsm(3) },
        Hsm { serial: "s".repeat(65), ..hsm(3) },
    ] {
        assert_eq!(register(&mut world, bad.clone()), Err(Status::MalformedRequest), "{bad:?}");
    }
    for number in 3..=HSMS_MAX {
        assert_eq!(register(&mut world, hsm(u8::try_from(number).unwrap())), Ok(Reply::Done));
    }
    assert_eq!(register(&mut world, hsm(100)), Err(Status::WrongClusterState));
    // One that is in already may still move.
    assert_eq!(register(&mut world, Hsm { port: 2225, ..hsm(5) }), Ok(Reply::Done));
    let view = cluster_view(&world.state).unwrap();
    assert_eq!(view.hsms.len(), HSMS_MAX);
    assert!(view.hsms.is_sorted_by(|one, other| one.id < other.id));
}

#[test]
fn certificates_have_their_bounds() {
    let check = |certificate: usize, anchor: usize, expected: Result<Reply, Status>| {
        let command = Command::InstallCertificate {
            certificate_pem: "c".repeat(certificate),
            trust_anchor_pem: "a".repeat(anchor),
        };
        let outcome = World::uninitialized().done(&Actor::Appliance, &command, &Made::Nothing);
        assert_eq!(outcome, expected, "{certificate} and {anchor}");
    };
    check(1, CA_CHAIN_LEN_MAX, Ok(Reply::Done));
    check(CA_CHAIN_LEN_MAX, 1, Ok(Reply::Done));
    check(0, 1, Err(Status::CertificateInvalid));
    check(1, 0, Err(Status::CertificateInvalid));
    check(CA_CHAIN_LEN_MAX + 1, 1, Err(Status::CertificateInvalid));
    check(1, CA_CHAIN_LEN_MAX + 1, Err(Status::CertificateInvalid));
}

#[test]
fn made_for_another_command_is_a_bug() {
    let mut world = World::active();
    let (admin, made) = (world.admin(), world.made_user());
    let command =
        Command::ChangePassword { name: name("admin"), role: Role::Admin, deregister: crate::Deregister::NONE };
    assert_eq!(world.done(&admin, &command, &made), Err(Status::Internal));
    assert_eq!(world.done(&admin, &Command::Logout, &made), Err(Status::Internal));
    let mut short = world.credential();
    short.hash = strongroom_types::Secret::from(&[1; 63][..]);
    assert_eq!(world.done(&admin, &command, &Made::Password(short)), Err(Status::Internal));
}
