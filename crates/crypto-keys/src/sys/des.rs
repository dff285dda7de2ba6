//! 3DES (SP 800-67 rev. 2): check values, parity, weak keys, and what old systems still encrypt with.

use std::ffi::c_int;

use aws_lc_sys as lc;
use strongroom_types::Secret;
use zeroize::Zeroizing;

use super::wipe;

/// A DES key ready for use, in one place until it is wiped.
struct Schedule(Box<lc::DES_key_schedule>);

impl Schedule {
    /// Parity bits are not looked at.
    fn new(key: &[u8; 8]) -> Schedule {
        // SAFETY: plain numbers, for which zeros are valid.
        let mut schedule = Schedule(Box::new(unsafe { std::mem::zeroed() }));
        let mut block = lc::DES_cblock { bytes: *key };
        // SAFETY: reads one block and writes one schedule.
        unsafe { lc::DES_set_key_unchecked(&block, &mut *schedule.0) }
        wipe(&mut block);
        schedule
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        wipe(&mut *self.0);
    }
}

/// Three DES keys one after the other: what encrypts is encrypted, decrypted, encrypted.
pub(crate) struct Des3([Schedule; 3]);

impl Des3 {
    /// Parity bits are not looked at.
    pub(crate) fn new(keys: [&[u8; 8]; 3]) -> Des3 {
        Des3(keys.map(Schedule::new))
    }

    /// Each block by itself.
    pub(crate) fn ecb(&self, blocks: &mut [[u8; 8]], encrypts: bool) {
        let [first, second, third] = &self.0;
        for block in blocks {
            let input = lc::DES_cblock { bytes: *block };
            let mut output = lc::DES_cblock { bytes: [0; 8] };
            // SAFETY: reads one block and three keys, writes one block.
            unsafe { lc::DES_ecb3_encrypt(&input, &mut output, &*first.0, &*second.0, &*third.0, direction(encrypts)) }
            *block = output.bytes;
        }
    }

    /// CBC (SP 800-38A §6.2).
    pub(crate) fn cbc(&self, iv: [u8; 8], blocks: &mut [[u8; 8]], encrypts: bool) {
        let [first, second, third] = &self.0;
        let data = blocks.as_flattened_mut();
        let (place, len) = (data.as_mut_ptr(), data.len());
        let mut iv = lc::DES_cblock { bytes: iv };
        // SAFETY: reads and writes `len` bytes, whole blocks, in the same place, which `openssl/des.h` allows; reads three
        // keys, writes the last ciphertext into `iv`, which is ours.
        unsafe {
            lc::DES_ede3_cbc_encrypt(place, place, len, &*first.0, &*second.0, &*third.0, &mut iv, direction(encrypts));
        }
    }
}

fn direction(encrypts: bool) -> c_int {
    if encrypts { lc::DES_ENCRYPT } else { lc::DES_DECRYPT }
}

/// The bytes with the lowest bit of each set so that an odd number of bits is (SP 800-67 rev. 2 §3.2).
pub(crate) fn with_odd_parity(key: &Secret) -> Secret {
    let odd = |byte: &u8| {
        let high = byte & 0xfe;
        high | u8::from(high.count_ones().is_multiple_of(2))
    };
    Secret::from(Zeroizing::new(key.expose().iter().map(odd).collect::<Vec<u8>>()).as_slice())
}

/// Whether a DES key among the bytes, with odd parity, is one of those under which encrypting twice brings the data back, or
/// is undone by another key (SP 800-67 rev. 2 §3.3.2).
pub(crate) fn has_weak_des_key(key: &Secret) -> bool {
    let (keys, _) = key.expose().as_chunks::<8>();
    keys.iter().any(|key| {
        let mut block = lc::DES_cblock { bytes: *key };
        // SAFETY: reads one block.
        let weak = unsafe { lc::DES_is_weak_key(&block) } == 1;
        wipe(&mut block);
        weak
    })
}
