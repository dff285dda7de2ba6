//! Encrypting, decrypting and authenticating: lengths and modes. Who may, and with which key, the model tells.

use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{
    Attributes, CipherMechanism, ClusterMode, Flag, GcmTag, HashFunction, HsmType, KeyQuorum, KeyReference, KeyType,
    MacMechanism, RsaCipher, Status,
};

use super::world::{World, rsa};
use crate::{Actor, Command, Key, KeyUse, Made, Record, Reply, authorize};

/// In FIPS mode, and in the other.
type Both = (Option<Status>, Option<Status>);

const ALLOWED: Both = (None, None);
const NOT_APPROVED: Both = (Some(Status::MechanismNotApproved), None);
const BAD_LENGTH: Both = (Some(Status::DataLengthInvalid), Some(Status::DataLengthInvalid));
const WEAK: Both = (Some(Status::KeyWeak), None);

/// A cluster, its user and a key of this type that may do everything.
struct Place(World, Actor, KeyReference);

impl Place {
    fn new(mode: ClusterMode, key_type: KeyType, length_bytes: u32) -> Place {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let alice = world.crypto_user("alice");
        let command = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template: Vec::new(),
            share_with: Vec::new(),
            quorum: KeyQuorum::NONE,
        };
        let made = world.made_secret(KeyType::Aes);
        let Ok(Reply::Key(key)) = world.done(&alice, &command, &made) else { panic!("no key") };
        let record = world.state.key(key.reference).unwrap().as_ref().clone();
        let all = [Flag::Encrypt, Flag::Decrypt, Flag::Sign, Flag::Verify];
        let flags = all.iter().fold(record.attributes.flags, |flags, flag| flags.with(*flag, true));
        let check_value = record.attributes.check_value.filter(|_| key_type != KeyType::GenericSecret);
        let attributes = Attributes { key_type, length_bytes, flags, check_value, ..record.attributes.clone() };
        let revision = world.state.revision().next();
        let puts = vec![Record::Key(Key { revision, attributes, ..record })];
        world.commit(&crate::Batch { revision, time_ms: world.now_ms, puts, deletes: Vec::new() });
        Place(world, alice, key.reference)
    }

    fn both(key_type: KeyType, length_bytes: u32) -> [Place; 2] {
        [ClusterMode::Fips, ClusterMode::NonFips].map(|mode| Place::new(mode, key_type, length_bytes))
    }
}

fn outcome(places: &[Place; 2], key_use: KeyUse<'_>) -> Both {
    let [fips, other] = places.each_ref().map(|Place(world, alice, key)| {
        authorize(&world.state, alice, key_use, *key, world.now_ms).err().map(|refusal| refusal.status)
    });
    (fips, other)
}

fn gcm(bits: u32) -> CipherMechanism {
    CipherMechanism::AesGcm { tag: GcmTag::of_bits(bits).unwrap(), aad: Vec::new(), iv: None }
}

#[test]
fn data_come_in_blocks_and_no_more_than_fit() {
    const MAX: usize = CIPHER_DATA_LEN_MAX;
    let aes = Place::both(KeyType::Aes, 32);
    let check = |mechanism: &CipherMechanism, len, encrypts: Both, decrypts: Both| {
        assert_eq!(outcome(&aes, KeyUse::Encrypt(mechanism, len)), encrypts, "{mechanism:?} {len}");
        assert_eq!(outcome(&aes, KeyUse::Decrypt(mechanism, len)), decrypts, "{mechanism:?} {len}");
    };
    for mechanism in [CipherMechanism::AesEcb, CipherMechanism::AesCbc { iv: [0; 16] }] {
        for len in [0, 16, 32, MAX - 16, MAX] {
            check(&mechanism, len, ALLOWED, ALLOWED);
        }
        for len in [1, 8, 15, 17, MAX - 1, MAX + 1, MAX + 16, usize::MAX] {
            check(&mechanism, len, BAD_LENGTH, BAD_LENGTH);
        }
    }
    let ctr = CipherMechanism::AesCtr { counter: [0; 16] };
    for len in [0, 1, 17, MAX - 1, MAX] {
        check(&ctr, len, ALLOWED, ALLOWED);
    }
    check(&ctr, MAX + 1, BAD_LENGTH, BAD_LENGTH);
    // The tag comes on top, and nothing without it is a ciphertext.
    for (bits, bytes) in [(64, 8), (128, 16)] {
        check(&gcm(bits), 0, ALLOWED, BAD_LENGTH);
        check(&gcm(bits), bytes - 1, ALLOWED, BAD_LENGTH);
        check(&gcm(bits), bytes, ALLOWED, ALLOWED);
        check(&gcm(bits), MAX, ALLOWED, ALLOWED);
        check(&gcm(bits), MAX + 1, BAD_LENGTH, ALLOWED);
        check(&gcm(bits), MAX + bytes, BAD_LENGTH, ALLOWED);
        check(&gcm(bits), MAX + bytes + 1, BAD_LENGTH, BAD_LENGTH);
    }
}

