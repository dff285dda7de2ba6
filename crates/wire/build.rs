//! Compiles the protocol's messages with protox, so that no protoc is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Messages that carry what must not be seen (`src/secrets.rs`): their `Debug` is written by
/// hand, without content.
const SECRET_MESSAGES: [&str; 20] = [
    "Request",
    "Response",
    "Login",
    "LoginResult",
    "Attach",
    "Activate",
    "UserCreate",
    "UserChangePassword",
    "Decrypt",
    "DecryptResult",
    "RandomResult",
    "KeyImport",
    "KeyReadValueResult",
    "Encrypt",
    "EncryptResult",
    "LoginChallenge",
    "UserChangeMfa",
    "Sign",
    "SignResult",
    "Verify",
];

/// What is decoded of what clients send.
const REQUEST: &str = ".strongroom.v1.Request";

/// A message: whether a field of it is repeated, and which fields hold other messages.
#[derive(Default)]
struct Shape {
    has_list: bool,
    messages: Vec<(i32, String)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["strongroom/v1/hsm.proto"], ["proto"])?;
    let mut shapes = BTreeMap::new();
    for file in &files.file {
        for message in &file.message_type {
            // A list in one would not be counted.
            assert!(message.nested_type.is_empty(), "{} holds another message's definition", message.name());
            let mut shape = Shape::default();
            for field in &message.field {
                shape.has_list |= field.label() as i32 == LABEL_REPEATED;
                if field.r#type() as i32 == TYPE_MESSAGE {
                    shape.messages.push((field.number(), field.type_name().to_owned()));
                }
            }
            shapes.insert(format!(".{}.{}", file.package(), message.name()), shape);
        }
    }
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("lists.rs"), lists(&shapes)?)?;
    let mut config = prost_build::Config::new();
    config.skip_debug(SECRET_MESSAGES.map(|name| format!(".strongroom.v1.{name}")));
    config.compile_fds(files)?;
    Ok(())
}

/// Of `google.protobuf.FieldDescriptorProto`.
const LABEL_REPEATED: i32 = 3;
const TYPE_MESSAGE: i32 = 11;

/// The table by which lists are counted before a request is decoded: of each message that holds a list, or a message that
/// does, the fields that lead there. The request is the first.
fn lists(shapes: &BTreeMap<String, Shape>) -> Result<String, std::fmt::Error> {
    let mut with_lists: BTreeSet<&str> =
        shapes.iter().filter(|(_, shape)| shape.has_list).map(|(name, _)| name.as_str()).collect();
    loop {
        let leads = |shape: &Shape| shape.messages.iter().any(|(_, inner)| with_lists.contains(inner.as_str()));
        let more: Vec<&str> = shapes.iter().filter(|(_, shape)| leads(shape)).map(|(name, _)| name.as_str()).collect();
        let before = with_lists.len();
        with_lists.extend(more);
        if with_lists.len() == before {
            break;
        }
    }
    let mut order = vec![REQUEST];
    let mut rows = String::new();
    let mut at = 0;
    while let Some(name) = order.get(at).copied() {
        let mut row = String::new();
        for (number, inner) in &shapes[name].messages {
            if !with_lists.contains(inner.as_str()) {
                continue;
            }
            let index = order.iter().position(|known| known == inner).unwrap_or_else(|| {
                order.push(inner);
                order.len() - 1
            });
            write!(row, "({number}, {index}), ")?;
        }
        writeln!(rows, "    // {name}\n    &[{}],", row.trim_end_matches(", "))?;
        at += 1;
    }
    Ok(format!("const LISTS: [&[(u32, usize)]; {}] = [\n{rows}];\n", order.len()))
}
