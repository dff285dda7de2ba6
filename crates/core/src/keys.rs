//! Making and deleting keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::limits::SHARED_USERS_MAX;
use strongroom_types::{
    Attributes, Capacity, CheckValue, KeyClass, KeyQuorum, KeyReference, KeyType, PublicPart, Refusal, Role, Status,
    Template, UserId, UserName,
};

use crate::plan::{Asking, internal};
use crate::records::Outcome;
use crate::templates::{self, Chosen};
use crate::{
    Effect, Key, KeyView, MadePair, MadeSecret, PairAlgorithm, Plan, PlanError, Planned, Record, Reply, State,
    algorithms, quorum, receipts,
};

/// What one checked key will be.
pub(crate) struct NewKey {
    pub(crate) shares: Shares,
    pub(crate) chosen: Chosen,
}

pub(crate) fn check_secret(
    asking: &Asking<'_>,
    (key_type, length_bytes): (KeyType, u32),
    template: &Template,
    share_with: (&[UserName], KeyQuorum),
) -> Result<NewKey, Refusal> {
    let shares = shares(asking, share_with)?;
    let chosen = templates::read(KeyClass::SecretKey, key_type, template)?.lives(false)?;
    algorithms::check_secret(key_type, length_bytes, asking.cluster()?)?;
    check_room(asking, 1, 0)?;
    Ok(NewKey { shares, chosen })
}

pub(crate) fn secret(
    asking: &Asking<'_>,
    (key_type, length_bytes): (KeyType, u32),
    template: &Template,
    share_with: (&[UserName], KeyQuorum),
    made: &MadeSecret,
) -> Result<Plan, PlanError> {
    let NewKey { shares, chosen } = check_secret(asking, (key_type, length_bytes), template, share_with)?;
    let attributes = secret_attributes((key_type, length_bytes), chosen, made)?;
    check_drawn(asking.state, made.reference)?;
    let key = new_key(asking, made.reference, shares, attributes, Some(&made.sealed))?;
    let reply = Reply::Key(KeyView::of(asking.state, &key)?);
    Ok(Plan::Change(Planned { puts: vec![Record::Key(key)], deletes: Vec::new(), reply, effect: Effect::Granting }))
}

/// What a checked pair will be.
pub(crate) struct NewPair {
    shares: Shares,
    public: Chosen,
    private: Chosen,
}

pub(crate) fn check_pair(
    asking: &Asking<'_>,
    algorithm: &PairAlgorithm,
    (public, private): (&Template, &Template),
    share_with: (&[UserName], KeyQuorum),
) -> Result<NewPair, Refusal> {
    let shares = shares(asking, share_with)?;
    let key_type = type_of(algorithm);
    let public = templates::read(KeyClass::PublicKey, key_type, public)?.lives(false)?;
    let private = templates::read(KeyClass::PrivateKey, key_type, private)?.lives(false)?;
    algorithms::check_pair(algorithm, asking.cluster()?)?;
    check_room(asking, 2, 2)?;
    Ok(NewPair { shares, public, private })
}

pub(crate) fn pair(
    asking: &Asking<'_>,
    algorithm: &PairAlgorithm,
    templates: (&Template, &Template),
    share_with: (&[UserName], KeyQuorum),
    made: &MadePair,
) -> Result<Plan, PlanError> {
    let NewPair { shares, public, private } = check_pair(asking, algorithm, templates, share_with)?;
    let (public, private) = pair_attributes(algorithm, (public, private), made)?;
    check_drawn_pair(asking.state, made)?;
    let public = new_key(asking, made.public_reference, Shares::default(), public, None)?;
    let private = new_key(asking, made.private_reference, shares, private, Some(&made.sealed))?;
    let reply =
        Reply::Pair { public: KeyView::of(asking.state, &public)?, private: KeyView::of(asking.state, &private)? };
    let puts = vec![Record::Key(public), Record::Key(private)];
    Ok(Plan::Change(Planned { puts, deletes: Vec::new(), reply, effect: Effect::Granting }))
}

/// A key of the asking user's own: what may be deleted, shared and changed.
pub(crate) fn owned<'a>(asking: &Asking<'a>, reference: KeyReference) -> Result<&'a Arc<Key>, Refusal> {
    let user = asking.user()?;
    let key = asking.state.key(reference).filter(|key| key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
    if key.owner == user.id { Ok(key) } else { Err(Status::KeyNotOwned.into()) }
}

/// The record of a key that is changed. Users who are gone leave its share list.
pub(crate) fn rewritten(asking: &Asking<'_>, key: &Key) -> Key {
    let mut next = Key { revision: asking.next_revision(), ..key.clone() };
    next.shared.retain(|user| asking.state.user(*user).is_some());
    next
}

pub(crate) fn check_delete<'a>(asking: &Asking<'a>, reference: KeyReference) -> Result<&'a Arc<Key>, Refusal> {
    let key = owned(asking, reference)?;
    if !key.attributes.flags.has(strongroom_types::Flag::Destroyable) {
        return Err(Status::KeyNotDestroyable.into());
    }
    Ok(key)
}

pub(crate) fn delete(asking: &Asking<'_>, reference: KeyReference) -> Result<Plan, PlanError> {
    let key = check_delete(asking, reference)?;
    let effect = Effect::Revoking;
    let outlived = receipts::outlive(&key.creation, key.created_ms, Outcome::KeyGone, asking.now_ms);
    let puts = outlived.into_iter().chain([asking.receipt(Outcome::Done, effect)]).collect();
    Ok(Plan::Change(Planned { puts, deletes: vec![Key::path_of(reference)], reply: Reply::Done, effect }))
}

