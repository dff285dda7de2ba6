use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use strongroom_crypto::random;
use strongroom_types::{
    AES_BLOCK_LEN, CipherMechanism, DES_BLOCK_LEN, GCM_IV_LEN, GcmTag, HashFunction, KeyType, MacMechanism, Secret,
};
use zeroize::Zeroize;

use crate::KeyError;
use crate::import::des_keys;
use crate::sys::{self, AesSchedule, Des3, GcmOpening, Hmac};

/// A secret key in clear. What a mechanism computes from the key alone is computed at its first use and kept. May be used
/// by any number of threads at once; wiped when dropped.
///
/// Data are worked on in place: no copy of a plaintext stays behind.
pub struct SecretKey {
    key_type: KeyType,
    material: Secret,
    gcm: OnceLock<LessSafeKey>,
    /// For tags shorter than whole ones, in the order of [`GcmTag::BITS`].
    gcm_short: [OnceLock<GcmOpening>; GcmTag::BITS.len()],
    aes_encrypting: OnceLock<AesSchedule>,
    aes_decrypting: OnceLock<AesSchedule>,
    cmac: OnceLock<cmac::Key>,
    des3: OnceLock<Des3>,
    /// In the order of [`HashFunction::ALL`].
    hmac: [OnceLock<Hmac>; 5],
}

impl SecretKey {
    /// A key from its bytes, which were checked when the key was made.
    pub fn new(key_type: KeyType, material: Secret) -> SecretKey {
        SecretKey {
            key_type,
            material,
            gcm: OnceLock::new(),
            gcm_short: Default::default(),
            aes_encrypting: OnceLock::new(),
            aes_decrypting: OnceLock::new(),
            cmac: OnceLock::new(),
            des3: OnceLock::new(),
            hmac: Default::default(),
        }
    }

    /// Puts the ciphertext in the place of `data`, a tag behind it. GCM draws its initialisation vector here, 96 random bits
    /// (SP 800-38D §8.2.2), and gives it. When this fails, `data` are wiped.
    pub fn encrypt(
        &self,
        mechanism: &CipherMechanism,
        data: &mut Vec<u8>,
    ) -> Result<Option<[u8; GCM_IV_LEN]>, KeyError> {
        let done = match mechanism {
            CipherMechanism::AesGcm { tag, aad, iv: None } => {
                let iv = random::bytes();
                self.seal(*tag, aad, iv, data).map(|()| Some(iv))
            }
            CipherMechanism::AesGcm { iv: Some(_), .. } => Err(KeyError::IvLength),
            CipherMechanism::AesCbc { iv } => self.aes_cbc(iv, data, true).map(|()| None),
            CipherMechanism::AesCtr { counter } => self.aes_ctr(counter, data).map(|()| None),
            CipherMechanism::AesEcb => self.aes_ecb(data, true).map(|()| None),
            CipherMechanism::Des3Cbc { iv } => self.des3(Some(iv), data, true).map(|()| None),
            CipherMechanism::Des3Ecb => self.des3(None, data, true).map(|()| None),
            CipherMechanism::Rsa(_) => Err(KeyError::KeyType),
        };
        done.inspect_err(|_| data.zeroize())
    }

    /// Puts the plaintext in the place of `data`. When this fails, `data` are wiped, and every failure of GCM is the same
    /// [`KeyError::Decryption`].
    pub fn decrypt(&self, mechanism: &CipherMechanism, data: &mut Vec<u8>) -> Result<(), KeyError> {
        let done = match mechanism {
            CipherMechanism::AesGcm { tag, aad, iv: Some(iv) } => self.open(*tag, aad, iv, data),
            CipherMechanism::AesGcm { iv: None, .. } => Err(KeyError::IvLength),
            CipherMechanism::AesCbc { iv } => self.aes_cbc(iv, data, false),
            CipherMechanism::AesCtr { counter } => self.aes_ctr(counter, data),
            CipherMechanism::AesEcb => self.aes_ecb(data, false),
            CipherMechanism::Des3Cbc { iv } => self.des3(Some(iv), data, false),
            CipherMechanism::Des3Ecb => self.des3(None, data, false),
            CipherMechanism::Rsa(_) => Err(KeyError::KeyType),
        };
        done.inspect_err(|_| data.zeroize())
    }

    /// The message authentication code of `data`, whole.
    pub fn mac(&self, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        match mechanism {
            MacMechanism::Hmac(hash) => {
                let at = HashFunction::ALL.iter().position(|known| *known == hash).ok_or(KeyError::Fault)?;
                let key = kept(&self.hmac[at], || Hmac::new(hash, self.material.expose()).ok_or(KeyError::Fault))?;
                let mut mac = vec![0; hash.digest_len()];
                key.write(&[data], &mut mac).ok_or(KeyError::Fault)?;
                Ok(mac)
            }
            MacMechanism::AesCmac => {
                let key = kept(&self.cmac, || self.cmac_key())?;
                Ok(cmac::sign(key, data).map_err(|_| KeyError::Fault)?.as_ref().to_vec())
            }
        }
    }

    fn aes(&self) -> Result<&[u8], KeyError> {
        if self.key_type == KeyType::Aes { Ok(self.material.expose()) } else { Err(KeyError::KeyType) }
    }

