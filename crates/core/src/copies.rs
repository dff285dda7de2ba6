//! Copies of keys: the same material under another reference (PKCS #11 v2.40 §5.7, `C_CopyObject`).
//!
//! * Only the owner copies, and owns the copy: it is shared with nobody, and no admin has called it trusted.
//! * A copy may do no more than its original could be made to do by its owner: protections are never taken back, templates
//!   for other keys stay, and of a key that may not be modified only the place where it lives is another.
//! * What several users must approve is not copied: a copy would be free of it.

use std::collections::BTreeSet;

use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::matching;
use strongroom_types::{AttributeName, AttributeValue, Attributes, Flag, KeyClass, Refusal, Status, Template};

use crate::plan::{Asking, internal};
use crate::templates::{self, refused};
use crate::wrapping::one_key;
use crate::{Key, MadeKey, Plan, PlanError, SessionKey, SourceKey, State, User, attributes, keys};

/// Whether the copy will be one of the session: as the template says, else as the original is.
pub(crate) fn is_for_session(from: &SourceKey, template: &Template) -> bool {
    let lives_on = matching::token(template).unwrap_or(matches!(from, SourceKey::Stored(_)));
    !lives_on
}

/// What a copy for this user will be. `own_session_key` says whether a session key is one of the user's login.
pub(crate) fn copied(
    state: &State,
    user: &User,
    from: &SourceKey,
    template: &Template,
    own_session_key: impl Fn(&SessionKey) -> bool,
) -> Result<Attributes, Refusal> {
    let original = match from {
        SourceKey::Stored(reference) => {
            let key = state.key(*reference).filter(|key| key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
            if key.owner != user.id {
                return Err(Status::KeyNotOwned.into());
            }
            if key.quorum.highest() > 1 {
                return Err(Status::KeyNotCopyable.into());
            }
            &key.attributes
        }
        SourceKey::OfSession(key) if own_session_key(key) => &key.attributes,
        SourceKey::OfSession(_) => return Err(Status::KeyUnknown.into()),
    };
    changed(original, template)
}

fn changed(original: &Attributes, template: &Template) -> Result<Attributes, Refusal> {
    if template.len() > TEMPLATE_LEN_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "template"));
    }
    let mut copy = Attributes { flags: original.flags.with(Flag::Trusted, false), ..original.clone() };
    let modifiable = original.flags.has(Flag::Modifiable);
    let mut named = BTreeSet::new();
    for (name, value) in template {
        if !named.insert(*name) {
            return Err(refused(Status::TemplateInconsistent, *name));
        }
        if copy.have(*name, value) {
            continue;
        }
        if !modifiable && *name != AttributeName::Flag(Flag::Token) {
            return Err(Refusal::new(Status::KeyNotModifiable, name.as_str()));
        }
        set(&mut copy, *name, value)?;
    }
    Ok(copy)
}

/// Sets what the copy does not have so already.
fn set(copy: &mut Attributes, name: AttributeName, value: &AttributeValue) -> Result<(), Refusal> {
    match name {
        AttributeName::Label => copy.label = templates::label(value)?,
        AttributeName::Id => copy.id = templates::id(value)?,
        AttributeName::Class | AttributeName::KeyType => {
            let status = if name.takes(value) { Status::TemplateInconsistent } else { Status::AttributeValueInvalid };
            return Err(refused(status, name));
        }
        AttributeName::Flag(flag) => {
            let value = attributes::copied_flag((copy.class, copy.key_type), flag, value)?;
            copy.flags = copy.flags.with(flag, value);
        }
        other => return Err(templates::not_set(copy.class, copy.key_type, other)),
    }
    Ok(())
}

pub(crate) fn check(asking: &Asking<'_>, from: &SourceKey, template: &Template) -> Result<Attributes, Refusal> {
    let copy = copied(asking.state, asking.user()?, from, template, |key| key.is_of(asking.actor))?;
    if !copy.flags.has(Flag::Token) {
        return Err(refused(Status::AttributeValueInvalid, AttributeName::Flag(Flag::Token)));
    }
    keys::check_room(asking, 1, usize::from(copy.class != KeyClass::SecretKey))?;
    Ok(copy)
}

pub(crate) fn copy(
    asking: &Asking<'_>,
    from: &SourceKey,
    template: &Template,
    made: &MadeKey,
) -> Result<Plan, PlanError> {
    let copy = check(asking, from, template)?;
    check_made(&copy, made)?;
    let uses_reserved = uses_before(asking.state, from);
    let key = keys::new_key(asking, made.reference, keys::Shares::default(), copy, made.sealed.as_ref())?;
    let key = Key { uses_reserved, ..key };
    one_key(asking, made, key)
}

/// How often the same material may have been used by GCM, as far as the cluster knows; of a session key, as far as the HSM that
/// copies it knows.
pub(crate) fn uses_before(state: &State, from: &SourceKey) -> u64 {
    match from {
        SourceKey::Stored(reference) => state.key(*reference).map_or(0, |original| original.uses_reserved),
        SourceKey::OfSession(original) => original.uses_before,
    }
}

/// Whether what was made is the original's material under the copy's reference, as far as can be seen from outside.
pub(crate) fn check_made(copy: &Attributes, made: &MadeKey) -> Result<(), Refusal> {
    let fits = made.public == copy.public
        && made.check_value == copy.check_value
        && made.sealed.is_some() == (copy.class != KeyClass::PublicKey);
    if fits { Ok(()) } else { Err(internal("copied key")) }
}
