//! Secret keys that are made from other keys.
//!
//! Who may use the base key so chooses the new key's attributes as for a new key, but that it is sensitive. Of its past nothing
//! good is said, whatever the base key is: the same derivation gives the same key again, with other attributes.

use strongroom_types::{
    AttributeName, AttributeValue, Attributes, Derivation, EcdhKdf, Flag, KeyClass, KeyQuorum, KeyType, Refusal,
    Status, Template,
};

use crate::authorize::{authorize, authorize_for_change, authorize_session_key};
use crate::keys::{self, NewKey};
use crate::plan::{Asking, internal};
use crate::templates::{self, Chosen};
use crate::wrapping::one_key;
use crate::{Actor, Command, KeyUse, MadeKey, Plan, PlanError, SourceKey, State, algorithms};

impl SourceKey {
    /// What `look` takes of the key's attributes, if the actor may make another key with it so, now; a session key if `session`.
    ///
    /// What others must approve of a change is counted with the change; a session key is made by none.
    pub(crate) fn permitted<T>(
        &self,
        state: &State,
        actor: &Actor,
        key_use: KeyUse<'_>,
        session: bool,
        now_ms: u64,
        look: impl FnOnce(&Attributes) -> T,
    ) -> Result<T, Refusal> {
        match self {
            SourceKey::Stored(reference) => {
                let ask = if session { authorize } else { authorize_for_change };
                Ok(look(&ask(state, actor, key_use, *reference, now_ms)?.attributes))
            }
            SourceKey::OfSession(key) => {
                authorize_session_key(state, actor, key_use, key, now_ms)?;
                Ok(look(&key.attributes))
            }
        }
    }
}

/// What is asked of a derivation.
#[derive(Clone, Copy)]
pub(crate) struct Deriving<'a> {
    base: &'a SourceKey,
    derivation: &'a Derivation,
    key_type: KeyType,
    length_bytes: u32,
    template: &'a Template,
}

impl<'a> Deriving<'a> {
    /// What a command asks; only of [`Command::DeriveKey`].
    pub(crate) fn of(command: &'a Command) -> Result<Deriving<'a>, Refusal> {
        match command {
            Command::DeriveKey { base, derivation, key_type, length_bytes, template } => {
                let (key_type, length_bytes) = (*key_type, *length_bytes);
                Ok(Deriving { base, derivation, key_type, length_bytes, template })
            }
            _ => Err(internal("command")),
        }
    }

    /// Whether the actor may derive so, and what the key will be.
    pub(crate) fn check(&self, state: &State, actor: &Actor, session: bool, now_ms: u64) -> Result<Chosen, Refusal> {
        let key_use = KeyUse::Derive(self.derivation, self.length_bytes);
        self.base.permitted(state, actor, key_use, session, now_ms, |_| ())?;
        let chosen = templates::read(KeyClass::SecretKey, self.key_type, &self.sensitive()?)?;
        let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
        algorithms::check_secret(self.key_type, self.length_bytes, cluster)?;
        Ok(chosen.lives(session)?.derived())
    }

    /// The template, which may say of `sensitive` that it is true. Who agrees on a key without a derivation function wants the
    /// shared secret itself, as programs do that have a function of their own, and may say otherwise.
    fn sensitive(&self) -> Result<Template, Refusal> {
        if matches!(self.derivation, Derivation::Ecdh { kdf: EcdhKdf::None, .. }) {
            return Ok(self.template.clone());
        }
        let name = AttributeName::Flag(Flag::Sensitive);
        let (named, others): (Template, Template) =
            self.template.iter().cloned().partition(|(other, _)| *other == name);
        match named.as_slice() {
            [] | [(_, AttributeValue::Bool(true))] => Ok(others),
            [_] => Err(templates::refused(Status::AttributeValueInvalid, name)),
            _ => Err(templates::refused(Status::TemplateInconsistent, name)),
        }
    }

    /// What the derived key is.
    pub(crate) fn attributes(&self, chosen: Chosen, made: &MadeKey) -> Result<Attributes, Refusal> {
        let fits = made.public.is_none()
            && made.sealed.is_some()
            && made.length_bytes == self.length_bytes
            && made.check_value.is_some() == templates::has_check_value(self.key_type);
        if !fits {
            return Err(internal("derived key"));
        }
        if made.weak {
            return Err(Refusal::new(Status::KeyWeak, "derived from these data; derive from others"));
        }
        Ok(keys::attributes((KeyClass::SecretKey, self.key_type), chosen, made.computed()))
    }
}

pub(crate) fn check(asking: &Asking<'_>, deriving: Deriving<'_>) -> Result<NewKey, Refusal> {
    let chosen = deriving.check(asking.state, asking.actor, false, asking.now_ms)?;
    keys::check_room(asking, 1, 0)?;
    Ok(NewKey { shares: keys::shares(asking, (&[], KeyQuorum::NONE))?, chosen })
}

pub(crate) fn derive(asking: &Asking<'_>, deriving: Deriving<'_>, made: &MadeKey) -> Result<Plan, PlanError> {
    let NewKey { shares, chosen } = check(asking, deriving)?;
    let attributes = deriving.attributes(chosen, made)?;
    one_key(asking, made, keys::new_key(asking, made.reference, shares, attributes, made.sealed.as_ref())?)
}
