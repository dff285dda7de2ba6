//! 3DES (SP 800-67 rev. 2), for check values alone.

use std::mem::MaybeUninit;

use aws_lc_sys as lc;

/// A DES key ready for use, wiped when dropped.
struct Schedule(lc::DES_key_schedule);

impl Schedule {
    /// Parity bits are not looked at.
    fn new(key: &[u8; 8]) -> Schedule {
        let key = lc::DES_cblock { bytes: *key };
        let mut schedule = MaybeUninit::<lc::DES_key_schedule>::zeroed();
        // SAFETY: the schedule is plain numbers, for which zeros are valid; the call writes all of it.
        let schedule = unsafe {
            lc::DES_set_key_unchecked(&key, schedule.as_mut_ptr());
            Schedule(schedule.assume_init())
        };
        wipe(key);
        schedule
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        // SAFETY: writes over this value alone, which is plain numbers.
        unsafe { lc::OPENSSL_cleanse((&raw mut self.0).cast(), size_of_val(&self.0)) }
    }
}

fn wipe(mut block: lc::DES_cblock) {
    // SAFETY: writes over this value alone, which is plain bytes.
    unsafe { lc::OPENSSL_cleanse((&raw mut block).cast(), size_of_val(&block)) }
}

/// One block, encrypted under three keys one after the other: encrypted, decrypted, encrypted.
pub(crate) fn des3_encrypt_block(keys: [&[u8; 8]; 3], block: [u8; 8]) -> [u8; 8] {
    let [first, second, third] = keys.map(Schedule::new);
    let input = lc::DES_cblock { bytes: block };
    let mut output = lc::DES_cblock { bytes: [0; 8] };
    // SAFETY: reads one block and three keys, writes one block.
    unsafe { lc::DES_ecb3_encrypt(&input, &mut output, &first.0, &second.0, &third.0, lc::DES_ENCRYPT) }
    output.bytes
}
