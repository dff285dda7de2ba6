//! An RSA private key of which not all parts came: its primes from modulus and exponents (SP 800-56B rev. 2 appendix C.2),
//! and what follows from them.

use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use strongroom_types::Secret;

use super::{Bignum, BignumContext, ErrorQueue, Pkey, Rsa, owned, pkcs8};

owned!(
    /// A modulus, ready for powers.
    Montgomery,
    lc::BN_MONT_CTX,
    BN_MONT_CTX_free
);

/// Random numbers that are tried. Each finds the primes with a probability of one half, if there are two.
const TRIES: u32 = 100;

/// The numbers of an RSA private key, big-endian. Of those from `prime_1` on, empty ones are not known.
pub(crate) struct RsaNumbers<'a> {
    pub(crate) modulus: &'a [u8],
    pub(crate) public_exponent: &'a [u8],
    pub(crate) private_exponent: &'a [u8],
    pub(crate) prime_1: &'a [u8],
    pub(crate) prime_2: &'a [u8],
    pub(crate) exponent_1: &'a [u8],
    pub(crate) exponent_2: &'a [u8],
    pub(crate) coefficient: &'a [u8],
}

/// What follows from two primes in one order.
struct Parts {
    prime_1: Bignum,
    prime_2: Bignum,
    exponent_1: Bignum,
    exponent_2: Bignum,
    coefficient: Bignum,
}

/// The PKCS #8 of the whole key, whose primes stand in the order that the given parts have. None when there is no such key.
///
/// The modulus has a length that somebody has looked at: this takes a power or two by it, at most [`TRIES`].
pub(crate) fn completed(numbers: &RsaNumbers<'_>) -> Option<Secret> {
    let _queue = ErrorQueue;
    // SAFETY: makes a new context.
    let context = unsafe { BignumContext::take(lc::BN_CTX_new()) }?;
    let n = number(numbers.modulus)?;
    let (e, d) = (number(numbers.public_exponent)?, number(numbers.private_exponent)?);
    let (p, q) = primes(&n, &e, &d, &context)?;
    let parts = [(&p, &q), (&q, &p)].into_iter().find_map(|(p, q)| {
        let parts = Parts::of(p, q, &d, &context)?;
        parts.are_as_given(numbers)?.then_some(parts)
    })?;
    let Parts { prime_1, prime_2, exponent_1, exponent_2, coefficient } = parts;
    // SAFETY: all numbers live through the call, which copies them and checks that they fit together. The new key takes a
    // reference to the RSA key.
    unsafe {
        let rsa = Rsa::take(lc::RSA_new_private_key(
            n.as_ptr(),
            e.as_ptr(),
            d.as_ptr(),
            prime_1.as_ptr(),
            prime_2.as_ptr(),
            exponent_1.as_ptr(),
            exponent_2.as_ptr(),
            coefficient.as_ptr(),
        ))?;
        let key = Pkey::take(lc::EVP_PKEY_new())?;
        if lc::EVP_PKEY_set1_RSA(key.as_ptr(), rsa.as_ptr()) != 1 {
            return None;
        }
        pkcs8(&key)
    }
}

fn number(bytes: &[u8]) -> Option<Bignum> {
    // SAFETY: reads `bytes.len()` bytes, and makes a new number because none is given.
    unsafe { Bignum::take(lc::BN_bin2bn(bytes.as_ptr(), bytes.len(), ptr::null_mut())) }
}

/// What a calculation gives, which writes its result to the number that it is given and says whether it could.
fn calculated(calculate: impl FnOnce(*mut lc::BIGNUM) -> bool) -> Option<Bignum> {
    // SAFETY: makes a new number.
    let result = unsafe { Bignum::take(lc::BN_new()) }?;
    calculate(result.as_ptr()).then_some(result)
}

/// A number less one.
fn less_one(number: &Bignum) -> Option<Bignum> {
    // SAFETY: both numbers are valid.
    calculated(|result| unsafe { !lc::BN_copy(result, number.as_ptr()).is_null() && lc::BN_sub_word(result, 1) == 1 })
}

fn same(one: &Bignum, other: &Bignum) -> bool {
    // SAFETY: both numbers are valid.
    unsafe { lc::BN_cmp(one.as_ptr(), other.as_ptr()) == 0 }
}

