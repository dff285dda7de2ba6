//! Placeholders: what differs from run to run, by a name. The same value has the same name within a file, two values never
//! have, and a value has a name only where it has the form that belongs to it.

use serde_json::Value;

/// What a varying value looks like.
#[derive(Clone, Copy)]
enum Form {
    /// `0x` and this many lower-case hexadecimal digits.
    Hex(usize),
    /// `0x` and hexadecimal digits of whole bytes.
    HexBytes,
    /// Base64 with padding.
    Base64,
    /// PEM with this label.
    Pem(&'static str),
    /// Letters, digits, `-`, `.`.
    Word,
    /// The path of a file in the test's folder.
    Path,
    /// A whole number in these bounds.
    Number(u64, u64),
}

/// Fields whose values differ from run to run, what such a value is called, and its form.
const VARYING: &[(&str, &str, Form)] = &[
    ("key-reference", "key-reference", Form::Hex(16)),
    ("key_reference", "key-reference", Form::Hex(16)),
    ("payload_key_reference", "key-reference", Form::Hex(16)),
    ("wrapping_key_reference", "key-reference", Form::Hex(16)),
    ("check-value", "check-value", Form::Hex(6)),
    ("modulus", "modulus", Form::HexBytes),
    ("ec-point", "ec-point", Form::HexBytes),
    ("signature", "signature", Form::Base64),
    ("iv", "iv", Form::Hex(24)),
    ("wrapped_key_data", "wrapped", Form::Base64),
    ("serial-number", "serial-number", Form::Word),
    ("certificate", "certificate", Form::Pem("CERTIFICATE")),
    ("approval_data", "random", Form::Base64),
    ("unsigned", "digest", Form::Base64),
    ("signed", "signature", Form::Base64),
    ("token", "digest", Form::Base64),
    ("path", "path", Form::Path),
    ("token-timeout-seconds", "seconds", Form::Number(1, 600)),
];
/// Bytes of an RSA private key in PKCS #8, which vary by some: its numbers have leading zeros at times.
const RSA_PKCS8: Form = Form::Number(1190, 2420);

impl Form {
    fn fits(self, value: &Value) -> bool {
        if let Form::Number(least, most) = self {
            return value.as_u64().is_some_and(|number| (least..=most).contains(&number));
        }
        let Some(text) = value.as_str() else { return false };
        let hex = |digits: &str| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match self {
            Form::Hex(len) => text.strip_prefix("0x").is_some_and(|digits| digits.len() == len && hex(digits)),
            Form::HexBytes => {
                text.strip_prefix("0x").is_some_and(|digits| digits.len() >= 2 && digits.len() % 2 == 0 && hex(digits))
            }
            Form::Base64 => {
                let digits = text.trim_end_matches('=');
                let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
                text.len() % 4 == 0 && text.len() - digits.len() <= 2 && !text.is_empty() && digits.bytes().all(known)
            }
            Form::Pem(label) => {
                text.starts_with(&format!("-----BEGIN {label}-----\n")) && text.contains(&format!("-----END {label}"))
            }
            Form::Word => {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            }
            Form::Path => text.starts_with('/'),
            Form::Number(..) => false,
        }
    }

    /// What the name says of the size, which does not vary.
    fn size(self, value: &str) -> String {
        match self {
            Form::HexBytes => format!(", {} bytes", value.len() / 2 - 1),
            Form::Base64 => {
                let padding = value.len() - value.trim_end_matches('=').len();
                format!(", {} bytes", value.len() / 4 * 3 - padding)
            }
            Form::Hex(_) | Form::Pem(_) | Form::Word | Form::Path | Form::Number(..) => String::new(),
        }
    }
}

/// The names of one file.
pub(super) struct Names {
    known: Vec<(String, String)>,
}

impl Names {
    /// Those that are given beforehand.
    pub(super) fn new(given: Vec<(String, String)>) -> Names {
        Names { known: given }
    }

