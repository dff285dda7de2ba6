//! What admins approve together.

use strongroom_types::{CertificateFingerprint, MtlsEnforcement, QuorumService, Role, Status, TokenId};

use super::super::mtls;
use super::super::world::{SECOND, World, name};
use super::{key, subject, three_admins};
use crate::{
    Actor, Approval, Approver, Command, Deregister, Made, Plan, PlanError, Reply, Request, Via, check, enforcement,
    list_tokens, list_trust_anchors, plan,
};

fn create(user: &str) -> Command {
    Command::CreateUser { name: name(user), role: Role::CryptoUser }
}

fn create_approved(
    world: &mut World,
    actor: &Actor,
    user: &str,
    approvals: (TokenId, &[(&str, u8)]),
) -> Result<Reply, Status> {
    let made = world.made_user();
    world.approved(actor, &create(user), &made, approvals)
}

#[test]
fn two_of_three_admins_make_a_user() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let made = world.made_user();
    assert_eq!(world.done(&admin, &create("dan"), &made), Err(Status::QuorumRequired));
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    let mut refused = |approvers: &[(&str, u8)]| {
        let outcome = create_approved(&mut world, &admin, "dan", (token, approvers));
        assert_eq!(outcome, Err(Status::QuorumRequired), "{approvers:?}");
    };
    refused(&[]);
    refused(&[("admin", 1)]);
    // One user twice, and a key that is not that user's.
    refused(&[("admin", 1), ("admin", 1)]);
    refused(&[("admin", 1), ("bea", 3)]);
    create_approved(&mut world, &admin, "dan", (token, &[("admin", 1), ("bea", 2)])).unwrap();
    // Good once.
    let again = create_approved(&mut world, &admin, "eve", (token, &[("admin", 1), ("bea", 2)]));
    assert_eq!(again, Err(Status::QuorumRequired));
    assert!(world.state.quorum_token(token).is_none() && world.state.user_named(&name("eve")).is_none());
    // Whoever asks need not be one of them.
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    create_approved(&mut world, &admin, "eve", (token, &[("bea", 2), ("cyd", 3)])).unwrap();
}

#[test]
fn approvals_of_others_do_not_count() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    create_approved(&mut world, &admin, "alice", (token, &[("admin", 1), ("bea", 2)])).unwrap();
    let alice = world.login("alice", Role::CryptoUser);
    world.register(&alice, 9).unwrap();
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    // A crypto user, and somebody who is no user at all.
    let outcome = create_approved(&mut world, &admin, "dan", (token, &[("admin", 1), ("alice", 9)]));
    assert_eq!(outcome, Err(Status::QuorumRequired));
    let nobody = Approver { user: strongroom_types::UserId::from_bytes([9; 16]), key: key(2) };
    let approvers = vec![world.approver("admin", 1), nobody];
    let (made, request) = (world.made_user(), world.request());
    let request = Request { approvals: vec![Approval { token, approvers }], ..request };
    assert_eq!(world.again(&admin, &create("dan"), &made, &request), Err(Status::QuorumRequired));
}

#[test]
fn a_key_that_several_registered_counts_once() {
    let (mut world, [admin, bea, _]) = three_admins(2, 1);
    // Under one signature either name could be written.
    world.register(&bea, 1).unwrap();
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    let outcome = create_approved(&mut world, &admin, "dan", (token, &[("admin", 1), ("bea", 1)]));
    assert_eq!(outcome, Err(Status::QuorumRequired));
    create_approved(&mut world, &admin, "dan", (token, &[("admin", 1), ("bea", 1), ("cyd", 3)])).unwrap();
}

#[test]
fn a_token_is_good_for_its_service_its_user_and_its_login_alone() {
    let (mut world, [admin, bea, _]) = three_admins(2, 1);
    let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2), ("cyd", 3)];
    let of_quorum = world.token(&admin, subject(QuorumService::Quorum)).unwrap();
    let of_cluster = world.token(&admin, subject(QuorumService::Cluster)).unwrap();
    let registration = world.token(&admin, subject(QuorumService::Registration)).unwrap();
    for token in [of_quorum, of_cluster, registration] {
        assert_eq!(create_approved(&mut world, &admin, "dan", (token, all)), Err(Status::QuorumTokenInvalid));
    }
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    assert_eq!(create_approved(&mut world, &bea, "dan", (token, all)), Err(Status::QuorumTokenInvalid));
    let elsewhere = world.login("admin", Role::Admin);
    assert_eq!(create_approved(&mut world, &elsewhere, "dan", (token, all)), Err(Status::QuorumTokenInvalid));
    create_approved(&mut world, &admin, "dan", (token, all)).unwrap();
}