/// What a generated secret key is.
pub(crate) fn secret_attributes(
    (key_type, length_bytes): (KeyType, u32),
    chosen: Chosen,
    made: &MadeSecret,
) -> Result<Attributes, Refusal> {
    if made.check_value.is_some() != templates::has_check_value(key_type) {
        return Err(internal("check value"));
    }
    let computed = Computed { check_value: made.check_value, length_bytes, public: None };
    Ok(attributes((KeyClass::SecretKey, key_type), chosen, computed))
}

/// What the halves of a generated pair are, the public one first.
pub(crate) fn pair_attributes(
    algorithm: &PairAlgorithm,
    (public, private): (Chosen, Chosen),
    made: &MadePair,
) -> Result<(Attributes, Attributes), Refusal> {
    if !algorithms::is_of(&made.public, algorithm) {
        return Err(internal("public part"));
    }
    let key_type = type_of(algorithm);
    let computed = |length_bytes| Computed {
        check_value: Some(made.check_value),
        length_bytes,
        public: Some(made.public.clone()),
    };
    let public = attributes((KeyClass::PublicKey, key_type), public, computed(public_length(&made.public)?));
    let private = attributes((KeyClass::PrivateKey, key_type), private, computed(made.private_length_bytes));
    Ok((public, private))
}

/// What a template does not decide.
pub(crate) struct Computed {
    pub(crate) check_value: Option<CheckValue>,
    pub(crate) length_bytes: u32,
    pub(crate) public: Option<PublicPart>,
}

pub(crate) fn attributes((class, key_type): (KeyClass, KeyType), chosen: Chosen, computed: Computed) -> Attributes {
    Attributes {
        class,
        key_type,
        label: chosen.label,
        id: chosen.id,
        check_value: computed.check_value,
        flags: chosen.flags,
        length_bytes: computed.length_bytes,
        public: computed.public,
        templates: chosen.templates,
    }
}

pub(crate) fn new_key(
    asking: &Asking<'_>,
    reference: KeyReference,
    shares: Shares,
    attributes: Attributes,
    sealed: Option<&Arc<[u8]>>,
) -> Result<Key, Refusal> {
    if sealed.is_some_and(|sealed| sealed.is_empty()) {
        return Err(internal("sealed material"));
    }
    Ok(Key {
        reference,
        revision: asking.next_revision(),
        owner: asking.user()?.id,
        shared: shares.users,
        quorum: shares.quorum,
        attributes,
        sealed: sealed.cloned(),
        key_epoch: asking.cluster()?.epoch,
        creation: asking.creation(),
        created_ms: asking.now_ms,
        uses_reserved: 0,
    })
}

pub(crate) fn check_drawn(state: &State, reference: KeyReference) -> Result<(), PlanError> {
    if state.is_reference_taken(reference.as_u64()) { Err(PlanError::DrawAgain) } else { Ok(()) }
}

pub(crate) fn check_drawn_pair(state: &State, made: &MadePair) -> Result<(), PlanError> {
    check_drawn(state, made.public_reference)?;
    check_drawn(state, made.private_reference)?;
    if made.public_reference == made.private_reference { Err(PlanError::DrawAgain) } else { Ok(()) }
}

/// Whether so many more keys, of which so many are asymmetric, fit the cluster's capacity.
pub(crate) fn check_room(asking: &Asking<'_>, keys: usize, asymmetric: usize) -> Result<(), Refusal> {
    let Capacity { keys_max, asymmetric_keys_max, .. } = asking.cluster()?.capacity();
    if asking.state.keys_len() + keys > keys_max {
        return Err(Refusal::new(Status::KeysFull, format!("{keys_max} keys")));
    }
    if asymmetric > 0 && asking.state.asymmetric_keys_len() + asymmetric > asymmetric_keys_max {
        return Err(Refusal::new(Status::KeysFull, format!("{asymmetric_keys_max} asymmetric keys")));
    }
    Ok(())
}

/// With whom a new key is shared, and how many of its users must approve what is done with it.
#[derive(Default)]
pub(crate) struct Shares {
    users: BTreeSet<UserId>,
    quorum: KeyQuorum,
}

/// The crypto users of these names, of whom, with the owner, as many may have to approve as there are. The owner among them
/// changes nothing.
pub(crate) fn shares(asking: &Asking<'_>, (names, quorum): (&[UserName], KeyQuorum)) -> Result<Shares, Refusal> {
    if names.len() > SHARED_USERS_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "share list"));
    }
    let owner = asking.user()?.id;
    let mut shared = BTreeSet::new();
    for name in names {
        let user = asking.state.user_named(name).filter(|user| user.role == Role::CryptoUser);
        let user = user.ok_or_else(|| Refusal::new(Status::UserUnknown, name.as_str()))?;
        if user.id != owner {
            shared.insert(user.id);
        }
    }
    quorum::check_key_values(quorum, 1 + shared.len())?;
    Ok(Shares { users: shared, quorum })
}

pub(crate) fn type_of(algorithm: &PairAlgorithm) -> KeyType {
    match algorithm {
        PairAlgorithm::Rsa { .. } => KeyType::Rsa,
        PairAlgorithm::Ec(_) => KeyType::Ec,
        PairAlgorithm::MlDsa(_) => KeyType::MlDsa,
    }
}

/// As the command line tool counts: twice the modulus, the point, or the key.
pub(crate) fn public_length(public: &PublicPart) -> Result<u32, Refusal> {
    let len = match public {
        PublicPart::Rsa { modulus, .. } => 2 * modulus.len(),
        PublicPart::Ec { point, .. } => point.len(),
        PublicPart::MlDsa { key, .. } => key.len(),
    };
    u32::try_from(len).map_err(|_| internal("public part"))
}
