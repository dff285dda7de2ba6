//! Whose a key is, and which key of the HSMs a reference file means.

use std::collections::HashMap;
use std::sync::RwLock;

use strongroom_client::reference_pem::{MARKER_LEN, Marker, PRIVATE_INTEGER_LEN};
use strongroom_client::{ClientError, KeyInfo};
use strongroom_types::{
    AttributeName, AttributeValue, Filter, FilterTerm, Flag, KeyClass, KeyReference, PublicPart, Status,
};

use crate::error::EngineError;
use crate::hsms::Hsms;

/// Keys remembered by one process; a cluster has fewer. Beyond, all are forgotten and looked up again.
const KNOWN_MAX: usize = 20_000;

/// Who does a key's private operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The HSMs: the private integer is a marker.
    Hsms(Marker),
    /// OpenSSL: the private part fits the public part.
    Software,
    /// Neither is seen. Whoever finds the key's public part in the HSMs gets it signed there.
    Unclear,
}

/// Decides in the order that never sends a real key's work to an HSM, and never takes a marker for a key: the same key
/// may exist as a file and in the HSMs, so the public part says nothing.
pub(crate) fn owner(marker: Option<Marker>, fits: impl FnOnce() -> bool) -> Owner {
    match marker {
        Some(marker) => Owner::Hsms(marker),
        None if fits() => Owner::Software,
        None => Owner::Unclear,
    }
}

/// Whether a private integer of this many bytes can hold a marker, so that real ones need not be copied to see it.
pub(crate) fn may_be_marker(len: usize) -> bool {
    matches!(len, MARKER_LEN | PRIVATE_INTEGER_LEN)
}

/// Where a key was found.
#[derive(Clone, Copy, Debug)]
struct Known {
    reference: KeyReference,
    /// The marker that was seen to belong to the public part.
    marker: Option<Marker>,
}

/// Keys of the HSMs by their public parts, for the whole process.
///
/// The lock is only ever tried: a child that was forked while another thread held it does without, and asks the HSMs.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(RwLock<HashMap<PublicPart, Known>>);

impl KnownKeys {
    fn of(&self, public: &PublicPart) -> Option<Known> {
        self.0.try_read().ok()?.get(public).copied()
    }

    fn remember(&self, public: &PublicPart, known: Known) {
        if let Ok(mut all) = self.0.try_write() {
            if all.len() >= KNOWN_MAX {
                all.clear();
            }
            all.insert(public.clone(), known);
        }
    }

    fn forget(&self, public: &PublicPart) {
        if let Ok(mut all) = self.0.try_write() {
            all.remove(public);
        }
    }

    /// Does something with the private key of this public part, which is looked up first if it is not known.
    pub(crate) fn with_key<T>(
        &self,
        hsms: &impl Hsms,
        public: &PublicPart,
        marker: Option<Marker>,
        operation: impl Fn(KeyReference) -> Result<T, ClientError>,
    ) -> Result<T, EngineError> {
        let known = self.of(public);
        if let Some(marker) = marker
            && known.is_none_or(|known| known.marker != Some(marker))
            && !marker.matches(public)
        {
            return Err(EngineError::Mixed(marker.reference));
        }
        if let Some(known) = known {
            if known.marker != marker && marker.is_some() {
                self.remember(public, Known { marker, ..known });
            }
            match operation(known.reference) {
                // Deleted since; the same key may have come back under another reference.
                Err(ClientError::Refused(refusal)) if refusal.status == Status::KeyUnknown => self.forget(public),
                done => return Ok(done?),
            }
        }
        let reference = find(hsms, public, marker)?;
        self.remember(public, Known { reference, marker });
        Ok(operation(reference)?)
    }
}

