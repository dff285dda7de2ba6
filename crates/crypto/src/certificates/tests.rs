use strongroom_types::Secret;
use strongroom_types::limits::{CA_CHAIN_CERTIFICATES_MAX, CA_CHAIN_LEN_MAX};

use super::fixtures::{DAY, Folder, NOW, Party, Profile, Signer, cluster};
use super::*;
use crate::pem::PemError;

fn anchors(chain: &[&Certificate]) -> Result<Anchors, AnchorError> {
    let text: String = chain.iter().map(|certificate| certificate.to_pem()).collect();
    Anchors::from_pem(text.as_bytes(), NOW)
}

/// Root, two CAs below it, and an HSM.
struct Chain {
    root: Party,
    upper: Party,
    lower: Party,
    hsm: Party,
    root_certificate: Certificate,
    upper_certificate: Certificate,
    lower_certificate: Certificate,
    leaf: Certificate,
}

impl Chain {
    fn new() -> Chain {
        Chain::with(&Profile::ca(), &Profile::ca(), &Profile::v1())
    }

    /// With these profiles for the upper CA, the lower one and the HSM.
    fn with(upper_profile: &Profile, lower_profile: &Profile, leaf_profile: &Profile) -> Chain {
        let root = Party::new("root", Signer::p384());
        let upper = Party::new("upper", Signer::rsa());
        let lower = Party::new("lower", Signer::p256());
        let hsm = Party::hsm(Signer::p256());
        Chain {
            root_certificate: root.self_signed(&Profile::ca()),
            upper_certificate: root.issue(&upper, upper_profile),
            lower_certificate: upper.issue(&lower, lower_profile),
            leaf: lower.issue(&hsm, leaf_profile),
            root,
            upper,
            lower,
            hsm,
        }
    }

    /// Verifies the HSM's certificate with the root alone trusted and both CAs sent.
    fn verify(&self) -> Result<(), PathError> {
        let sent = [self.lower_certificate.der(), self.upper_certificate.der()];
        anchors(&[&self.root_certificate]).unwrap().verify(self.leaf.der(), &sent, NOW)
    }
}

#[test]
fn what_the_customers_ca_issues_is_version_1_and_verifies() {
    for key in [Signer::p256(), Signer::p384(), Signer::rsa()] {
        let hsm = Party::hsm(key);
        let ca = CustomerCa::generate(NOW);
        let leaf = ca.issue(&hsm.request(), NOW);
        assert_eq!(leaf.version(), 1);
        assert_eq!(leaf.subject(), &hsm.name);
        assert_eq!(leaf.subject().hsm_cluster(), Some(cluster()));
        assert!(is_hsm_subject(&leaf));
        assert_eq!(leaf.issuer(), ca.certificate().subject());
        assert_eq!(leaf.spki(), hsm.key.spki());
        assert_eq!(leaf.public_key().unwrap(), *hsm.request().public_key());
        let anchors = anchors(&[ca.certificate()]).unwrap();
        assert_eq!(anchors.verify(leaf.der(), &[], NOW), Ok(()));
        assert!(!is_hsm_subject(ca.certificate()));
    }
}

#[test]
fn the_customers_ca_is_a_version_3_ca_with_a_name_of_its_own() {
    let (one, other) = (CustomerCa::generate(NOW), CustomerCa::generate(NOW));
    assert_eq!(one.certificate().version(), 3);
    assert_eq!(one.certificate().issuer(), one.certificate().subject());
    assert_ne!(one.certificate().subject(), other.certificate().subject());
    let request = Party::hsm(Signer::p256()).request();
    assert_ne!(one.issue(&request, NOW), one.issue(&request, NOW), "two certificates have the same serial number");
}

#[test]
fn a_certificate_is_good_from_its_first_to_its_last_second() {
    let ca = CustomerCa::generate(NOW);
    let hsm = Party::hsm(Signer::p256());
    let leaf = ca.issue(&hsm.request(), NOW + DAY);
    let anchors = anchors(&[ca.certificate()]).unwrap();
    let (from, to) = leaf.validity();
    assert_eq!(from, i64::try_from(NOW + DAY).unwrap());
    assert_eq!(to - from, 3_652 * 24 * 60 * 60);
    let check = |now: u64, expected: Result<(), PathError>| {
        assert_eq!(anchors.verify(leaf.der(), &[], now), expected, "{now}");
    };
    check(NOW + DAY - 1, Err(PathError::NotYetValid));
    check(NOW + DAY, Ok(()));
    // The CA ends a day before what it issued a day later: from then on the path is broken.
    let ca_end = u64::try_from(ca.certificate().validity().1).unwrap();
    check(ca_end - 1, Ok(()));
    check(ca_end, Err(PathError::Expired));
    check(u64::try_from(to).unwrap() + 1, Err(PathError::Expired));
    check(0, Err(PathError::NotYetValid));
    check(u64::MAX, Err(PathError::Expired));
}

