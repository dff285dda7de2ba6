//! AES-GCM with any tag length.

use super::{ErrorQueue, NonNull, Secret, lc, owned};

owned!(
    /// An AEAD with its key.
    Aead,
    lc::EVP_AEAD_CTX,
    EVP_AEAD_CTX_free
);

impl Aead {
    /// AES-GCM. None when the key has another length than an AES key.
    fn gcm(key: &Secret, tag_len: usize) -> Option<Aead> {
        // SAFETY: each returns a pointer to a constant table.
        let algorithm = unsafe {
            match key.len() {
                16 => lc::EVP_aead_aes_128_gcm(),
                24 => lc::EVP_aead_aes_192_gcm(),
                32 => lc::EVP_aead_aes_256_gcm(),
                _ => return None,
            }
        };
        // SAFETY: reads the key's bytes; makes a new context, or null.
        unsafe { Aead::take(lc::EVP_AEAD_CTX_new(algorithm, key.expose().as_ptr(), key.len(), tag_len)) }
    }
}

// SAFETY: a context has no tie to the thread that made it.
unsafe impl Send for Aead {}
// SAFETY: `openssl/aead.h` promises that any number of threads may open and seal with one context at once. Nothing here
// changes one after it was made.
unsafe impl Sync for Aead {}

/// AES-GCM that opens ciphertexts whose tags have one length, with what follows from the key computed once.
pub(crate) struct GcmOpening {
    aead: Aead,
    tag_len: usize,
}

impl GcmOpening {
    /// None when the key has another length than an AES key, or AES-GCM has no such tags.
    pub(crate) fn new(key: &Secret, tag_len: usize) -> Option<GcmOpening> {
        let _queue = ErrorQueue;
        Some(GcmOpening { aead: Aead::gcm(key, tag_len)?, tag_len })
    }

    /// Puts the plaintext in the place of the ciphertext and its tag, and gives its length. None when anything is not as it
    /// was when it was sealed; nothing of the plaintext is there then.
    pub(crate) fn open(&self, iv: &[u8], associated: &[u8], data: &mut [u8]) -> Option<usize> {
        let _queue = ErrorQueue;
        let len = data.len().checked_sub(self.tag_len)?;
        let place = data.as_mut_ptr();
        let mut written = 0;
        // SAFETY: reads `data.len()` bytes and writes at most as many in the same place, which `openssl/aead.h` allows;
        // reads the other slices within their lengths.
        let done = unsafe {
            lc::EVP_AEAD_CTX_open(
                self.aead.as_ptr(),
                place,
                &mut written,
                data.len(),
                iv.as_ptr(),
                iv.len(),
                place,
                data.len(),
                associated.as_ptr(),
                associated.len(),
            )
        };
        (done == 1 && written == len).then_some(len)
    }
}
