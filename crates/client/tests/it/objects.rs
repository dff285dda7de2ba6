//! Certificates as objects: as whom a client asks, and how it reads what is told in parts.

use strongroom_client::{CertificateInfo, Client, ClientError};
use strongroom_types::limits::{CERTIFICATES_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{
    CertificateAttributes, CertificateChange, CertificateFilter, CertificateReference, CertificateTemplate, Role,
};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{Hsm, Reaction, World, alice, give_credentials, password};

fn reference(number: u64) -> CertificateReference {
    CertificateReference::from_u64(number).unwrap()
}

fn attributes() -> CertificateAttributes {
    CertificateAttributes { subject: vec![0x30, 0], ..CertificateAttributes::default() }
}

fn described(number: u64) -> v1::Certificate {
    let (attributes, check_value, owner) = (attributes(), [1, 2, 3], None);
    CertificateInfo { reference: reference(number), attributes, check_value, owner }.into()
}

fn answer(result: Answer) -> Reaction {
    Reaction::Answer(v1::Response { result: Some(result), ..v1::Response::default() })
}

/// Plays an HSM that tells two certificates an answer.
fn play(hsm: &Hsm, references: Vec<u64>) {
    hsm.script(move |request| match request.operation.as_ref().unwrap() {
        Operation::CertificateFind(find) => {
            let after = references.iter().filter(|number| **number > find.after);
            let certificates = after.take(2).map(|number| described(*number)).collect();
            answer(Answer::CertificateFind(v1::CertificateFindResult { references: references.clone(), certificates }))
        }
        Operation::CertificateCreate(create) => {
            assert_eq!(request.request_id.len(), 16);
            answer(Answer::CertificateCreate(v1::Certificate { attributes: create.attributes.clone(), ..described(7) }))
        }
        Operation::CertificateGet(get) => {
            let value = vec![0x30, 0];
            answer(Answer::CertificateGet(v1::Certificate { value, ..described(get.reference) }))
        }
        Operation::CertificateDelete(_) => answer(Answer::CertificateDelete(v1::Empty {})),
        Operation::CertificateSet(_) => answer(Answer::CertificateSet(v1::Empty {})),
        _ => Reaction::Usual,
    });
}

fn numbers(client: &Client) -> Vec<u64> {
    let found = client.certificate_find(&CertificateFilter::default()).unwrap();
    found.iter().map(|certificate| certificate.reference.as_u64()).collect()
}

/// Whether each request of certificates that was heard came without a login.
fn without_login(world: &World) -> Vec<bool> {
    let heard = world.hsms[0].heard().into_iter();
    heard
        .filter_map(|heard| match heard.request.operation? {
            Operation::CertificateCreate(message) => Some(message.without_login),
            Operation::CertificateDelete(message) => Some(message.without_login),
            Operation::CertificateFind(message) => Some(message.without_login),
            Operation::CertificateGet(message) => Some(message.without_login),
            Operation::CertificateSet(message) => Some(message.without_login),
            _ => None,
        })
        .collect()
}

fn template(len: usize) -> CertificateTemplate {
    CertificateTemplate { attributes: attributes(), public_key_info: Vec::new(), value: vec![0x30; len] }
}

fn ask_all(client: &Client) {
    client.certificate_create(&template(2)).unwrap();
    client.certificate_get(reference(7)).unwrap();
    client.certificate_set(reference(7), &CertificateChange::default()).unwrap();
    client.certificate_delete(reference(7)).unwrap();
    numbers(client);
}

#[test]
fn a_client_asks_as_its_login_if_it_has_one_or_a_way_to_one() {
    let world = World::new(1);
    play(&world.hsms[0], vec![1]);
    let client = world.client();
    ask_all(&client);
    assert_eq!(without_login(&world), [true; 5]);
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    ask_all(&client);
    client.logout().unwrap();
    ask_all(&client);
    let with_credentials = world.client();
    give_credentials(&with_credentials);
    ask_all(&with_credentials);
    let expected = [[true; 5], [false; 5], [true; 5], [false; 5]].concat();
    assert_eq!(without_login(&world), expected);
}

#[test]
fn what_is_told_in_parts_is_read_to_its_end() {
    let world = World::new(1);
    let client = world.client();
    for len in [0, 1, 2, 3, 5, 6, u64::try_from(CERTIFICATES_MAX).unwrap()] {
        let all: Vec<u64> = (1..=len).map(|number| number * 10).collect();
        play(&world.hsms[0], all.clone());
        let before = without_login(&world).len();
        assert_eq!(numbers(&client), all);
        let asked = without_login(&world).len() - before;
        assert_eq!(asked, usize::try_from(len.div_ceil(2).max(1)).unwrap(), "{len}");
    }
}

#[test]
fn answers_without_an_end_or_a_form_are_none() {
    let world = World::new(1);
    let client = world.client();
    let check = |references: Vec<u64>, certificates: Vec<v1::Certificate>| {
        world.hsms[0].script(move |request| match request.operation {
            Some(Operation::CertificateFind(_)) => {
                let (references, certificates) = (references.clone(), certificates.clone());
                answer(Answer::CertificateFind(v1::CertificateFindResult { references, certificates }))
            }
            _ => Reaction::Usual,
        });
        let found = client.certificate_find(&CertificateFilter::default());
        assert!(matches!(found, Err(ClientError::Protocol { .. })), "{found:?}");
    };
    // The same part again and again, parts out of order, more than there can be.
    check(vec![1, 2, 3], vec![described(1)]);
    check(vec![1, 2, 3], vec![described(2), described(1)]);
    check((1..=61).collect(), Vec::new());
    check(vec![1], vec![described(1), described(2)]);
    check(vec![0], Vec::new());
    check(vec![1], vec![v1::Certificate { reference: 0, ..described(1) }]);
}

#[test]
fn what_does_not_fit_a_frame_is_not_sent() {
    let world = World::new(1);
    play(&world.hsms[0], vec![1]);
    let client = world.client();
    let too_long = client.certificate_create(&template(FRAME_LEN_MAX_BEFORE_LOGIN));
    assert!(matches!(too_long, Err(ClientError::TooLong(_))), "{too_long:?}");
    let filter = CertificateFilter { value: Some(vec![0x30; 20_000]), ..CertificateFilter::default() };
    assert!(matches!(client.certificate_find(&filter), Err(ClientError::TooLong(_))));
    assert_eq!(without_login(&world).len(), 0);
    client.certificate_create(&template(FRAME_LEN_MAX_BEFORE_LOGIN - 400)).unwrap();
    client.login(&alice(), Role::CryptoUser, &password()).unwrap();
    client.certificate_create(&template(FRAME_LEN_MAX_BEFORE_LOGIN)).unwrap();
}
