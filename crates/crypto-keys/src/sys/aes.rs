//! AES block by block: key schedules, and the modes that have no integrity (SP 800-38A).

use std::ffi::{c_int, c_uint};

use super::{ErrorQueue, NonNull, Secret, lc, owned, ptr, wipe};

/// Bytes of a block.
const BLOCK_LEN: usize = 16;

owned!(
    /// One use of a cipher, with the key's schedule.
    CipherContext,
    lc::EVP_CIPHER_CTX,
    EVP_CIPHER_CTX_free
);

/// Each block by itself (SP 800-38A §6.1), many at once: a schedule of [`AesSchedule`] takes them one by one only. None when
/// the key has another length than an AES key.
pub(crate) fn ecb(key: &Secret, blocks: &mut [[u8; BLOCK_LEN]], encrypts: bool) -> Option<()> {
    let _queue = ErrorQueue;
    let data = blocks.as_flattened_mut();
    let (place, len, mut written) = (data.as_mut_ptr(), c_int::try_from(data.len()).ok()?, 0);
    // SAFETY: each cipher is a constant table. The context is new and is given a key as long as its cipher's; it reads and
    // writes `len` bytes, whole blocks, in the same place, which `openssl/cipher.h` allows.
    let done = unsafe {
        let cipher = match key.len() {
            16 => lc::EVP_aes_128_ecb(),
            24 => lc::EVP_aes_192_ecb(),
            32 => lc::EVP_aes_256_ecb(),
            _ => return None,
        };
        let context = CipherContext::take(lc::EVP_CIPHER_CTX_new())?;
        let (context, key) = (context.as_ptr(), key.expose().as_ptr());
        lc::EVP_CipherInit_ex(context, cipher, ptr::null_mut(), key, ptr::null(), encrypts.into()) == 1
            && lc::EVP_CIPHER_CTX_set_padding(context, 0) == 1
            && lc::EVP_CipherUpdate(context, place, &mut written, place, len) == 1
    };
    (done && written == len).then_some(())
}

/// An AES key's schedule for one direction, wiped when dropped. It stays where it is made: moving it would leave copies
/// behind.
pub(crate) struct AesSchedule {
    schedule: Box<lc::AES_KEY>,
    encrypts: bool,
}

impl AesSchedule {
    /// For encrypting and wrapping, or for decrypting and unwrapping. None when the key has another length than an AES key.
    pub(crate) fn new(key: &Secret, encrypts: bool) -> Option<AesSchedule> {
        let bits = match key.len() {
            16 | 24 | 32 => c_uint::try_from(8 * key.len()).ok()?,
            _ => return None,
        };
        // SAFETY: a schedule is numbers, for which all zeros are valid.
        let mut made = AesSchedule { schedule: Box::new(unsafe { std::mem::zeroed() }), encrypts };
        // SAFETY: reads `bits / 8` bytes of the key and writes the schedule.
        let done = unsafe {
            match encrypts {
                true => lc::AES_set_encrypt_key(key.expose().as_ptr(), bits, &mut *made.schedule),
                false => lc::AES_set_decrypt_key(key.expose().as_ptr(), bits, &mut *made.schedule),
            }
        };
        (done == 0).then_some(made)
    }

    pub(super) fn as_ptr(&self) -> *const lc::AES_KEY {
        &raw const *self.schedule
    }

    fn direction(&self) -> c_int {
        if self.encrypts { lc::AES_ENCRYPT } else { lc::AES_DECRYPT }
    }

    /// CBC (SP 800-38A §6.2).
    pub(crate) fn cbc(&self, mut iv: [u8; BLOCK_LEN], blocks: &mut [[u8; BLOCK_LEN]]) {
        let data = blocks.as_flattened_mut();
        let place = data.as_mut_ptr();
        // SAFETY: reads and writes `data.len()` bytes, whole blocks, in the same place, which `openssl/aes.h` allows; writes
        // the last ciphertext into `iv`, which is ours.
        unsafe { lc::AES_cbc_encrypt(place, place, data.len(), self.as_ptr(), iv.as_mut_ptr(), self.direction()) }
    }

