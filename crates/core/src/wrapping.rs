//! Keys that leave and come in wrapped, and keys that come in as they are.
//!
//! * Out goes what its owner says, if it is extractable, under a key that may wrap; with `wrap-with-trusted` only under
//!   one that an admin trusts, and always as the wrapping key's template demands. Wrapping changes nothing.
//! * In comes a key under one that may unwrap. Who brings it chooses its attributes as for a new key, within the unwrapping
//!   key's template, but never what is said of its past: it was made elsewhere, and may have been in clear.

use std::sync::Arc;

use strongroom_types::matching;
use strongroom_types::{
    Attributes, Flag, KeyClass, KeyQuorum, KeyReference, KeyType, PublicPart, QuorumService, QuorumSubject, Refusal,
    Status, Template, UserName, WrapMechanism,
};

use crate::authorize::has_flag;
use crate::keys::{self, NewKey, Shares};
use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::templates::{self, Chosen};
use crate::{
    Actor, Command, Effect, ImportedKey, Key, KeyUse, KeyView, MadeKey, Plan, PlanError, Planned, Record, Reply,
    Request, SessionKey, SourceKey, State, User, algorithms, demands, quorum,
};

/// A key by its reference, or a session key in person.
#[derive(Clone, Copy, Debug)]
pub enum NamedKey<'a> {
    /// One of the store.
    Stored(KeyReference),
    /// One of a login.
    OfSession(&'a SessionKey),
}

/// What [`authorize_wrap`] found: the keys of the store among the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapKeys {
    /// The key that wraps.
    pub wrapping: Option<Arc<Key>>,
    /// The key that is wrapped.
    pub payload: Option<Arc<Key>>,
}

/// Decides whether `actor` may wrap `payload` under `wrapping`, now.
///
/// Checked in the order of [`Status`]: the cluster's state, the login, the role, whether both keys are there and
/// visible, whether the payload is the actor's own, the wrapping key's class, type and `wrap`, the payload's
/// `extractable` and `wrap-with-trusted`, the wrapping key's template, the mode, the payload's kind and length, whether users
/// of either key must approve it. Such a use is refused here, whoever asks: see [`authorize_wrap_approved`].
pub fn authorize_wrap(
    state: &State,
    actor: &Actor,
    mechanism: WrapMechanism,
    keys: (NamedKey<'_>, NamedKey<'_>),
    now_ms: u64,
) -> Result<WrapKeys, Refusal> {
    let found = permitted_wrap(state, actor, mechanism, keys, now_ms)?;
    let needs_approval = found.subjects().iter().any(|subject| {
        let key = subject.key.and_then(|key| state.key(key));
        key.is_some_and(|key| key.quorum.of(subject.service) > 1)
    });
    if needs_approval { Err(Status::QuorumFailed.into()) } else { Ok(found) }
}

/// The same for a wrapping that the keys' users have approved, as [`authorize_approved`](crate::authorize_approved) does.
pub fn authorize_wrap_approved(
    state: &State,
    actor: &Actor,
    mechanism: WrapMechanism,
    keys: (NamedKey<'_>, NamedKey<'_>),
    request: &Request,
    now_ms: u64,
) -> Result<WrapKeys, Refusal> {
    let found = permitted_wrap(state, actor, mechanism, keys, now_ms)?;
    if quorum::is_use_approved(state, actor, request) { Ok(found) } else { Err(Status::QuorumFailed.into()) }
}

impl WrapKeys {
    /// What users of the two keys approve of a wrapping: both are managed by it.
    pub fn subjects(&self) -> Vec<QuorumSubject> {
        let keys = self.wrapping.iter().chain(&self.payload);
        keys.map(|key| QuorumSubject { service: QuorumService::KeyManagement, key: Some(key.reference) }).collect()
    }
}

fn permitted_wrap(
    state: &State,
    actor: &Actor,
    mechanism: WrapMechanism,
    (wrapping, payload): (NamedKey<'_>, NamedKey<'_>),
    now_ms: u64,
) -> Result<WrapKeys, Refusal> {
    let user = permit(state, actor, Operation::KeyWrap, now_ms)?.ok_or(Status::NotLoggedIn)?;
    let (wrapping, wrapping_key) = visible(state, actor, user, wrapping)?;
    let (payload, payload_key) = visible(state, actor, user, payload)?;
    if payload_key.as_ref().is_some_and(|key| key.owner != user.id) {
        return Err(Status::KeyNotOwned.into());
    }
    algorithms::fits_wrapping_key(mechanism, wrapping)?;
    has_flag(wrapping, Flag::Wrap)?;
    if !payload.flags.has(Flag::Extractable) {
        return Err(Status::KeyNotExtractable.into());
    }
    if payload.flags.has(Flag::WrapWithTrusted) && !wrapping.flags.has(Flag::Trusted) {
        return Err(Status::WrappingKeyNotTrusted.into());
    }
    if let Some(differs) = wrapping.templates.wrap.as_deref().and_then(|demands| payload.differ_from(demands)) {
        return Err(Refusal::new(Status::WrapTemplateMismatch, differs.as_str()));
    }
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    algorithms::fits_payload(mechanism, wrapping, payload, cluster)?;
    Ok(WrapKeys { wrapping: wrapping_key.cloned(), payload: payload_key.cloned() })
}

