//! The RSA method.

use std::ffi::c_int;
use std::ptr;

use strongroom_ffi::pointer;
use strongroom_types::PublicPart;
use zeroize::Zeroizing;

use super::bignum::{self, Number};
use super::libcrypto::{Bignum, BnGencb, Libcrypto, LibcryptoError, Rsa as RsaKey, RsaMethod, RsaOperation};
use super::{Bound, entered};
use crate::engine::for_operation;
use crate::error::EngineError;
use crate::keygen::{self, Generated};
use crate::keys::{Owner, owner};
use crate::sign::{self, Key, NO_PADDING};

/// What operations return that fail.
const FAILED: c_int = -1;

/// Our method and what it stands before.
pub(super) struct Rsa {
    method: *mut RsaMethod,
    stock: *const RsaMethod,
    private_encrypt: RsaOperation,
    private_decrypt: RsaOperation,
    public_decrypt: RsaOperation,
}

// SAFETY: methods are not changed after `new`, and OpenSSL reads them from every thread.
unsafe impl Send for Rsa {}
// SAFETY: as above.
unsafe impl Sync for Rsa {}

impl Rsa {
    /// Copies the stock method and puts our functions in.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn new(crypto: &Libcrypto) -> Result<Rsa, LibcryptoError> {
        // SAFETY: the stock method is static; the copy is ours, and never freed.
        unsafe {
            let stock = (crypto.RSA_PKCS1_OpenSSL)();
            let operation = |found: Option<RsaOperation>, name| found.ok_or(LibcryptoError::Missing(name));
            let private_encrypt = operation((crypto.RSA_meth_get_priv_enc)(stock), c"rsa_priv_enc")?;
            let private_decrypt = operation((crypto.RSA_meth_get_priv_dec)(stock), c"rsa_priv_dec")?;
            let public_decrypt = operation((crypto.RSA_meth_get_pub_dec)(stock), c"rsa_pub_dec")?;
            let method = (crypto.RSA_meth_dup)(stock);
            let filled = !method.is_null()
                && (crypto.RSA_meth_set1_name)(method, c"CloudHSM RSA method".as_ptr()) == 1
                && (crypto.RSA_meth_set_priv_enc)(method, Some(private_encrypt_entry)) == 1
                && (crypto.RSA_meth_set_priv_dec)(method, Some(private_decrypt_entry)) == 1
                && (crypto.RSA_meth_set_keygen)(method, Some(keygen_entry)) == 1;
            if !filled {
                return Err(LibcryptoError::Missing(c"RSA_meth_dup"));
            }
            Ok(Rsa { method, stock, private_encrypt, private_decrypt, public_decrypt })
        }
    }

    pub(super) fn method(&self) -> *const RsaMethod {
        self.method
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Sign,
    Decrypt,
}

unsafe extern "C" fn private_encrypt_entry(
    len: c_int,
    from: *const u8,
    to: *mut u8,
    key: *mut RsaKey,
    padding: c_int,
) -> c_int {
    // SAFETY: arguments of `rsa_priv_enc`, as OpenSSL documents them.
    entered(FAILED, |bound| unsafe { private_operation(bound, Direction::Sign, len, from, to, key, padding) })
}

unsafe extern "C" fn private_decrypt_entry(
    len: c_int,
    from: *const u8,
    to: *mut u8,
    key: *mut RsaKey,
    padding: c_int,
) -> c_int {
    // SAFETY: arguments of `rsa_priv_dec`, as OpenSSL documents them.
    entered(FAILED, |bound| unsafe { private_operation(bound, Direction::Decrypt, len, from, to, key, padding) })
}

/// # Safety
/// `key` is null or an RSA object, `from` has `len` bytes, `to` has as many as the modulus.
unsafe fn private_operation(
    bound: &Bound,
    direction: Direction,
    len: c_int,
    from: *const u8,
    to: *mut u8,
    key: *mut RsaKey,
    padding: c_int,
) -> Result<c_int, EngineError> {
    if key.is_null() {
        return Err(EngineError::KeyIncomplete("key object"));
    }
    let crypto = &bound.libcrypto;
    let stock = match direction {
        Direction::Sign => bound.rsa.private_encrypt,
        Direction::Decrypt => bound.rsa.private_decrypt,
    };
    // SAFETY: a key object, which keeps its numbers while it is used; arguments as the caller has them.
    unsafe {
        let numbers = Numbers::of(crypto, key);
        if numbers.modulus.is_null() || numbers.exponent.is_null() {
            return Err(EngineError::KeyIncomplete("modulus or exponent"));
        }
        let marker = match owner(bignum::marker(crypto, numbers.private), || factors_fit(crypto, key, &numbers)) {
            Owner::Software => return Ok(stock(len, from, to, key, padding)),
            Owner::Unclear if direction == Direction::Decrypt && padding != NO_PADDING => {
                return Ok(stock(len, from, to, key, padding));
            }
            Owner::Unclear => match in_software(bound, stock, len, from, to, key, padding)? {
                Some(written) => return Ok(written),
                None => None,
            },
            Owner::Hsms(marker) => Some(marker),
        };
        let public = PublicPart::Rsa {
            modulus: bignum::bytes(crypto, numbers.modulus),
            public_exponent: bignum::bytes(crypto, numbers.exponent),
        };
        let data = pointer::bytes(from, len)?;
        let engine = for_operation()?;
        let key_of_file = Key { public: &public, marker };
        let (client, known, capacity) = (&engine.client, &engine.known, (crypto.RSA_size)(key));
        let written = match direction {
            Direction::Sign => {
                let signature = sign::rsa(client, known, &key_of_file, padding, data)?;
                pointer::write(to, capacity, &signature)?
            }
            Direction::Decrypt => {
                let block = sign::rsa_decrypt(client, known, &key_of_file, padding, data)?;
                pointer::write(to, capacity, block.expose())?
            }
        };
        c_int::try_from(written).map_err(|_| EngineError::Answer("the answer is too long"))
    }
}

