//! What a key demands of those that are wrapped and unwrapped with it: its templates.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::{
    AttributeName, AttributeValue, Flag, KeyClass, KeyTemplates, KeyType, Refusal, Status, Template,
};

use crate::templates;

/// A template for other keys; none when it demands nothing. What no key could meet is refused.
pub(crate) fn read(of: AttributeName, value: &AttributeValue) -> Result<Option<Arc<Template>>, Refusal> {
    let AttributeValue::Template(template) = value else {
        return Err(templates::refused(Status::AttributeValueInvalid, of));
    };
    check(of, template)?;
    if of == AttributeName::UnwrapTemplate && !UNWRAPPED.iter().any(|kind| can_be(*kind, template)) {
        return Err(Refusal::new(Status::AttributeValueInvalid, format!("{of}: no key that is unwrapped can be so")));
    }
    Ok(Some(template).filter(|template| !template.is_empty()).map(|template| Arc::new(template.clone())))
}

/// The kinds of keys that can be unwrapped.
const UNWRAPPED: [(KeyClass, KeyType); 5] = [
    (KeyClass::PrivateKey, KeyType::Ec),
    (KeyClass::PrivateKey, KeyType::Rsa),
    (KeyClass::SecretKey, KeyType::Aes),
    (KeyClass::SecretKey, KeyType::Des3),
    (KeyClass::SecretKey, KeyType::GenericSecret),
];

/// Whether a template may stand in a key: each attribute once, bounded, with a value of its kind. A wrap template compares,
/// and so may name what is computed, but the numbers of one public key; an unwrap template makes keys, and so may name
/// what a maker may set.
fn check(of: AttributeName, template: &Template) -> Result<(), Refusal> {
    let mut named = BTreeSet::new();
    for (name, value) in template {
        let fits = match name {
            AttributeName::Label => templates::label(value).is_ok(),
            AttributeName::Id => templates::id(value).is_ok(),
            AttributeName::Flag(Flag::Private) if of == AttributeName::UnwrapTemplate => {
                *value == AttributeValue::Bool(true)
            }
            AttributeName::Class | AttributeName::KeyType => name.takes(value),
            AttributeName::Flag(Flag::AlwaysSensitive | Flag::Local | Flag::NeverExtractable | Flag::Trusted)
            | AttributeName::KeyLengthBytes
            | AttributeName::ModulusSizeBits
            | AttributeName::Curve
            | AttributeName::MlDsaAlgorithm => of == AttributeName::WrapTemplate && name.takes(value),
            AttributeName::CheckValue => {
                of == AttributeName::WrapTemplate && matches!(value, AttributeValue::Bytes(value) if value.len() == 3)
            }
            AttributeName::Flag(_) => name.takes(value),
            AttributeName::Modulus
            | AttributeName::PublicExponent
            | AttributeName::EcPoint
            | AttributeName::WrapTemplate
            | AttributeName::UnwrapTemplate => false,
        };
        if !fits || !named.insert(*name) {
            return Err(Refusal::new(Status::AttributeValueInvalid, format!("{of}: {name}")));
        }
    }
    Ok(())
}

/// Whether a key of this kind can have what a template demands. Of a flag that it does not have it is said that it is false.
fn can_be((class, key_type): (KeyClass, KeyType), template: &Template) -> bool {
    template.iter().all(|(name, value)| match (name, value) {
        (_, AttributeValue::Class(demanded)) => *demanded == class,
        (_, AttributeValue::KeyType(demanded)) => *demanded == key_type,
        (AttributeName::Flag(flag), AttributeValue::Bool(true)) => templates::has_flag(class, key_type, *flag),
        _ => true,
    })
}

/// Whether keys of this kind may have such templates as these.
pub(crate) fn may_have(class: KeyClass, key_type: KeyType, templates: &KeyTemplates) -> bool {
    let each = [(AttributeName::WrapTemplate, &templates.wrap), (AttributeName::UnwrapTemplate, &templates.unwrap)];
    each.into_iter().all(|(name, template)| match template {
        None => true,
        Some(template) => {
            templates::may_demand(class, key_type, name) && !template.is_empty() && check(name, template).is_ok()
        }
    })
}

/// The template of a key that is unwrapped: what the maker names, then what the unwrapping key demands, then defaults. The
/// maker may not contradict the unwrapping key. A flag that keys of this kind do not have is false.
pub(crate) fn unwrapped(
    (class, key_type): (KeyClass, KeyType),
    template: &Template,
    demands: Option<&Template>,
    defaults: &Template,
) -> Result<Template, Refusal> {
    templates::read_from_outside(class, key_type, template)?;
    let named = |all: &Template, name: AttributeName| all.iter().any(|(other, _)| *other == name);
    let mut merged = template.clone();
    let demands = demands.map(Vec::as_slice).unwrap_or_default();
    for (name, value) in demands {
        let lacks = matches!(name, AttributeName::Flag(flag) if !templates::has_flag(class, key_type, *flag));
        if lacks && *value == AttributeValue::Bool(false) {
            continue;
        }
        if lacks || template.iter().any(|(other, chosen)| other == name && chosen != value) {
            return Err(Refusal::new(
                Status::TemplateInconsistent,
                format!("{name}: the unwrapping key's template demands another value"),
            ));
        }
        if !named(template, *name) {
            merged.push((*name, value.clone()));
        }
    }
    let said = merged.clone();
    merged.extend(defaults.iter().filter(|(name, _)| !named(&said, *name)).cloned());
    Ok(merged)
}
