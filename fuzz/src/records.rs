//! Records and heads in clear: there is one form of each, and nothing else is read.

use strongroom_core::{Head, Record};
use strongroom_types::{RecordKind, RecordPath, Revision};

/// The target.
pub fn run(data: &[u8]) {
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
}

/// To begin with: a record of every kind and a head.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![crate::samples::head().encode()];
    for record in crate::samples::records() {
        let kind = RecordKind::ALL.iter().position(|kind| *kind == record.path().kind).expect("a kind is one of all");
        let mut seed = vec![u8::try_from(kind).expect("there are few kinds")];
        seed.extend_from_slice(&record.path().id);
        seed.extend_from_slice(record.encode().expose());
        seeds.push(seed);
    }
    seeds
}
