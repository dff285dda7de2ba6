//! Trust anchors of clients' certificates, and who may connect.

use strongroom_types::limits::{TRUST_ANCHOR_LEN_MAX, TRUST_ANCHORS_MAX};
use strongroom_types::{
    CertificateFingerprint, ClusterMode, HsmType, MtlsEnforcement, Role, Status, TrustAnchorReference,
};

use super::world::World;
use crate::{
    Actor, Batch, Command, CorruptState, Draft, Effect, Made, Plan, PlanError, Record, Reply, Request, TrustAnchor,
    Via, apply, check_connection, enforcement, list_trust_anchors,
};

fn fingerprint(number: u8) -> CertificateFingerprint {
    CertificateFingerprint([number; 32])
}

fn reference(number: u32) -> TrustAnchorReference {
    TrustAnchorReference::from_u32(number).unwrap()
}

pub(crate) fn register(number: u8) -> Command {
    Command::RegisterTrustAnchor { chain_pem: format!("chain {number}"), fingerprint: fingerprint(number) }
}

fn deregister(number: u32) -> Command {
    Command::DeregisterTrustAnchor(reference(number))
}

/// Over a connection that came with this anchor, or with none.
fn set(world: &mut World, actor: &Actor, level: MtlsEnforcement, presented: Option<u8>) -> Result<Reply, Status> {
    world.via = Via::Client(presented.map(fingerprint));
    let outcome = world.done(actor, &Command::SetEnforcement(level), &Made::Nothing);
    world.via = Via::Inside;
    outcome
}

#[track_caller]
fn registered(world: &mut World, admin: &Actor, number: u8) -> u8 {
    match world.done(admin, &register(number), &Made::Nothing).unwrap() {
        Reply::TrustAnchor(anchor) => anchor.reference.as_u8(),
        other => panic!("{other:?}"),
    }
}

fn listed(world: &World) -> Vec<(u8, String)> {
    let anchors = list_trust_anchors(&world.state, &Actor::Anonymous, world.now_ms).unwrap();
    anchors.iter().map(|anchor| (anchor.reference.as_u8(), anchor.chain_pem.clone())).collect()
}

/// What a connection gets that came with this anchor, or with none.
fn connection(world: &World, presented: Option<u8>) -> Result<(), Status> {
    let presented = presented.map(fingerprint);
    check_connection(&world.state, presented.as_ref()).map_err(|refusal| refusal.status)
}

const REQUIRED: Result<(), Status> = Err(Status::ClientCertificateRequired);

#[test]
fn a_cluster_has_two_anchors_under_the_lowest_free_references() {
    let mut world = World::active();
    let admin = world.admin();
    assert_eq!(listed(&world), []);
    assert_eq!(registered(&mut world, &admin, 7), 1);
    assert_eq!(registered(&mut world, &admin, 8), 2);
    assert_eq!(listed(&world), [(1, "chain 7".into()), (2, "chain 8".into())]);
    assert_eq!(listed(&world).len(), TRUST_ANCHORS_MAX);
    assert_eq!(world.done(&admin, &register(9), &Made::Nothing), Err(Status::TrustAnchorsFull));
    assert_eq!(world.done(&admin, &register(7), &Made::Nothing), Err(Status::TrustAnchorInvalid));
    assert_eq!(world.done(&admin, &deregister(1), &Made::Nothing), Ok(Reply::Done));
    assert_eq!(world.done(&admin, &deregister(1), &Made::Nothing), Err(Status::TrustAnchorUnknown));
    assert_eq!(world.done(&admin, &register(8), &Made::Nothing), Err(Status::TrustAnchorInvalid));
    assert_eq!(registered(&mut world, &admin, 9), 1);
    assert_eq!(listed(&world), [(1, "chain 9".into()), (2, "chain 8".into())]);
}

#[test]
fn a_chain_has_its_bounds_and_hsm1_has_none() {
    let mut world = World::active();
    let admin = world.admin();
    let max = TRUST_ANCHOR_LEN_MAX + TRUST_ANCHOR_LEN_MAX / 16;
    for (number, len, fits) in [(1, 0, false), (2, max + 1, false), (3, max, true), (4, 1, true)] {
        let command = Command::RegisterTrustAnchor { chain_pem: "x".repeat(len), fingerprint: fingerprint(number) };
        let outcome = world.done(&admin, &command, &Made::Nothing).map(drop);
        assert_eq!(outcome, if fits { Ok(()) } else { Err(Status::TrustAnchorInvalid) }, "{len}");
    }
    let mut world = World::of(HsmType::Hsm1Medium, ClusterMode::Fips);
    let admin = world.admin();
    assert_eq!(world.done(&admin, &register(1), &Made::Nothing), Err(Status::TrustAnchorInvalid));
    assert_eq!((listed(&world), enforcement(&world.state, &admin, world.now_ms)), (vec![], Ok(MtlsEnforcement::None)));
}

