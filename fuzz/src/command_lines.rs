//! What people type: lines of the shell, options, filters, attributes, ids.

use strongroom_types::{AttributeName, AttributeValue, ClusterId, FilterTerm, HsmId, KeyReference, UserName};

/// The target.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(words) = strongroom_cli::read_line(&text) {
        // Words that hold nothing special are the line that was read.
        let plain = |word: &String| !word.is_empty() && !word.contains([' ', '\t', '\r', '\n', '\'', '"', '\\']);
        if words.iter().all(plain) {
            assert_eq!(strongroom_cli::read_line(&words.join(" ")), Some(words));
        }
    }
    // What the tab key types is the word that was meant.
    let (start, _) = strongroom_cli::last_word(&text);
    assert!(text.is_char_boundary(start), "{start}");
    let typed = format!("key {}", strongroom_cli::escaped_word(&text));
    assert_eq!(strongroom_cli::last_word(&typed), (4, text.clone().into_owned()));
    if !text.is_empty() && !text.contains(['\r', '\n']) {
        assert_eq!(strongroom_cli::read_line(&typed), Some(vec!["key".to_owned(), text.clone().into_owned()]));
    }
    // In quotes everything is one word, whatever it holds.
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let label = strongroom_cli::read_line(&format!("key list --filter attr.label=\"{escaped}\" -v"));
    let expected = ["key", "list", "--filter", &format!("attr.label={text}"), "-v"].map(str::to_owned);
    assert_eq!(label, Some(expected.to_vec()));
    let term = format!("attr.label=\"{text}\"").parse();
    assert_eq!(term, Ok(FilterTerm::Attribute(AttributeName::Label, AttributeValue::Text(text.clone().into_owned()))));
    for word in text.split_whitespace() {
        if let Ok(FilterTerm::Attribute(name, value)) = word.parse() {
            assert!(word.starts_with(&format!("attr.{name}=")), "{word}: {value:?}");
        }
        if let Some((name, value)) = word.split_once('=')
            && let Ok(name) = name.parse::<AttributeName>()
        {
            assert_eq!(name.to_string().parse(), Ok(name));
            if let (Ok(AttributeValue::Bytes(bytes)), true) = (AttributeValue::parse(name, value), value.len() >= 2) {
                assert_eq!(2 * bytes.len(), value.len() - 2);
            }
        }
        if let Ok(reference) = word.parse::<KeyReference>() {
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
        if let Ok(id) = word.parse::<ClusterId>() {
            assert_eq!(id.as_str(), word);
        }
        if let Ok(id) = word.parse::<HsmId>() {
            assert_eq!(id.as_str(), word);
        }
        if let Ok(name) = word.parse::<UserName>() {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}

/// To begin with: lines as they are documented.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "help",
        "cluster activate --password 'a b\\'c'",
        "login --username admin --role admin",
        "user create --username app_1 --role crypto-user --password \"se\\\"cret 12\"",
        "user change-password --username admin --role admin --deny",
        "key generate-symmetric aes --label \"my key\" --key-length-bytes 32 --attributes encrypt=true decrypt=true id=0x0a1b",
        "key generate-asymmetric-pair ec --curve secp256r1 --public-label p --private-label q --session",
        "key generate-asymmetric-pair rsa --modulus-size-bits 2048 --public-exponent 65537 --public-label p --private-label q",
        "key list --filter attr.label=\"my key\" attr.class=private-key attr.modulus=0x00ff key-reference=0x1a -v --max-items 10",
        "key share --filter key-reference=0x00000000001a2b3c --username alice --role crypto-user",
        "key set-attribute --filter attr.id=0x01 --name extractable --value false",
        "crypto sign rsa-pkcs-pss --key-filter attr.label=k --hash-function sha256 --mgf mgf1-sha256 --salt-length 32 --data aGVsbG8=",
        "cluster-abcdefghijk hsm-aaaaaaaaaaa 0x12 12 attr.ec-point=0x04 key-reference=9",
    ];
    lines.map(|line| line.as_bytes().to_vec()).to_vec()
}
