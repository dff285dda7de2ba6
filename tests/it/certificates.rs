//! Certificates as objects, made by `openssl` and kept by HSMs: with a login and without one.

use std::time::{Duration, Instant};

use strongroom_client::{Client, ClientError};
use strongroom_tests::{World, kill, wait_for};
use strongroom_types::limits::{CERTIFICATES_EACH_MAX, CERTIFICATES_MAX, CERTIFICATES_OF_NOBODY_MAX};
use strongroom_types::{
    CertificateAttributes, CertificateChange, CertificateFilter, CertificateReference, CertificateTemplate, Password,
    Role, Secret, Status,
};

use crate::crash::{client, log_in, login};

/// A certificate that `openssl` makes, DER.
fn made_by_openssl(world: &World, name: &str) -> Vec<u8> {
    let (key, file) = (format!("{name}.key"), format!("{name}.der"));
    let subject = format!("/CN={name}");
    let arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"];
    let output = ["-keyout", &key, "-subj", &subject, "-outform", "DER", "-out", &file];
    world.plain_openssl(&[&arguments[..], &output].concat()).ok();
    std::fs::read(world.file(&file)).expect("openssl wrote it")
}

/// What `openssl x509` says of it.
fn said_by_openssl(world: &World, value: &[u8], what: &str) -> String {
    std::fs::write(world.file("shown.der"), value).expect("a file");
    world.plain_openssl(&["x509", "-inform", "DER", "-in", "shown.der", "-noout", what]).ok().stdout
}

fn template(label: &str, value: &[u8]) -> CertificateTemplate {
    CertificateTemplate {
        attributes: CertificateAttributes {
            label: label.to_owned(),
            subject: format!("the subject of {label}").into_bytes(),
            modifiable: true,
            destroyable: true,
            ..CertificateAttributes::default()
        },
        public_key_info: Vec::new(),
        value: value.to_vec(),
    }
}

fn by_label(label: &str) -> CertificateFilter {
    CertificateFilter { label: Some(label.to_owned()), ..CertificateFilter::default() }
}