#[test]
fn admins_register_and_only_admin_enforces_over_a_connection_with_a_certificate() {
    let mut world = World::active();
    let (admin, alice) = (world.admin(), world.crypto_user("alice"));
    world.create("bea", Role::Admin).unwrap();
    let bea = world.login("bea", Role::Admin);
    let level = MtlsEnforcement::Cluster;
    for (actor, status) in [(alice, Status::RoleNotPermitted), (Actor::Anonymous, Status::NotLoggedIn)] {
        for command in [register(1), deregister(1), Command::SetEnforcement(level)] {
            assert_eq!(world.done(&actor, &command, &Made::Nothing), Err(status), "{command:?}");
        }
    }
    assert_eq!(enforcement(&world.state, &Actor::Anonymous, 0).unwrap_err().status, Status::NotLoggedIn);
    let required = Err(Status::ClientCertificateRequired);
    assert_eq!(set(&mut world, &admin, level, None), required);
    // Nobody can have come with it, so it is not believed.
    assert_eq!(set(&mut world, &admin, level, Some(1)), required);
    assert_eq!(registered(&mut world, &bea, 1), 1);
    assert_eq!(set(&mut world, &admin, level, None), required);
    assert_eq!(set(&mut world, &admin, level, Some(2)), required);
    assert_eq!(set(&mut world, &bea, level, Some(1)), Err(Status::RoleNotPermitted));
    assert_eq!(enforcement(&world.state, &alice, world.now_ms), Ok(MtlsEnforcement::None));
    assert_eq!(set(&mut world, &admin, level, Some(1)), Ok(Reply::Done));
    assert_eq!(enforcement(&world.state, &alice, world.now_ms), Ok(level));
    // What is so already is done again, and taken back by the same rules.
    assert_eq!(set(&mut world, &admin, level, Some(1)), Ok(Reply::Done));
    assert_eq!(set(&mut world, &admin, MtlsEnforcement::None, None), required);
    assert_eq!(set(&mut world, &admin, MtlsEnforcement::None, Some(1)), Ok(Reply::Done));
    assert_eq!(enforcement(&world.state, &alice, world.now_ms), Ok(MtlsEnforcement::None));
}

#[test]
fn connections_are_judged_by_the_newest_state() {
    let mut world = World::active();
    let admin = world.admin();
    assert_eq!(connection(&world, None), Ok(()));
    assert_eq!(connection(&world, Some(1)), REQUIRED);
    registered(&mut world, &admin, 1);
    registered(&mut world, &admin, 2);
    for presented in [None, Some(1), Some(2)] {
        assert_eq!(connection(&world, presented), Ok(()));
    }
    set(&mut world, &admin, MtlsEnforcement::Cluster, Some(1)).unwrap();
    world.via = Via::Client(Some(fingerprint(2)));
    assert_eq!([None, Some(1), Some(2), Some(3)].map(|p| connection(&world, p)), [REQUIRED, Ok(()), Ok(()), REQUIRED]);
    world.done(&admin, &deregister(1), &Made::Nothing).unwrap();
    assert_eq!([None, Some(1), Some(2)].map(|p| connection(&world, p)), [REQUIRED, REQUIRED, Ok(())]);
    // Another anchor under the same reference is another anchor.
    registered(&mut world, &admin, 4);
    assert_eq!([Some(1), Some(4)].map(|p| connection(&world, p)), [REQUIRED, Ok(())]);
    set(&mut world, &admin, MtlsEnforcement::None, Some(2)).unwrap();
    assert_eq!([None, Some(1), Some(2)].map(|p| connection(&world, p)), [Ok(()), REQUIRED, Ok(())]);
}

#[test]
fn the_last_anchor_stays_while_mutual_tls_is_enforced() {
    let mut world = World::active();
    let admin = world.admin();
    registered(&mut world, &admin, 1);
    registered(&mut world, &admin, 2);
    set(&mut world, &admin, MtlsEnforcement::Cluster, Some(2)).unwrap();
    // Nobody has shown yet to have a certificate under the first.
    world.via = Via::Client(Some(fingerprint(2)));
    assert_eq!(world.done(&admin, &deregister(2), &Made::Nothing), Err(Status::TrustAnchorInUse));
    world.via = Via::Client(Some(fingerprint(1)));
    assert_eq!(world.done(&admin, &deregister(2), &Made::Nothing), Ok(Reply::Done));
    assert_eq!(world.done(&admin, &deregister(1), &Made::Nothing), Err(Status::TrustAnchorInUse));
    assert_eq!(world.done(&admin, &deregister(2), &Made::Nothing), Err(Status::TrustAnchorUnknown));
    set(&mut world, &admin, MtlsEnforcement::None, Some(1)).unwrap();
    assert_eq!(world.done(&admin, &deregister(1), &Made::Nothing), Ok(Reply::Done));
    assert_eq!(listed(&world), []);
}

