//! HMAC (FIPS 198-1) with a key that is kept.

use super::{ErrorQueue, HashFunction, NonNull, lc, message_digest, owned, ptr};

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
    pub(crate) fn new(hash: HashFunction, key: &[u8]) -> Option<Hmac> {
        let _queue = ErrorQueue;
        // SAFETY: makes a new context, and reads the key's bytes. An empty slice's pointer is not null, for which AWS-LC
        // would take the key for one that was set before.
        unsafe {
            let keyed = Context::take(lc::HMAC_CTX_new())?;
            let digest = message_digest(hash);
            let done = lc::HMAC_Init_ex(keyed.as_ptr(), key.as_ptr().cast(), key.len(), digest, ptr::null_mut());
            (done == 1).then_some(Hmac { keyed, hash })
        }
    }

    /// Writes the MAC of the parts, one after the other, over `output`, whose length is that of the hash. None when it is
    /// another one, or AWS-LC is out of memory.
    pub(crate) fn write(&self, parts: &[&[u8]], output: &mut [u8]) -> Option<()> {
        let _queue = ErrorQueue;
        if output.len() != self.hash.digest_len() {
            return None;
        }
        let mut written = 0;
        // SAFETY: makes a new context and copies the kept one, which it only reads; reads the parts' bytes; writes as many bytes
        // as the hash has, for which there is room.
        unsafe {
            let context = Context::take(lc::HMAC_CTX_new())?;
            let done = lc::HMAC_CTX_copy_ex(context.as_ptr(), self.keyed.as_ptr()) == 1
                && parts.iter().all(|part| lc::HMAC_Update(context.as_ptr(), part.as_ptr(), part.len()) == 1)
                && lc::HMAC_Final(context.as_ptr(), output.as_mut_ptr(), &mut written) == 1;
            (done && usize::try_from(written) == Ok(output.len())).then_some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unhex;

    #[test]
    fn the_mac_of_rfc_4231_case_2_however_often_and_in_parts() {
        let expected = unhex("5bdcc146bf60754e6a042426089575c7 5a003f089d2739839dec58b964ec3843");
        let key = Hmac::new(HashFunction::Sha256, b"Jefe").unwrap();
        let data: &[u8] = b"what do ya want for nothing?";
        for parts in [&[data][..], &[&data[..16], b"", &data[16..]], &[data]] {
            let mut mac = [0; 32];
            key.write(parts, &mut mac).unwrap();
            assert_eq!(mac[..], expected);
        }
        for len in [0, 31, 33] {
            assert_eq!(key.write(&[data], &mut vec![0; len]), None, "{len}");
        }
    }
}
