//! Encrypting and decrypting: what is done in blocks as they come, and what an HSM must see whole.

use std::sync::Arc;

use cryptoki_sys::*;
use strongroom_client::ClientError;
use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{CipherMechanism, GCM_IV_LEN, RsaCipher, Secret};

use super::blocks::{Blocks, Chain};
use super::counter::Counter;
use super::gathered::{Gathered, within};
use super::message::{Input, RSA_LEN_MAX, block, modulus_len};
use super::{FromCaller, Hsms, give, give_at_most, in_parts};
use crate::entry::{IvBuffer, Output, Room};
use crate::failure::Failure;
use crate::mechanism::{GcmParameter, Mechanism, Parameter};
use crate::objects::{Entry, Key};
use crate::vendor::CKM_CLOUDHSM_AES_GCM;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Decrypt,
    Encrypt,
}

impl Direction {
    /// What data of a wrong length are.
    pub(super) fn wrong_length(self) -> CK_RV {
        match self {
            Direction::Decrypt => CKR_ENCRYPTED_DATA_LEN_RANGE,
            Direction::Encrypt => CKR_DATA_LEN_RANGE,
        }
    }
}

/// Asks the HSMs with one key, one way.
pub(super) struct Asking<'a, H> {
    hsms: &'a H,
    key: Entry,
    pub(super) direction: Direction,
}

