use std::fmt;

use strongroom_crypto::random;
use strongroom_types::{ClusterId, HashFunction, KeyReference, LoginId, RecordPath, Revision, Secret};
use zeroize::Zeroizing;

use super::derive::{KEY_LEN, derive, push_cluster};
use super::{ClusterKey, HistoryKey, SealError, VERSION, aead};
use crate::locked::Locked;
use crate::sys::Hmac;

/// Random bytes in each sealed ticket and challenge, from which its key is derived. Both are sealed without end; with a
/// key for each, the limit of 2^32 random nonces a key (SP 800-38D §8.3) is never near.
const SALT_LEN: usize = 16;

/// What a subkey is for. The number is its place in memory, the label its place in the derivation.
#[derive(Clone, Copy)]
enum Purpose {
    Records,
    RecordMacs,
    Materials,
    TlsKey,
    Tickets,
    Anchor,
    Commands,
    SessionKeys,
    HistoryKey,
    Challenges,
}

impl Purpose {
    const ALL: [Purpose; 10] = [
        Purpose::Records,
        Purpose::RecordMacs,
        Purpose::Materials,
        Purpose::TlsKey,
        Purpose::Tickets,
        Purpose::Anchor,
        Purpose::Commands,
        Purpose::SessionKeys,
        Purpose::HistoryKey,
        Purpose::Challenges,
    ];

    fn label(self) -> &'static str {
        match self {
            Purpose::Records => "strongroom records",
            Purpose::RecordMacs => "strongroom record MACs",
            Purpose::Materials => "strongroom key materials",
            Purpose::TlsKey => "strongroom TLS key",
            Purpose::Tickets => "strongroom tickets",
            Purpose::Anchor => "strongroom anchor",
            Purpose::Commands => "strongroom command digests",
            Purpose::SessionKeys => "strongroom session keys",
            Purpose::HistoryKey => "strongroom history key",
            Purpose::Challenges => "strongroom MFA challenges",
        }
    }
}

/// Seals, opens and authenticates for one cluster in one epoch. Any number of threads may use it at once.
pub struct Sealer {
    /// One after the other, in the order of [`Purpose::ALL`].
    subkeys: Locked,
    /// What is bound into everything sealed: version, cluster id with its length, epoch.
    binding: Vec<u8>,
}

impl Sealer {
    /// Derives the subkeys. The epoch counts the lives of the cluster: a new one begins when an older store is accepted.
    pub fn new(key: &ClusterKey, cluster: &ClusterId, epoch: u64) -> Sealer {
        let mut binding = vec![VERSION];
        push_cluster(&mut binding, cluster);
        binding.extend_from_slice(&epoch.to_be_bytes());
        let mut subkeys = Locked::zeroed(Purpose::ALL.len() * KEY_LEN);
        for (subkey, purpose) in subkeys.expose_mut().chunks_exact_mut(KEY_LEN).zip(Purpose::ALL) {
            derive(key.0.expose(), purpose.label(), &[&binding], subkey);
        }
        Sealer { subkeys, binding }
    }

    /// Whether the subkeys lie in memory that is never swapped.
    pub fn is_locked(&self) -> bool {
        self.subkeys.is_locked()
    }

    /// Seals a record for its place and the batch that writes it.
    pub fn seal_record(&self, path: RecordPath, revision: Revision, plain: &[u8]) -> Vec<u8> {
        let place = place(path, revision);
        aead::seal(&*self.derived(Purpose::Records, &place), &self.bound(&place), &[], plain)
    }

