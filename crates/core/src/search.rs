//! Finding keys by their attributes, through the index.

use std::sync::Arc;

use strongroom_types::limits::{KEY_PAGE_LEN_MAX, TEMPLATE_LEN_MAX};
use strongroom_types::matching::{points, without_leading_zeros};
use strongroom_types::{
    AttributeName, AttributeValue, Filter, FilterTerm, KeyClass, KeyReference, Refusal, Role, Status,
};

use crate::index::Term;
use crate::permissions::{Operation, permit};
use crate::{Actor, Key, KeyView, State, User};

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKeys {
    /// Every key that matches, in order.
    pub references: Vec<KeyReference>,
    /// A page of them.
    pub keys: Vec<KeyView>,
}

impl FoundKeys {
    /// How many keys match.
    pub fn total(&self) -> usize {
        self.references.len()
    }
}

/// The visible keys for which every term of `filter` holds: crypto users see their own, shared and public keys,
/// admins all. The page skips `offset` matches and shows at most `limit`, itself at most [`KEY_PAGE_LEN_MAX`].
pub fn find_keys(
    state: &State,
    actor: &Actor,
    filter: &Filter,
    offset: u32,
    limit: u32,
    now_ms: u64,
) -> Result<FoundKeys, Refusal> {
    let user = permit(state, actor, Operation::KeyFind, now_ms)?.ok_or(Status::NotLoggedIn)?;
    if filter.0.len() > TEMPLATE_LEN_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "filter"));
    }
    let terms = filter.0.iter().map(Condition::of).collect::<Result<Vec<Condition<'_>>, Refusal>>()?;
    let matches = |key: &&Arc<Key>| {
        (user.role == Role::Admin || key.is_visible_to(user.id)) && terms.iter().all(|term| term.holds(key))
    };
    let page = to_usize(offset)..to_usize(offset).saturating_add(to_usize(limit.min(KEY_PAGE_LEN_MAX)));
    let mut found = FoundKeys { references: Vec::new(), keys: Vec::new() };
    for reference in candidates(state, user, &terms) {
        let on_page = page.contains(&found.total());
        // Without terms the candidates are the visible keys, and those beside the page need no look.
        if terms.is_empty() && !on_page {
            found.references.push(reference);
            continue;
        }
        let Some(key) = state.key(reference).filter(matches) else { continue };
        if on_page {
            found.keys.push(KeyView::of(state, key)?);
        }
        found.references.push(reference);
    }
    Ok(found)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// References of keys among which all matches are, in order: the fewest that an index gives.
fn candidates<'a>(
    state: &'a State,
    user: &User,
    conditions: &[Condition<'_>],
) -> Box<dyn Iterator<Item = KeyReference> + 'a> {
    let index = &state.index;
    if let Some(reference) = conditions.iter().find_map(Condition::reference) {
        return Box::new(std::iter::once(reference));
    }
    let visible = [Term::Owner(user.id), Term::Shared(user.id), Term::Class(KeyClass::PublicKey)];
    let visible_len = match user.role {
        Role::Admin => state.keys_len(),
        _ => visible.iter().map(|term| index.len(term)).sum(),
    };
    let sets = conditions.iter().filter_map(Condition::terms);
    let best = sets.min_by_key(|terms| terms.iter().map(|term| index.len(term)).sum::<usize>());
    let len = |terms: &[Term]| terms.iter().map(|term| index.len(term)).sum::<usize>();
    let terms = match best {
        Some(terms) if len(&terms) <= visible_len => terms,
        _ if user.role == Role::Admin => return Box::new(state.keys().map(|key| key.reference)),
        _ => visible.to_vec(),
    };
    let mut references: Vec<KeyReference> = terms.iter().flat_map(|term| index.iter(term)).collect();
    references.sort_unstable();
    references.dedup();
    Box::new(references.into_iter())
}

/// A filter term whose value is of its attribute's kind.
enum Condition<'a> {
    Reference(KeyReference),
    Attribute(AttributeName, &'a AttributeValue),
}

impl Condition<'_> {
    fn of(term: &FilterTerm) -> Result<Condition<'_>, Refusal> {
        let (name, value) = match term {
            FilterTerm::Reference(reference) => return Ok(Condition::Reference(*reference)),
            FilterTerm::Attribute(name, value) => (*name, value),
        };
        if name.takes(value) {
            Ok(Condition::Attribute(name, value))
        } else {
            Err(Refusal::new(Status::AttributeValueInvalid, name.as_str()))
        }
    }

    fn reference(&self) -> Option<KeyReference> {
        match self {
            Condition::Reference(reference) => Some(*reference),
            Condition::Attribute(..) => None,
        }
    }

    /// Terms of the index under which every key stands for which the condition holds; none when the index does not
    /// know the attribute.
    fn terms(&self) -> Option<Vec<Term>> {
        let Condition::Attribute(name, value) = self else { return None };
        match (name, value) {
            (AttributeName::Class, AttributeValue::Class(class)) => Some(vec![Term::Class(*class)]),
            (AttributeName::KeyType, AttributeValue::KeyType(key_type)) => Some(vec![Term::Type(*key_type)]),
            (AttributeName::Label, AttributeValue::Text(label)) => Some(vec![Term::Label(label.clone())]),
            (AttributeName::Id, AttributeValue::Bytes(id)) => Some(vec![Term::Id(id.clone())]),
            (AttributeName::CheckValue, AttributeValue::Bytes(bytes)) => {
                let value = bytes.as_slice().try_into().ok();
                Some(value.map(Term::CheckValue).into_iter().collect())
            }
            (AttributeName::Modulus, AttributeValue::Bytes(modulus)) => {
                Some(vec![Term::Modulus(without_leading_zeros(modulus).to_vec())])
            }
            (AttributeName::EcPoint, AttributeValue::Bytes(point)) => {
                Some(points(point).map(|point| Term::Point(point.to_vec())).collect())
            }
            _ => None,
        }
    }

    fn holds(&self, key: &Key) -> bool {
        match self {
            Condition::Reference(reference) => key.reference == *reference,
            Condition::Attribute(name, value) => key.attributes.have(*name, value),
        }
    }
}