/// The attributes of a key that the user may see, and the key itself when it is one of the store.
fn visible<'a>(
    state: &'a State,
    actor: &Actor,
    user: &User,
    key: NamedKey<'a>,
) -> Result<(&'a Attributes, Option<&'a Arc<Key>>), Refusal> {
    match key {
        NamedKey::Stored(reference) => {
            let key = state.key(reference).filter(|key| key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
            Ok((&key.attributes, Some(key)))
        }
        NamedKey::OfSession(key) if key.is_of(actor) => Ok((&key.attributes, None)),
        NamedKey::OfSession(_) => Err(Status::KeyUnknown.into()),
    }
}

/// What is asked of an unwrapping.
#[derive(Clone, Copy)]
pub(crate) struct Unwrapping<'a> {
    pub(crate) with: &'a SourceKey,
    pub(crate) mechanism: WrapMechanism,
    pub(crate) wrapped_len: usize,
    pub(crate) kind: (KeyClass, KeyType),
    pub(crate) template: &'a Template,
    pub(crate) defaults: &'a Template,
}

impl<'a> Unwrapping<'a> {
    /// What a command asks; only of [`Command::UnwrapKey`].
    pub(crate) fn of(command: &'a Command) -> Result<Unwrapping<'a>, Refusal> {
        match command {
            Command::UnwrapKey { with, mechanism, wrapped_len, class, key_type, template, defaults, .. } => {
                let (mechanism, wrapped_len, kind) = (*mechanism, *wrapped_len, (*class, *key_type));
                Ok(Unwrapping { with, mechanism, wrapped_len, kind, template, defaults })
            }
            _ => Err(internal("command")),
        }
    }

    /// Whether the actor may unwrap so, and what the key will be.
    pub(crate) fn check(&self, state: &State, actor: &Actor, session: bool, now_ms: u64) -> Result<Chosen, Refusal> {
        let key_use = KeyUse::Unwrap(self.mechanism, self.wrapped_len);
        let demands = self.with.permitted(state, actor, key_use, session, now_ms, demands_of)?;
        let (class, key_type) = self.kind;
        algorithms::check_wrappable(class, key_type)?;
        let template = demands::unwrapped(self.kind, self.template, demands.as_deref(), self.defaults)?;
        templates::read_from_outside(class, key_type, &template)?.lives(session)
    }

    /// Whether the key will be one of the session: the first says so of the maker, the unwrapping key and the defaults that
    /// says where it lives. The actor must see the unwrapping key, or what it says cannot be known.
    pub(crate) fn is_for_session(&self, state: &State, actor: &Actor) -> Result<bool, Refusal> {
        let demands = match (self.with, actor) {
            (SourceKey::Stored(reference), Actor::Login(login)) => {
                let key =
                    state.key(*reference).filter(|key| key.is_visible_to(login.user)).ok_or(Status::KeyUnknown)?;
                demands_of(&key.attributes)
            }
            (SourceKey::OfSession(key), _) if key.is_of(actor) => demands_of(&key.attributes),
            _ => return Err(Status::KeyUnknown.into()),
        };
        let said = [Some(self.template), demands.as_deref(), Some(self.defaults)];
        Ok(said.into_iter().flatten().find_map(matching::token) == Some(false))
    }
}

/// What a key demands of those that it unwraps.
fn demands_of(attributes: &Attributes) -> Option<Arc<Template>> {
    attributes.templates.unwrap.clone()
}

pub(crate) fn check_unwrap(
    asking: &Asking<'_>,
    unwrapping: Unwrapping<'_>,
    share_with: (&[UserName], KeyQuorum),
) -> Result<NewKey, Refusal> {
    let chosen = unwrapping.check(asking.state, asking.actor, false, asking.now_ms)?;
    let shares = keys::shares(asking, share_with)?;
    keys::check_room(asking, 1, usize::from(unwrapping.kind.0 != KeyClass::SecretKey))?;
    Ok(NewKey { shares, chosen })
}

pub(crate) fn unwrap(
    asking: &Asking<'_>,
    unwrapping: Unwrapping<'_>,
    share_with: (&[UserName], KeyQuorum),
    made: &MadeKey,
) -> Result<Plan, PlanError> {
    let new = check_unwrap(asking, unwrapping, share_with)?;
    let attributes = unwrapped_attributes(asking.state, unwrapping.kind, new.chosen, made)?;
    one_key(asking, made, keys::new_key(asking, made.reference, new.shares, attributes, made.sealed.as_ref())?)
}

/// What a private or secret key is that came in.
pub(crate) fn unwrapped_attributes(
    state: &State,
    (class, key_type): (KeyClass, KeyType),
    chosen: Chosen,
    made: &MadeKey,
) -> Result<Attributes, Refusal> {
    let is_private = class == KeyClass::PrivateKey;
    let fits = made.public.as_ref().map(PublicPart::key_type) == is_private.then_some(key_type)
        && made.check_value.is_some() == (key_type != KeyType::GenericSecret)
        && made.sealed.is_some();
    if !fits {
        return Err(internal("key that came in"));
    }
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    match &made.public {
        Some(public) => algorithms::check_public_from_outside(public, cluster)?,
        None => algorithms::check_secret_from_outside(key_type, made.length_bytes, made.weak, cluster)?,
    }
    Ok(keys::attributes((class, key_type), chosen, made.computed()))
}

/// What an imported key will be.
pub(crate) fn chosen_import(
    state: &State,
    key: &ImportedKey,
    template: &Template,
    session: bool,
) -> Result<Chosen, Refusal> {
    let (class, key_type) = key.kind();
    let chosen = templates::read_from_outside(class, key_type, template)?.lives(session)?;
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    match key {
        ImportedKey::Public(public) => algorithms::check_public_from_outside(public, cluster)?,
        ImportedKey::Private(key_type) => algorithms::check_private_from_outside(*key_type)?,
        ImportedKey::Secret(key_type, len) => algorithms::check_secret_from_outside(*key_type, *len, false, cluster)?,
    }
    Ok(chosen)
}

pub(crate) fn check_import(asking: &Asking<'_>, key: &ImportedKey, template: &Template) -> Result<Chosen, Refusal> {
    let chosen = chosen_import(asking.state, key, template, false)?;
    keys::check_room(asking, 1, usize::from(key.kind().0 != KeyClass::SecretKey))?;
    Ok(chosen)
}

pub(crate) fn import(
    asking: &Asking<'_>,
    key: &ImportedKey,
    template: &Template,
    made: &MadeKey,
) -> Result<Plan, PlanError> {
    let chosen = check_import(asking, key, template)?;
    let attributes = imported_attributes(asking.state, key, chosen, made)?;
    let sealed = made.sealed.as_ref();
    one_key(asking, made, keys::new_key(asking, made.reference, Shares::default(), attributes, sealed)?)
}

/// What an imported key is.
pub(crate) fn imported_attributes(
    state: &State,
    key: &ImportedKey,
    chosen: Chosen,
    made: &MadeKey,
) -> Result<Attributes, Refusal> {
    let ImportedKey::Public(public) = key else { return unwrapped_attributes(state, key.kind(), chosen, made) };
    if made.public.as_ref() != Some(public) || made.check_value.is_none() || made.sealed.is_some() {
        return Err(internal("imported key"));
    }
    let computed = keys::Computed { length_bytes: keys::public_length(public)?, ..made.computed() };
    Ok(keys::attributes((KeyClass::PublicKey, public.key_type()), chosen, computed))
}

impl ImportedKey {
    fn kind(&self) -> (KeyClass, KeyType) {
        match self {
            ImportedKey::Public(public) => (KeyClass::PublicKey, public.key_type()),
            ImportedKey::Private(key_type) => (KeyClass::PrivateKey, *key_type),
            ImportedKey::Secret(key_type, _) => (KeyClass::SecretKey, *key_type),
        }
    }
}

pub(crate) fn one_key(asking: &Asking<'_>, made: &MadeKey, key: Key) -> Result<Plan, PlanError> {
    keys::check_drawn(asking.state, made.reference)?;
    let reply = Reply::Key(KeyView::of(asking.state, &key)?);
    Ok(Plan::Change(Planned { puts: vec![Record::Key(key)], deletes: Vec::new(), reply, effect: Effect::Granting }))
}

impl MadeKey {
    pub(crate) fn computed(&self) -> keys::Computed {
        keys::Computed { check_value: self.check_value, length_bytes: self.length_bytes, public: self.public.clone() }
    }
}
