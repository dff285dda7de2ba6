//! HMAC (FIPS 198-1) with a key that is kept.

use super::{ErrorQueue, HashFunction, NonNull, Secret, lc, message_digest, owned, ptr};

owned!(
    /// An HMAC under way, or one that has taken in its key and nothing else.
    Context,
    lc::HMAC_CTX,
    HMAC_CTX_free
);

// SAFETY: a context has no tie to the thread that made it.
unsafe impl Send for Context {}
// SAFETY: what is shared is read only: each MAC is computed in a copy.
unsafe impl Sync for Context {}

/// A key of HMAC, hashed once. It stays where AWS-LC made it, and AWS-LC wipes it: moving it would leave copies behind.
pub(crate) struct Hmac {
    keyed: Context,
    hash: HashFunction,
}

impl Hmac {
    /// None when AWS-LC is out of memory.
    pub(crate) fn new(hash: HashFunction, key: &Secret) -> Option<Hmac> {
        let _queue = ErrorQueue;
        let key = key.expose();
        // SAFETY: makes a new context, and reads the key's bytes. An empty slice's pointer is not null, for which AWS-LC
        // would take the key for one that was set before.
        unsafe {
            let keyed = Context::take(lc::HMAC_CTX_new())?;
            let digest = message_digest(hash);
            let done = lc::HMAC_Init_ex(keyed.as_ptr(), key.as_ptr().cast(), key.len(), digest, ptr::null_mut());
            (done == 1).then_some(Hmac { keyed, hash })
        }
    }

    /// Writes the MAC of `data` over `output`, whose length is that of the hash. None when it is another one, or AWS-LC is
    /// out of memory.
    pub(crate) fn write(&self, data: &[u8], output: &mut [u8]) -> Option<()> {
        let _queue = ErrorQueue;
        if output.len() != self.hash.digest_len() {
            return None;
        }
        let mut written = 0;
        // SAFETY: makes a new context and copies the kept one, which it only reads; reads the data's bytes; writes as many bytes
        // as the hash has, for which there is room.
        unsafe {
            let context = Context::take(lc::HMAC_CTX_new())?;
            let done = lc::HMAC_CTX_copy_ex(context.as_ptr(), self.keyed.as_ptr()) == 1
                && lc::HMAC_Update(context.as_ptr(), data.as_ptr(), data.len()) == 1
                && lc::HMAC_Final(context.as_ptr(), output.as_mut_ptr(), &mut written) == 1;
            (done && usize::try_from(written) == Ok(output.len())).then_some(())
        }
    }
}
