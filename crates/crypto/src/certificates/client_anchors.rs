use strongroom_types::limits::{RSA_BITS_MAX, RSA_BITS_MIN, TRUST_ANCHOR_LEN_MAX};
use strongroom_types::{CertificateFingerprint, Curve, HashFunction, PublicPart};
use thiserror::Error;

use super::{AnchorError, Anchors, Certificate, Name, PathError};
use crate::digest::digest;
use crate::sys::Purpose;

/// Sizes of RSA keys that a trust anchor may have come in steps of so many bits.
const RSA_BITS_STEP: u32 = 1024;

/// Why a text is no trust anchor of clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientAnchorError {
    /// Longer than [`TRUST_ANCHOR_LEN_MAX`].
    #[error("the file is longer than {TRUST_ANCHOR_LEN_MAX} bytes")]
    TooLong,
    /// A certificate in DER.
    #[error("the file is DER and must be PEM; convert it with `openssl x509 -inform DER`")]
    Der,
    /// No chain of CAs, ordered up to its root.
    #[error("{0}")]
    Chain(#[from] AnchorError),
    /// Another key than those that anchors may have.
    #[error("its key is not EC on P-256, P-384 or P-521, nor RSA of 2048, 3072 or 4096 bits")]
    Key,
}

/// A CA under which clients' certificates are good: the first of a chain up to a self-signed root. The others vouch for it
/// and issue for no client themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAnchor {
    chain: Anchors,
    fingerprint: CertificateFingerprint,
}

impl ClientAnchor {
    /// Reads and checks a PEM chain, the anchor first, the root last. `now_s` is Unix time in seconds.
    pub fn from_pem(text: &[u8], now_s: u64) -> Result<ClientAnchor, ClientAnchorError> {
        if text.len() > TRUST_ANCHOR_LEN_MAX {
            return Err(ClientAnchorError::TooLong);
        }
        if Certificate::from_der(text).is_ok() {
            return Err(ClientAnchorError::Der);
        }
        let anchor = ClientAnchor::of(Anchors::from_pem(text, now_s)?);
        let fits = anchor.certificate().public_key().is_ok_and(|public| may_anchor(&public));
        if fits { Ok(anchor) } else { Err(ClientAnchorError::Key) }
    }

    /// Reads one that was checked before, whatever the time is: no path leads to it when it is over.
    pub fn checked(text: &[u8]) -> Result<ClientAnchor, AnchorError> {
        Anchors::at_any_time(text).map(ClientAnchor::of)
    }

    fn of(chain: Anchors) -> ClientAnchor {
        let der = chain.certificates()[0].der();
        let fingerprint = digest(HashFunction::Sha256, der).as_slice().try_into();
        ClientAnchor { fingerprint: CertificateFingerprint(fingerprint.expect("SHA-256 has 32 bytes")), chain }
    }

    /// The anchor itself.
    pub fn certificate(&self) -> &Certificate {
        &self.chain.certificates()[0]
    }

    /// By which it is told from others.
    pub fn fingerprint(&self) -> CertificateFingerprint {
        self.fingerprint
    }

    /// The chain as PEM, without what stood around it.
    pub fn to_pem(&self) -> String {
        self.chain.to_pem()
    }
}

/// The trust anchors of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAnchors(pub Vec<ClientAnchor>);