#[test]
fn in_fips_mode_3des_is_only_read() {
    let des3 = Place::both(KeyType::Des3, 24);
    for mechanism in [CipherMechanism::Des3Ecb, CipherMechanism::Des3Cbc { iv: [0; 8] }] {
        for len in [0, 8, 24] {
            assert_eq!(outcome(&des3, KeyUse::Encrypt(&mechanism, len)), NOT_APPROVED);
            assert_eq!(outcome(&des3, KeyUse::Decrypt(&mechanism, len)), ALLOWED);
        }
        for len in [1, 7, 9, CIPHER_DATA_LEN_MAX + 8] {
            assert_eq!(outcome(&des3, KeyUse::Decrypt(&mechanism, len)), BAD_LENGTH);
        }
    }
}

#[test]
fn in_fips_mode_short_keys_verify_and_make_no_codes() {
    let hmac = MacMechanism::Hmac(HashFunction::Sha1);
    for (length_bytes, makes) in [(1, WEAK), (13, WEAK), (14, ALLOWED), (800, ALLOWED)] {
        let secret = Place::both(KeyType::GenericSecret, length_bytes);
        assert_eq!(outcome(&secret, KeyUse::Mac(hmac, 0)), makes, "{length_bytes}");
        assert_eq!(outcome(&secret, KeyUse::VerifyMac(hmac, 0)), ALLOWED, "{length_bytes}");
    }
    let aes = Place::both(KeyType::Aes, 16);
    for mechanism in [hmac, MacMechanism::AesCmac] {
        for (len, expected) in [(CIPHER_DATA_LEN_MAX, ALLOWED), (CIPHER_DATA_LEN_MAX + 1, BAD_LENGTH)] {
            assert_eq!(outcome(&aes, KeyUse::Mac(mechanism, len)), expected);
            assert_eq!(outcome(&aes, KeyUse::VerifyMac(mechanism, len)), expected);
        }
    }
}

#[test]
fn rsa_encrypts_what_its_padding_leaves_room_for() {
    let places = [ClusterMode::Fips, ClusterMode::NonFips].map(|mode| {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let alice = world.crypto_user("alice");
        let (public, _) = world.pair(&alice, &rsa(2048));
        let (attribute, value) =
            (strongroom_types::AttributeName::Flag(Flag::Encrypt), strongroom_types::AttributeValue::Bool(true));
        world.done(&alice, &Command::SetAttribute { key: public, attribute, value }, &Made::Nothing).unwrap();
        Place(world, alice, public)
    });
    let check = |cipher, len, expected: Both| {
        let mechanism = CipherMechanism::Rsa(cipher);
        assert_eq!(outcome(&places, KeyUse::Encrypt(&mechanism, len)), expected, "{cipher:?} {len}");
    };
    for (hash, room) in [(HashFunction::Sha1, 214), (HashFunction::Sha256, 190), (HashFunction::Sha512, 126)] {
        for len in [0, room] {
            check(RsaCipher::Oaep { hash }, len, ALLOWED);
        }
        check(RsaCipher::Oaep { hash }, room + 1, BAD_LENGTH);
    }
    check(RsaCipher::Pkcs, 245, NOT_APPROVED);
    check(RsaCipher::Pkcs, 246, (Some(Status::MechanismNotApproved), Some(Status::DataLengthInvalid)));
    check(RsaCipher::X509, 256, ALLOWED);
    for len in [0, 255, 257] {
        check(RsaCipher::X509, len, BAD_LENGTH);
    }
}
