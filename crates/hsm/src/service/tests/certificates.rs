//! Certificates by the messages of the wire, with a login and without one, over several members.

use std::time::{Duration, Instant};

use strongroom_types::limits::{CERTIFICATE_CHANGE_MS_MIN, CERTIFICATES_EACH_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{CRYPTO_USER, Client, World, refused, user_delete};

fn create(label: &str, without_login: bool) -> v1::CertificateCreate {
    v1::CertificateCreate {
        attributes: Some(v1::CertificateAttributes {
            label: label.into(),
            subject: vec![0x30, 0],
            modifiable: true,
            destroyable: true,
            ..v1::CertificateAttributes::default()
        }),
        public_key_info: vec![0x30, 0],
        value: vec![0x30, 3, 2, 1, 7],
        trusted: false,
        without_login,
    }
}

fn create_private(label: &str) -> v1::CertificateCreate {
    let mut message = create(label, false);
    message.attributes.as_mut().unwrap().private = true;
    message
}

fn rename(reference: u64, label: &str, without_login: bool) -> Operation {
    let label = Some(label.into());
    Operation::CertificateSet(v1::CertificateSet { reference, label, without_login, ..Default::default() })
}

fn delete(reference: u64, without_login: bool) -> Operation {
    Operation::CertificateDelete(v1::CertificateDelete { reference, without_login })
}

impl Client<'_> {
    fn certificate(&mut self, message: v1::CertificateCreate) -> Result<v1::Certificate, Refusal> {
        match self.change(Operation::CertificateCreate(message))? {
            Answer::CertificateCreate(certificate) => Ok(certificate),
            _ => panic!("another answer"),
        }
    }

    fn certificates(&mut self, message: v1::CertificateFind) -> v1::CertificateFindResult {
        match self.ask(Operation::CertificateFind(message)).unwrap() {
            Answer::CertificateFind(found) => found,
            _ => panic!("another answer"),
        }
    }

    fn labels(&mut self, without_login: bool) -> Vec<String> {
        let found = self.certificates(v1::CertificateFind { without_login, ..Default::default() });
        found.certificates.into_iter().map(|one| one.attributes.unwrap().label).collect()
    }

    fn get(&mut self, reference: u64, without_login: bool) -> Result<v1::Certificate, Refusal> {
        match self.ask(Operation::CertificateGet(v1::CertificateGet { reference, without_login }))? {
            Answer::CertificateGet(certificate) => Ok(certificate),
            _ => panic!("another answer"),
        }
    }

    /// A change that waits for the strangers' turn.
    fn in_turn(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.change(operation.clone()) {
                Err(refusal) if refusal.status == Status::Busy && Instant::now() < deadline => {
                    std::thread::yield_now();
                }
                outcome => return outcome,
            }
        }
    }
}

#[test]
fn a_certificate_is_kept_for_all_members_and_told_whole_when_it_is_asked_for() {
    let (world, first) = World::active();
    let second = world.member(2);
    let (mut alice, mut bob) = (Client::alice(&first), Client::logged_in(&second, "bob", CRYPTO_USER));
    let made = alice.certificate(create("site", false)).unwrap();
    assert_eq!((made.owner.as_str(), made.value.len(), made.public_key_info.len()), ("alice", 0, 0));
    // SHA-1 of 30 03 02 01 07, by `openssl dgst -sha1`.
    assert_eq!(made.check_value, [0xc0, 0xd2, 0xe6]);
    let whole = bob.get(made.reference, false).unwrap();
    let (value, public_key_info) = (create("", false).value, create("", false).public_key_info);
    assert_eq!(whole, v1::Certificate { value, public_key_info, ..made.clone() });
    assert_eq!(Client::of(&second).get(made.reference, true).unwrap(), whole);
    let by = |message: v1::CertificateFind| Client::alice(&second).certificates(message).references;
    let subject = |bytes: &[u8]| v1::CertificateFind { subject: Some(bytes.to_vec()), ..Default::default() };
    assert_eq!(by(subject(&[0x30, 0])), [made.reference]);
    assert_eq!(by(subject(&[0x30])), [0; 0]);
    assert_eq!(by(v1::CertificateFind { value: Some(whole.value.clone()), ..Default::default() }), [made.reference]);
    alice.change(rename(made.reference, "renamed", false)).unwrap();
    assert_eq!(bob.labels(false), ["renamed"]);
    refused(bob.change(delete(made.reference, false)), Status::CertificateProtected);
    alice.change(delete(made.reference, false)).unwrap();
    refused(bob.get(made.reference, false), Status::CertificateUnknown);
    for none in [0, u64::MAX] {
        refused(bob.get(none, false), Status::CertificateUnknown);
        refused(alice.change(delete(none, false)), Status::CertificateUnknown);
        refused(alice.change(rename(none, "x", false)), Status::CertificateUnknown);
    }
}