    /// CTR, in which the whole block counts (SP 800-38A §6.5). Needs a schedule that encrypts, for decrypting too; false,
    /// and nothing done, with another one.
    pub(crate) fn ctr(&self, mut counter: [u8; BLOCK_LEN], data: &mut [u8]) -> bool {
        if !self.encrypts {
            return false;
        }
        let (place, mut stream, mut used) = (data.as_mut_ptr(), [0; BLOCK_LEN], 0);
        // SAFETY: reads and writes `data.len()` bytes in the same place, which `openssl/aes.h` allows; writes the next counter,
        // the last block of the key stream and how much of it was used to where is room for them.
        unsafe {
            let (counter, stream) = (counter.as_mut_ptr(), stream.as_mut_ptr());
            lc::AES_ctr128_encrypt(place, place, data.len(), self.as_ptr(), counter, stream, &mut used);
        }
        wipe(&mut stream);
        true
    }
}

impl Drop for AesSchedule {
    fn drop(&mut self) {
        wipe(&mut *self.schedule);
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::mem::MaybeUninit;

    use strongroom_types::{CipherMechanism, KeyType};

    use super::*;
    use crate::SecretKey;

    /// Bytes of the stack that are looked at, more than a cipher uses.
    const STACK_LEN: usize = 64 * 1024;

    /// Whether what earlier calls left on the stack contains these bytes, given with all bits turned.
    #[inline(never)]
    fn stack_has(turned: &[u8]) -> bool {
        let left = MaybeUninit::<[u8; STACK_LEN]>::uninit();
        let from = black_box(left.as_ptr()).cast::<u8>();
        // SAFETY: reads within `left`. What is there nobody has written since, and each byte is read but once.
        let read = |at: usize| unsafe { from.add(at).read_volatile() };
        let found =
            (0..STACK_LEN - turned.len()).any(|at| turned.iter().enumerate().all(|(i, byte)| !read(at + i) == *byte));
        black_box(&left);
        found
    }

    #[inline(never)]
    fn use_stack() {
        black_box([0_u8; STACK_LEN + 4096]);
    }

    /// As a function that moves what it has.
    #[inline(never)]
    fn leave_on_stack(turned: &[u8]) {
        let mut place = [0; 256];
        for (to, from) in place.iter_mut().zip(turned) {
            *to = !from;
        }
        black_box(&place);
    }

    #[test]
    fn no_schedule_stays_on_the_stack() {
        let bytes = Secret::new((0..32).map(|at| at * 7 + 3).collect());
        let [encrypting, decrypting] = [true, false].map(|encrypts| {
            let schedule = AesSchedule::new(&bytes, encrypts).unwrap();
            let words = &schedule.schedule.rd_key[8..16];
            // Turned, so that what is looked for lies nowhere itself.
            words.iter().flat_map(|word| (!word).to_ne_bytes()).collect::<Vec<u8>>()
        });
        leave_on_stack(&encrypting);
        assert!(stack_has(&encrypting), "what is left there is seen");
        let modes = [
            CipherMechanism::AesCbc { iv: [1; 16] },
            CipherMechanism::AesCtr { counter: [1; 16] },
            CipherMechanism::AesEcb,
        ];
        for mechanism in modes {
            let mut data = vec![5; 64];
            let key = SecretKey::new(KeyType::Aes, bytes.clone());
            use_stack();
            key.encrypt(&mechanism, &mut data).unwrap();
            assert!(!stack_has(&encrypting), "{mechanism:?}");
            assert!(!stack_has(&decrypting), "{mechanism:?}");
            key.decrypt(&mechanism, &mut data).unwrap();
            assert!(!stack_has(&decrypting), "{mechanism:?}");
            assert_eq!(data, [5; 64]);
        }
    }

    #[test]
    fn a_schedule_that_decrypts_counts_nothing() {
        let key = Secret::new(vec![1; 16]);
        let mut data = [2; 20];
        assert!(!AesSchedule::new(&key, false).unwrap().ctr([0; 16], &mut data));
        assert_eq!(data, [2; 20]);
        assert!([0, 15, 17, 33].iter().all(|len| AesSchedule::new(&Secret::new(vec![1; *len]), true).is_none()));
    }
}
