//! PKCS #11 modules, and what is measured with them.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::{Ready, label};

/// Where the PIN of the crypto user stands, for the measurement's own process.
pub const PIN_VARIABLE: &str = "STRONGROOM_BENCH_PIN";
/// The PIN of SoftHSM2's token, whose keys are worth nothing.
pub const SOFT_PIN: &str = "12345678";
/// Where Debian puts SoftHSM2's module.
const SOFT_MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// `secp256r1`, DER (RFC 5480 §2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// DigestInfo of a SHA-256 digest (RFC 8017 §9.2 note 1), a digest of zeros among it.
const DIGEST_INFO: [u8; 51] = {
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let mut info = [0; 51];
    let mut at = 0;
    while at < prefix.len() {
        info[at] = prefix[at];
        at += 1;
    }
    info
};
/// Bytes of what is enciphered and authenticated.
const DATA: [u8; 16 * 1024] = [0x5a; 16 * 1024];
const SHORT: usize = 1024;
/// Bits of a tag.
const TAG_BITS: u64 = 128;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A signature over a DigestInfo.
    Rsa2048,
    /// A signature over a digest.
    P256,
    /// AES-256-GCM of 1 KiB.
    GcmShort,
    /// AES-256-GCM of 16 KiB.
    GcmLong,
    /// HMAC-SHA-256 of 1 KiB.
    Hmac,
    /// A search by label that finds one key.
    Find,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 6] = [
        Operation::Rsa2048,
        Operation::P256,
        Operation::GcmShort,
        Operation::GcmLong,
        Operation::Hmac,
        Operation::Find,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Rsa2048 => "RSA-2048 sign",
            Operation::P256 => "P-256 sign",
            Operation::GcmShort => "AES-256-GCM of 1 KiB",
            Operation::GcmLong => "AES-256-GCM of 16 KiB",
            Operation::Hmac => "HMAC-SHA-256 of 1 KiB",
            Operation::Find => "find by label",
        }
    }

    /// Our rate as a multiple of SoftHSM2's.
    pub fn aim(self) -> Option<f64> {
        match self {
            Operation::Rsa2048 => Some(1.8),
            Operation::P256 => Some(1.5),
            Operation::GcmShort => Some(1.0),
            Operation::Hmac => Some(0.9),
            Operation::GcmLong | Operation::Find => None,
        }
    }

    /// Does it once.
    pub fn once(self, session: &Session, key: ObjectHandle) -> anyhow::Result<()> {
        match self {
            Operation::Rsa2048 => drop(session.sign(&Mechanism::RsaPkcs, key, &DIGEST_INFO)?),
            Operation::P256 => drop(session.sign(&Mechanism::Ecdsa, key, &DIGEST_INFO[19..])?),
            Operation::GcmShort => encrypt(session, key, &DATA[..SHORT])?,
            Operation::GcmLong => encrypt(session, key, &DATA)?,
            Operation::Hmac => drop(session.sign(&Mechanism::Sha256Hmac, key, &DATA[..SHORT])?),
            Operation::Find => {
                let found = session.find_objects(&[label()])?;
                ensure!(found == [key], "found {} keys", found.len());
            }
        }
        Ok(())
    }

    fn make(self, session: &Session) -> anyhow::Result<ObjectHandle> {
        let private = [Attribute::Token(true), Attribute::Sign(true)];
        let public = |of: &[Attribute]| [&[Attribute::Token(true), Attribute::Verify(true)][..], of].concat();
        let secret = |of: &[Attribute]| [&[Attribute::Token(true)][..], of].concat();
        let made = match self {
            Operation::Rsa2048 => {
                let public = public(&[Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])]);
                session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)?.1
            }
            Operation::P256 => {
                let public = public(&[Attribute::EcParams(P256.to_vec())]);
                session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?.1
            }
            Operation::GcmShort | Operation::GcmLong => {
                let template = secret(&[Attribute::ValueLen(32.into()), Attribute::Encrypt(true)]);
                session.generate_key(&Mechanism::AesKeyGen, &template)?
            }
            Operation::Hmac => {
                let template = secret(&[
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(KeyType::GENERIC_SECRET),
                    Attribute::ValueLen(32.into()),
                    Attribute::Sign(true),
                ]);
                session.generate_key(&Mechanism::GenericSecretKeyGen, &template)?
            }
            Operation::Find => match session.find_objects(&[label()])?.as_slice() {
                [key] => *key,
                _ => {
                    let template = secret(&[Attribute::ValueLen(32.into()), label()]);
                    session.generate_key(&Mechanism::AesKeyGen, &template)?
                }
            },
        };
        Ok(made)
    }
}

/// SoftHSM2 takes the caller's IV; ours puts the HSM's in its place.
fn encrypt(session: &Session, key: ObjectHandle, data: &[u8]) -> anyhow::Result<()> {
    let mut iv = [7; 12];
    let parameters = GcmParams::new(&mut iv, &[], TAG_BITS.into())?;
    drop(session.encrypt(&Mechanism::AesGcm(parameters), key, data)?);
    Ok(())
}

/// A loaded module with one user logged in.
pub struct Module {
    pkcs11: Pkcs11,
    slot: Slot,
    /// Logins last as long as there is a session.
    first: std::sync::Mutex<Session>,
}

impl Module {
    /// The library under measurement.
    pub fn ours() -> anyhow::Result<Module> {
        let own = std::env::current_exe().context("this program's path")?;
        let module = own.with_file_name("libcloudhsm_pkcs11.so");
        let pin = std::env::var(PIN_VARIABLE).context("the crypto user's PIN")?;
        Module::load(module, &pin)
    }

    /// What it is compared with.
    pub fn soft_hsm() -> anyhow::Result<Module> {
        Module::load(SOFT_MODULE.into(), SOFT_PIN)
    }

    fn load(path: PathBuf, pin: &str) -> anyhow::Result<Module> {
        let pkcs11 = Pkcs11::new(&path).with_context(|| format!("cannot load {}", path.display()))?;
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).context("C_Initialize")?;
        let slot = *pkcs11.get_slots_with_initialized_token()?.first().context("a slot")?;
        let first = pkcs11.open_rw_session(slot).context("C_OpenSession")?;
        first.login(UserType::User, Some(&AuthPin::new(pin.into()))).context("C_Login")?;
        Ok(Module { pkcs11, slot, first: first.into() })
    }

    /// A further session.
    pub fn session(&self) -> anyhow::Result<Session> {
        Ok(self.pkcs11.open_rw_session(self.slot)?)
    }

    /// One operation with a key that was made for it.
    pub fn operation(&self, operation: Operation) -> anyhow::Result<Ready<'_>> {
        let key = operation.make(&self.first.lock().expect("whole"))?;
        Ok(Ready { module: self, operation, key })
    }
}
