//! The operations of a session. Its lock is held while one runs, so that two calls of one session follow each other.

use std::sync::Arc;

use cryptoki_sys::{
    CK_FLAGS, CK_OBJECT_HANDLE, CKF_DECRYPT, CKF_DIGEST, CKF_ENCRYPT, CKF_SIGN, CKF_VERIFY, CKR_MECHANISM_INVALID,
    CKR_USER_NOT_LOGGED_IN,
};
use strongroom_client::Setting;
use strongroom_ffi::PointerError;
use strongroom_types::limits::RANDOM_LEN_MAX;

use super::cipher::{Ciphering, Direction};
use super::{Digesting, FromCaller, Signing, Verifying, begin, last, next, not_initialized};
use crate::entry::{Output, Room};
use crate::failure::Failure;
use crate::mechanism::{Mechanism, Use};
use crate::objects::Key;
use crate::session::{Active, Session};

impl Active {
    /// Ends the operations that these flags name; whether there were any.
    pub(crate) fn cancel_operations(&mut self, flags: CK_FLAGS) -> bool {
        let is_named = |flag| flags & flag != 0;
        let ended = [
            is_named(CKF_DECRYPT) && self.decrypt.take().is_some(),
            is_named(CKF_DIGEST) && self.digest.take().is_some(),
            is_named(CKF_ENCRYPT) && self.encrypt.take().is_some(),
            is_named(CKF_SIGN) && self.sign.take().is_some(),
            is_named(CKF_VERIFY) && self.verify.take().is_some(),
        ];
        ended.contains(&true)
    }
}

impl Session {
    /// The key of this handle, unless it is known that the HSM would refuse what is about to be begun with it.
    ///
    /// Nothing is asked of the HSM when what is known of the key permits the use. When it does not, it is asked for anew: it
    /// may have been changed since.
    pub(crate) fn usable_key(
        &self,
        mechanism: &Mechanism,
        handle: CK_OBJECT_HANDLE,
        purpose: Use,
    ) -> Result<Arc<Key>, Failure> {
        if !self.slot.logged_in() {
            return Err(Failure::call(CKR_USER_NOT_LOGGED_IN, "keys are used after C_Login"));
        }
        let row = mechanism.row;
        let function = purpose.function();
        if row.functions & function == 0 {
            return Err(Failure::call(CKR_MECHANISM_INVALID, "the mechanism is for something else"));
        }
        let key = self.slot.objects.key(handle)?;
        if !self.slot.settings.is_on(Setting::ValidateKeyAtInit) {
            return Ok(key);
        }
        if !row.is_everywhere(function) {
            let facts = self.slot.facts()?;
            if row.functions_in(facts.hsm_type, facts.mode) & function == 0 {
                let why = "HSMs of the cluster's type do not have the mechanism, or its mode does not allow it";
                return Err(Failure::call(CKR_MECHANISM_INVALID, why));
            }
        }
        if row.keys.check(purpose, &key.info().attributes).is_err() {
            let refreshed = key.refresh(&self.slot.client);
            let info = refreshed.map_err(|error| self.slot.objects.used(key.entry(), error))?;
            row.keys.check(purpose, &info.attributes)?;
        }
        Ok(key)
    }

    /// `C_DigestInit`.
    pub(crate) fn digest_init(&self, mechanism: &Mechanism) -> Result<(), Failure> {
        begin(&mut self.active().digest, || Digesting::new(mechanism))
    }