#[test]
fn whoever_asks_without_a_login_is_nobody_also_on_a_connection_with_one() {
    let (_world, member) = World::active();
    let (mut alice, mut stranger) = (Client::alice(&member), Client::of(&member));
    let hidden = alice.certificate(create_private("hidden")).unwrap().reference;
    let open = alice.certificate(create("open", false)).unwrap().reference;
    assert_eq!(alice.labels(false).len(), 2);
    for client in [&mut alice, &mut stranger] {
        assert_eq!(client.labels(true), ["open"]);
        refused(client.get(hidden, true), Status::CertificateUnknown);
        refused(client.change(delete(hidden, true)), Status::CertificateUnknown);
        refused(client.change(delete(open, true)), Status::CertificateProtected);
    }
    // A stranger who does not say so is one all the same.
    refused(stranger.get(hidden, false), Status::CertificateUnknown);
    let nobodys = alice.certificate(create("nobody's", true)).unwrap();
    assert_eq!(nobodys.owner, "");
    alice.change(delete(nobodys.reference, false)).unwrap();
    // After a logout elsewhere: the login has ended, and nobody may still ask.
    let mut elsewhere = Client::of(&member);
    elsewhere.attach(&alice.ticket.clone()).unwrap();
    elsewhere.change(Operation::Logout(v1::Logout {})).unwrap();
    refused(alice.get(open, false), Status::LoginEnded);
    refused(alice.change(delete(open, false)), Status::LoginEnded);
    assert_eq!(alice.labels(true), ["open"]);
    let mut appliance = Client::appliance(&member);
    refused(appliance.change(Operation::CertificateCreate(create("one", true))), Status::RoleNotPermitted);
    refused(appliance.get(open, true), Status::RoleNotPermitted);
}

