use strongroom_types::{Attributes, Flag, Flags, KeyClass, KeyQuorum, KeyTemplates, KeyType, PublicPart, Revision};

use super::*;

/// A key of reference 7.
pub(super) fn key(class: KeyClass, key_type: KeyType, flags: &[Flag], public: Option<PublicPart>) -> KeyInfo {
    KeyInfo {
        reference: reference(7),
        attributes: Attributes {
            class,
            key_type,
            label: "site".into(),
            id: vec![1, 2],
            check_value: Some([7, 8, 9]),
            flags: flags.iter().fold(Flags::NONE, |flags, flag| flags.with(*flag, true)),
            length_bytes: 32,
            public,
            templates: KeyTemplates::NONE,
        },
        owner: "alice".parse().unwrap(),
        shared_with: Vec::new(),
        quorum: KeyQuorum::NONE,
        revision: Revision(1),
    }
}

fn reference(number: u64) -> KeyReference {
    KeyReference::from_u64(number).unwrap()
}

fn aes(number: u64) -> KeyInfo {
    KeyInfo { reference: reference(number), ..key(KeyClass::SecretKey, KeyType::Aes, &[], None) }
}

#[test]
fn a_key_has_one_handle_and_the_newest_copy() {
    let mut table = Table::default();
    let first = table.key(aes(1), None);
    let newer = KeyInfo { revision: Revision(9), ..aes(1) };
    let again = table.key(newer, None);
    assert!(Arc::ptr_eq(&first, &again) && first.info().revision == Revision(9));
    let other = table.key(aes(2), None);
    assert!(other.handle > first.handle);
    assert!(table.remove(first.handle).is_some() && table.remove(first.handle).is_none());
    let anew = table.key(aes(1), None);
    assert!(anew.handle > other.handle, "a handle is never used again");
}

#[test]
fn what_was_found_without_its_attributes_keeps_its_handle_when_they_are_known() {
    let mut table = Table::default();
    let handle = next_handle();
    table.keys.insert(reference(3), handle);
    table.insert(handle, Object::Unseen(reference(3)));
    assert_eq!(table.key(aes(3), None).handle, handle);
    assert!(matches!(table.objects.get(&handle), Some(Object::Key(_))));
}

#[test]
fn a_session_takes_along_what_it_made_and_nothing_else() {
    let mut table = Table::default();
    let (own, others, lasting) = (table.key(aes(1), Some(5)), table.key(aes(2), Some(6)), table.key(aes(3), None));
    // Found by another session, it is the same object still.
    assert_eq!(table.key(aes(1), None).session(), Some(5));
    let destroyed = table.key(aes(4), Some(5));
    table.remove(destroyed.handle);
    let dying: Vec<_> = table.session_closed(5).iter().map(|key| key.reference).collect();
    assert_eq!(dying, [own.reference]);
    assert!(table.session_closed(5).is_empty());
    let left: Vec<_> = [&own, &others, &lasting].map(|key| table.objects.contains_key(&key.handle)).into();
    assert_eq!(left, [false, true, true]);
    table.logged_out();
    assert!(table.objects.is_empty() && table.keys.is_empty() && table.session_closed(6).is_empty());
}

#[test]
fn a_key_that_another_thread_found_first_dies_with_its_session_all_the_same() {
    let mut table = Table::default();
    let found = table.key(aes(1), None);
    let kept = table.key(aes(1), Some(5));
    assert!(Arc::ptr_eq(&found, &kept) && found.session() == Some(5));
    // What it dies with does not change any more.
    assert_eq!(table.key(aes(1), Some(6)).session(), Some(5));
    assert!(table.session_closed(6).is_empty());
    let dying: Vec<_> = table.session_closed(5).iter().map(|key| key.handle).collect();
    assert_eq!(dying, [found.handle]);
}

#[test]
fn what_a_login_sees_no_other_sees_wherever_it_ended() {
    let mut table = Table::default();
    table.enter(0);
    table.key(aes(1), None);
    table.enter(3);
    table.key(aes(2), Some(5));
    table.enter(3);
    assert_eq!(table.objects.len(), 2);
    for (ended, next) in [(3, 4), (4, 0)] {
        table.enter(ended);
        table.key(aes(9), None);
        table.enter(next);
        assert!(table.objects.is_empty() && table.keys.is_empty(), "{ended} {next}");
    }
}

#[test]
fn another_key_takes_the_handle_of_one_that_is_there() {
    let mut table = Table::default();
    let before = table.key(aes(1), Some(5));
    assert!(table.replace(before.handle, aes(2), false));
    assert_eq!((table.key(aes(2), None).handle, table.key(aes(2), None).session()), (before.handle, Some(5)));
    assert_ne!(table.key(aes(1), None).handle, before.handle);
    // One that stays outlives the session.
    assert!(table.replace(before.handle, aes(3), true));
    assert!(table.session_closed(5).is_empty() && table.objects.contains_key(&before.handle));
    table.remove(before.handle);
    assert!(!table.replace(before.handle, aes(4), true) && !table.keys.contains_key(&reference(4)));
}

#[test]
fn a_search_that_finds_a_key_before_it_has_its_place_leaves_it_one_handle() {
    let mut table = Table::default();
    let before = table.key(aes(1), Some(5));
    let found = table.key(aes(2), None);
    assert!(table.replace(before.handle, aes(2), false) && !table.objects.contains_key(&found.handle));
    assert_eq!(table.key(aes(2), None).handle, before.handle);
    // Whoever waits to change the one waits for the changes of the other.
    assert!(Arc::ptr_eq(&table.key(aes(2), None).changing, &before.changing));
    assert_eq!(table.session_closed(5).len(), 1);
    assert!(table.objects.is_empty() && table.keys.is_empty());
}

#[test]
fn an_older_copy_of_a_key_takes_no_newer_ones_place() {
    let mut table = Table::default();
    let key = table.key(KeyInfo { revision: Revision(9), ..aes(1) }, None);
    table.key(KeyInfo { revision: Revision(8), ..aes(1) }, None);
    let older = KeyInfo { revision: Revision(8), ..aes(1) };
    assert_eq!(table.known(key.reference, Some(&older)), Some(key.handle));
    assert_eq!(key.info().revision, Revision(9));
    let newer = KeyInfo { revision: Revision(10), ..aes(1) };
    assert_eq!(table.known(key.reference, Some(&newer)), Some(key.handle));
    assert_eq!(key.info().revision, Revision(10));
    assert_eq!((table.known(reference(2), None), table.known(key.reference, None)), (None, Some(key.handle)));
}

#[test]
fn what_is_known_of_a_key_that_was_destroyed_meanwhile_gives_it_no_handle() {
    let mut table = Table::default();
    let handle = next_handle();
    table.keys.insert(reference(3), handle);
    table.insert(handle, Object::Unseen(reference(3)));
    assert_eq!(table.first_seen(handle, aes(3)).map(|key| key.handle), Some(handle));
    table.remove(handle);
    assert!(table.first_seen(handle, aes(3)).is_none() && table.keys.is_empty() && table.objects.is_empty());
}