#[test]
fn a_token_ends_at_its_time_with_its_login_and_when_it_is_deleted() {
    let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2)];
    let check = |what: &str, end: &dyn Fn(&mut World, &Actor, &Actor) -> Actor, expected: Result<(), Status>| {
        let (mut world, [admin, bea, _]) = three_admins(2, 1);
        let token = world.token(&admin, subject(QuorumService::User)).unwrap();
        let actor = end(&mut world, &admin, &bea);
        let outcome = create_approved(&mut world, &actor, "dan", (token, all));
        assert_eq!(outcome.map(drop), expected, "{what}");
        let listed = list_tokens(&world.state, &Actor::Anonymous, world.now_ms).unwrap();
        assert!(listed.is_empty(), "{what}: {listed:?}");
    };
    let delete = |of_everybody| Command::DeleteQuorumTokens { of_everybody };
    check(
        "before its time",
        &|world, admin, _| {
            world.now_ms += 599 * SECOND;
            *admin
        },
        Ok(()),
    );
    check(
        "at its time",
        &|world, admin, _| {
            world.now_ms += 600 * SECOND;
            *admin
        },
        Err(Status::QuorumTokenInvalid),
    );
    check(
        "logged out, and in again",
        &|world, admin, _| {
            world.done(admin, &Command::Logout, &Made::Nothing).unwrap();
            world.login("admin", Role::Admin)
        },
        Err(Status::QuorumTokenInvalid),
    );
    check(
        "deleted by its user",
        &|world, admin, _| {
            world.done(admin, &delete(false), &Made::Nothing).unwrap();
            *admin
        },
        Err(Status::QuorumRequired),
    );
    check(
        "deleted with all others",
        &|world, admin, bea| {
            world.done(bea, &delete(true), &Made::Nothing).unwrap();
            *admin
        },
        Err(Status::QuorumTokenInvalid),
    );
    check(
        "replaced by a newer one, which goes too",
        &|world, admin, _| {
            world.token(admin, subject(QuorumService::User)).unwrap();
            world.done(admin, &delete(false), &Made::Nothing).unwrap();
            *admin
        },
        Err(Status::QuorumRequired),
    );
}

#[test]
fn a_new_password_ends_tokens_also_where_the_login_goes_on() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2)];
    let first = world.token(&admin, subject(QuorumService::User)).unwrap();
    let second = world.token(&admin, subject(QuorumService::Cluster)).unwrap();
    let command = Command::ChangePassword { name: name("admin"), role: Role::Admin, deregister: Deregister::NONE };
    let credential = world.credential();
    let renewed = world.approved(&admin, &command, &Made::Password(credential.clone()), (first, all));
    assert!(matches!(renewed, Ok(Reply::User { renewed: Some(_), .. })), "{renewed:?}");
    let Actor::Login(login) = admin else { unreachable!() };
    let admin = Actor::Login(login.with_credential(credential.id));
    assert_eq!(create_approved(&mut world, &admin, "dan", (second, all)), Err(Status::QuorumTokenInvalid));
    assert!(list_tokens(&world.state, &admin, world.now_ms).unwrap().is_empty());
}

#[test]
fn deleting_everybodys_tokens_is_for_admins_and_spares_later_ones() {
    let (mut world, [admin, bea, _]) = three_admins(1, 1);
    let alice = world.crypto_user("alice");
    world.token(&admin, subject(QuorumService::User)).unwrap();
    let delete = |of_everybody| Command::DeleteQuorumTokens { of_everybody };
    assert_eq!(world.done(&alice, &delete(true), &Made::Nothing), Err(Status::RoleNotPermitted));
    world.done(&alice, &delete(false), &Made::Nothing).unwrap();
    assert_eq!(list_tokens(&world.state, &alice, world.now_ms).unwrap().len(), 1);
    world.done(&bea, &delete(true), &Made::Nothing).unwrap();
    assert!(list_tokens(&world.state, &alice, world.now_ms).unwrap().is_empty());
    world.token(&admin, subject(QuorumService::User)).unwrap();
    assert_eq!(list_tokens(&world.state, &alice, world.now_ms).unwrap().len(), 1);
}

#[test]
fn everything_of_the_service_user_needs_approval_but_ones_own_password() {
    let (mut world, [admin, ..]) = three_admins(1, 1);
    let alice = world.crypto_user("alice");
    world.set_value(&admin, QuorumService::User, 2).unwrap();
    let password = |user: &str, role| Command::ChangePassword { name: name(user), role, deregister: Deregister::NONE };
    let made = Made::Password(world.credential());
    for (user, role) in [("admin", Role::Admin), ("bea", Role::Admin), ("alice", Role::CryptoUser)] {
        assert_eq!(world.done(&admin, &password(user, role), &made), Err(Status::QuorumRequired), "{user}");
    }
    let mfa = Command::ChangeMfa {
        name: name("alice"),
        role: Role::CryptoUser,
        change: crate::MfaChange::Disable,
        change_quorum: false,
    };
    assert_eq!(world.done(&admin, &mfa, &made), Err(Status::QuorumRequired));
    let delete = Command::DeleteUser { name: name("alice"), role: Role::CryptoUser };
    assert_eq!(world.done(&admin, &delete, &Made::Nothing), Err(Status::QuorumRequired));
    world.done(&alice, &password("alice", Role::CryptoUser), &made).unwrap();
}

