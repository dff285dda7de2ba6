//! The expected bytes were computed as those of the other example, from `docs/spec/records.md`.

use super::*;

const SEALED_HISTORY_KEY: &str = "01a0a1a2a3a4a5a6a7a8a9aaab\
    986d9063aeaa3e8868962f1bc1e5033fb8a655384330dc2f96f8e944164486997af6d3ac57ad0c275822feb03d9d36be";
const SEALED_REPLICA: &str = "01a0a1a2a3a4a5a6a7a8a9aaab0a5c30729028409087967be701f0c5dda53b8355b3768ba2";
const SEALED_REPLICA_MATERIAL: &str =
    "01a0a1a2a3a4a5a6a7a8a9aaabec693a17d2cc06705618f325a6987a7913cef9e43eb09417670fc50cb3";
const HEADER: &[u8] = b"a header";

/// Bytes 60 to 7f.
fn history() -> HistoryKey {
    HistoryKey::from_slice(&(0x60..0x80).collect::<Vec<u8>>()).unwrap()
}

#[test]
fn what_others_sealed_for_a_clone_opens() {
    let opened_key = sealer().open_history_key(&unhex(SEALED_HISTORY_KEY)).unwrap();
    assert_eq!(opened_key.expose(), history().expose());
    assert_eq!(opened(history().open_replica(HEADER, &unhex(SEALED_REPLICA))).unwrap(), b"a record");
    let material = history().open_replica_material(HEADER, &unhex(SEALED_REPLICA_MATERIAL));
    assert_eq!(opened(material).unwrap(), b"some material");
}

#[test]
fn what_is_sealed_for_a_clone_opens_with_its_key_its_header_and_its_label_only() {
    let (key, other) = (history(), HistoryKey::generate());
    let (record, material) =
        (key.seal_replica(HEADER, b"r"), key.seal_replica_material(HEADER, &Secret::from(&b"m"[..])));
    assert_eq!(opened(key.open_replica(HEADER, &record)).unwrap(), b"r");
    assert_eq!(opened(key.open_replica_material(HEADER, &material)).unwrap(), b"m");
    let fails = |outcome: Result<Secret, SealError>| assert_eq!(outcome, Err(SealError::Opening));
    fails(other.open_replica(HEADER, &record));
    fails(other.open_replica_material(HEADER, &material));
    fails(key.open_replica(HEADER, &material));
    fails(key.open_replica_material(HEADER, &record));
    for header in [&b""[..], b"a heade", b"a header ", b"b header"] {
        fails(key.open_replica(header, &record));
        fails(key.open_replica_material(header, &material));
    }
    for at in 1..record.len() {
        let mut altered = record.clone();
        altered[at] ^= 1;
        fails(key.open_replica(HEADER, &altered));
    }
    for len in 1..record.len() {
        assert!(key.open_replica(HEADER, &record[..len]).is_err(), "{len}");
    }
    assert_eq!(key.open_replica(HEADER, &[]), Err(SealError::Length));
    assert_eq!(key.open_replica(HEADER, &[&[2], &record[1..]].concat()), Err(SealError::Version(2)));
    assert_ne!(key.seal_replica(HEADER, b"r"), record, "a nonce of its own each time");
}

#[test]
fn the_history_key_is_sealed_for_its_cluster_and_epoch() {
    let sealed = sealer().seal_history_key(&history());
    assert_eq!(sealed.len(), 61);
    for (cluster, epoch) in [("cluster-abcdefghijl", 3), ("cluster-abcdefghijk", 2)] {
        let other = Sealer::new(&cluster_key(), &cluster.parse().unwrap(), epoch);
        assert_eq!(other.open_history_key(&sealed).unwrap_err(), SealError::Opening);
    }
    // A key of another length is none, and what is sealed as something else is none.
    let tls_key = sealer().seal_tls_key(&Secret::from(&[7; 32][..]));
    assert_eq!(sealer().open_history_key(&tls_key).unwrap_err(), SealError::Opening);
    assert_eq!(format!("{:?}", history()), "HistoryKey");
}

#[test]
fn a_copy_of_a_root_key_opens_what_the_key_does() {
    let (one, other) = (Folder::new(), Folder::new());
    RootKey::create(&one.path()).unwrap();
    let key = RootKey::read(&one.path()).unwrap();
    key.copy_to(&other.path()).unwrap();
    assert_eq!(fs::read(other.path()).unwrap(), fs::read(one.path()).unwrap());
    assert_eq!(fs::metadata(other.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = RootKey::read(&other.path()).unwrap();
    assert!(copy.is(&key) && key.is(&copy));
    let sealed = key.seal_cluster_key(&cluster_key(), &cluster(), 1);
    assert!(copy.open_cluster_key(&sealed, &cluster()).is_ok());
    assert!(matches!(key.copy_to(&other.path()), Err(RootKeyError::Exists { .. })));
    let third = Folder::new();
    RootKey::create(&third.path()).unwrap();
    assert!(!RootKey::read(&third.path()).unwrap().is(&key));
}