    /// Opens a record that lay at `path` and was written by batch `revision`.
    pub fn open_record(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Result<Secret, SealError> {
        let place = place(path, revision);
        aead::open(&*self.derived(Purpose::Records, &place), &self.bound(&place), aead::body(sealed)?)
    }

    /// The MAC of a sealed record and its place, as summed up in the head.
    pub fn record_mac(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> [u8; 32] {
        self.mac(Purpose::RecordMacs, &[&place(path, revision), sealed])
    }

    /// Seals the material of the key that has this reference, now and for ever.
    pub fn seal_material(&self, reference: KeyReference, material: &Secret) -> Vec<u8> {
        let place = reference.as_u64().to_be_bytes();
        aead::seal(&*self.derived(Purpose::Materials, &place), &self.bound(&place), &[], material.expose())
    }

    /// Opens the material of the key that has this reference.
    pub fn open_material(&self, reference: KeyReference, sealed: &[u8]) -> Result<Secret, SealError> {
        let place = reference.as_u64().to_be_bytes();
        aead::open(&*self.derived(Purpose::Materials, &place), &self.bound(&place), aead::body(sealed)?)
    }

    /// Seals the private key of the cluster's certificate.
    pub fn seal_tls_key(&self, pkcs8: &Secret) -> Vec<u8> {
        aead::seal(self.subkey(Purpose::TlsKey), &self.binding, &[], pkcs8.expose())
    }

    /// Opens the private key of the cluster's certificate.
    pub fn open_tls_key(&self, sealed: &[u8]) -> Result<Secret, SealError> {
        aead::open(self.subkey(Purpose::TlsKey), &self.binding, aead::body(sealed)?)
    }

    /// Seals the key that the cluster shares with its clones.
    pub fn seal_history_key(&self, key: &HistoryKey) -> Vec<u8> {
        aead::seal(self.subkey(Purpose::HistoryKey), &self.binding, &[], key.expose())
    }

    /// Opens the key that the cluster shares with its clones.
    pub fn open_history_key(&self, sealed: &[u8]) -> Result<HistoryKey, SealError> {
        let opened = aead::open(self.subkey(Purpose::HistoryKey), &self.binding, aead::body(sealed)?)?;
        HistoryKey::from_slice(opened.expose())
    }

    /// Seals a login's ticket, for its user to keep.
    pub fn seal_ticket(&self, ticket: &[u8]) -> Vec<u8> {
        self.seal_salted(Purpose::Tickets, ticket)
    }

    /// Opens a ticket as a user gave it back.
    pub fn open_ticket(&self, sealed: &[u8]) -> Result<Secret, SealError> {
        self.open_salted(Purpose::Tickets, sealed)
    }

    /// Seals an MFA challenge, for a client to give back signed.
    pub fn seal_challenge(&self, challenge: &[u8]) -> Vec<u8> {
        self.seal_salted(Purpose::Challenges, challenge)
    }

    /// Opens a challenge as a client gave it back.
    pub fn open_challenge(&self, sealed: &[u8]) -> Result<Secret, SealError> {
        self.open_salted(Purpose::Challenges, sealed)
    }

    fn seal_salted(&self, purpose: Purpose, plain: &[u8]) -> Vec<u8> {
        let salt = random::bytes::<SALT_LEN>();
        aead::seal(&*self.derived(purpose, &salt), &self.bound(&salt), &salt, plain)
    }

    fn open_salted(&self, purpose: Purpose, sealed: &[u8]) -> Result<Secret, SealError> {
        let (salt, rest) = aead::body(sealed)?.split_at_checked(SALT_LEN).ok_or(SealError::Length)?;
        aead::open(&*self.derived(purpose, salt), &self.bound(salt), rest)
    }

    /// Seals a session key for the login that made it, for its client to keep.
    pub fn seal_session_key(&self, login: LoginId, reference: KeyReference, key: &[u8]) -> Vec<u8> {
        let place = session_place(login, reference);
        aead::seal(&*self.derived(Purpose::SessionKeys, &place), &self.bound(&place), &[], key)
    }

    /// Opens a session key as a client of this login gave it back.
    pub fn open_session_key(
        &self,
        login: LoginId,
        reference: KeyReference,
        sealed: &[u8],
    ) -> Result<Secret, SealError> {
        let place = session_place(login, reference);
        aead::open(&*self.derived(Purpose::SessionKeys, &place), &self.bound(&place), aead::body(sealed)?)
    }

    /// The MAC of an HSM's anchor file.
    pub fn anchor_mac(&self, anchor: &[u8]) -> [u8; 32] {
        self.mac(Purpose::Anchor, &[anchor])
    }

    /// The digest by which a repeated command is told from another one under the same request id. Keyed, because a
    /// command may hold a password. Each part counts with its length: parts do not run into each other.
    pub fn command_digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let lengths: Vec<_> = parts.iter().map(|part| len_bytes(part)).collect();
        let all: Vec<&[u8]> = lengths.iter().zip(parts).flat_map(|(len, part)| [&len[..], part]).collect();
        self.mac(Purpose::Commands, &all)
    }

    /// HMAC-SHA-256 with the subkey of a purpose, over the parts one after the other. What follows from the subkey is in
    /// one place for as long as this takes, and wiped then.
    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = [0; 32];
        let written = Hmac::new(HashFunction::Sha256, self.subkey(purpose)).and_then(|key| key.write(parts, &mut mac));
        written.expect("HMAC fails only when there is no memory left");
        mac
    }

    fn subkey(&self, purpose: Purpose) -> &[u8] {
        let from = purpose as usize * KEY_LEN;
        self.subkeys.expose().get(from..from + KEY_LEN).expect("there is a subkey for each purpose")
    }

    /// The key for one place, from the subkey of a purpose.
    fn derived(&self, purpose: Purpose, place: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        derive(self.subkey(purpose), purpose.label(), &[place], &mut *key);
        key
    }

    /// The associated data for one place.
    fn bound(&self, place: &[u8]) -> Vec<u8> {
        [&self.binding, place].concat()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

fn place(path: RecordPath, revision: Revision) -> [u8; RecordPath::LEN + 8] {
    let mut place = [0; RecordPath::LEN + 8];
    let (to_path, to_revision) = place.split_at_mut(RecordPath::LEN);
    to_path.copy_from_slice(&path.to_bytes());
    to_revision.copy_from_slice(&revision.0.to_be_bytes());
    place
}

fn session_place(login: LoginId, reference: KeyReference) -> [u8; 16 + 8] {
    let mut place = [0; 16 + 8];
    let (to_login, to_reference) = place.split_at_mut(16);
    to_login.copy_from_slice(login.as_bytes());
    to_reference.copy_from_slice(&reference.as_u64().to_be_bytes());
    place
}

fn len_bytes(part: &[u8]) -> [u8; 8] {
    u64::try_from(part.len()).expect("a length fits 64 bits").to_be_bytes()
}
