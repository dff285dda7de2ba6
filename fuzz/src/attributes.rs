//! Attribute lists: templates of new keys and filters of searches.

use prost::Message;
use strongroom_types::limits::TEMPLATE_LEN_MAX;
use strongroom_types::{Filter, FilterTerm};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::{KeyInfo, convert, v1};

/// The target.
pub fn run(data: &[u8]) {
    if let Ok(message) = v1::KeyGenerateSecret::decode(data)
        && let Ok(template) = convert::template(&message.template)
    {
        assert!(template.len() <= TEMPLATE_LEN_MAX);
        assert_eq!(convert::template(&convert::template_message(&template)), Ok(template));
    }
    if let Ok(message) = v1::KeyFind::decode(data)
        && let Ok(filter) = convert::filter(message.reference, &message.filter)
    {
        let (reference, terms) = convert::filter_message(&filter).expect("one reference at most was read");
        assert_eq!(convert::filter(reference, &terms), Ok(filter));
    }
    if let Ok(key) = v1::Key::decode(data)
        && let Ok(info) = KeyInfo::try_from(key)
    {
        // What is printed of a key selects it, in quotes or without.
        for (name, value) in strongroom_cli::printed_attributes(&info) {
            let term =
                |value: &str| format!("attr.{name}={value}").parse::<FilterTerm>().expect("a printed value is one");
            let selects = |term| Filter(vec![term]).selects(info.reference, &info.attributes);
            assert!(selects(term(&format!("\"{value}\""))), "{name}={value:?}");
            if !value.starts_with('"') {
                assert!(selects(term(&value)), "{name}={value:?}");
            }
        }
        assert_eq!(KeyInfo::try_from(v1::Key::from(info.clone())), Ok(info));
    }
}

/// To begin with: the messages that carry them.
pub fn seeds() -> Vec<Vec<u8>> {
    let operations = crate::samples::operations();
    let messages = operations.iter().filter_map(|operation| match operation {
        Operation::KeyGenerateSecret(message) => Some(message.encode_to_vec()),
        Operation::KeyFind(message) => Some(message.encode_to_vec()),
        Operation::KeySetAttribute(message) => Some(message.encode_to_vec()),
        _ => None,
    });
    messages.chain(crate::samples::keys().into_iter().map(|key| v1::Key::from(key).encode_to_vec())).collect()
}
