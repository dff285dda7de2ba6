use std::str::FromStr;

use thiserror::Error;

use crate::{AttributeName, AttributeValue, KeyReference, TemplateError};

/// One condition on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterTerm {
    /// The key of this reference.
    Reference(KeyReference),
    /// Keys whose attribute has this value.
    Attribute(AttributeName, AttributeValue),
}

/// Conditions that all hold; empty selects every visible key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(pub Vec<FilterTerm>);

/// A text that is no filter term.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// Neither `key-reference=…` nor `attr.NAME=VALUE`.
    #[error("expected key-reference=0x… or attr.NAME=VALUE")]
    Form,
    /// A reference that is none.
    #[error("not a key reference: expected 0x and up to 16 hexadecimal digits, or a decimal number")]
    Reference,
    /// An attribute that does not exist.
    #[error("{0} is not a key attribute")]
    Name(String),
    /// A value that is not one of its attribute.
    #[error("the value of {name}: {source}")]
    Value {
        /// The attribute.
        name: AttributeName,
        /// What would have been right.
        source: TemplateError,
    },
}

impl FromStr for FilterTerm {
    type Err = FilterError;

    /// `key-reference=0xHEX`, `key-reference=DECIMAL`, `attr.NAME=VALUE`, `attr.key-reference=…`.
    fn from_str(text: &str) -> Result<FilterTerm, FilterError> {
        let (name, value) = text.split_once('=').ok_or(FilterError::Form)?;
        let value = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
        if matches!(name, "key-reference" | "attr.key-reference") {
            return value.parse().map(FilterTerm::Reference).map_err(|_| FilterError::Reference);
        }
        let name = name.strip_prefix("attr.").ok_or(FilterError::Form)?;
        let name: AttributeName = name.parse().map_err(|_| FilterError::Name(name.to_owned()))?;
        let value = AttributeValue::parse(name, value).map_err(|source| FilterError::Value { name, source })?;
        Ok(FilterTerm::Attribute(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flag, KeyClass};

    #[test]
    fn terms_are_read_as_the_tool_reads_them() {
        let check = |text: &str, expected: Option<FilterTerm>| {
            assert_eq!(text.parse::<FilterTerm>().ok(), expected, "{text}");
        };
        let reference = |number| FilterTerm::Reference(KeyReference::from_u64(number).unwrap());
        check("key-reference=0xabc", Some(reference(0xabc)));
        check("key-reference=12", Some(reference(12)));
        check("attr.key-reference=\"0xabc\"", Some(reference(0xabc)));
        check(
            "attr.label=\"my key\"",
            Some(FilterTerm::Attribute(AttributeName::Label, AttributeValue::Text("my key".into()))),
        );
        check("attr.label=a=b", Some(FilterTerm::Attribute(AttributeName::Label, AttributeValue::Text("a=b".into()))));
        check(
            "attr.class=private-key",
            Some(FilterTerm::Attribute(AttributeName::Class, AttributeValue::Class(KeyClass::PrivateKey))),
        );
        check(
            "attr.sign=true",
            Some(FilterTerm::Attribute(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))),
        );
        for bad in ["", "label=x", "attr.colour=red", "attr.sign=1", "key-reference=zz", "attr.", "="] {
            check(bad, None);
        }
    }
}