/// The private key with this public part; the one of the marker's reference, should there be several.
fn find(hsms: &impl Hsms, public: &PublicPart, marker: Option<Marker>) -> Result<KeyReference, EngineError> {
    let attribute = FilterTerm::Attribute;
    let mut terms = vec![attribute(AttributeName::Class, AttributeValue::Class(KeyClass::PrivateKey))];
    match public {
        PublicPart::Rsa { modulus, .. } => {
            terms.push(attribute(AttributeName::Modulus, AttributeValue::Bytes(modulus.clone())));
        }
        PublicPart::Ec { curve, point } => {
            terms.push(attribute(AttributeName::Curve, AttributeValue::Curve(*curve)));
            terms.push(attribute(AttributeName::EcPoint, AttributeValue::Bytes(point.clone())));
        }
        // OpenSSL's engines have no method for such keys, so none is asked for.
        PublicPart::MlDsa { .. } => return Err(EngineError::KeyUnclear),
    }
    let found = hsms.find(&Filter(terms))?;
    let best = |key: &&KeyInfo| {
        let named = marker.is_some_and(|marker| marker.reference == key.reference);
        (named, key.attributes.flags.has(Flag::Sign))
    };
    let fits = |key: &&KeyInfo| key.attributes.public.as_ref() == Some(public);
    match found.iter().filter(fits).max_by_key(best) {
        Some(key) => Ok(key.reference),
        None => Err(marker.map_or(EngineError::KeyUnclear, |marker| EngineError::KeyMissing(marker.reference))),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::Curve;

    use super::*;
    use crate::hsms::fake::{Fake, key, reference};

    fn rsa(byte: u8) -> PublicPart {
        PublicPart::Rsa { modulus: vec![byte; 256], public_exponent: vec![1, 0, 1] }
    }

    fn ec(byte: u8) -> PublicPart {
        let mut point = vec![byte; 65];
        point[0] = 4;
        PublicPart::Ec { curve: Curve::P256, point }
    }

    fn used(known: &KnownKeys, hsms: &Fake, public: &PublicPart, marker: Option<Marker>) -> Result<u64, String> {
        let operation = |key| hsms.sign(key, strongroom_types::SignMechanism::Ecdsa, b"").map(|_| key.as_u64());
        known.with_key(hsms, public, marker, operation).map_err(|error| error.line())
    }

    #[test]
    fn a_marker_goes_before_all_and_a_fitting_key_is_software() {
        let marker = Marker::new(reference(5), &rsa(0x91));
        let check = |marker: Option<Marker>, fits, expected| assert_eq!(owner(marker, || fits), expected);
        check(Some(marker), true, Owner::Hsms(marker));
        check(Some(marker), false, Owner::Hsms(marker));
        check(None, true, Owner::Software);
        check(None, false, Owner::Unclear);
        assert!(may_be_marker(marker.private_integer().len()));
        for real in [28, 32, 48, 66, 255, 256, 512] {
            assert!(!may_be_marker(real), "{real}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_public_part_once() {
        for public in [rsa(0x91), ec(7)] {
            let hsms = Fake { keys: vec![key(4, &rsa(0x99), true), key(5, &public, true)].into(), ..Fake::default() };
            let known = KnownKeys::default();
            // The reference in the file is a hint, wrong or right.
            let marker = Some(Marker::new(reference(4), &public));
            for _ in 0..3 {
                assert_eq!(used(&known, &hsms, &public, marker), Ok(5));
                assert_eq!(used(&known, &hsms, &public, None), Ok(5));
            }
            assert_eq!(*hsms.searches.borrow(), 1);
        }
    }

    #[test]
    fn of_several_the_named_one_is_taken_then_one_that_may_sign() {
        let public = rsa(0x91);
        let keys = vec![key(3, &public, true), key(4, &public, false), key(5, &public, false)];
        let hsms = Fake { keys: keys.into(), ..Fake::default() };
        let check = |marker, expected| assert_eq!(used(&KnownKeys::default(), &hsms, &public, marker), Ok(expected));
        check(Some(Marker::new(reference(4), &public)), 4);
        check(Some(Marker::new(reference(9), &public)), 3);
        check(None, 3);
    }

    #[test]
    fn the_same_modulus_with_another_exponent_is_another_key() {
        let other = PublicPart::Rsa { modulus: vec![0x91; 256], public_exponent: vec![3] };
        let hsms = Fake { keys: vec![key(5, &rsa(0x91), true)].into(), ..Fake::default() };
        let marker = Marker::new(reference(5), &other);
        let error = used(&KnownKeys::default(), &hsms, &other, Some(marker)).unwrap_err();
        assert!(error.starts_with("no key with this public part") && error.contains("0x0000000000000005"), "{error}");
    }

    #[test]
    fn a_marker_of_another_public_part_is_refused_known_or_not() {
        let (public, other) = (rsa(0x91), rsa(0x93));
        let hsms = Fake { keys: vec![key(5, &public, true), key(6, &other, true)].into(), ..Fake::default() };
        let known = KnownKeys::default();
        let mixed = Some(Marker::new(reference(6), &other));
        for _ in 0..2 {
            let error = used(&known, &hsms, &public, mixed).unwrap_err();
            assert!(error.contains("different keys") && error.contains("0x0000000000000006"), "{error}");
            // From now on the public part is known, and the wrong marker is still wrong.
            assert_eq!(used(&known, &hsms, &public, Some(Marker::new(reference(5), &public))), Ok(5));
        }
    }

    #[test]
    fn a_deleted_key_is_looked_for_once_more() {
        let public = ec(7);
        let hsms = Fake { keys: vec![key(5, &public, true)].into(), ..Fake::default() };
        let known = KnownKeys::default();
        let marker = Some(Marker::new(reference(5), &public));
        assert_eq!(used(&known, &hsms, &public, marker), Ok(5));
        *hsms.keys.borrow_mut() = vec![key(8, &public, true)];
        assert_eq!(used(&known, &hsms, &public, marker), Ok(8));
        hsms.keys.borrow_mut().clear();
        for _ in 0..2 {
            assert!(used(&known, &hsms, &public, marker).unwrap_err().contains("0x0000000000000005"));
        }
        assert!(used(&known, &hsms, &public, None).unwrap_err().contains("does not fit"));
        *hsms.keys.borrow_mut() = vec![key(9, &public, true)];
        assert_eq!(used(&known, &hsms, &public, marker), Ok(9));
    }

    #[test]
    fn a_lock_that_never_comes_back_is_done_without() {
        let public = ec(7);
        let hsms = Fake { keys: vec![key(5, &public, true)].into(), ..Fake::default() };
        let known = KnownKeys::default();
        let held = known.0.write().unwrap();
        assert_eq!(used(&known, &hsms, &public, None), Ok(5));
        assert_eq!(used(&known, &hsms, &public, None), Ok(5));
        assert_eq!(*hsms.searches.borrow(), 2);
        drop(held);
    }
}
