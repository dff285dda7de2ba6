//! From a property of keys to the references of the keys that have it.

use imbl::{OrdMap, OrdSet};
use strongroom_types::{CheckValue, KeyClass, KeyReference, KeyType, PublicPart, UserId};

use crate::Key;

/// A property by which keys are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Term {
    Owner(UserId),
    Shared(UserId),
    Class(KeyClass),
    Type(KeyType),
    Label(String),
    Id(Vec<u8>),
    CheckValue(CheckValue),
    Modulus(Vec<u8>),
    Point(Vec<u8>),
}

/// References under one term. Most terms have one key; a set for each would cost more than the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
enum References {
    One(KeyReference),
    Many(OrdSet<KeyReference>),
}

/// The index of all keys. Equal for equal keys, whatever the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyIndex(OrdMap<Term, References>);

impl KeyIndex {
    pub(crate) fn insert(&mut self, key: &Key) {
        for term in terms(key) {
            let references = match self.0.remove(&term) {
                None => References::One(key.reference),
                Some(References::One(other)) if other == key.reference => References::One(other),
                Some(References::One(other)) => References::Many([other, key.reference].into_iter().collect()),
                Some(References::Many(mut set)) => {
                    set.insert(key.reference);
                    References::Many(set)
                }
            };
            self.0.insert(term, references);
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        for term in terms(key) {
            match self.0.remove(&term) {
                Some(References::One(other)) if other != key.reference => {
                    self.0.insert(term, References::One(other));
                }
                Some(References::Many(mut set)) => {
                    set.remove(&key.reference);
                    let last = if set.len() == 1 { set.get_min().copied() } else { None };
                    self.0.insert(term, last.map_or(References::Many(set), References::One));
                }
                Some(References::One(_)) | None => {}
            }
        }
    }

    /// How many keys have the property.
    pub(crate) fn len(&self, term: &Term) -> usize {
        match self.0.get(term) {
            None => 0,
            Some(References::One(_)) => 1,
            Some(References::Many(set)) => set.len(),
        }
    }

    /// The keys that have the property, in order.
    pub(crate) fn iter(&self, term: &Term) -> impl Iterator<Item = KeyReference> + '_ {
        let (one, many) = match self.0.get(term) {
            None => (None, None),
            Some(References::One(reference)) => (Some(*reference), None),
            Some(References::Many(set)) => (None, Some(set)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }
}

fn terms(key: &Key) -> impl Iterator<Item = Term> + '_ {
    let attributes = &key.attributes;
    let public = attributes.public.as_ref().and_then(|public| match public {
        PublicPart::Rsa { modulus, .. } => Some(Term::Modulus(modulus.clone())),
        PublicPart::Ec { point, .. } => Some(Term::Point(point.clone())),
        // No attribute holds it, so nobody looks for it.
        PublicPart::MlDsa { .. } => None,
    });
    [
        Term::Owner(key.owner),
        Term::Class(attributes.class),
        Term::Type(attributes.key_type),
        Term::Label(attributes.label.clone()),
        Term::Id(attributes.id.clone()),
    ]
    .into_iter()
    .chain(attributes.check_value.map(Term::CheckValue))
    .chain(public)
    .chain(key.shared.iter().copied().map(Term::Shared))
}
