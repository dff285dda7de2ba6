//! A cluster's way from its request to its users.

use strongroom_crypto::certificates::CustomerCa;
use strongroom_types::Status;
use strongroom_types::limits::CLIENT_NAME_LEN_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{ADMIN, Client, Member, PASSWORD, World, now_s, refused, user_create};

fn hello(member: &Member) -> v1::HelloResult {
    match Client::of(member).ask(Operation::Hello(v1::Hello { client: "a test".into() })).unwrap() {
        Answer::Hello(hello) => hello,
        _ => panic!("another answer"),
    }
}

#[test]
fn a_client_tells_a_name_at_most_so_long() {
    let member = World::new().member(1);
    let of = |len| Client::of(&member).ask(Operation::Hello(v1::Hello { client: "a".repeat(len) }));
    of(CLIENT_NAME_LEN_MAX - 1).unwrap();
    of(CLIENT_NAME_LEN_MAX).unwrap();
    refused(of(CLIENT_NAME_LEN_MAX + 1), Status::MalformedRequest);
}

fn activate(password: &str) -> Operation {
    Operation::Activate(v1::Activate { password: password.into() })
}

#[test]
fn from_request_to_active() {
    let world = World::new();
    let member = world.member(1);
    assert_eq!(hello(&member).state, "UNINITIALIZED");
    refused(Client::of(&member).change(activate(PASSWORD)), Status::WrongClusterState);
    world.install(&member);
    assert_eq!(hello(&member).state, "INITIALIZED");
    refused(Client::of(&member).login("admin", ADMIN, PASSWORD), Status::WrongClusterState);
    let again = Client::appliance(&member).ask(Operation::ApplianceCsr(v1::ApplianceCsr {}));
    refused(again, Status::WrongClusterState);
    refused(Client::of(&member).change(activate("short")), Status::PasswordInvalid);
    Client::of(&member).change(activate(PASSWORD)).unwrap();
    assert_eq!(hello(&member).state, "ACTIVE");
    refused(Client::of(&member).change(activate(PASSWORD)), Status::WrongClusterState);
    Client::admin(&member).change(user_create("alice", PASSWORD)).unwrap();
}

#[test]
fn certificates_that_do_not_fit_are_refused_by_cause() {
    let world = World::new();
    let member = world.member(1);
    let good = world.certificate(&member);
    let other = World::new();
    let other_member = other.member(1);
    let foreign = other.certificate(&other_member);
    let check = |certificate: &str, anchor: &str, expected: &str| {
        let message =
            v1::ApplianceInstallCertificate { certificate_pem: certificate.into(), trust_anchor_pem: anchor.into() };
        let outcome = Client::appliance(&member).change(Operation::ApplianceInstallCertificate(message));
        let about = refused(outcome, Status::CertificateInvalid);
        assert!(about.contains(expected), "{about}");
    };
    check("", &good.trust_anchor_pem, "the certificate: ");
    check(&good.certificate_pem, "", "the trust anchor: ");
    check(
        &good.certificate_pem,
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        "the trust anchor: ",
    );
    check(&foreign.certificate_pem, &foreign.trust_anchor_pem, "another key");
    check(&good.trust_anchor_pem, &good.trust_anchor_pem, "another key");
    let stranger = CustomerCa::generate(now_s()).certificate().to_pem();
    check(&good.certificate_pem, &stranger, "does not vouch");
    // The cluster's leaf is no CA.
    check(&good.certificate_pem, &good.certificate_pem, "the trust anchor: ");
    assert_eq!(hello(&member).state, "UNINITIALIZED");
    Client::appliance(&member).change(Operation::ApplianceInstallCertificate(good.clone())).unwrap();
    // Whoever comes again is told that it was done, not what is wrong with it.
    let again = Operation::ApplianceInstallCertificate(v1::ApplianceInstallCertificate::default());
    refused(Client::appliance(&member).change(again), Status::WrongClusterState);
    assert_eq!(member.cluster.state().cluster().unwrap().certificate_pem, good.certificate_pem);
}

#[test]
fn an_hsm_that_does_not_serve_says_why_to_the_control_plane_alone() {
    let (_world, member) = World::active();
    let state = |member: &Member| match Client::appliance(member)
        .ask(Operation::ApplianceState(v1::ApplianceState {}))
        .unwrap()
    {
        Answer::ApplianceState(state) => state,
        _ => panic!("another answer"),
    };
    let before = state(&member);
    assert!(before.serving && before.reason.is_empty() && before.cluster_state == "ACTIVE", "{before:?}");
    assert_eq!(before.applied_revision, member.cluster.state().revision().0);
    member.cluster.stop();
    let after = state(&member);
    assert!(!after.serving && !after.reason.is_empty(), "{after:?}");
    refused(Client::of(&member).ask(Operation::Hello(v1::Hello::default())), Status::NotServing);
    let by_client = Client::of(&member).ask(Operation::ApplianceState(v1::ApplianceState {}));
    refused(by_client, Status::RoleNotPermitted);
}

#[test]
fn everybody_may_see_the_cluster() {
    let (world, member) = World::active();
    let second = world.member(2);
    let hello = hello(&second);
    let members: Vec<_> = hello.members.iter().map(|member| (member.ip.as_str(), member.serving)).collect();
    assert_eq!(members, [("127.0.0.1", true), ("127.0.0.2", true)]);
    assert_ne!(hello.hsm_id, hello.members[0].hsm_id);
    drop(second);
    let Answer::ClusterInfo(info) = Client::of(&member).ask(Operation::ClusterInfo(v1::ClusterInfo {})).unwrap() else {
        panic!("another answer")
    };
    assert_eq!(
        (info.mode.as_str(), info.hsm_type.as_str(), info.state.as_str()),
        ("NON_FIPS", "hsm2m.medium", "ACTIVE")
    );
    let serving: Vec<_> = info.hsms.iter().map(|hsm| hsm.serving).collect();
    assert_eq!(serving, [true, false]);
    assert!(info.hsms.iter().all(|hsm| hsm.vendor == "Strongroom" && hsm.serial_number.starts_with("1.0S0001-")));
    let Answer::UserList(users) = Client::of(&member).ask(Operation::UserList(v1::UserList {})).unwrap() else {
        panic!("another answer")
    };
    let names: Vec<_> = users.users.iter().map(|user| user.user_name.as_str()).collect();
    assert_eq!(names, ["admin", "alice", "bob", "app_user"]);
    let long = Operation::Hello(v1::Hello { client: "x".repeat(65) });
    assert_eq!(refused(Client::of(&member).ask(long), Status::MalformedRequest), "client");
}