#[test]
fn strangers_take_turns_and_users_do_not_wait_for_them() {
    let (_world, member) = World::active();
    let (mut alice, mut one, mut other) = (Client::alice(&member), Client::of(&member), Client::of(&member));
    let began = Instant::now();
    let id = [7; 16];
    let made = one.change_as(&id, Operation::CertificateCreate(create("one", true))).unwrap();
    let busy = other.change(Operation::CertificateCreate(create("two", true)));
    // Unless this machine stood still for so long.
    let is_late = began.elapsed() > Duration::from_millis(CERTIFICATE_CHANGE_MS_MIN);
    assert!(is_late || busy.is_err_and(|refusal| refusal.status == Status::Busy));
    // The same again is no other change, and what is refused takes no turn.
    assert!(one.change_as(&id, Operation::CertificateCreate(create("one", true))).unwrap() == made);
    let mut bad = create("bad", true);
    bad.value.clear();
    refused(other.change(Operation::CertificateCreate(bad)), Status::AttributeValueInvalid);
    for number in 0..5 {
        alice.certificate(create(&format!("{number}"), false)).unwrap();
    }
    let operation = Operation::CertificateCreate(create("two", true));
    let Answer::CertificateCreate(second) = other.in_turn(&operation).unwrap() else { panic!("another answer") };
    other.in_turn(&delete(second.reference, true)).unwrap();
    // At least two pauses.
    assert!(began.elapsed() >= Duration::from_millis(CERTIFICATE_CHANGE_MS_MIN), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_certificate_is_refused_and_trust_is_not_given() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let mut check = |break_it: &dyn Fn(&mut v1::CertificateCreate), status| {
        let mut message = create("one", false);
        break_it(&mut message);
        refused(alice.certificate(message), status)
    };
    fn attributes(message: &mut v1::CertificateCreate) -> &mut v1::CertificateAttributes {
        message.attributes.as_mut().unwrap()
    }
    assert_eq!(check(&|message| message.attributes = None, Status::MalformedRequest), "attributes");
    assert_eq!(check(&|message| attributes(message).category = 9, Status::MalformedRequest), "category");
    assert_eq!(check(&|message| attributes(message).end_date = "now".into(), Status::MalformedRequest), "end_date");
    assert_eq!(check(&|message| message.trusted = true, Status::AttributeReadOnly), "trusted");
    let long = |message: &mut v1::CertificateCreate| message.public_key_info = vec![0; 16 * 1024 + 1];
    assert!(check(&long, Status::AttributeValueInvalid).contains("public-key-info"));
    assert!(check(&|message| message.value = vec![0x30, 9], Status::AttributeValueInvalid).contains("DER"));
    refused(Client::admin(&member).certificate(create("one", false)), Status::RoleNotPermitted);
    refused(alice.ask(Operation::CertificateCreate(create("one", false))), Status::MalformedRequest);
}

/// Answers to strangers are short, whatever is said of certificates, and lead to all of them.
#[test]
fn many_long_ones_are_told_in_several_answers() {
    use prost::Message;
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    for _ in 0..7 {
        let mut message = create(&"ß".repeat(127), false);
        let attributes = message.attributes.as_mut().unwrap();
        (attributes.subject, attributes.issuer) = (vec![1; 4_096], vec![2; 4_096]);
        alice.certificate(message).unwrap();
    }
    let (mut after, mut seen, mut stranger) = (0, Vec::new(), Client::of(&member));
    let all = stranger.certificates(v1::CertificateFind::default()).references;
    assert!(all.len() == 7 && all.is_sorted());
    while seen.len() < all.len() {
        let page = stranger.certificates(v1::CertificateFind { after, ..Default::default() });
        assert!(page.encoded_len() <= 2 * FRAME_LEN_MAX_BEFORE_LOGIN && !page.certificates.is_empty());
        assert_eq!(page.references, all);
        seen.extend(page.certificates.iter().map(|one| one.reference));
        after = *seen.last().unwrap();
    }
    assert_eq!(seen, all);
    let last = stranger.certificates(v1::CertificateFind { after, ..Default::default() });
    assert_eq!((last.certificates.len(), last.references.len()), (0, 7));
}

#[test]
fn a_user_who_goes_takes_certificates_along() {
    let (world, first) = World::active();
    let second = world.member(2);
    let mut bob = Client::logged_in(&first, "bob", CRYPTO_USER);
    for _ in 0..CERTIFICATES_EACH_MAX {
        bob.certificate(create_private("bob's")).unwrap();
    }
    let kept = Client::alice(&first).certificate(create("alice's", false)).unwrap();
    Client::admin(&second).change(user_delete("bob")).unwrap();
    let state = first.cluster.state();
    let left: Vec<u64> = state.certificates().map(|one| one.reference.as_u64()).collect();
    assert_eq!(left, [kept.reference]);
}

#[test]
fn a_member_that_cannot_reach_the_store_does_not_say_that_there_is_none() {
    let (_world, member) = World::active();
    let mut alice = Client::alice(&member);
    let reference = alice.certificate(create("one", false)).unwrap().reference;
    member.door.set_unavailable(true);
    assert_eq!(alice.get(reference, false).unwrap().reference, reference);
    refused(alice.get(reference ^ 1, false), Status::StoreUnavailable);
    refused(alice.change(delete(reference ^ 1, false)), Status::StoreUnavailable);
}