/// Two factors of n, if e·d − 1 is a multiple of what every power by n repeats after. Whether they are prime is another
/// question.
///
/// With e·d − 1 = 2ᵗ·r, the last of the numbers gʳ, g²ʳ, … before 1 is a square root of 1; one that is neither 1 nor n − 1
/// has a factor in common with n, once 1 is taken away.
fn primes(n: &Bignum, e: &Bignum, d: &Bignum, context: &BignumContext) -> Option<(Bignum, Bignum)> {
    let context_ptr = context.as_ptr();
    // SAFETY: numbers and context are valid.
    let product = calculated(|result| unsafe { lc::BN_mul(result, e.as_ptr(), d.as_ptr(), context_ptr) == 1 })?;
    // SAFETY: the number is valid.
    if unsafe { lc::BN_is_zero(product.as_ptr()) } == 1 {
        return None;
    }
    let multiple = less_one(&product)?;
    // SAFETY: the numbers are valid.
    let (zeros, odd) = unsafe { (lc::BN_count_low_zero_bits(multiple.as_ptr()), lc::BN_is_odd(n.as_ptr()) == 1) };
    if zeros < 1 || !odd {
        return None;
    }
    // SAFETY: the number is valid.
    let r = calculated(|result| unsafe { lc::BN_rshift(result, multiple.as_ptr(), zeros) == 1 })?;
    // SAFETY: the modulus is odd; makes a new object.
    let montgomery = unsafe { Montgomery::take(lc::BN_MONT_CTX_new_for_modulus(n.as_ptr(), context_ptr)) }?;
    let last = less_one(n)?;
    'tries: for _ in 0..TRIES {
        // SAFETY: the number is valid.
        let g = calculated(|result| unsafe { lc::BN_rand_range_ex(result, 2, last.as_ptr()) == 1 })?;
        // SAFETY: g is below n, and all objects are valid.
        let mut y = calculated(|result| unsafe {
            let (n, m) = (n.as_ptr(), montgomery.as_ptr());
            lc::BN_mod_exp_mont_consttime(result, g.as_ptr(), r.as_ptr(), n, context_ptr, m) == 1
        })?;
        if is_one(&y) || same(&y, &last) {
            continue;
        }
        for left in (0..zeros).rev() {
            // SAFETY: numbers and context are valid.
            let square =
                calculated(|result| unsafe { lc::BN_mod_sqr(result, y.as_ptr(), n.as_ptr(), context_ptr) == 1 })?;
            if is_one(&square) {
                return factors(n, &y, context);
            }
            if left > 0 && same(&square, &last) {
                continue 'tries;
            }
            y = square;
        }
        // A power by e·d − 1 that is not 1: these are not the exponents of one key.
        return None;
    }
    None
}

fn is_one(number: &Bignum) -> bool {
    // SAFETY: the number is valid.
    unsafe { lc::BN_is_one(number.as_ptr()) == 1 }
}

/// The factors of n that a square root of 1 other than 1 and n − 1 tells, the larger one first.
fn factors(n: &Bignum, root: &Bignum, context: &BignumContext) -> Option<(Bignum, Bignum)> {
    let (less, context) = (less_one(root)?, context.as_ptr());
    // SAFETY: numbers and context are valid.
    let p = calculated(|result| unsafe { lc::BN_gcd(result, less.as_ptr(), n.as_ptr(), context) == 1 })?;
    // SAFETY: as above; p divides n, and so is not zero.
    let q = calculated(|result| unsafe { lc::BN_div(result, ptr::null_mut(), n.as_ptr(), p.as_ptr(), context) == 1 })?;
    // SAFETY: both numbers are valid.
    let larger_first = unsafe { lc::BN_cmp(p.as_ptr(), q.as_ptr()) } > 0;
    Some(if larger_first { (p, q) } else { (q, p) })
}

impl Parts {
    fn of(p: &Bignum, q: &Bignum, d: &Bignum, context: &BignumContext) -> Option<Parts> {
        let context = context.as_ptr();
        // SAFETY: numbers and context are valid, and no modulus is zero, also below.
        let copy = |of: &Bignum| calculated(|result| unsafe { !lc::BN_copy(result, of.as_ptr()).is_null() });
        let exponent = |prime: &Bignum| {
            let order = less_one(prime)?;
            // SAFETY: as above.
            calculated(|result| unsafe { lc::BN_nnmod(result, d.as_ptr(), order.as_ptr(), context) == 1 })
        };
        // SAFETY: as above; the modulus is odd, and q is reduced by it first. Makes a new object.
        let montgomery = unsafe { Montgomery::take(lc::BN_MONT_CTX_new_for_modulus(p.as_ptr(), context)) }?;
        let reduced =
            // SAFETY: as above.
            calculated(|result| unsafe { lc::BN_nnmod(result, q.as_ptr(), p.as_ptr(), context) == 1 })?;
        let mut none = 0;
        // SAFETY: as above; writes whether there is no inverse.
        let coefficient = calculated(|result| unsafe {
            lc::BN_mod_inverse_blinded(result, &mut none, reduced.as_ptr(), montgomery.as_ptr(), context) == 1
        })?;
        let (prime_1, prime_2) = (copy(p)?, copy(q)?);
        Some(Parts { exponent_1: exponent(p)?, exponent_2: exponent(q)?, prime_1, prime_2, coefficient })
    }

    /// Whether every part that is known is this one. None when AWS-LC is out of memory.
    fn are_as_given(&self, given: &RsaNumbers<'_>) -> Option<bool> {
        let pairs = [
            (&self.prime_1, given.prime_1),
            (&self.prime_2, given.prime_2),
            (&self.exponent_1, given.exponent_1),
            (&self.exponent_2, given.exponent_2),
            (&self.coefficient, given.coefficient),
        ];
        let is_given = |(found, given): (&Bignum, &[u8])| {
            if given.is_empty() { Some(true) } else { number(given).map(|given| same(found, &given)) }
        };
        pairs.into_iter().try_fold(true, |all, pair| Some(all && is_given(pair)?))
    }
}
