//! Templates as a fuzz target reads them: bytes chosen by nobody, as programs may pass them.

use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{AttributeName, Secret, Template};

use super::templates::{self, Call, Kind};
use super::{attributes, certificates, find};
use crate::attribute::{Given, Value};

/// Reads a template in every way that a function of the library has, and answers what a new key of it would be told, if it
/// is one of a key. The first byte chooses call and kind, the others are attributes: a type that may be chosen from those
/// that there are, a length, a value.
pub fn template_in(data: &[u8]) -> Option<Template> {
    let (choice, data) = data.split_first()?;
    let given = given(data, true);
    let _ = find::filters(&given);
    let _ = certificates::filter(&given);
    let _ = certificates::read(&given);
    let _ = attributes::changes(&given);
    let _ = templates::kind_of(&given);
    let calls = [Call::Create, Call::Derive, Call::GenerateKey, Call::GenerateKeyPair, Call::Unwrap];
    let (call, kind) = (usize::from(*choice) % calls.len(), usize::from(*choice) / calls.len() % Kind::ALL.len());
    let wanted = templates::read(*calls.get(call)?, *Kind::ALL.get(kind)?, &given).ok()?;
    assert!(given.len() <= TEMPLATE_LEN_MAX, "a template is bounded");
    let template = wanted.into_template();
    let mut names: Vec<AttributeName> = template.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|one, next| one < next), "an attribute is said once: {names:?}");
    Some(template)
}

fn given(mut data: &[u8], may_nest: bool) -> Vec<Given> {
    let mut given = Vec::new();
    while let [kind, len, rest @ ..] = data {
        let kinds = templates::kinds();
        let kind = kinds.get(usize::from(*kind)).copied().unwrap_or(u64::from(*kind) << 24);
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let is_template = matches!(kind, cryptoki_sys::CKA_WRAP_TEMPLATE | cryptoki_sys::CKA_UNWRAP_TEMPLATE);
        let value = match is_template && may_nest {
            true => Value::Template(self::given(bytes, false)),
            false => Value::Bytes(Secret::from(bytes)),
        };
        given.push(Given { kind, value });
        data = rest;
    }
    given
}

/// Attributes from which a type may be chosen.
pub fn template_kinds() -> usize {
    templates::kinds().len()
}
