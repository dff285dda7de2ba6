//! The expected bytes were computed with Python (`hmac`, and AES-GCM of the `cryptography` package) from the text of
//! `docs/spec/records.md`, where they stand as an example.

mod history;
mod root_key;
mod wycheproof;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use strongroom_types::{ClusterId, KeyReference, LoginId, RecordKind, RecordPath, Revision, Secret};

use super::*;
use crate::tests::{hex, unhex};

const ROOT_KEY_FILE: &str = "5352524f4f544b5900000001\
    404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\
    19aea4bad8d58ab96b1dd22bfceb727c0a5bc8f36965370f0da574860d837b31";
const SEALED_CLUSTER_KEY: &str = "01a0a1a2a3a4a5a6a7a8a9aaab\
    100908145978480be4c4dee64fe861c3b135af5df12bb13663053dd73362600b\
    ab9d87452fa30134bab00de27b603d1a";
const SEALED_CLUSTER_KEY_OF_EPOCH_3: &str = "01a0a1a2a3a4a5a6a7a8a9aaab\
    100908145978480be4c4dee64fe861c3b135af5df12bb13663053dd73362600b\
    c8c1b5571399edc34cfac074de91fcbc501c4ef33d6bc782";
const SEALED_RECORD: &str = "01a0a1a2a3a4a5a6a7a8a9aaab6fb153ea4d885c5ab19de06011ecd5dec691e13d2dc41adb";
const RECORD_MAC: &str = "008ce2a0c4e3f36f5f6bbf3eaec62f12eed16b81e12caa5ef90ae649101608d5";
const SEALED_MATERIAL: &str = "01a0a1a2a3a4a5a6a7a8a9aaab33bf7744c4dfbe172f91e38cb8e16f7e01d5c7447604518bb893d05108";
const SEALED_TLS_KEY: &str = "01a0a1a2a3a4a5a6a7a8a9aaabcb912e9a51d552ece4c1ad77ae6ddc37726b2f20890a21cafb0d41466c";
const SEALED_TICKET: &str = "01808182838485868788898a8b8c8d8e8fa0a1a2a3a4a5a6a7a8a9aaab\
    b2115f34ddbf6e18849e7831c855fc908112ef915a36b9ee";
const SEALED_SESSION_KEY: &str = "01a0a1a2a3a4a5a6a7a8a9aaabf508a96b40ec44a3d242c5dffcb175e307b1f9a1d965a7d98b0a251c1b";
const ANCHOR_MAC: &str = "f6dfa4f1810689b2687878823b41ba84e69a4e264098fcbc757134614c71407d";
const COMMAND_DIGEST: &str = "d903efd1afec6ea1fbf411f3856425e6cb864ecf1bb2d8505dbe2b61b0c103ab";

/// Bytes 00 to 1f.
fn cluster_key() -> ClusterKey {
    ClusterKey::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap()
}

fn cluster() -> ClusterId {
    "cluster-abcdefghijk".parse().unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(&cluster_key(), &cluster(), 3)
}

fn user_path(first: u8) -> RecordPath {
    let id = std::array::from_fn(|at| first + u8::try_from(at).unwrap());
    RecordPath { kind: RecordKind::Key, id }
}

fn login(first: u8) -> LoginId {
    LoginId::from_bytes(std::array::from_fn(|at| first + u8::try_from(at).unwrap()))
}