/// n, e, d of a key object; null where it has none.
struct Numbers {
    modulus: *const Bignum,
    exponent: *const Bignum,
    private: *const Bignum,
}

impl Numbers {
    /// # Safety
    /// The table is sound, `key` is an RSA object.
    unsafe fn of(crypto: &Libcrypto, key: *const RsaKey) -> Numbers {
        let mut numbers = Numbers { modulus: ptr::null(), exponent: ptr::null(), private: ptr::null() };
        // SAFETY: three places to write to.
        unsafe { (crypto.RSA_get0_key)(key, &mut numbers.modulus, &mut numbers.exponent, &mut numbers.private) };
        numbers
    }
}

/// Whether the primes are those of the modulus: the quick sign of a real key. Trivial factors are none.
///
/// # Safety
/// The table is sound, `key` is an RSA object with these numbers, the modulus not null.
unsafe fn factors_fit(crypto: &Libcrypto, key: *const RsaKey, numbers: &Numbers) -> bool {
    let (mut p, mut q) = (ptr::null(), ptr::null());
    // SAFETY: two places to write to; numbers of the key, a product and a context of our own.
    unsafe {
        (crypto.RSA_get0_factors)(key, &mut p, &mut q);
        if p.is_null() || q.is_null() || (crypto.BN_num_bits)(p) < 2 || (crypto.BN_num_bits)(q) < 2 {
            return false;
        }
        let Ok(product) = Number::zero(crypto) else { return false };
        let context = (crypto.BN_CTX_new)();
        if context.is_null() {
            return false;
        }
        let multiplied = (crypto.BN_mul)(product.as_ptr(), p, q, context) == 1;
        (crypto.BN_CTX_free)(context);
        multiplied && (crypto.BN_cmp)(product.as_ptr(), numbers.modulus) == 0
    }
}

/// Lets OpenSSL try a key whose primes are missing or don't fit, and keeps the result only if the public key undoes it:
/// real keys without primes work, and a key that is none yields nothing. None when it is none.
///
/// # Safety
/// As `private_operation`.
unsafe fn in_software(
    bound: &Bound,
    stock: RsaOperation,
    len: c_int,
    from: *const u8,
    to: *mut u8,
    key: *mut RsaKey,
    padding: c_int,
) -> Result<Option<c_int>, EngineError> {
    let crypto = &bound.libcrypto;
    // SAFETY: both buffers have as many bytes as the modulus, which is the most that either operation writes.
    unsafe {
        let data = pointer::bytes(from, len)?;
        let capacity = (crypto.RSA_size)(key);
        let size = usize::try_from(capacity).unwrap_or(0);
        let (mut tried, mut undone) = (Zeroizing::new(vec![0; size]), Zeroizing::new(vec![0; size]));
        // What goes wrong here is no error of the host's.
        (crypto.ERR_set_mark)();
        let written = stock(len, from, tried.as_mut_ptr(), key, padding);
        let back = match written {
            1.. => (bound.rsa.public_decrypt)(written, tried.as_ptr(), undone.as_mut_ptr(), key, padding),
            _ => FAILED,
        };
        (crypto.ERR_pop_to_mark)();
        let part = |of: &Zeroizing<Vec<u8>>, len: c_int| {
            usize::try_from(len).ok().and_then(|len| of.get(..len).map(<[u8]>::to_vec)).map(Zeroizing::new)
        };
        if part(&undone, back).is_none_or(|undone| *undone != data) {
            return Ok(None);
        }
        let Some(result) = part(&tried, written) else { return Ok(None) };
        pointer::write(to, capacity, &result)?;
        Ok(Some(written))
    }
}

