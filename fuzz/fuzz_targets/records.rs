//! Records and heads in clear: there is one form of each, and nothing else is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_core::{Head, Record};
use strongroom_types::{RecordKind, RecordPath, Revision};

fuzz_target!(|data: &[u8]| {
    if let Ok(head) = Head::decode(data) {
        assert_eq!(head.encode(), data);
    }
    let Some((first, rest)) = data.split_at_checked(RecordPath::LEN) else { return };
    // The path as it is, with the first byte choosing among the kinds that there are.
    let kind = RecordKind::ALL[usize::from(first[0]) % RecordKind::ALL.len()];
    let path = RecordPath::try_from(&[&[kind.number()], &first[1..]].concat()[..]).unwrap();
    assert_eq!(path.kind, kind);
    for path in [path, RecordPath { id: [0; 16], ..path }] {
        if let Ok(record) = Record::decode(path, Revision(7), rest) {
            assert_eq!(record.path(), path);
            assert_eq!(record.encode().expose(), rest);
        }
    }
});
