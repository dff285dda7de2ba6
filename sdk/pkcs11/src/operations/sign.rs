//! Signing and verifying: signatures and message authentication codes.

use std::sync::Arc;

use cryptoki_sys::{CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_ERROR, CKR_KEY_SIZE_RANGE, CKR_SIGNATURE_LEN_RANGE};
use strongroom_client::ClientError;
use strongroom_types::Secret;

use super::message::{Asked, Input, Parts, Scheme};
use super::{FromCaller, Hsms, give, in_parts};
use crate::entry::{Output, Room};
use crate::failure::Failure;
use crate::mechanism::Mechanism;
use crate::objects::Key;

/// A message in the making, with what it is for.
struct Message {
    scheme: Scheme,
    key: Arc<Key>,
    /// None before the first part.
    parts: Option<Parts>,
}

impl Message {
    fn new(mechanism: &Mechanism, key: Arc<Key>) -> Result<Message, Failure> {
        let scheme = Scheme::of(mechanism)?;
        scheme.check(&key.info().attributes)?;
        Ok(Message { scheme, key, parts: None })
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Failure> {
        if self.parts.is_none() {
            self.parts = Some(self.scheme.parts(&self.key.info().attributes)?);
        }
        self.parts.as_mut().map_or(Ok(()), |parts| parts.push(part))
    }

    fn made_len(&self) -> Result<usize, Failure> {
        self.scheme.made_len(&self.key.info().attributes)
    }

    /// What goes to the HSM of a message in one part.
    fn whole<'a>(&self, message: &'a [u8]) -> Result<Input<'a>, Failure> {
        self.scheme.of_whole(message, &self.key.info().attributes)
    }

    /// What goes to the HSM of all parts.
    fn finish(&mut self) -> Result<Secret, Failure> {
        let info = self.key.info();
        match self.parts.take() {
            Some(parts) => self.scheme.of_parts(parts, &info.attributes),
            None => self.scheme.of_parts(self.scheme.parts(&info.attributes)?, &info.attributes),
        }
    }
}

/// A key that is weak is an attribute's fault when it is made or brought in, and one of its size when it is used.
fn about_use(error: ClientError) -> Failure {
    Failure::from(error).renamed(CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE)
}

/// A signature in the making.
pub(crate) struct Signing(Message);

impl Signing {
    /// Nothing of the message yet.
    pub(crate) fn new(mechanism: &Mechanism, key: Arc<Key>) -> Result<Signing, Failure> {
        Message::new(mechanism, key).map(Signing)
    }

    /// The next part.
    pub(crate) fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        self.0.push(part?)
    }

    /// The signature of a message in one part.
    pub(crate) fn whole(
        &mut self,
        hsms: &impl Hsms,
        message: FromCaller<&[u8]>,
        room: FromCaller<Room>,
    ) -> Result<Output, Failure> {
        let (message, room) = (message?, room?);
        if self.0.parts.is_some() {
            return Err(in_parts());
        }
        give(self.0.made_len()?, room, || self.make(hsms, &self.0.whole(message)?))
    }

    /// The signature of all parts.
    pub(crate) fn finish(&mut self, hsms: &impl Hsms, room: FromCaller<Room>) -> Result<Output, Failure> {
        let room = room?;
        give(self.0.made_len()?, room, || {
            let message = self.0.finish()?;
            self.make(hsms, message.expose())
        })
    }

    fn make(&self, hsms: &impl Hsms, message: &[u8]) -> Result<Secret, Failure> {
        let key = self.0.key.entry();
        let made = match self.0.scheme.asked {
            Asked::Mac(mechanism) => hsms.mac(key, mechanism, message),
            Asked::Signature(mechanism) => hsms.sign(key, mechanism, message),
        }
        .map_err(about_use)?;
        if made.len() != self.0.made_len()? {
            return Err(Failure::call(CKR_DEVICE_ERROR, "the HSM's signature has another length than the key's"));
        }
        Ok(Secret::new(made))
    }
}

/// A signature about to be verified. The HSM does it, for it decides at every use.
pub(crate) struct Verifying(Message);

impl Verifying {
    /// Nothing of the message yet.
    pub(crate) fn new(mechanism: &Mechanism, key: Arc<Key>) -> Result<Verifying, Failure> {
        Message::new(mechanism, key).map(Verifying)
    }

    /// The next part.
    pub(crate) fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        self.0.push(part?)
    }

    /// Whether it is the signature of a message in one part.
    pub(crate) fn whole(
        self,
        hsms: &impl Hsms,
        message: FromCaller<&[u8]>,
        signature: FromCaller<&[u8]>,
    ) -> Result<(), Failure> {
        let (message, signature) = (message?, signature?);
        if self.0.parts.is_some() {
            return Err(in_parts());
        }
        self.check(hsms, &self.0.whole(message)?, signature)
    }

    /// Whether it is the signature of all parts.
    pub(crate) fn finish(mut self, hsms: &impl Hsms, signature: FromCaller<&[u8]>) -> Result<(), Failure> {
        let signature = signature?;
        let message = self.0.finish()?;
        self.check(hsms, message.expose(), signature)
    }

    fn check(&self, hsms: &impl Hsms, message: &[u8], signature: &[u8]) -> Result<(), Failure> {
        if signature.len() != self.0.made_len()? {
            return Err(Failure::call(CKR_SIGNATURE_LEN_RANGE, "no signature with this key has this length"));
        }
        let key = self.0.key.entry();
        match self.0.scheme.asked {
            Asked::Mac(mechanism) => hsms.verify_mac(key, mechanism, message, signature),
            Asked::Signature(mechanism) => hsms.verify(key, mechanism, message, signature),
        }
        .map_err(about_use)
    }
}