fn found(client: &Client, label: &str) -> Vec<CertificateReference> {
    let found = client.certificate_find(&by_label(label)).expect("certificates are found");
    found.into_iter().map(|certificate| certificate.reference).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Status {
    match outcome {
        Err(ClientError::Refused(refusal)) => refusal.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_users_certificate_is_read_by_everybody_and_changed_by_nobody_else() {
    let world = World::new();
    let (user, stranger) = (login(&world, "crypto_user", Role::CryptoUser), client(&world));
    let value = made_by_openssl(&world, "site");
    let made = user.certificate_create(&template("site", &value)).expect("it is made");
    let sha1 = world.plain_openssl(&["dgst", "-sha1", "-r", "site.der"]).ok().stdout;
    let check_value: String = made.check_value.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sha1[..6], check_value);
    let mut hidden = template("hidden", &value);
    hidden.attributes.private = true;
    let hidden = user.certificate_create(&hidden).expect("it is made").reference;
    // Whoever asks, of whichever HSM.
    for _ in 0..4 {
        assert_eq!(found(&stranger, "site"), [made.reference]);
        let whole = stranger.certificate_get(made.reference).expect("everybody may read it");
        assert_eq!((&whole.info, &whole.value), (&made, &value));
        assert!(said_by_openssl(&world, &whole.value, "-subject").contains("site"));
        assert_eq!(found(&stranger, "hidden"), []);
        assert_eq!(refused(stranger.certificate_get(hidden)), Status::CertificateUnknown);
    }
    assert_eq!(found(&user, "hidden"), [hidden]);
    let subject = CertificateFilter { subject: Some(made.attributes.subject.clone()), ..CertificateFilter::default() };
    assert_eq!(stranger.certificate_find(&subject).expect("found"), std::slice::from_ref(&made));
    let renamed = CertificateChange { label: Some("renamed".into()), ..CertificateChange::default() };
    assert_eq!(refused(stranger.certificate_set(made.reference, &renamed)), Status::CertificateProtected);
    assert_eq!(refused(stranger.certificate_delete(made.reference)), Status::CertificateProtected);
    user.certificate_set(made.reference, &renamed).expect("the owner may");
    for _ in 0..4 {
        assert_eq!((found(&stranger, "site"), found(&stranger, "renamed")), (vec![], vec![made.reference]));
    }
    // After a logout the same client is a stranger.
    user.logout().expect("logged out");
    assert_eq!(found(&user, "hidden"), []);
    assert_eq!(refused(user.certificate_delete(made.reference)), Status::CertificateProtected);
    log_in(&world, &user, "crypto_user", Role::CryptoUser);
    for reference in [made.reference, hidden] {
        user.certificate_delete(reference).expect("the owner may");
        assert_eq!(refused(stranger.certificate_get(reference)), Status::CertificateUnknown);
    }
    let admin = login(&world, "admin", Role::Admin);
    assert_eq!(refused(admin.certificate_create(&template("by admin", &value))), Status::RoleNotPermitted);
    assert_eq!(
        refused(stranger.certificate_create(&template("text", b"no certificate"))),
        Status::AttributeValueInvalid
    );
    let long = [&[0x30, 0x82, 0x43, 0xfc][..], &[5; 0x43fc]].concat();
    let too_long = stranger.certificate_create(&template("long", &long));
    assert!(matches!(too_long, Err(ClientError::TooLong(_))), "{too_long:?}");
    user.certificate_create(&template("long", &long)).expect("with a login it fits");
}

#[test]
fn a_full_house_leaves_users_their_part_and_opens_again() {
    let world = World::new();
    let (user, stranger) = (login(&world, "crypto_user", Role::CryptoUser), client(&world));
    let value = made_by_openssl(&world, "full");
    let begun = Instant::now();
    for _ in 0..CERTIFICATES_OF_NOBODY_MAX {
        stranger.certificate_create(&template("nobody's", &value)).expect("busy HSMs are waited for");
    }
    // Two HSMs make one of them a second each.
    let turns = u32::try_from(CERTIFICATES_OF_NOBODY_MAX / 2 - 1).expect("few");
    assert!(begun.elapsed() >= Duration::from_secs(1) * turns, "{:?}", begun.elapsed());
    assert_eq!(refused(stranger.certificate_create(&template("nobody's", &value))), Status::CertificatesFull);
    let admin = login(&world, "admin", Role::Admin);
    let password = Password::new(Secret::from(&b"long-enough"[..])).expect("a good password");
    let name = "carol".parse().expect("a name");
    admin.user_create(&name, Role::CryptoUser, &password).expect("made");
    let carol = client(&world);
    carol.login(&name, Role::CryptoUser, &password).expect("logged in");
    let begun = Instant::now();
    for _ in 0..CERTIFICATES_EACH_MAX {
        user.certificate_create(&template("a user's", &value)).expect("users have room");
    }
    assert_eq!(refused(user.certificate_create(&template("a user's", &value))), Status::CertificatesFull);
    for _ in CERTIFICATES_OF_NOBODY_MAX + CERTIFICATES_EACH_MAX..CERTIFICATES_MAX {
        carol.certificate_create(&template("carol's", &value)).expect("one user leaves others room");
    }
    assert!(begun.elapsed() < Duration::from_secs(1) * turns, "who is logged in takes no turns");
    assert_eq!(stranger.certificate_find(&CertificateFilter::default()).expect("found").len(), CERTIFICATES_MAX);
    // What is nobody's goes at anybody's word.
    user.certificate_delete(found(&user, "nobody's")[0]).expect("anybody may");
    let refusal = refused(user.certificate_create(&template("a user's", &value)));
    assert_eq!(refusal, Status::CertificatesFull, "there is room, but not for this user");
    user.certificate_delete(found(&user, "a user's")[0]).expect("its owner may");
    user.certificate_create(&template("a user's", &value)).expect("there is room again");
    stranger.certificate_create(&template("nobody's", &value)).expect("there is room for strangers too");
    // A user who is deleted takes along what is theirs.
    assert_eq!(
        found(&stranger, "carol's").len(),
        CERTIFICATES_MAX - CERTIFICATES_OF_NOBODY_MAX - CERTIFICATES_EACH_MAX
    );
    admin.user_delete(&name, Role::CryptoUser).expect("a certificate keeps nobody");
    assert_eq!(found(&stranger, "carol's"), []);
    let left = stranger.certificate_find(&CertificateFilter::default()).expect("found").len();
    assert_eq!(left, CERTIFICATES_OF_NOBODY_MAX + CERTIFICATES_EACH_MAX);
}

/// The death of one HSM is not seen, and that of all of them loses nothing that was acknowledged.
#[test]
fn certificates_survive_the_end_of_hsms() {
    let mut world = World::new();
    let (user, stranger) = (login(&world, "crypto_user", Role::CryptoUser), client(&world));
    let value = made_by_openssl(&world, "lasting");
    let kept = user.certificate_create(&template("kept", &value)).expect("made").reference;
    let renamed = CertificateChange { id: Some(vec![7]), ..CertificateChange::default() };
    for pid in world.hsm_pids() {
        kill("KILL", pid);
        let more = user.certificate_create(&template("more", &value)).expect("the other HSM makes it").reference;
        user.certificate_set(kept, &renamed).expect("the other HSM changes it");
        assert_eq!(stranger.certificate_get(kept).expect("shown").info.attributes.id, [7]);
        user.certificate_delete(more).expect("the other HSM deletes it");
        wait_for("both HSMs", Duration::from_secs(30), || {
            world.status()["hsms"].as_array().is_some_and(|hsms| hsms.iter().all(|hsm| hsm["serving"] == true))
        });
    }
    let nobodys = stranger.certificate_create(&template("nobody's", &value)).expect("made").reference;
    world.kill_everything();
    world.start();
    let again = client(&world);
    assert_eq!(
        (found(&again, "kept"), found(&again, "more"), found(&again, "nobody's")),
        (vec![kept], vec![], vec![nobodys])
    );
    assert_eq!(again.certificate_get(kept).expect("shown").value, value);
    let user = login(&world, "crypto_user", Role::CryptoUser);
    user.certificate_delete(kept).expect("it is still theirs");
}

/// What a program does with keys needs a login, and drawing random bytes or looking at certificates does not.
#[test]
fn a_whole_search_random_bytes_and_one_key_over_real_hsms() {
    use strongroom_types::{AttributeName, AttributeValue, Filter, KeyType};
    let world = World::new();
    let (user, stranger) = (login(&world, "crypto_user", Role::CryptoUser), client(&world));
    let template = vec![(AttributeName::Label, AttributeValue::Text("many".to_owned()))];
    let mut made: Vec<_> =
        (0..70).map(|_| user.key_generate_secret(KeyType::Aes, 32, &template, &[]).expect("made").reference).collect();
    made.sort();
    let filter = Filter(vec!["attr.label=many".parse().expect("a term")]);
    let all = user.key_find_all(&filter, 64).expect("found");
    assert_eq!((&all.references, all.keys.len()), (&made, 64));
    assert_eq!(user.key_get(made[69]).expect("shown").reference, made[69]);
    assert!(matches!(stranger.key_get(made[69]), Err(ClientError::NoCredentials)));
    for client in [&user, &stranger] {
        let drawn = client.random(200_000).expect("drawn");
        let ones: u32 = drawn.expose().iter().map(|byte| byte.count_ones()).sum();
        // Ten times the standard deviation of so many fair coins.
        assert!(ones.abs_diff(800_000) < 6_325, "{ones} of 1,600,000 bits are set");
    }
}