impl ClientAnchors {
    /// The anchor under which a client's certificate is good at `now_s` (Unix time in seconds): a path leads from `leaf` over
    /// `intermediates` to it and on to its root, every certificate on it is valid, and the leaf, version 1 or not, may
    /// authenticate a client. All DER.
    pub fn verify(
        &self,
        leaf: &[u8],
        intermediates: &[&[u8]],
        now_s: u64,
    ) -> Result<CertificateFingerprint, PathError> {
        let mut fault = PathError::IssuerUnknown;
        for anchor in &self.0 {
            match anchor.chain.verify_for(Purpose::ClientOfFirst, leaf, intermediates, now_s) {
                Ok(()) => return Ok(anchor.fingerprint),
                // That it is none of the other anchor's says least.
                Err(PathError::IssuerUnknown) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    /// The anchors' names.
    pub fn subjects(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|anchor| anchor.certificate().subject())
    }
}

fn may_anchor(public: &PublicPart) -> bool {
    match public {
        PublicPart::Ec { curve, .. } => matches!(curve, Curve::P256 | Curve::P384 | Curve::P521),
        PublicPart::Rsa { modulus, .. } => {
            let leading = modulus.first().map_or(0, |first| first.leading_zeros());
            let bits = u32::try_from(modulus.len() * 8).map_or(0, |bits| bits - leading);
            (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) && bits.is_multiple_of(RSA_BITS_STEP)
        }
        PublicPart::MlDsa { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{DAY, NOW, Party, Profile, Signer};
    use super::*;
    use crate::pem::PemError;

    /// A root, two CAs under it, and clients of theirs.
    struct Tree {
        root: Party,
        first: Party,
        second: Party,
        root_certificate: Certificate,
        first_certificate: Certificate,
        second_certificate: Certificate,
    }

    impl Tree {
        fn new() -> Tree {
            let [root, first, second] = ["root", "first", "second"].map(|name| Party::new(name, Signer::p256()));
            Tree {
                root_certificate: root.self_signed(&Profile::ca()),
                first_certificate: root.issue(&first, &Profile::ca()),
                second_certificate: root.issue(&second, &Profile::ca()),
                root,
                first,
                second,
            }
        }

        fn first(&self) -> ClientAnchor {
            anchor(&[&self.first_certificate, &self.root_certificate]).unwrap()
        }
    }

    fn anchor(chain: &[&Certificate]) -> Result<ClientAnchor, ClientAnchorError> {
        let text: String = chain.iter().map(|certificate| certificate.to_pem()).collect();
        ClientAnchor::from_pem(text.as_bytes(), NOW)
    }

    fn client() -> Party {
        Party::new("a client", Signer::p256())
    }

    #[test]
    fn a_client_is_good_under_the_registered_ca_and_under_no_other_of_its_chain() {
        let tree = Tree::new();
        let anchors = ClientAnchors(vec![tree.first()]);
        let verify = |leaf: &Certificate, sent: &[&Certificate]| {
            let sent: Vec<&[u8]> = sent.iter().map(|certificate| certificate.der()).collect();
            anchors.verify(leaf.der(), &sent, NOW)
        };
        let good = Ok(tree.first().fingerprint());
        for profile in [Profile::client(), Profile::v1()] {
            let leaf = tree.first.issue(&client(), &profile);
            assert_eq!(verify(&leaf, &[]), good);
            assert_eq!(verify(&leaf, &[&tree.first_certificate, &tree.root_certificate]), good);
        }
        let by_root = tree.root.issue(&client(), &Profile::client());
        assert_eq!(verify(&by_root, &[]), Err(PathError::IssuerUnknown));
        let by_second = tree.second.issue(&client(), &Profile::client());
        assert_eq!(verify(&by_second, &[&tree.second_certificate]), Err(PathError::IssuerUnknown));
        assert_eq!(
            verify(&by_second, &[&tree.second_certificate, &tree.first_certificate]),
            Err(PathError::IssuerUnknown)
        );
        // A CA below the anchor, which the client sends along.
        let below = Party::new("below", Signer::rsa());
        let below_certificate = tree.first.issue(&below, &Profile::ca());
        let leaf = below.issue(&client(), &Profile::client());
        assert_eq!(verify(&leaf, &[&below_certificate]), good);
        assert_eq!(verify(&leaf, &[]), Err(PathError::IssuerUnknown));
        // The same CA, certified by somebody else.
        let other = Party::new("root", Signer::p256());
        let crossed = other.issue(&tree.second, &Profile::ca());
        assert!(verify(&by_second, &[&crossed, &other.self_signed(&Profile::ca())]).is_err());
    }

    #[test]
    fn the_anchor_found_is_the_one_that_vouches() {
        let tree = Tree::new();
        let second = anchor(&[&tree.second_certificate, &tree.root_certificate]).unwrap();
        let both = ClientAnchors(vec![tree.first(), second.clone()]);
        let verify = |issuer: &Party| both.verify(issuer.issue(&client(), &Profile::client()).der(), &[], NOW);
        assert_eq!(verify(&tree.first), Ok(tree.first().fingerprint()));
        assert_eq!(verify(&tree.second), Ok(second.fingerprint()));
        assert_eq!(verify(&tree.root), Err(PathError::IssuerUnknown));
        let leaf = tree.first.issue(&client(), &Profile::client());
        assert_eq!(ClientAnchors::default().verify(leaf.der(), &[], NOW), Err(PathError::IssuerUnknown));
        let over = tree.first.issue(&client(), &Profile { to: NOW - 1, ..Profile::client() });
        assert_eq!(both.verify(over.der(), &[], NOW), Err(PathError::Expired));
    }

    #[test]
    fn a_certificate_for_something_else_or_of_another_time_is_refused() {
        let tree = Tree::new();
        let anchors = ClientAnchors(vec![tree.first()]);
        let check = |profile: Profile, expected: Result<(), PathError>| {
            let leaf = tree.first.issue(&client(), &profile);
            assert_eq!(anchors.verify(leaf.der(), &[], NOW).map(drop), expected);
        };
        let client = Profile::client;
        check(Profile { extended_usage: None, key_usage: None, ..client() }, Ok(()));
        check(Profile { key_usage: Some(0xa0), ..client() }, Ok(()));
        check(Profile { extended_usage: Some(1), ..client() }, Err(PathError::Purpose));
        check(Profile { extended_usage: Some(3), ..client() }, Err(PathError::Purpose));
        // Key encipherment, key agreement: neither signs.
        check(Profile { key_usage: Some(0x20), ..client() }, Err(PathError::Purpose));
        check(Profile { key_usage: Some(0x08), ..client() }, Err(PathError::Purpose));
        check(Profile { to: NOW, ..client() }, Err(PathError::Expired));
        check(Profile { from: NOW + 1, ..client() }, Err(PathError::NotYetValid));
        // An anchor that is over vouches for nobody, nor does one under a root that is.
        let late = NOW + 2 * DAY;
        let leaf = tree.first.issue(&Party::new("a client", Signer::p256()), &Profile { to: late + DAY, ..client() });
        assert_eq!(anchors.verify(leaf.der(), &[], late), Err(PathError::Expired));
        let lasting = tree.root.issue(&tree.first, &Profile { to: late + DAY, ..Profile::ca() });
        let under_old_root = ClientAnchors(vec![anchor(&[&lasting, &tree.root_certificate]).unwrap()]);
        assert_eq!(under_old_root.verify(leaf.der(), &[], NOW).map(drop), Ok(()));
        assert_eq!(under_old_root.verify(leaf.der(), &[], late), Err(PathError::Expired));
    }

    #[test]
    fn who_may_not_issue_issues_no_client() {
        let tree = Tree::new();
        let anchors = ClientAnchors(vec![tree.first()]);
        let issuer = Party::new("an issuer", Signer::p256());
        let check = |profile: Profile, expected: Result<(), PathError>| {
            let certificate = tree.first.issue(&issuer, &profile);
            let leaf = issuer.issue(&client(), &Profile::client());
            assert_eq!(anchors.verify(leaf.der(), &[certificate.der()], NOW).map(drop), expected);
        };
        check(Profile::ca(), Ok(()));
        check(Profile { key_usage: None, ca: Some(false), ..Profile::ca() }, Err(PathError::IssuerNotCa));
        check(Profile::client(), Err(PathError::IssuerUnknown));
        check(Profile { key_usage: Some(0x80), ..Profile::ca() }, Err(PathError::IssuerUnknown));
        check(Profile { extended_usage: Some(1), ..Profile::ca() }, Err(PathError::Purpose));
        let many = vec![tree.first_certificate.der(); 5];
        let leaf = tree.first.issue(&client(), &Profile::client());
        assert_eq!(anchors.verify(leaf.der(), &many, NOW), Err(PathError::TooLong));
        assert_eq!(anchors.verify(b"no certificate", &[], NOW), Err(PathError::Unreadable));
    }

    #[test]
    fn a_chain_is_whole_ordered_and_pem() {
        let tree = Tree::new();
        let (root, first) = (&tree.root_certificate, &tree.first_certificate);
        assert_eq!(tree.first().to_pem(), first.to_pem() + &root.to_pem());
        assert_eq!(tree.first().certificate(), first);
        assert!(anchor(&[root]).is_ok());
        let chain = |error| Err(ClientAnchorError::Chain(error));
        assert_eq!(anchor(&[first]), chain(AnchorError::NoRoot));
        assert_eq!(anchor(&[root, first]), chain(AnchorError::Broken { position: 1 }));
        assert_eq!(anchor(&[&tree.second_certificate, first, root]), chain(AnchorError::Broken { position: 1 }));
        let leaf = tree.first.issue(&client(), &Profile::client());
        assert_eq!(anchor(&[&leaf, first, root]), chain(AnchorError::NotCa { position: 1 }));
        assert_eq!(ClientAnchor::from_pem(root.der(), NOW), Err(ClientAnchorError::Der));
        let missing = AnchorError::Pem(PemError::Missing { label: crate::pem::CERTIFICATE });
        assert_eq!(ClientAnchor::from_pem(b"", NOW), chain(missing));
        let over = tree.root.self_signed(&Profile { to: NOW, ..Profile::ca() });
        assert_eq!(anchor(&[&over]), chain(AnchorError::Expired { position: 1 }));
        // What was registered is read back whatever the time is.
        assert_eq!(ClientAnchor::checked(over.to_pem().as_bytes()).unwrap().certificate(), &over);
    }

    #[test]
    fn a_file_at_below_and_above_its_limit() {
        let tree = Tree::new();
        let text = tree.first().to_pem();
        for (len, fits) in [(text.len(), true), (TRUST_ANCHOR_LEN_MAX, true), (TRUST_ANCHOR_LEN_MAX + 1, false)] {
            let padded = text.clone() + &"\n".repeat(len - text.len());
            let read = ClientAnchor::from_pem(padded.as_bytes(), NOW);
            assert_eq!(read, if fits { Ok(tree.first()) } else { Err(ClientAnchorError::TooLong) }, "{len}");
        }
    }

    #[test]
    fn keys_are_of_the_sizes_that_anchors_may_have() {
        let rsa = |bits: usize| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] >>= modulus.len() * 8 - bits;
            PublicPart::Rsa { modulus, public_exponent: vec![1, 0, 1] }
        };
        for (bits, fits) in [
            (1024, false),
            (2047, false),
            (2048, true),
            (2049, false),
            (2304, false),
            (3071, false),
            (3072, true),
            (4095, false),
            (4096, true),
            (4097, false),
            (8192, false),
        ] {
            assert_eq!(may_anchor(&rsa(bits)), fits, "{bits}");
        }
        for curve in Curve::ALL {
            let fits = matches!(curve, Curve::P256 | Curve::P384 | Curve::P521);
            assert_eq!(may_anchor(&PublicPart::Ec { curve: *curve, point: Vec::new() }), fits, "{curve:?}");
        }
        assert!(!may_anchor(&PublicPart::Rsa { modulus: Vec::new(), public_exponent: Vec::new() }));
    }
}