#[test]
fn a_leaf_ends_though_its_ca_goes_on() {
    let ca = Party::new("ca", Signer::p256());
    let root = ca.self_signed(&Profile::ca());
    let hsm = Party::hsm(Signer::p256());
    let leaf = ca.issue(&hsm, &Profile { from: NOW - 60, to: NOW + 60, ..Profile::v1() });
    let anchors = anchors(&[&root]).unwrap();
    let check = |now: u64, expected| assert_eq!(anchors.verify(leaf.der(), &[], now), expected, "{now}");
    check(NOW - 61, Err(PathError::NotYetValid));
    check(NOW - 60, Ok(()));
    check(NOW + 59, Ok(()));
    check(NOW + 60, Err(PathError::Expired));
}

#[test]
fn another_ca_is_not_trusted_whatever_its_name() {
    let right = Party::new("ca", Signer::p256());
    let namesake = Party::new("ca", Signer::p256());
    let other = Party::new("other ca", Signer::p256());
    let hsm = Party::hsm(Signer::p256());
    let trusted = anchors(&[&right.self_signed(&Profile::ca())]).unwrap();
    for profile in [Profile::v1(), Profile { ca: Some(false), key_usage: Some(0x80), ..Profile::ca() }] {
        let check = |issuer: &Party, expected| {
            assert_eq!(trusted.verify(issuer.issue(&hsm, &profile).der(), &[], NOW), expected);
        };
        check(&right, Ok(()));
        check(&other, Err(PathError::IssuerUnknown));
        check(&namesake, Err(PathError::Signature));
        check(&hsm, Err(PathError::IssuerUnknown));
    }
    // Not when it comes along with its own root either.
    let other_root = other.self_signed(&Profile::ca());
    let namesake_root = namesake.self_signed(&Profile::ca());
    let sent = |issuer: &Party, root: &Certificate| {
        trusted.verify(issuer.issue(&hsm, &Profile::v1()).der(), &[root.der()], NOW)
    };
    assert_eq!(sent(&other, &other_root), Err(PathError::IssuerUnknown));
    assert!(matches!(sent(&namesake, &namesake_root), Err(PathError::IssuerUnknown | PathError::Signature)));
}

#[test]
fn a_path_leads_over_intermediates_in_any_order() {
    let chain = Chain::new();
    let (upper, lower) = (chain.upper_certificate.der(), chain.lower_certificate.der());
    let stranger = chain.hsm.self_signed(&Profile::ca());
    let root = anchors(&[&chain.root_certificate]).unwrap();
    let whole = anchors(&[&chain.lower_certificate, &chain.upper_certificate, &chain.root_certificate]).unwrap();
    let check = |anchors: &Anchors, sent: &[&[u8]], expected| {
        assert_eq!(anchors.verify(chain.leaf.der(), sent, NOW), expected, "{} sent", sent.len());
    };
    check(&root, &[lower, upper], Ok(()));
    check(&root, &[upper, lower], Ok(()));
    check(&root, &[upper, lower, stranger.der(), chain.root_certificate.der()], Ok(()));
    check(&root, &[lower], Err(PathError::IssuerUnknown));
    check(&root, &[upper], Err(PathError::IssuerUnknown));
    check(&root, &[], Err(PathError::IssuerUnknown));
    check(&whole, &[], Ok(()));
    check(&whole, &[lower, upper], Ok(()));
    assert_eq!(CA_CHAIN_CERTIFICATES_MAX, 4);
    check(&root, &[upper, lower, upper, lower], Ok(()));
    check(&root, &[upper, lower, upper, lower, upper], Err(PathError::TooLong));
    check(&root, &[upper, lower, b"no certificate"], Err(PathError::Unreadable));
    assert_eq!(root.verify(b"no certificate", &[], NOW), Err(PathError::Unreadable));
    assert_eq!(root.verify(&[], &[], NOW), Err(PathError::Unreadable));
}