#[test]
fn everything_of_the_service_cluster_needs_approval() {
    let (mut world, [admin, ..]) = three_admins(1, 1);
    world.done(&admin, &mtls::register(1), &Made::Nothing).unwrap();
    world.done(&admin, &mtls::register(2), &Made::Nothing).unwrap();
    world.set_value(&admin, QuorumService::Cluster, 2).unwrap();
    let commands = [
        Command::DeregisterTrustAnchor("2".parse().unwrap()),
        mtls::register(3),
        Command::SetEnforcement(MtlsEnforcement::Cluster),
        Command::SetEnforcement(MtlsEnforcement::None),
    ];
    world.via = Via::Client(Some(CertificateFingerprint([1; 32])));
    for command in commands {
        assert_eq!(world.done(&admin, &command, &Made::Nothing), Err(Status::QuorumRequired), "{command:?}");
        let other = world.token(&admin, subject(QuorumService::User)).unwrap();
        let approvers: &[(&str, u8)] = &[("admin", 1), ("bea", 2)];
        let outcome = world.approved(&admin, &command, &Made::Nothing, (other, approvers));
        assert_eq!(outcome, Err(Status::QuorumTokenInvalid), "{command:?}");
        let token = world.token(&admin, subject(QuorumService::Cluster)).unwrap();
        world.approved(&admin, &command, &Made::Nothing, (token, approvers)).unwrap();
        assert!(world.state.quorum_token(token).is_none(), "{command:?}");
    }
    // Looking needs none.
    list_trust_anchors(&world.state, &admin, world.now_ms).unwrap();
    enforcement(&world.state, &admin, world.now_ms).unwrap();
}

#[test]
fn an_approver_who_lost_the_key_or_the_account_in_between_does_not_count() {
    let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2)];
    let (mut world, [admin, bea, _]) = three_admins(2, 1);
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    // The HSM verified it with key 2; when it commits, the key is another.
    world.register(&bea, 7).unwrap();
    assert_eq!(create_approved(&mut world, &admin, "dan", (token, all)), Err(Status::QuorumRequired));
    let bea_with_2 = world.approver("bea", 2);
    let approvers = vec![world.approver("admin", 1), bea_with_2.clone()];
    let command = Command::DeleteUser { name: name("bea"), role: Role::Admin };
    world.approved(&admin, &command, &Made::Nothing, (token, &[("admin", 1), ("cyd", 3)])).unwrap();
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    let (made, request) = (world.made_user(), world.request());
    let request = Request { approvals: vec![Approval { token, approvers }], ..request };
    assert_eq!(world.again(&admin, &create("dan"), &made, &request), Err(Status::QuorumRequired));
}

#[test]
fn two_members_that_are_shown_one_token_use_it_once() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    let approvers = vec![world.approver("admin", 1), world.approver("bea", 2)];
    let mut ask = || {
        let (made, request) = (world.made_user(), world.request());
        (made, Request { approvals: vec![Approval { token, approvers: approvers.clone() }], ..request })
    };
    let ((here_made, here), (there_made, there)) = (ask(), ask());
    // Both planned on one state: only one commits on it.
    let planned = |made: &Made, request: &Request, user: &str| {
        plan(&world.state, &admin, &create(user), made, request, world.now_ms)
    };
    assert!(matches!(planned(&here_made, &here, "dan"), Ok(Plan::Change(_))));
    assert!(matches!(planned(&there_made, &there, "eve"), Ok(Plan::Change(_))));
    // And in one batch the second finds no token.
    let mut draft = crate::Draft::new(world.state.clone());
    draft.plan(&admin, &create("dan"), &here_made, &here, world.now_ms).unwrap();
    let second = draft.plan(&admin, &create("eve"), &there_made, &there, world.now_ms);
    assert!(matches!(second, Err(PlanError::Refused(refusal)) if refusal.status == Status::QuorumRequired));
    world.commit(&draft.finish());
    assert_eq!(world.again(&admin, &create("eve"), &there_made, &there), Err(Status::QuorumRequired));
    // The first, asked again: its receipt answers.
    assert!(world.again(&admin, &create("dan"), &here_made, &here).is_ok());
    assert!(world.state.user_named(&name("eve")).is_none());
}

#[test]
fn nothing_is_made_before_it_is_approved() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let request = world.request();
    let refused = check(&world.state, &admin, &create("dan"), &request, world.now_ms);
    assert_eq!(refused.unwrap_err().status, Status::QuorumRequired);
}

#[test]
fn a_change_that_is_refused_leaves_its_token() {
    let (mut world, [admin, ..]) = three_admins(2, 1);
    let token = world.token(&admin, subject(QuorumService::User)).unwrap();
    let all: &[(&str, u8)] = &[("admin", 1), ("bea", 2)];
    assert_eq!(create_approved(&mut world, &admin, "bea", (token, all)), Err(Status::UserExists));
    create_approved(&mut world, &admin, "dan", (token, all)).unwrap();
}