impl<H: Hsms> Asking<'_, H> {
    /// Data one way.
    pub(super) fn ask(&self, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, Failure> {
        match self.direction {
            Direction::Decrypt => self.hsms.decrypt(self.key, mechanism, data).map_err(about_ciphertext),
            Direction::Encrypt => Ok(Secret::new(self.hsms.encrypt(self.key, mechanism, data)?.data)),
        }
    }

    /// The same where as much comes as goes.
    pub(super) fn ask_alike(&self, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, Failure> {
        if data.is_empty() {
            return Ok(Secret::new(Vec::new()));
        }
        let made = self.ask(mechanism, data)?;
        if made.len() == data.len() { Ok(made) } else { Err(of_another_length()) }
    }
}

fn of_another_length() -> Failure {
    Failure::call(CKR_DEVICE_ERROR, "the HSM's answer has another length than the mechanism's")
}

/// What is wrong with data is, when they are decrypted, wrong with a ciphertext.
fn about_ciphertext(error: ClientError) -> Failure {
    let failure = Failure::from(error).renamed(CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE);
    failure.renamed(CKR_DATA_INVALID, CKR_ENCRYPTED_DATA_INVALID)
}

/// An encryption or decryption in the making.
pub(crate) struct Ciphering {
    direction: Direction,
    key: Arc<Key>,
    cipher: Cipher,
    /// Whether parts were given.
    in_parts: bool,
}

enum Cipher {
    Blocks(Blocks),
    Counter(Counter),
    Gcm(Gcm),
    Rsa(RsaCipher, Gathered),
}

impl Ciphering {
    /// Nothing of the data yet.
    pub(crate) fn new(mechanism: Mechanism, key: Arc<Key>, direction: Direction) -> Result<Ciphering, Failure> {
        let rsa = |cipher| Cipher::Rsa(cipher, Gathered::new(RSA_LEN_MAX, direction.wrong_length()));
        let blocks = |chain, is_padded| Cipher::Blocks(Blocks::new(chain, is_padded));
        let cipher = match (mechanism.number(), mechanism.parameter) {
            (CKM_RSA_X_509, _) => rsa(RsaCipher::X509),
            (CKM_RSA_PKCS, _) => rsa(RsaCipher::Pkcs),
            (CKM_RSA_PKCS_OAEP, Parameter::Oaep { hash }) => rsa(RsaCipher::Oaep { hash }),
            (CKM_AES_ECB, _) => blocks(Chain::AesEcb, false),
            (CKM_AES_CBC, Parameter::AesIv(iv)) => blocks(Chain::AesCbc(iv), false),
            (CKM_AES_CBC_PAD, Parameter::AesIv(iv)) => blocks(Chain::AesCbc(iv), true),
            (CKM_DES3_ECB, _) => blocks(Chain::Des3Ecb, false),
            (CKM_DES3_CBC, Parameter::Des3Iv(iv)) => blocks(Chain::Des3Cbc(iv), false),
            (CKM_DES3_CBC_PAD, Parameter::Des3Iv(iv)) => blocks(Chain::Des3Cbc(iv), true),
            (CKM_AES_CTR, Parameter::Ctr { bits, block }) => Cipher::Counter(Counter::new(bits, block)),
            (CKM_AES_GCM, Parameter::Gcm(parameter)) => Cipher::Gcm(Gcm::new(parameter, direction, false)?),
            (CKM_CLOUDHSM_AES_GCM, Parameter::Gcm(parameter)) => Cipher::Gcm(Gcm::new(parameter, direction, true)?),
            _ => return Err(Failure::call(CKR_MECHANISM_INVALID, "the mechanism does not encrypt")),
        };
        Ok(Ciphering { direction, key, cipher, in_parts: false })
    }

    fn asking<'a, H: Hsms>(&self, hsms: &'a H) -> Asking<'a, H> {
        Asking { hsms, key: self.key.entry(), direction: self.direction }
    }

    /// Data in one part.
    pub(crate) fn whole(
        &mut self,
        hsms: &impl Hsms,
        data: FromCaller<&[u8]>,
        room: FromCaller<Room>,
    ) -> Result<Output, Failure> {
        let (data, room) = (data?, room?);
        if self.in_parts {
            return Err(in_parts());
        }
        let asking = self.asking(hsms);
        match &mut self.cipher {
            Cipher::Blocks(blocks) => blocks.whole(&asking, data, room),
            Cipher::Counter(counter) => counter.update(&asking, data, room),
            Cipher::Gcm(gcm) => gcm.give(&asking, data, room),
            Cipher::Rsa(cipher, _) => rsa(*cipher, &asking, &self.key, data, room),
        }
    }

    /// The next part, and what is made of the parts so far.
    pub(crate) fn update(
        &mut self,
        hsms: &impl Hsms,
        part: FromCaller<&[u8]>,
        room: FromCaller<Room>,
    ) -> Result<Output, Failure> {
        let (part, room) = (part?, room?);
        let asking = self.asking(hsms);
        let output = match &mut self.cipher {
            Cipher::Blocks(blocks) => blocks.update(&asking, part, room),
            Cipher::Counter(counter) => counter.update(&asking, part, room),
            Cipher::Gcm(Gcm { parts, .. }) | Cipher::Rsa(_, parts) => {
                give(0, room, || parts.push(part).map(|()| Secret::new(Vec::new())))
            }
        }?;
        self.in_parts |= matches!(output, Output::Bytes(_));
        Ok(output)
    }

    /// What is left to be made of all parts.
    pub(crate) fn finish(&mut self, hsms: &impl Hsms, room: FromCaller<Room>) -> Result<Output, Failure> {
        let room = room?;
        let asking = self.asking(hsms);
        match &mut self.cipher {
            Cipher::Blocks(blocks) => blocks.finish(&asking, room),
            Cipher::Counter(_) => give(0, room, || Ok(Secret::new(Vec::new()))),
            Cipher::Gcm(gcm) => gcm.finish(&asking, room),
            Cipher::Rsa(cipher, parts) => rsa(*cipher, &asking, &self.key, parts.bytes(), room),
        }
    }
}

/// One block of RSA.
fn rsa(
    cipher: RsaCipher,
    asking: &Asking<'_, impl Hsms>,
    key: &Key,
    data: &[u8],
    room: Room,
) -> Result<Output, Failure> {
    let info = key.info();
    let modulus_len = modulus_len(&info.attributes)?;
    let longest = cipher.room(modulus_len);
    let mechanism = CipherMechanism::Rsa(cipher);
    match asking.direction {
        Direction::Decrypt if data.len() != modulus_len && !matches!(room, Room::Length) => {
            Err(Failure::call(CKR_ENCRYPTED_DATA_LEN_RANGE, "the ciphertext is not as long as the modulus"))
        }
        Direction::Decrypt => give_at_most(longest, room, || asking.ask(&mechanism, data)),
        Direction::Encrypt => {
            within(data.len(), longest, CKR_DATA_LEN_RANGE)?;
            give(modulus_len, room, || {
                let data = match cipher {
                    RsaCipher::X509 => block(data, &info.attributes)?,
                    RsaCipher::Oaep { .. } | RsaCipher::Pkcs => Input::Callers(data),
                };
                let made = asking.ask(&mechanism, &data)?;
                if made.len() == modulus_len { Ok(made) } else { Err(of_another_length()) }
            })
        }
    }
}