#[test]
fn an_intermediate_that_may_not_issue_breaks_the_path() {
    let check = |upper: Profile, lower: Profile, expected: Result<(), PathError>| {
        assert_eq!(Chain::with(&upper, &lower, &Profile::v1()).verify(), expected);
    };
    let ca = Profile::ca;
    check(ca(), ca(), Ok(()));
    check(ca(), Profile { ca: Some(false), ..ca() }, Err(PathError::IssuerNotCa));
    check(ca(), Profile { ca: None, key_usage: None, ..ca() }, Err(PathError::IssuerNotCa));
    check(ca(), Profile::v1(), Err(PathError::IssuerNotCa));
    check(Profile { ca: Some(false), ..ca() }, ca(), Err(PathError::IssuerNotCa));
    check(ca(), Profile { to: NOW - 1, ..ca() }, Err(PathError::Expired));
    check(ca(), Profile { from: NOW + 1, ..ca() }, Err(PathError::NotYetValid));
    check(Profile { path_len: Some(1), ..ca() }, ca(), Ok(()));
    // X509_V_ERR_PATH_LENGTH_EXCEEDED and X509_V_ERR_KEYUSAGE_NO_CERTSIGN.
    check(Profile { path_len: Some(0), ..ca() }, ca(), Err(PathError::Rule { number: 25 }));
    let digital_signature = Profile { key_usage: Some(0x80), ..ca() };
    assert!(Chain::with(&ca(), &digital_signature, &Profile::v1()).verify().is_err());
}

/// An HSM's certificate is no CA's: who holds its key cannot issue another one, in version 1 or 3.
#[test]
fn an_hsm_cannot_issue() {
    let chain = Chain::new();
    let second = Party::hsm(Signer::p256());
    let sent = [chain.leaf.der(), chain.lower_certificate.der(), chain.upper_certificate.der()];
    let root = anchors(&[&chain.root_certificate]).unwrap();
    for profile in [Profile::v1(), Profile::ca()] {
        let forged = chain.hsm.issue(&second, &profile);
        let error = root.verify(forged.der(), &sent, NOW).unwrap_err();
        // Both HSMs have the same name, so the path may end at the forged certificate itself.
        assert!(matches!(error, PathError::IssuerNotCa | PathError::IssuerUnknown | PathError::Signature), "{error}");
    }
}

#[test]
fn a_ca_file_goes_up_to_its_root() {
    let chain = Chain::new();
    let (lower, upper, root) = (&chain.lower_certificate, &chain.upper_certificate, &chain.root_certificate);
    let check = |chain: &[&Certificate], expected: Result<usize, AnchorError>| {
        assert_eq!(anchors(chain).map(|anchors| anchors.certificates().len()), expected);
    };
    check(&[root], Ok(1));
    check(&[upper, root], Ok(2));
    check(&[lower, upper, root], Ok(3));
    check(&[root, upper], Err(AnchorError::Broken { position: 1 }));
    check(&[upper, lower, root], Err(AnchorError::Broken { position: 1 }));
    check(&[lower, root, upper], Err(AnchorError::Broken { position: 1 }));
    check(&[lower, upper, root, root], Ok(4));
    check(&[lower], Err(AnchorError::NoRoot));
    check(&[lower, upper], Err(AnchorError::NoRoot));
    check(&[&chain.leaf, lower, upper, root], Err(AnchorError::NotCa { position: 1 }));
    check(
        &[lower, upper, root, root, root],
        Err(AnchorError::Pem(PemError::TooMany { label: pem::CERTIFICATE, max: 4 })),
    );
    check(&[], Err(AnchorError::Pem(PemError::Missing { label: pem::CERTIFICATE })));
    let other_root = chain.hsm.self_signed(&Profile::ca());
    check(&[lower, upper, &other_root], Err(AnchorError::Broken { position: 2 }));
    let namesake = Party::new("root", Signer::p384()).self_signed(&Profile::ca());
    check(&[lower, upper, &namesake], Err(AnchorError::Broken { position: 2 }));
}

#[test]
fn a_ca_file_holds_valid_cas() {
    let ca = Party::new("ca", Signer::p256());
    let check = |profile: Profile, expected: Result<(), AnchorError>| {
        assert_eq!(anchors(&[&ca.self_signed(&profile)]).map(|_| ()), expected);
    };
    check(Profile::ca(), Ok(()));
    check(Profile { key_usage: None, ..Profile::ca() }, Ok(()));
    check(Profile::v1(), Ok(()));
    check(Profile { from: NOW, to: NOW + 1, ..Profile::ca() }, Ok(()));
    check(Profile { ca: Some(false), ..Profile::ca() }, Err(AnchorError::NotCa { position: 1 }));
    check(Profile { key_usage: Some(0x80), ..Profile::ca() }, Err(AnchorError::NotCa { position: 1 }));
    check(Profile { from: NOW + 1, ..Profile::ca() }, Err(AnchorError::NotYetValid { position: 1 }));
    check(Profile { to: NOW, ..Profile::ca() }, Err(AnchorError::Expired { position: 1 }));
    let old = Chain::with(&Profile { to: NOW - 1, ..Profile::ca() }, &Profile::ca(), &Profile::v1());
    let expired = anchors(&[&old.lower_certificate, &old.upper_certificate, &old.root_certificate]);
    assert_eq!(expired, Err(AnchorError::Expired { position: 2 }));
    // A version 1 certificate in the middle is no CA's: nothing says that it may issue.
    let v1 = old.root.issue(&old.upper, &Profile::v1());
    assert_eq!(anchors(&[&v1, &old.root_certificate]), Err(AnchorError::NotCa { position: 1 }));
    let lower_in_name_only = old.root.issue(&old.lower, &Profile::ca());
    assert_eq!(
        anchors(&[&lower_in_name_only, &old.upper_certificate]).unwrap_err(),
        AnchorError::Broken { position: 1 }
    );
}