    /// A command with values in place of names.
    pub(super) fn filled_in(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// A text with names in place of values.
    pub(super) fn in_text(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(value, name))
    }

    /// The same with names in place of what varies; but what `golden` has as it is stays so.
    pub(super) fn in_value(&mut self, found: &Value, golden: Option<&Value>) -> Value {
        match found {
            Value::Object(fields) => {
                let is = |name: &str, wanted: &str| fields.get(name).and_then(Value::as_str) == Some(wanted);
                let rsa_private = is("class", "private-key") && is("key-type", "rsa");
                let named = fields.iter().map(|(field, value)| {
                    let golden = golden.and_then(|golden| golden.get(field));
                    let varying = match VARYING.iter().find(|(name, ..)| name == field) {
                        Some((_, kind, form)) => Some((*kind, *form)),
                        None if rsa_private && field == "key-length-bytes" => Some(("length of PKCS #8", RSA_PKCS8)),
                        None => None,
                    };
                    let named = match varying {
                        Some((kind, form)) if golden != Some(value) && form.fits(value) => {
                            self.name(kind, form, value).into()
                        }
                        Some(_) | None => self.in_value(value, golden),
                    };
                    (field.clone(), named)
                });
                Value::Object(named.collect())
            }
            Value::Array(values) => {
                let golden = |at| golden.and_then(|golden| golden.get(at));
                let named = values.iter().enumerate().map(|(at, value)| self.in_value(value, golden(at)));
                Value::Array(named.collect())
            }
            Value::String(text) => self.in_text(text).into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => found.clone(),
        }
    }

    fn name(&mut self, kind: &str, form: Form, value: &Value) -> String {
        let Some(text) = value.as_str() else { return format!("<{kind}>") };
        if let Form::Path = form {
            return self.in_text(text);
        }
        if let Some((name, _)) = self.known.iter().find(|(_, known)| known == text) {
            return name.clone();
        }
        let of_kind = self.known.iter().filter(|(name, _)| {
            name.strip_prefix(&format!("<{kind} ")).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        let name = format!("<{kind} {}{}>", of_kind.count() + 1, form.size(text));
        self.known.push((name.clone(), text.to_owned()));
        name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_one_name_and_only_where_it_has_its_form() {
        let mut names = Names::new(vec![("<folder>".to_owned(), "/tmp/x".to_owned())]);
        let mut check = |found: Value, golden: Option<Value>, expected: Value| {
            assert_eq!(names.in_value(&found, golden.as_ref()), expected, "{found}");
        };
        let reference = |digit: &str| json!({ "key-reference": format!("0x{}", digit.repeat(16)) });
        let named = |name: &str| json!({ "key-reference": name });
        check(reference("a"), None, named("<key-reference 1>"));
        check(reference("b"), None, named("<key-reference 2>"));
        check(reference("a"), None, named("<key-reference 1>"));
        check(reference("c"), Some(reference("c")), reference("c"));
        check(json!({ "key-reference": "0xA" }), None, json!({ "key-reference": "0xA" }));
        check(json!({ "key-reference": 7 }), None, json!({ "key-reference": 7 }));
        check(json!(["no 0xbbbbbbbbbbbbbbbb"]), None, json!(["no <key-reference 2>"]));
        check(json!({ "signature": "AAAA" }), None, json!({ "signature": "<signature 1, 3 bytes>" }));
        check(json!({ "signature": "AAA=" }), None, json!({ "signature": "<signature 2, 2 bytes>" }));
        check(json!({ "path": "/tmp/x/t.json" }), None, json!({ "path": "<folder>/t.json" }));
        check(json!({ "token-timeout-seconds": 588 }), None, json!({ "token-timeout-seconds": "<seconds>" }));
        check(json!({ "token-timeout-seconds": "588" }), None, json!({ "token-timeout-seconds": "588" }));
        assert_eq!(names.filled_in("x <key-reference 2>"), "x 0xbbbbbbbbbbbbbbbb");
    }
}