/// AES-GCM. The HSM sees data whole, draws the initialisation vector, and gives a plaintext when the tag was right.
struct Gcm {
    mechanism: CipherMechanism,
    tag_len: usize,
    /// Whether the initialisation vector stands before the ciphertext.
    is_iv_ahead: bool,
    /// Where the caller wants it otherwise.
    buffer: Option<IvBuffer>,
    parts: Gathered,
}

impl Gcm {
    fn new(parameter: GcmParameter, direction: Direction, is_iv_ahead: bool) -> Result<Gcm, Failure> {
        let GcmParameter { iv, buffer, aad, tag } = parameter;
        let wrong = |why| Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, why));
        let (iv, buffer) = match (direction, buffer) {
            _ if is_iv_ahead => (None, None),
            (Direction::Encrypt, Some(buffer)) if buffer.len() >= GCM_IV_LEN => {
                // What the caller put there is never used: who decrypts with it must notice.
                buffer.clear();
                (None, Some(buffer))
            }
            (Direction::Encrypt, _) => {
                return wrong("pIv must point to 12 bytes or more, into which the HSM's IV is written");
            }
            (Direction::Decrypt, _) => match iv.try_into() {
                Ok(iv) => (Some(iv), None),
                Err(_) => return wrong("the IV has 12 bytes"),
            },
        };
        let tag_len = tag.bytes();
        let (max, beyond) = match direction {
            Direction::Encrypt => (CIPHER_DATA_LEN_MAX, CKR_DATA_LEN_RANGE),
            Direction::Decrypt => (CIPHER_DATA_LEN_MAX + tag_len + GCM_IV_LEN, CKR_ENCRYPTED_DATA_LEN_RANGE),
        };
        let (mechanism, parts) = (CipherMechanism::AesGcm { tag, aad, iv }, Gathered::new(max, beyond));
        Ok(Gcm { mechanism, tag_len, is_iv_ahead, buffer, parts })
    }

    fn finish(&mut self, asking: &Asking<'_, impl Hsms>, room: Room) -> Result<Output, Failure> {
        // Back in place when only a length was asked for.
        let parts = std::mem::replace(&mut self.parts, Gathered::new(0, CKR_DATA_LEN_RANGE));
        let output = self.give(asking, parts.bytes(), room);
        self.parts = parts;
        output
    }

    fn give(&mut self, asking: &Asking<'_, impl Hsms>, data: &[u8], room: Room) -> Result<Output, Failure> {
        let around = self.tag_len + if self.is_iv_ahead { GCM_IV_LEN } else { 0 };
        let range = asking.direction.wrong_length();
        match asking.direction {
            Direction::Encrypt => {
                within(data.len(), CIPHER_DATA_LEN_MAX, range)?;
                give(data.len() + around, room, || self.encrypt(asking, data))
            }
            Direction::Decrypt => {
                let Some(len) = data.len().checked_sub(around) else {
                    return Err(Failure::call(range, "the ciphertext is shorter than IV and tag"));
                };
                within(len, CIPHER_DATA_LEN_MAX, range)?;
                give(len, room, || self.decrypt(asking, data))
            }
        }
    }

    fn encrypt(&mut self, asking: &Asking<'_, impl Hsms>, data: &[u8]) -> Result<Output, Failure> {
        let made = asking.hsms.encrypt(asking.key, &self.mechanism, data)?;
        if made.iv.len() != GCM_IV_LEN || made.data.len() != data.len() + self.tag_len {
            return Err(of_another_length());
        }
        Ok(match self.buffer.take() {
            _ if self.is_iv_ahead => Output::Bytes(Secret::new([made.iv, made.data].concat())),
            Some(buffer) => Output::BytesWithIv(Secret::new(made.data), made.iv, buffer),
            None => Output::Bytes(Secret::new(made.data)),
        })
    }

    fn decrypt(&mut self, asking: &Asking<'_, impl Hsms>, data: &[u8]) -> Result<Secret, Failure> {
        let mut data = data;
        if self.is_iv_ahead
            && let CipherMechanism::AesGcm { iv, .. } = &mut self.mechanism
            && let Some((first, rest)) = data.split_first_chunk::<GCM_IV_LEN>()
        {
            (*iv, data) = (Some(*first), rest);
        }
        let made = asking.ask(&self.mechanism, data)?;
        if made.len() + self.tag_len == data.len() { Ok(made) } else { Err(of_another_length()) }
    }
}