#[test]
fn a_ca_file_is_text_with_blocks_in_it() {
    let root = Party::new("ca", Signer::p256()).self_signed(&Profile::ca());
    let text = format!("subject=CN = ca\n{}\nthe end\n", root.to_pem());
    let read = Anchors::from_pem(text.as_bytes(), NOW).unwrap();
    assert_eq!(read.certificates(), std::slice::from_ref(&root));
    assert_eq!(read.to_pem(), root.to_pem());
    assert_eq!(Anchors::from_pem(read.to_pem().as_bytes(), NOW), Ok(read));
    let bad = format!("{}{}", root.to_pem(), pem::encode(pem::CERTIFICATE, b"no certificate"));
    assert_eq!(Anchors::from_pem(bad.as_bytes(), NOW), Err(AnchorError::Unreadable { position: 2 }));
    let long = format!("{}{}", " ".repeat(CA_CHAIN_LEN_MAX), root.to_pem());
    assert_eq!(Anchors::from_pem(long.as_bytes(), NOW), Err(AnchorError::TooLong));
    let cut = root.to_pem();
    for len in 0..cut.trim_end().len() {
        assert!(Anchors::from_pem(&cut.as_bytes()[..len], NOW).is_err(), "cut to {len}");
    }
}

#[test]
fn a_cut_or_longer_certificate_is_none() {
    let chain = Chain::new();
    for certificate in [&chain.leaf, &chain.lower_certificate, &chain.root_certificate] {
        let der = certificate.der();
        for len in 0..der.len() {
            assert_eq!(Certificate::from_der(&der[..len]), Err(CertificateError::Certificate), "cut to {len}");
        }
        assert_eq!(Certificate::from_der(&[der, &[0]].concat()), Err(CertificateError::Certificate));
        assert_eq!(Certificate::from_pem(certificate.to_pem().as_bytes()).as_ref(), Ok(certificate));
    }
    assert_eq!(Certificate::from_der(&vec![0x30; CERTIFICATE_LEN_MAX + 1]), Err(CertificateError::TooLong));
    let request = pem::encode(pem::CERTIFICATE, &chain.hsm.request_der());
    assert_eq!(Certificate::from_pem(request.as_bytes()), Err(CertificateError::Certificate));
}