    /// `C_Digest`.
    pub(crate) fn digest(&self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().digest, |digest| digest.whole(data, room))
    }

    /// `C_DigestUpdate`.
    pub(crate) fn digest_update(&self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        next(&mut self.active().digest, |digest| digest.update(part))
    }

    /// `C_DigestFinal`.
    pub(crate) fn digest_final(&self, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().digest, |digest| digest.finish(room))
    }

    /// `C_SignInit`.
    pub(crate) fn sign_init(&self, mechanism: &Mechanism, key: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        begin(&mut self.active().sign, || Signing::new(mechanism, self.usable_key(mechanism, key, Use::Sign)?))
    }

    /// `C_Sign`.
    pub(crate) fn sign(&self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().sign, |sign| sign.whole(&*self.slot, data, room))
    }

    /// `C_SignUpdate`.
    pub(crate) fn sign_update(&self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        next(&mut self.active().sign, |sign| sign.update(part))
    }

    /// `C_SignFinal`.
    pub(crate) fn sign_final(&self, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().sign, |sign| sign.finish(&*self.slot, room))
    }

    /// `C_VerifyInit`.
    pub(crate) fn verify_init(&self, mechanism: &Mechanism, key: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        begin(&mut self.active().verify, || Verifying::new(mechanism, self.usable_key(mechanism, key, Use::Verify)?))
    }

    /// `C_Verify`, which ends the operation whatever it answers.
    pub(crate) fn verify(&self, data: FromCaller<&[u8]>, signature: FromCaller<&[u8]>) -> Result<(), Failure> {
        let mut active = self.active();
        active.verify.take().ok_or_else(not_initialized)?.whole(&*self.slot, data, signature)
    }

    /// `C_VerifyUpdate`.
    pub(crate) fn verify_update(&self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        next(&mut self.active().verify, |verify| verify.update(part))
    }

    /// `C_VerifyFinal`, which ends the operation whatever it answers.
    pub(crate) fn verify_final(&self, signature: FromCaller<&[u8]>) -> Result<(), Failure> {
        let mut active = self.active();
        active.verify.take().ok_or_else(not_initialized)?.finish(&*self.slot, signature)
    }

    /// `C_EncryptInit`.
    pub(crate) fn encrypt_init(&self, mechanism: Mechanism, key: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        begin(&mut self.active().encrypt, || {
            let key = self.usable_key(&mechanism, key, Use::Encrypt)?;
            Ciphering::new(mechanism, key, Direction::Encrypt)
        })
    }

    /// `C_Encrypt`.
    pub(crate) fn encrypt(&self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().encrypt, |encrypt| encrypt.whole(&*self.slot, data, room))
    }

    /// `C_EncryptUpdate`.
    pub(crate) fn encrypt_update(&self, part: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        next(&mut self.active().encrypt, |encrypt| encrypt.update(&*self.slot, part, room))
    }

    /// `C_EncryptFinal`.
    pub(crate) fn encrypt_final(&self, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().encrypt, |encrypt| encrypt.finish(&*self.slot, room))
    }

    /// `C_DecryptInit`.
    pub(crate) fn decrypt_init(&self, mechanism: Mechanism, key: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        begin(&mut self.active().decrypt, || {
            let key = self.usable_key(&mechanism, key, Use::Decrypt)?;
            Ciphering::new(mechanism, key, Direction::Decrypt)
        })
    }

    /// `C_Decrypt`.
    pub(crate) fn decrypt(&self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().decrypt, |decrypt| decrypt.whole(&*self.slot, data, room))
    }

    /// `C_DecryptUpdate`.
    pub(crate) fn decrypt_update(&self, part: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        next(&mut self.active().decrypt, |decrypt| decrypt.update(&*self.slot, part, room))
    }

    /// `C_DecryptFinal`.
    pub(crate) fn decrypt_final(&self, room: FromCaller<Room>) -> Result<Output, Failure> {
        last(&mut self.active().decrypt, |decrypt| decrypt.finish(&*self.slot, room))
    }

    /// Ends what was begun: a `C_*Init` without a mechanism (PKCS #11 v3.0 §5.1.2). Where nothing is, the mechanism is
    /// missing, as it was before version 3.0.
    pub(crate) fn cancel_begun(&self, flag: CK_FLAGS) -> Result<(), Failure> {
        if self.active().cancel_operations(flag) { Ok(()) } else { Err(PointerError::Null.into()) }
    }

    /// `C_GenerateRandom`: the HSM's random bytes, with a login and without one, in pieces.
    pub(crate) fn random(&self, len: usize, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut left = len;
        while left > 0 {
            let piece = left.min(RANDOM_LEN_MAX);
            take(self.slot.client.random(piece)?.expose())?;
            left -= piece;
        }
        Ok(())
    }
}
