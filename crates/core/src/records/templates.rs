//! The templates of a key's record.

use std::sync::Arc;

use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{AttributeName, AttributeValue, Template};

use super::codec::Field;
use super::messages::{AttributeMessage, TemplateMessage, ValueMessage};
use super::numbers::{
    class_from_number, class_number, curve_from_number, curve_number, ml_dsa_from_number, ml_dsa_number,
    type_from_number, type_number,
};

/// The message for a template, whose attributes are no templates again.
pub(super) fn template_message(template: Option<&Template>) -> Option<TemplateMessage> {
    let attribute = |(name, value): &(AttributeName, AttributeValue)| AttributeMessage {
        name: name.as_str().to_owned(),
        value: match value {
            AttributeValue::Bool(value) => Some(ValueMessage::Boolean(*value)),
            AttributeValue::Text(text) => Some(ValueMessage::Text(text.clone())),
            AttributeValue::Bytes(bytes) => Some(ValueMessage::Octets(bytes.clone())),
            AttributeValue::Number(number) => Some(ValueMessage::Number(*number)),
            AttributeValue::Class(class) => Some(ValueMessage::Class(class_number(*class))),
            AttributeValue::KeyType(key_type) => Some(ValueMessage::KeyType(type_number(*key_type))),
            AttributeValue::Curve(curve) => Some(ValueMessage::Curve(curve_number(*curve))),
            AttributeValue::MlDsaAlgorithm(algorithm) => Some(ValueMessage::MlDsaAlgorithm(ml_dsa_number(*algorithm))),
            AttributeValue::Template(_) => None,
        },
    };
    template.map(|template| TemplateMessage { attributes: template.iter().map(attribute).collect() })
}

/// The template of a message. Whether a key may have it is another question.
pub(super) fn template_of(message: Option<TemplateMessage>, field: &'static str) -> Field<Option<Arc<Template>>> {
    let Some(message) = message else { return Ok(None) };
    if message.attributes.len() > TEMPLATE_LEN_MAX {
        return Err(field);
    }
    let template = message.attributes.into_iter().map(|attribute| attribute_of(attribute).ok_or(field));
    Ok(Some(Arc::new(template.collect::<Field<Template>>()?)))
}

fn attribute_of(message: AttributeMessage) -> Option<(AttributeName, AttributeValue)> {
    let value = match message.value? {
        ValueMessage::Boolean(value) => AttributeValue::Bool(value),
        ValueMessage::Text(text) => AttributeValue::Text(text),
        ValueMessage::Octets(bytes) => AttributeValue::Bytes(bytes),
        ValueMessage::Number(number) => AttributeValue::Number(number),
        ValueMessage::Class(number) => AttributeValue::Class(class_from_number(number)?),
        ValueMessage::KeyType(number) => AttributeValue::KeyType(type_from_number(number)?),
        ValueMessage::Curve(number) => AttributeValue::Curve(curve_from_number(number)?),
        ValueMessage::MlDsaAlgorithm(number) => AttributeValue::MlDsaAlgorithm(ml_dsa_from_number(number)?),
    };
    Some((message.name.parse().ok()?, value))
}