#[test]
fn a_certificate_with_a_flipped_bit_is_not_trusted() {
    let ca = CustomerCa::generate(NOW);
    let leaf = ca.issue(&Party::hsm(Signer::p256()).request(), NOW);
    let anchors = anchors(&[ca.certificate()]).unwrap();
    for at in 0..leaf.der().len() {
        for bit in 0..8 {
            let mut other = leaf.der().to_vec();
            other[at] ^= 1 << bit;
            assert!(anchors.verify(&other, &[], NOW).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_request_is_whole_and_signed_by_its_own_key() {
    for key in [Signer::p256(), Signer::p384(), Signer::rsa()] {
        let party = Party::hsm(key);
        let der = party.request_der();
        let request = CertificateRequest::from_der(&der).unwrap();
        assert_eq!(request.subject(), &party.name);
        assert_eq!(spki::encode(request.public_key()), party.key.spki());
        assert_eq!(CertificateRequest::from_pem(request.to_pem().as_bytes()), Ok(request));
        for len in 0..der.len() {
            assert_eq!(CertificateRequest::from_der(&der[..len]), Err(CertificateError::Request), "cut to {len}");
        }
        assert_eq!(CertificateRequest::from_der(&[&der[..], &[0]].concat()), Err(CertificateError::Request));
    }
    let other = Party::hsm(Signer::p256());
    let der = Party::hsm(Signer::p256()).request_der();
    let stolen = der.len() - 100;
    let mixed = [&der[..stolen], &other.request_der()[stolen..]].concat();
    assert!(CertificateRequest::from_der(&mixed).is_err());
    let too_long = vec![0x30; CERTIFICATE_LEN_MAX + 1];
    assert_eq!(CertificateRequest::from_der(&too_long), Err(CertificateError::TooLong));
}

#[test]
fn a_ca_reads_back_from_its_two_files() {
    let (one, other) = (CustomerCa::generate(NOW), CustomerCa::generate(NOW));
    let certificate = one.certificate().to_pem();
    let read = CustomerCa::from_pem(certificate.as_bytes(), &one.key_pem()).unwrap();
    assert_eq!(read.certificate(), one.certificate());
    let leaf = read.issue(&Party::hsm(Signer::p256()).request(), NOW);
    assert_eq!(anchors(&[one.certificate()]).unwrap().verify(leaf.der(), &[], NOW), Ok(()));
    let refused = |certificate: &[u8], key: &Secret, expected: AuthorityError| {
        assert_eq!(CustomerCa::from_pem(certificate, key).err(), Some(expected));
    };
    refused(certificate.as_bytes(), &other.key_pem(), AuthorityError::Mismatch);
    refused(other.certificate().to_pem().as_bytes(), &one.key_pem(), AuthorityError::Mismatch);
    let key = |signer: &Signer| pem::encode_secret(pem::PRIVATE_KEY, &signer.pkcs8());
    refused(certificate.as_bytes(), &key(&Signer::rsa()), AuthorityError::Key);
    refused(certificate.as_bytes(), &key(&Signer::p384()), AuthorityError::Key);
    let no_ca = Party::hsm(Signer::p256());
    let leaf = no_ca.self_signed(&Profile { ca: Some(false), ..Profile::ca() });
    refused(leaf.to_pem().as_bytes(), &key(&no_ca.key), AuthorityError::Mismatch);
    let missing = PemError::Missing { label: pem::PRIVATE_KEY };
    refused(certificate.as_bytes(), &Secret::from(&b"no key"[..]), AuthorityError::KeyPem(missing));
    assert!(!format!("{one:?}").contains("PRIVATE"));
}

#[test]
fn openssl_trusts_what_the_customers_ca_issues() {
    let folder = Folder::new();
    let ca = CustomerCa::generate(NOW);
    for (key, shown) in [(Signer::p256(), "prime256v1"), (Signer::rsa(), "rsaEncryption")] {
        folder.write("ca.crt", ca.certificate().to_pem().as_bytes());
        folder.write("hsm.crt", ca.issue(&Party::hsm(key).request(), NOW).to_pem().as_bytes());
        let verify = format!("verify -x509_strict -attime {NOW} -CAfile ca.crt hsm.crt");
        let Some(output) = folder.openssl(&verify) else { return };
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains("hsm.crt: OK"), "{said}");
        let text = folder.openssl("x509 -noout -text -nameopt RFC2253 -in hsm.crt").unwrap();
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.contains("Version: 1 (0x0)"), "{text}");
        assert!(text.contains("CN=HSM:cluster-abcdefghijk:PARTN:1,OU=STRONGROOM-HSM,O=Strongroom"), "{text}");
        assert!(text.contains("Not Before: Jan  1 00:00:00 2026 GMT"), "{text}");
        assert!(text.contains(shown), "{text}");
        let text = folder.openssl("x509 -noout -text -in ca.crt").unwrap();
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.contains("Version: 3 (0x2)") && text.contains("CA:TRUE"), "{text}");
        assert!(text.contains("Certificate Sign, CRL Sign"), "{text}");
    }
}

/// The way of the service's guide: `openssl genrsa`, `req -x509`, `x509 -req`.
#[test]
fn what_openssl_issues_is_trusted() {
    let folder = Folder::new();
    let commands = [
        "genrsa -out ca.key 2048",
        "req -new -x509 -days 3652 -key ca.key -subj /O=Example/CN=customer -out ca.crt",
        "x509 -req -days 3652 -in hsm.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out hsm.crt",
    ];
    folder.write("hsm.csr", Party::hsm(Signer::p256()).request().to_pem().as_bytes());
    for command in commands {
        let Some(output) = folder.openssl(command) else { return };
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let leaf = Certificate::from_pem(&folder.read("hsm.crt")).unwrap();
    let now = u64::try_from(leaf.validity().0).unwrap();
    let anchors = Anchors::from_pem(&folder.read("ca.crt"), now).unwrap();
    assert_eq!(anchors.verify(leaf.der(), &[], now), Ok(()));
    assert!(is_hsm_subject(&leaf));
}