fn reference(number: u64) -> KeyReference {
    KeyReference::from_u64(number).unwrap()
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("strongroom-root-key-{}", hex(&random::bytes::<8>()));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("root.key")
    }

    fn write(&self, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.path();
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn opened(result: Result<Secret, SealError>) -> Result<Vec<u8>, SealError> {
    result.map(|plain| plain.expose().to_vec())
}

#[test]
fn what_others_sealed_by_the_document_opens() {
    let folder = Folder::new();
    let root = RootKey::read(&folder.write(&unhex(ROOT_KEY_FILE), 0o600)).unwrap();
    for (sealed, expected) in [(SEALED_CLUSTER_KEY, 1), (SEALED_CLUSTER_KEY_OF_EPOCH_3, 3)] {
        let (key, epoch) = root.open_cluster_key(&unhex(sealed), &cluster()).unwrap();
        assert_eq!((key.0.expose(), epoch), (cluster_key().0.expose(), expected));
    }
    let (key, _) = root.open_cluster_key(&unhex(SEALED_CLUSTER_KEY), &cluster()).unwrap();
    let sealer = Sealer::new(&key, &cluster(), 3);
    let (path, record) = (user_path(0x10), unhex(SEALED_RECORD));
    assert_eq!(opened(sealer.open_record(path, Revision(9), &record)).unwrap(), b"a record");
    assert_eq!(hex(&sealer.record_mac(path, Revision(9), &record)), RECORD_MAC);
    let material = sealer.open_material(reference(0x2e_06bf), &unhex(SEALED_MATERIAL));
    assert_eq!(opened(material).unwrap(), b"some material");
    assert_eq!(opened(sealer.open_tls_key(&unhex(SEALED_TLS_KEY))).unwrap(), b"a private key");
    assert_eq!(opened(sealer.open_ticket(&unhex(SEALED_TICKET))).unwrap(), b"a ticket");
    let session_key = sealer.open_session_key(login(0xc0), reference(0x2e_06bf), &unhex(SEALED_SESSION_KEY));
    assert_eq!(opened(session_key).unwrap(), b"a session key");
    assert_eq!(hex(&sealer.anchor_mac(b"an anchor")), ANCHOR_MAC);
    assert_eq!(hex(&sealer.command_digest(&[b"ab", b"", b"c"])), COMMAND_DIGEST);
}

/// One thing sealed by this code, and the way to open it.
type Opening = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, SealError>>;

fn everything_sealed(plain: &'static [u8]) -> Vec<(&'static str, usize, Vec<u8>, Opening)> {
    let secret = Secret::from(plain);
    let folder = Folder::new();
    RootKey::create(&folder.path()).unwrap();
    let root = RootKey::read(&folder.path()).unwrap();
    let all: Vec<(&'static str, usize, Vec<u8>, Opening)> = vec![
        (
            "record",
            29,
            sealer().seal_record(user_path(1), Revision(7), plain),
            Box::new(|sealed| opened(sealer().open_record(user_path(1), Revision(7), sealed))),
        ),
        (
            "material",
            29,
            sealer().seal_material(reference(5), &secret),
            Box::new(|sealed| opened(sealer().open_material(reference(5), sealed))),
        ),
        ("TLS key", 29, sealer().seal_tls_key(&secret), Box::new(|sealed| opened(sealer().open_tls_key(sealed)))),
        (
            "session key",
            29,
            sealer().seal_session_key(login(1), reference(5), plain),
            Box::new(|sealed| opened(sealer().open_session_key(login(1), reference(5), sealed))),
        ),
        ("ticket", 45, sealer().seal_ticket(plain), Box::new(|sealed| opened(sealer().open_ticket(sealed)))),
    ];
    if plain.len() != 32 {
        return all;
    }
    let sealed = root.seal_cluster_key(&ClusterKey::from_slice(plain).unwrap(), &cluster(), 1);
    let open = move |sealed: &[u8]| root.open_cluster_key(sealed, &cluster()).map(|(key, _)| key.0.expose().to_vec());
    all.into_iter().chain([("cluster key", 29, sealed, Box::new(open) as Opening)]).collect()
}

#[test]
fn what_is_sealed_opens_and_does_not_show_what_it_is() {
    for plain in [&b""[..], b"x", &[0x5a; 32], &[7; 4097]] {
        for (what, overhead, sealed, open) in everything_sealed(plain) {
            assert_eq!(open(&sealed).unwrap(), plain, "{what}");
            assert_eq!(sealed.len(), plain.len() + overhead, "{what}");
            assert_eq!(sealed.first(), Some(&VERSION), "{what}");
            let shows = plain.len() > 3 && sealed.windows(plain.len()).any(|window| window == plain);
            assert!(!shows, "{what}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    for (what, _, sealed, open) in everything_sealed(&[0x5a; 32]) {
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut other = sealed.clone();
                other[at] ^= 1 << bit;
                let expected = if at == 0 { SealError::Version(other[0]) } else { SealError::Opening };
                assert_eq!(open(&other), Err(expected), "{what}, bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn cut_or_longer_bytes_do_not_open() {
    for (what, overhead, sealed, open) in everything_sealed(&[0x5a; 32]) {
        for len in 0..sealed.len() {
            let expected = if len < overhead { SealError::Length } else { SealError::Opening };
            assert_eq!(open(&sealed[..len]), Err(expected), "{what} cut to {len}");
        }
        assert_eq!(open(&[&sealed[..], &[0]].concat()), Err(SealError::Opening), "{what}");
        assert_eq!(open(&[&[VERSION][..], &sealed[..]].concat()), Err(SealError::Opening), "{what}");
    }
}

#[test]
fn a_newer_version_is_named() {
    for (what, _, mut sealed, open) in everything_sealed(&[0x5a; 32]) {
        for version in [0, 2, 255] {
            sealed[0] = version;
            assert_eq!(open(&sealed), Err(SealError::Version(version)), "{what}");
            assert_eq!(open(&[version]), Err(SealError::Version(version)), "{what}");
        }
    }
}

#[test]
fn nothing_sealed_twice_looks_the_same() {
    let mut seen = HashSet::new();
    for _ in 0..100 {
        for (what, _, sealed, _) in everything_sealed(&[0x5a; 32]) {
            let nonce_and_salt = sealed[1..if what == "ticket" { 29 } else { 13 }].to_vec();
            assert!(seen.insert(nonce_and_salt), "{what}");
            assert!(seen.insert(sealed), "{what}");
        }
    }
}

#[test]
fn nothing_opens_in_another_place() {
    let sealer = sealer();
    let record = sealer.seal_record(user_path(1), Revision(7), b"plain");
    let refused = |result: Result<Secret, SealError>| assert_eq!(result, Err(SealError::Opening));
    let other_kind = RecordPath { kind: RecordKind::User, ..user_path(1) };
    refused(sealer.open_record(user_path(2), Revision(7), &record));
    refused(sealer.open_record(other_kind, Revision(7), &record));
    for revision in [0, 6, 8, 7 << 8, u64::MAX] {
        refused(sealer.open_record(user_path(1), Revision(revision), &record));
    }
    let material = sealer.seal_material(reference(5), &Secret::from(&b"plain"[..]));
    for number in [1, 4, 6, 5 << 8, u64::MAX] {
        refused(sealer.open_material(reference(number), &material));
    }
    let tls_key = sealer.seal_tls_key(&Secret::from(&b"plain"[..]));
    let ticket = sealer.seal_ticket(b"plain");
    let session_key = sealer.seal_session_key(login(1), reference(5), b"plain");
    for (of, number) in [(2, 5), (0, 5), (1, 4), (1, 6), (1, 5 << 8)] {
        refused(sealer.open_session_key(login(of), reference(number), &session_key));
    }
    for sealed in [&record, &material, &ticket, &session_key] {
        refused(sealer.open_tls_key(sealed));
    }
    for sealed in [&record, &tls_key, &ticket, &session_key] {
        refused(sealer.open_material(reference(5), sealed));
    }
    for sealed in [&material, &tls_key, &ticket, &session_key] {
        refused(sealer.open_record(user_path(1), Revision(7), sealed));
    }
    for sealed in [&record, &material, &tls_key, &ticket] {
        refused(sealer.open_session_key(login(1), reference(5), sealed));
    }
    // Shorter than a ticket, unless there is more in them.
    let long = sealer.seal_tls_key(&Secret::new(vec![0; 64]));
    refused(sealer.open_ticket(&long));
}

#[test]
fn nothing_opens_in_another_cluster_epoch_or_under_another_key() {
    let home = sealer();
    let others = [
        Sealer::new(&cluster_key(), &"cluster-abcdefghijl".parse().unwrap(), 3),
        Sealer::new(&cluster_key(), &"cluster-abcdefghijkl".parse().unwrap(), 3),
        Sealer::new(&cluster_key(), &cluster(), 2),
        Sealer::new(&cluster_key(), &cluster(), 4),
        Sealer::new(&ClusterKey::generate(), &cluster(), 3),
    ];
    let secret = Secret::from(&b"plain"[..]);
    let path = user_path(1);
    let record = home.seal_record(path, Revision(7), b"plain");
    for other in others {
        assert_eq!(other.open_record(path, Revision(7), &record), Err(SealError::Opening));
        assert_eq!(
            other.open_material(reference(5), &home.seal_material(reference(5), &secret)),
            Err(SealError::Opening)
        );
        assert_eq!(other.open_tls_key(&home.seal_tls_key(&secret)), Err(SealError::Opening));
        assert_eq!(other.open_ticket(&home.seal_ticket(b"plain")), Err(SealError::Opening));
        let session_key = home.seal_session_key(login(1), reference(5), b"plain");
        assert_eq!(other.open_session_key(login(1), reference(5), &session_key), Err(SealError::Opening));
        assert_ne!(other.record_mac(path, Revision(7), &record), home.record_mac(path, Revision(7), &record));
        assert_ne!(other.anchor_mac(b"plain"), home.anchor_mac(b"plain"));
        assert_ne!(other.command_digest(&[b"plain"]), home.command_digest(&[b"plain"]));
    }
}

/// The keys differ, but the associated data must do its part as well: with the key of one cluster's life alone, moved
/// bytes would open wherever a key is derived alike.
#[test]
fn associated_data_counts_besides_the_key() {
    let sealed = aead::seal(&[7; 32], b"here", &[], b"plain");
    let rest = aead::body(&sealed).unwrap();
    assert_eq!(opened(aead::open(&[7; 32], b"here", rest)).unwrap(), b"plain");
    assert_eq!(aead::open(&[7; 32], b"there", rest), Err(SealError::Opening));
    assert_eq!(aead::open(&[7; 32], b"", rest), Err(SealError::Opening));
    assert_eq!(aead::open(&[8; 32], b"here", rest), Err(SealError::Opening));
}

#[test]
fn macs_bind_place_revision_and_bytes() {
    let sealer = sealer();
    let mac = |path, revision, sealed: &[u8]| sealer.record_mac(path, Revision(revision), sealed);
    let all = [
        mac(user_path(1), 7, b"sealed"),
        mac(user_path(2), 7, b"sealed"),
        mac(RecordPath { kind: RecordKind::User, ..user_path(1) }, 7, b"sealed"),
        mac(user_path(1), 8, b"sealed"),
        mac(user_path(1), 7, b"sealee"),
        mac(user_path(1), 7, b""),
        sealer.anchor_mac(b"sealed"),
        sealer.command_digest(&[b"sealed"]),
    ];
    assert_eq!(HashSet::from(all).len(), all.len());
    assert_eq!(mac(user_path(1), 7, b"sealed"), all[0]);
}

#[test]
fn parts_of_a_command_do_not_run_into_each_other() {
    let sealer = sealer();
    let all = [
        sealer.command_digest(&[]),
        sealer.command_digest(&[b""]),
        sealer.command_digest(&[b"", b""]),
        sealer.command_digest(&[b"ab", b"c"]),
        sealer.command_digest(&[b"a", b"bc"]),
        sealer.command_digest(&[b"abc"]),
        sealer.command_digest(&[b"abc", b""]),
        sealer.command_digest(&[b"", b"abc"]),
    ];
    assert_eq!(HashSet::from(all).len(), all.len());
}

#[test]
fn a_cluster_key_opens_for_its_cluster_and_root_key_alone() {
    let folder = Folder::new();
    RootKey::create(&folder.path()).unwrap();
    let root = RootKey::read(&folder.path()).unwrap();
    let sealed = root.seal_cluster_key(&cluster_key(), &cluster(), 1);
    let refused = |root: &RootKey, id: &str| {
        let error = root.open_cluster_key(&sealed, &id.parse().unwrap()).unwrap_err();
        assert_eq!(error, SealError::Opening, "{id}");
    };
    refused(&root, "cluster-abcdefghijl");
    refused(&root, "cluster-abcdefghijkl");
    let other = Folder::new();
    RootKey::create(&other.path()).unwrap();
    refused(&RootKey::read(&other.path()).unwrap(), cluster().as_str());
    // A key of another length, sealed as a cluster key is, is none.
    let binding = [&[VERSION, 19][..], cluster().as_str().as_bytes()].concat();
    let file = fs::read(folder.path()).unwrap();
    let mut key = [0; KEY_LEN];
    derive::derive(&file[12..44], "strongroom cluster key", &[&binding], &mut key);
    for len in [0, 31, 33, 39, 41] {
        let sealed = aead::seal(&key, &binding, &[], &vec![1; len]);
        assert_eq!(root.open_cluster_key(&sealed, &cluster()).unwrap_err(), SealError::Length, "{len}");
    }
    // An epoch has one form: the first is not written.
    for epoch in [0_u64, 1] {
        let sealed = aead::seal(&key, &binding, &[], &[&[1; 32][..], &epoch.to_be_bytes()].concat());
        assert_eq!(root.open_cluster_key(&sealed, &cluster()).unwrap_err(), SealError::Length, "{epoch}");
    }
}

#[test]
fn a_cluster_key_comes_with_the_epoch_of_its_store() {
    let folder = Folder::new();
    RootKey::create(&folder.path()).unwrap();
    let root = RootKey::read(&folder.path()).unwrap();
    for epoch in [1, 2, 3, u64::MAX] {
        let sealed = root.seal_cluster_key(&cluster_key(), &cluster(), epoch);
        let (key, opened) = root.open_cluster_key(&sealed, &cluster()).unwrap();
        assert_eq!((key.0.expose(), opened), (cluster_key().0.expose(), epoch));
    }
}

#[test]
fn every_cluster_key_and_root_key_is_another() {
    assert_ne!(ClusterKey::generate().0.expose(), ClusterKey::generate().0.expose());
    let (one, other) = (Folder::new(), Folder::new());
    for folder in [&one, &other] {
        RootKey::create(&folder.path()).unwrap();
    }
    assert_ne!(fs::read(one.path()).unwrap(), fs::read(other.path()).unwrap());
}

#[test]
fn debug_shows_no_key() {
    let folder = Folder::new();
    let root = RootKey::read(&folder.write(&unhex(ROOT_KEY_FILE), 0o600)).unwrap();
    assert_eq!(format!("{root:?} {:?} {:?}", cluster_key(), sealer()), "RootKey ClusterKey Sealer");
}

#[test]
fn a_sealer_serves_many_threads() {
    let sealer = sealer();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sealer = &sealer;
            scope.spawn(move || {
                for number in 0..200 {
                    let sealed = sealer.seal_record(user_path(thread), Revision(number), b"plain");
                    assert_eq!(
                        opened(sealer.open_record(user_path(thread), Revision(number), &sealed)).unwrap(),
                        b"plain"
                    );
                }
            });
        }
    });
    let memory_can_be_locked = Locked::zeroed(1).is_locked();
    assert_eq!(sealer.is_locked(), memory_can_be_locked);
}