    /// The schedule for one direction.
    pub(crate) fn aes_schedule(&self, encrypts: bool) -> Result<&AesSchedule, KeyError> {
        let place = if encrypts { &self.aes_encrypting } else { &self.aes_decrypting };
        kept(place, || {
            self.aes()?;
            AesSchedule::new(&self.material, encrypts).ok_or(KeyError::AesLength)
        })
    }

    fn cmac_key(&self) -> Result<cmac::Key, KeyError> {
        let algorithm = match self.aes()?.len() {
            16 => cmac::AES_128,
            24 => cmac::AES_192,
            32 => cmac::AES_256,
            _ => return Err(KeyError::AesLength),
        };
        cmac::Key::new(algorithm, self.material.expose()).map_err(|_| KeyError::Fault)
    }

    fn gcm_key(&self) -> Result<LessSafeKey, KeyError> {
        let algorithm = match self.aes()?.len() {
            16 => &aead::AES_128_GCM,
            24 => &aead::AES_192_GCM,
            32 => &aead::AES_256_GCM,
            _ => return Err(KeyError::AesLength),
        };
        UnboundKey::new(algorithm, self.material.expose()).map(LessSafeKey::new).map_err(|_| KeyError::Fault)
    }

    /// With this initialisation vector, which is used once.
    pub(crate) fn seal(
        &self,
        tag: GcmTag,
        aad: &[u8],
        iv: [u8; GCM_IV_LEN],
        data: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        let key = kept(&self.gcm, || self.gcm_key())?;
        let nonce = Nonce::assume_unique_for_key(iv);
        let whole = key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).map_err(|_| KeyError::Fault)?;
        // A shorter tag is the beginning of the whole one (SP 800-38D §7.1).
        data.extend_from_slice(&whole.as_ref()[..tag.bytes()]);
        Ok(())
    }

    pub(crate) fn open(
        &self,
        tag: GcmTag,
        aad: &[u8],
        iv: &[u8; GCM_IV_LEN],
        data: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        if tag.bytes() < aead::AES_256_GCM.tag_len() {
            let plain_len = self.gcm_opening(tag)?.open(iv, aad, data).ok_or(KeyError::Decryption)?;
            data.truncate(plain_len);
            return Ok(());
        }
        let key = kept(&self.gcm, || self.gcm_key())?;
        let nonce = Nonce::assume_unique_for_key(*iv);
        let plain_len = key.open_in_place(nonce, Aad::from(aad), data).map_err(|_| KeyError::Decryption)?.len();
        data.truncate(plain_len);
        Ok(())
    }

    /// What opens ciphertexts with tags of this length.
    fn gcm_opening(&self, tag: GcmTag) -> Result<&GcmOpening, KeyError> {
        self.aes()?;
        let at = GcmTag::BITS.iter().position(|bits| GcmTag::of_bits(*bits) == Some(tag)).ok_or(KeyError::Fault)?;
        kept(&self.gcm_short[at], || GcmOpening::new(&self.material, tag.bytes()).ok_or(KeyError::AesLength))
    }

    fn aes_cbc(&self, iv: &[u8; AES_BLOCK_LEN], data: &mut [u8], encrypts: bool) -> Result<(), KeyError> {
        let (blocks, []) = data.as_chunks_mut() else { return Err(KeyError::DataLength) };
        self.aes_schedule(encrypts)?.cbc(*iv, blocks);
        Ok(())
    }

    fn aes_ctr(&self, counter: &[u8; AES_BLOCK_LEN], data: &mut [u8]) -> Result<(), KeyError> {
        if self.aes_schedule(true)?.ctr(*counter, data) { Ok(()) } else { Err(KeyError::Fault) }
    }

    fn aes_ecb(&self, data: &mut [u8], encrypts: bool) -> Result<(), KeyError> {
        let (blocks, []) = data.as_chunks_mut() else { return Err(KeyError::DataLength) };
        self.aes()?;
        sys::ecb(&self.material, blocks, encrypts).ok_or(KeyError::AesLength)
    }

    fn des3(&self, iv: Option<&[u8; DES_BLOCK_LEN]>, data: &mut [u8], encrypts: bool) -> Result<(), KeyError> {
        let key = kept(&self.des3, || match self.key_type {
            KeyType::Des3 => des_keys(&self.material).map(Des3::new).ok_or(KeyError::KeyType),
            _ => Err(KeyError::KeyType),
        })?;
        let (blocks, []) = data.as_chunks_mut::<DES_BLOCK_LEN>() else { return Err(KeyError::DataLength) };
        match iv {
            Some(iv) => key.cbc(*iv, blocks, encrypts),
            None => key.ecb(blocks, encrypts),
        }
        Ok(())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, {} bytes)", self.key_type, self.material.len())
    }
}

/// What is kept there; computed first if need be.
fn kept<T>(place: &OnceLock<T>, compute: impl FnOnce() -> Result<T, KeyError>) -> Result<&T, KeyError> {
    if let Some(value) = place.get() {
        return Ok(value);
    }
    let value = compute()?;
    Ok(place.get_or_init(|| value))
}
