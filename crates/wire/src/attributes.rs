use std::sync::Arc;

use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{AttributeName, AttributeValue, Filter, FilterTerm, KeyReference, Template};

use crate::convert::{Malformed, curve, key_class, key_type, ml_dsa_algorithm};
use crate::v1;
use crate::v1::attribute::Value;

/// The attributes of a template, in their order; at most [`TEMPLATE_LEN_MAX`].
pub fn template(attributes: &[v1::Attribute]) -> Result<Template, Malformed> {
    if attributes.len() > TEMPLATE_LEN_MAX {
        return Err(Malformed { field: "template" });
    }
    attributes.iter().map(attribute).collect()
}

/// The message for a template.
pub fn template_message(template: &Template) -> Vec<v1::Attribute> {
    template.iter().map(|(name, value)| message(*name, value)).collect()
}

/// The filter of a search: a reference (0 for any) and attributes.
pub fn filter(reference: u64, attributes: &[v1::Attribute]) -> Result<Filter, Malformed> {
    let reference = KeyReference::from_u64(reference).map(FilterTerm::Reference);
    if attributes.len() + usize::from(reference.is_some()) > TEMPLATE_LEN_MAX {
        return Err(Malformed { field: "filter" });
    }
    let attributes =
        attributes.iter().map(|term| attribute(term).map(|(name, value)| FilterTerm::Attribute(name, value)));
    reference.map(Ok).into_iter().chain(attributes).collect::<Result<_, _>>().map(Filter)
}

/// The message for a filter. Of several references only one can be sent: two different ones select nothing, and
/// [`None`] says so.
pub fn filter_message(filter: &Filter) -> Option<(u64, Vec<v1::Attribute>)> {
    let mut reference = 0;
    let mut attributes = Vec::new();
    for term in &filter.0 {
        match term {
            FilterTerm::Reference(one) if reference == 0 || reference == one.as_u64() => reference = one.as_u64(),
            FilterTerm::Reference(_) => return None,
            FilterTerm::Attribute(name, value) => attributes.push(message(*name, value)),
        }
    }
    Some((reference, attributes))
}

/// The one attribute of a message; it may not be missing.
pub fn one_attribute(message: Option<&v1::Attribute>) -> Result<(AttributeName, AttributeValue), Malformed> {
    attribute(message.ok_or(Malformed { field: "attribute" })?)
}

/// The message for one attribute.
pub fn attribute_message(name: AttributeName, value: &AttributeValue) -> v1::Attribute {
    message(name, value)
}

fn attribute(attribute: &v1::Attribute) -> Result<(AttributeName, AttributeValue), Malformed> {
    let name = attribute.name.parse().map_err(|_| Malformed { field: "name" })?;
    let value = match attribute.value.as_ref().ok_or(Malformed { field: "value" })? {
        Value::Boolean(value) => AttributeValue::Bool(*value),
        Value::Text(text) => AttributeValue::Text(text.clone()),
        Value::Octets(bytes) => AttributeValue::Bytes(bytes.clone()),
        Value::Number(number) => AttributeValue::Number(*number),
        Value::Class(class) => AttributeValue::Class(key_class(*class)?),
        Value::KeyType(number) => AttributeValue::KeyType(key_type(*number)?),
        Value::Curve(number) => AttributeValue::Curve(curve(*number)?),
        Value::MlDsaAlgorithm(number) => AttributeValue::MlDsaAlgorithm(ml_dsa_algorithm(*number)?),
        Value::Template(list) => AttributeValue::Template(inner_template(list)?),
    };
    Ok((name, value))
}

/// A template that is a value; one level deep and no deeper.
fn inner_template(list: &v1::AttributeList) -> Result<Template, Malformed> {
    let is_template = |attribute: &v1::Attribute| matches!(attribute.value, Some(Value::Template(_)));
    if list.attributes.iter().any(is_template) {
        return Err(Malformed { field: "template" });
    }
    template(&list.attributes)
}

/// What a key demands of others; an empty list is no demand.
pub(crate) fn key_template(list: Option<&v1::AttributeList>) -> Result<Option<Arc<Template>>, Malformed> {
    let template = list.map(inner_template).transpose()?;
    Ok(template.filter(|template| !template.is_empty()).map(Arc::new))
}

/// The message for it.
pub(crate) fn key_template_message(template: Option<&Template>) -> Option<v1::AttributeList> {
    template.map(|template| v1::AttributeList { attributes: template_message(template) })
}