/// Every one of them is acknowledged when all members act by it, and acts once.
#[test]
fn repeats_are_answered_as_the_first_time() {
    let mut world = World::active();
    let admin = world.admin();
    let plan = |world: &World, command: &Command, request: &crate::Request| {
        let mut draft = Draft::new(world.state.clone());
        draft.plan(&admin, command, &Made::Nothing, request, world.now_ms).unwrap()
    };
    let register_request = world.request();
    let first = world.again(&admin, &register(1), &Made::Nothing, &register_request).unwrap();
    world.via = Via::Client(Some(fingerprint(1)));
    let levels = [MtlsEnforcement::Cluster, MtlsEnforcement::None].map(Command::SetEnforcement);
    for command in levels.into_iter().chain([deregister(1)]) {
        let request = world.request();
        let Plan::Replayed(replayed) = plan(&world, &register(1), &register_request) else { panic!() };
        assert_eq!((&replayed.reply, replayed.effect), (&first, Effect::Revoking));
        assert_eq!(world.again(&admin, &command, &Made::Nothing, &request), Ok(Reply::Done));
        let Plan::Replayed(replayed) = plan(&world, &command, &request) else { panic!("{command:?}") };
        assert_eq!((replayed.reply, replayed.effect), (Reply::Done, Effect::Revoking), "{command:?}");
    }
    // What was registered and deregistered is not registered by a repeat that comes late.
    let late = world.again(&admin, &register(1), &Made::Nothing, &register_request);
    assert_eq!(late, Err(Status::TrustAnchorUnknown));
    assert_eq!(world.again(&admin, &register(2), &Made::Nothing, &register_request), Err(Status::TrustAnchorUnknown));
}

#[test]
fn a_step_over_several_changes_may_move_an_anchor_and_doubles_none() {
    let mut world = World::active();
    let admin = world.admin();
    registered(&mut world, &admin, 1);
    registered(&mut world, &admin, 2);
    let anchor = |number: u32| world.state.trust_anchor(reference(number)).unwrap().as_ref().clone();
    let moved = [(1, 2), (2, 1)].map(|(to, from)| TrustAnchor { reference: reference(to), ..anchor(from) });
    let batch = |puts: Vec<Record>| Batch {
        revision: world.state.revision().next(),
        time_ms: world.now_ms,
        puts,
        deletes: Vec::new(),
    };
    let mut state = world.state.clone();
    apply(&mut state, &batch(moved.clone().map(Record::TrustAnchor).into())).unwrap();
    assert_eq!(state.trust_anchor(reference(1)).unwrap().chain_pem, "chain 2");
    let mut state = world.state.clone();
    let twice = apply(&mut state, &batch(vec![Record::TrustAnchor(moved[0].clone())]));
    assert_eq!(twice, Err(CorruptState::TrustAnchor(reference(1))));
    assert_eq!(state, world.state);
}

/// A change that was on its way over a connection when that came to its end is not made afterwards.
#[test]
fn what_a_connection_asked_for_ends_with_it() {
    let mut world = World::active();
    let admin = world.admin();
    registered(&mut world, &admin, 1);
    registered(&mut world, &admin, 2);
    let create = Command::CreateUser { name: super::world::name("alice"), role: Role::CryptoUser };
    let refused = |world: &mut World, draft: &mut Draft, presented: Option<u8>| {
        world.via = Via::Client(presented.map(fingerprint));
        let (request, made) = (world.request(), world.made_user());
        world.via = Via::Inside;
        match draft.plan(&admin, &create, &made, &request, world.now_ms) {
            Err(PlanError::Refused(refusal)) => Some(refusal.status),
            outcome => outcome.map(|_| None).unwrap(),
        }
    };
    // In the very batch that ends it.
    let mut draft = Draft::new(world.state.clone());
    assert_eq!(refused(&mut world, &mut draft.clone(), None), None);
    let request = Request { via: Via::Client(Some(fingerprint(1))), ..world.request() };
    let enforced = Command::SetEnforcement(MtlsEnforcement::Cluster);
    draft.plan(&admin, &enforced, &Made::Nothing, &request, world.now_ms).unwrap();
    let required = Some(Status::ClientCertificateRequired);
    assert_eq!(refused(&mut world, &mut draft, None), required);
    assert_eq!(refused(&mut world, &mut draft.clone(), Some(2)), None);
    let request = Request { via: Via::Client(Some(fingerprint(1))), ..world.request() };
    draft.plan(&admin, &deregister(2), &Made::Nothing, &request, world.now_ms).unwrap();
    assert_eq!(refused(&mut world, &mut draft, Some(2)), required);
    assert_eq!(refused(&mut world, &mut draft, Some(1)), None);
}
