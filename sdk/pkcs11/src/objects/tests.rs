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

#[test]
fn a_key_that_was_made_in_a_login_that_is_over_gets_no_handle_in_another() {
    for now in [0, 4] {
        let mut table = Table::default();
        table.enter(3);
        table.enter(now);
        assert!(table.add(3, aes(1), Some(5)).is_none() && table.keys.is_empty() && table.objects.is_empty());
        // Nor does it come along with the next login.
        table.enter(6);
        assert!(table.objects.is_empty() && table.session_closed(5).is_empty());
        assert!(table.add(6, aes(1), None).is_some());
    }
}

#[test]
fn what_is_said_of_a_key_takes_no_other_ones_handle_away() {
    let mut table = Table::default();
    let before = table.key(aes(1), Some(5)).entry();
    assert!(table.replace(before.handle, aes(2), false));
    table.remove_key(before);
    let other = Entry { reference: reference(2), ..before };
    assert_eq!(table.objects.get(&before.handle).and_then(Object::key_reference), Some(other.reference));
    table.remove_key(other);
    assert!(table.objects.is_empty() && table.keys.is_empty() && table.session_closed(5).is_empty());
    // Nor that which the same key has in another login.
    table.enter(3);
    let in_one = table.key(aes(1), None).entry();
    table.enter(4);
    let in_other = table.key(aes(1), None).entry();
    table.remove_key(in_one);
    assert!(in_one != in_other && table.objects.contains_key(&in_other.handle));
    // One of which the reference alone is known.
    let unseen = Entry { handle: next_handle(), reference: reference(3) };
    table.keys.insert(unseen.reference, unseen.handle);
    table.insert(unseen.handle, Object::Unseen(unseen.reference));
    table.remove_key(unseen);
    assert!(!table.objects.contains_key(&unseen.handle) && !table.keys.contains_key(&unseen.reference));
}

#[test]
fn a_session_key_is_one_though_it_was_found_before_it_was_kept() {
    let is_session_key = |key: KeyReference| key == reference(1);
    let outlives = |object: Object| object.outlives_session(is_session_key);
    assert!(!outlives(Object::Unseen(reference(1))) && outlives(Object::Unseen(reference(2))));
    let of_token = |flags| Object::Key(Key::new(1, key(KeyClass::SecretKey, KeyType::Aes, flags, None), None));
    assert!(outlives(of_token(&[Flag::Token])) && !outlives(of_token(&[])));
}