fn message(name: AttributeName, value: &AttributeValue) -> v1::Attribute {
    let value = match value {
        AttributeValue::Bool(value) => Value::Boolean(*value),
        AttributeValue::Text(text) => Value::Text(text.clone()),
        AttributeValue::Bytes(bytes) => Value::Octets(bytes.clone()),
        AttributeValue::Number(number) => Value::Number(*number),
        AttributeValue::Class(class) => Value::Class(v1::KeyClass::from(*class).into()),
        AttributeValue::KeyType(key_type) => Value::KeyType(v1::KeyType::from(*key_type).into()),
        AttributeValue::Curve(curve) => Value::Curve(v1::Curve::from(*curve).into()),
        AttributeValue::MlDsaAlgorithm(algorithm) => Value::MlDsaAlgorithm(v1::MlDsaAlgorithm::from(*algorithm).into()),
        AttributeValue::Template(template) => {
            Value::Template(v1::AttributeList { attributes: template_message(template) })
        }
    };
    v1::Attribute { name: name.as_str().to_owned(), value: Some(value) }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Curve, Flag, KeyClass, KeyType, MlDsaAlgorithm};

    use super::*;

    fn sample() -> Template {
        vec![
            (AttributeName::Flag(Flag::Sign), AttributeValue::Bool(false)),
            (AttributeName::Label, AttributeValue::Text("über".into())),
            (AttributeName::Id, AttributeValue::Bytes(vec![0, 255])),
            (AttributeName::KeyLengthBytes, AttributeValue::Number(32)),
            (AttributeName::Class, AttributeValue::Class(KeyClass::SecretKey)),
            (AttributeName::KeyType, AttributeValue::KeyType(KeyType::Ec)),
            (AttributeName::Curve, AttributeValue::Curve(Curve::Secp256k1)),
            (AttributeName::MlDsaAlgorithm, AttributeValue::MlDsaAlgorithm(MlDsaAlgorithm::MlDsa44)),
            (AttributeName::WrapTemplate, AttributeValue::Template(inner())),
            (AttributeName::UnwrapTemplate, AttributeValue::Template(Template::new())),
        ]
    }

    fn inner() -> Template {
        vec![
            (AttributeName::Flag(Flag::Encrypt), AttributeValue::Bool(true)),
            (AttributeName::Label, AttributeValue::Text("x".into())),
        ]
    }

    #[test]
    fn templates_in_templates_are_bounded_and_one_level_deep() {
        let read = |attributes: Vec<v1::Attribute>| {
            let value = Some(Value::Template(v1::AttributeList { attributes }));
            template(&[v1::Attribute { name: "wrap-template".into(), value }])
        };
        let flag = message(AttributeName::Flag(Flag::Sign), &AttributeValue::Bool(true));
        assert!(read(vec![flag.clone(); TEMPLATE_LEN_MAX]).is_ok());
        let malformed = Err(Malformed { field: "template" });
        assert_eq!(read(vec![flag.clone(); TEMPLATE_LEN_MAX + 1]), malformed);
        for deeper in [Template::new(), inner()] {
            let deeper = message(AttributeName::WrapTemplate, &AttributeValue::Template(deeper));
            assert_eq!(read(vec![flag.clone(), deeper]), malformed);
        }
    }

    #[test]
    fn what_a_key_demands_reads_back() {
        let demands = Some(Arc::new(inner()));
        let list = key_template_message(demands.as_deref());
        assert_eq!(key_template(list.as_ref()), Ok(demands));
        assert_eq!(key_template_message(None), None);
        assert_eq!(key_template(Some(&v1::AttributeList::default())), Ok(None));
    }

    #[test]
    fn templates_and_filters_read_back() {
        assert_eq!(template(&template_message(&sample())), Ok(sample()));
        let terms = sample().into_iter().map(|(name, value)| FilterTerm::Attribute(name, value));
        let reference = KeyReference::from_u64(0xabc).unwrap();
        let of = |reference: Option<KeyReference>| {
            Filter(reference.map(FilterTerm::Reference).into_iter().chain(terms.clone()).collect())
        };
        for wanted in [of(None), of(Some(reference)), Filter::default()] {
            let (number, attributes) = filter_message(&wanted).unwrap();
            assert_eq!(filter(number, &attributes), Ok(wanted));
        }
        let twice = |other| Filter(vec![FilterTerm::Reference(reference), FilterTerm::Reference(other)]);
        assert_eq!(filter_message(&twice(reference)), Some((0xabc, vec![])));
        assert_eq!(filter_message(&twice(KeyReference::from_u64(1).unwrap())), None);
    }

    #[test]
    fn lists_at_and_above_their_limit() {
        let list = |len| vec![message(AttributeName::Flag(Flag::Sign), &AttributeValue::Bool(true)); len];
        assert!(template(&list(TEMPLATE_LEN_MAX)).is_ok());
        assert_eq!(template(&list(TEMPLATE_LEN_MAX + 1)), Err(Malformed { field: "template" }));
        assert!(filter(0, &list(TEMPLATE_LEN_MAX)).is_ok());
        assert!(filter(1, &list(TEMPLATE_LEN_MAX - 1)).is_ok());
        assert_eq!(filter(1, &list(TEMPLATE_LEN_MAX)), Err(Malformed { field: "filter" }));
    }

    #[test]
    fn unknown_names_and_values_are_named() {
        let check = |name: &str, value: Option<Value>, field| {
            assert_eq!(template(&[v1::Attribute { name: name.into(), value }]), Err(Malformed { field }), "{name}");
        };
        check("colour", Some(Value::Boolean(true)), "name");
        check("sign", None, "value");
        check("class", Some(Value::Class(0)), "class");
        check("class", Some(Value::Class(77)), "class");
        check("key-type", Some(Value::KeyType(0)), "key_type");
        check("curve", Some(Value::Curve(-1)), "curve");
    }

    #[test]
    fn one_attribute_reads_back_and_may_not_be_missing() {
        for (name, value) in sample() {
            assert_eq!(one_attribute(Some(&attribute_message(name, &value))), Ok((name, value)));
        }
        assert_eq!(one_attribute(None), Err(Malformed { field: "attribute" }));
        assert_eq!(one_attribute(Some(&v1::Attribute::default())), Err(Malformed { field: "name" }));
    }
}