unsafe extern "C" fn keygen_entry(
    key: *mut RsaKey,
    bits: c_int,
    exponent: *mut Bignum,
    progress: *mut BnGencb,
) -> c_int {
    let body = |bound: &Bound| {
        if key.is_null() || exponent.is_null() {
            return Err(EngineError::KeyIncomplete("key object or exponent"));
        }
        let crypto = &bound.libcrypto;
        // SAFETY: a key object to be filled and a number, as OpenSSL's `rsa_keygen` has them.
        unsafe {
            match keygen::algorithm(bits, &bignum::bytes(crypto, exponent)) {
                Some(algorithm) => {
                    let made = keygen::generate(&for_operation()?.client, &algorithm)?;
                    fill(crypto, key, &made)?;
                }
                None => generate_in_software(bound, key, bits, exponent, progress)?,
            }
        }
        Ok(1)
    };
    entered(0, body)
}

/// Makes a reference of the object: n, e, the marker, and zero for all else, with which stock code signs nothing.
///
/// # Safety
/// The table is sound, `key` is an RSA object.
unsafe fn fill(crypto: &Libcrypto, key: *mut RsaKey, made: &Generated) -> Result<(), EngineError> {
    // SAFETY: numbers of our own, given away when they were taken.
    unsafe {
        let number = |bytes: &[u8]| Number::from_bytes(crypto, bytes);
        let numbers = [number(&made.modulus)?, number(&made.public_exponent)?, number(&made.private_integer)?];
        let zero = || Number::zero(crypto);
        set(crypto, key, numbers, [zero()?, zero()?], [zero()?, zero()?, zero()?])
    }
}

/// # Safety
/// The table is sound, `key` is an RSA object.
unsafe fn set(
    crypto: &Libcrypto,
    key: *mut RsaKey,
    [n, e, d]: [Number<'_>; 3],
    [p, q]: [Number<'_>; 2],
    [dp, dq, inverse]: [Number<'_>; 3],
) -> Result<(), EngineError> {
    // SAFETY: the object takes the numbers over when it answers 1, and leaves them otherwise.
    unsafe {
        if (crypto.RSA_set0_key)(key, n.as_ptr(), e.as_ptr(), d.as_ptr()) != 1 {
            return Err(EngineError::Libcrypto("RSA_set0_key"));
        }
        [n, e, d].into_iter().for_each(Number::given_away);
        if (crypto.RSA_set0_factors)(key, p.as_ptr(), q.as_ptr()) != 1 {
            return Err(EngineError::Libcrypto("RSA_set0_factors"));
        }
        [p, q].into_iter().for_each(Number::given_away);
        if (crypto.RSA_set0_crt_params)(key, dp.as_ptr(), dq.as_ptr(), inverse.as_ptr()) != 1 {
            return Err(EngineError::Libcrypto("RSA_set0_crt_params"));
        }
        [dp, dq, inverse].into_iter().for_each(Number::given_away);
        Ok(())
    }
}

/// An RSA object of our own.
struct Temporary<'a> {
    crypto: &'a Libcrypto,
    key: *mut RsaKey,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and freed once; null is allowed.
        unsafe { (self.crypto.RSA_free)(self.key) };
    }
}

/// A key that the HSMs don't make: made by the stock method in an object that has it, and copied.
///
/// # Safety
/// As `keygen_entry`, pointers not null.
unsafe fn generate_in_software(
    bound: &Bound,
    key: *mut RsaKey,
    bits: c_int,
    exponent: *mut Bignum,
    progress: *mut BnGencb,
) -> Result<(), EngineError> {
    let crypto = &bound.libcrypto;
    // SAFETY: an object of our own, the caller's arguments passed on, places to write to.
    unsafe {
        let made = Temporary { crypto, key: (crypto.RSA_new)() };
        if made.key.is_null() || (crypto.RSA_set_method)(made.key, bound.rsa.stock) != 1 {
            return Err(EngineError::Libcrypto("RSA_new"));
        }
        if (crypto.RSA_generate_key_ex)(made.key, bits, exponent, progress) != 1 {
            return Err(EngineError::Libcrypto("RSA_generate_key_ex"));
        }
        let Numbers { modulus, exponent, private } = Numbers::of(crypto, made.key);
        let (mut p, mut q) = (ptr::null(), ptr::null());
        (crypto.RSA_get0_factors)(made.key, &mut p, &mut q);
        let (mut dp, mut dq, mut inverse) = (ptr::null(), ptr::null(), ptr::null());
        (crypto.RSA_get0_crt_params)(made.key, &mut dp, &mut dq, &mut inverse);
        let copy = |number| Number::copy_of(crypto, number);
        set(
            crypto,
            key,
            [copy(modulus)?, copy(exponent)?, copy(private)?],
            [copy(p)?, copy(q)?],
            [copy(dp)?, copy(dq)?, copy(inverse)?],
        )
    }
}
