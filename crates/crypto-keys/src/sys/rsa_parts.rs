//! An RSA private key of which not all parts came: its primes from modulus and exponents (SP 800-56B rev. 2 appendix C.2),
//! and what follows from them.

use std::ffi::c_int;
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

/// Random numbers that are tried. Each finds two factors with a probability of one half or more, if there are two.
const TRIES: u32 = 32;

/// How often two may divide e·d − 1, and n − 1: each time is a squaring of every try. A key made at random is above with a
/// probability of 2⁻⁵⁰ at most.
const TWOS_MAX: c_int = 64;

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
/// The modulus has a length that somebody has looked at. For a key this takes about three powers by it, for no numbers more
/// than one and [`TRIES`], each with [`TWOS_MAX`] squarings at most.
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
    let twos = twos_of(&multiple);
    if !(1..=TWOS_MAX).contains(&twos) || !may_have_two_primes(n, context)? {
        return None;
    }
    // SAFETY: the number is valid.
    let r = calculated(|result| unsafe { lc::BN_rshift(result, multiple.as_ptr(), twos) == 1 })?;
    let powers = Powers::of(n, context)?;
    for _ in 0..TRIES {
        match powers.root_of_one(&r, twos)? {
            Root::Trivial => {}
            Root::Telling(root) => return factors(n, &root, context),
            // These are not the exponents of one key.
            Root::None => return None,
        }
    }
    None
}

/// How often two divides a number; 0 for 0.
fn twos_of(number: &Bignum) -> c_int {
    // SAFETY: the number is valid.
    unsafe { lc::BN_count_low_zero_bits(number.as_ptr()) }
}

/// False for moduli for which no try finds anything: even ones, primes and their powers. One random base is enough. It may
/// take other moduli for such ones, but with a probability that counts only if p − 1 and q − 1 have nearly all their factors
/// in common. None when AWS-LC is out of memory.
///
/// n is public, and so the time that this takes may depend on it.
fn may_have_two_primes(n: &Bignum, context: &BignumContext) -> Option<bool> {
    // SAFETY: the number is valid.
    let odd = unsafe { lc::BN_is_odd(n.as_ptr()) == 1 };
    if !odd || is_one(n) || twos_of(&less_one(n)?) > TWOS_MAX {
        return Some(false);
    }
    let mut outcome = lc::bn_primality_result_t_bn_composite;
    // SAFETY: number and context are valid, the number odd, and 3 is refused; writes the outcome.
    let done = unsafe {
        lc::BN_enhanced_miller_rabin_primality_test(&mut outcome, n.as_ptr(), 1, context.as_ptr(), ptr::null_mut())
    };
    (done == 1).then_some(outcome == lc::bn_primality_result_t_bn_non_prime_power_composite)
}

/// A square root of 1 that a try has found.
enum Root {
    /// 1 or n − 1, which tell nothing.
    Trivial,
    Telling(Bignum),
    /// None: the power by e·d − 1 is not 1.
    None,
}

/// Powers by a modulus, in Montgomery's representation, in which products take the same time whatever their factors.
struct Powers<'a> {
    n: &'a Bignum,
    context: &'a BignumContext,
    montgomery: Montgomery,
    /// n − 1.
    last: Bignum,
    /// 1 and n − 1 as Montgomery represents them.
    one_inside: Bignum,
    last_inside: Bignum,
}

impl<'a> Powers<'a> {
    /// By an odd modulus.
    fn of(n: &'a Bignum, context: &'a BignumContext) -> Option<Powers<'a>> {
        // SAFETY: the modulus is odd; makes a new object.
        let montgomery = unsafe { Montgomery::take(lc::BN_MONT_CTX_new_for_modulus(n.as_ptr(), context.as_ptr())) }?;
        let last = less_one(n)?;
        let (one_inside, last_inside) =
            (inside(&number(&[1])?, &montgomery, context)?, inside(&last, &montgomery, context)?);
        Some(Powers { n, context, montgomery, last, one_inside, last_inside })
    }

    /// What a random number tells, to the power of r and squared `twos` times. None when AWS-LC is out of memory.
    fn root_of_one(&self, r: &Bignum, twos: c_int) -> Option<Root> {
        #[cfg(test)]
        tests::TRIED.set(tests::TRIED.get() + 1);
        // SAFETY: the number is valid.
        let g = calculated(|result| unsafe { lc::BN_rand_range_ex(result, 2, self.last.as_ptr()) == 1 })?;
        // SAFETY: g is below n, and all objects are valid.
        let power = calculated(|result| unsafe {
            let (n, context, montgomery) = (self.n.as_ptr(), self.context.as_ptr(), self.montgomery.as_ptr());
            lc::BN_mod_exp_mont_consttime(result, g.as_ptr(), r.as_ptr(), n, context, montgomery) == 1
        })?;
        let mut y = inside(&power, &self.montgomery, self.context)?;
        if same(&y, &self.one_inside) || same(&y, &self.last_inside) {
            return Some(Root::Trivial);
        }
        for left in (0..twos).rev() {
            let square = self.square(&y)?;
            if same(&square, &self.one_inside) {
                return self.outside(&y).map(Root::Telling);
            }
            if left > 0 && same(&square, &self.last_inside) {
                return Some(Root::Trivial);
            }
            y = square;
        }
        Some(Root::None)
    }

    fn square(&self, y: &Bignum) -> Option<Bignum> {
        let (y, montgomery, context) = (y.as_ptr(), self.montgomery.as_ptr(), self.context.as_ptr());
        // SAFETY: numbers and context are valid.
        calculated(|result| unsafe { lc::BN_mod_mul_montgomery(result, y, y, montgomery, context) == 1 })
    }

    fn outside(&self, y: &Bignum) -> Option<Bignum> {
        let (montgomery, context) = (self.montgomery.as_ptr(), self.context.as_ptr());
        // SAFETY: numbers and context are valid.
        calculated(|result| unsafe { lc::BN_from_montgomery(result, y.as_ptr(), montgomery, context) == 1 })
    }
}

/// A number below the modulus as Montgomery represents it.
fn inside(number: &Bignum, montgomery: &Montgomery, context: &BignumContext) -> Option<Bignum> {
    let (montgomery, context) = (montgomery.as_ptr(), context.as_ptr());
    // SAFETY: numbers and context are valid.
    calculated(|result| unsafe { lc::BN_to_montgomery(result, number.as_ptr(), montgomery, context) == 1 })
}

fn is_one(number: &Bignum) -> bool {
    // SAFETY: the number is valid.
    unsafe { lc::BN_is_one(number.as_ptr()) == 1 }
}

/// The factors of n that a square root of 1 other than 1 and n − 1 tells, the larger one first: what it has in common with n
/// with 1 taken away, and with 1 added. AWS-LC divides in a time that depends on the numbers, but not so when it looks for
/// what they have in common.
fn factors(n: &Bignum, root: &Bignum, context: &BignumContext) -> Option<(Bignum, Bignum)> {
    let less = less_one(root)?;
    // SAFETY: both numbers are valid.
    let more = calculated(|result| unsafe {
        !lc::BN_copy(result, root.as_ptr()).is_null() && lc::BN_add_word(result, 1) == 1
    })?;
    let common = |other: &Bignum| {
        // SAFETY: numbers and context are valid.
        calculated(|result| unsafe { lc::BN_gcd(result, other.as_ptr(), n.as_ptr(), context.as_ptr()) == 1 })
    };
    let (p, q) = (common(&less)?, common(&more)?);
    // SAFETY: both numbers are valid.
    let larger_first = unsafe { lc::BN_cmp(p.as_ptr(), q.as_ptr()) } > 0;
    Some(if larger_first { (p, q) } else { (q, p) })
}

impl Parts {
    /// AWS-LC offers no remainder in constant time, and so the time that the exponents and q mod p take tells something of
    /// them to who can measure it well. They are calculated once for each import, in the HSM that the key comes to, between
    /// powers that take a hundred times as long.
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
        let montgomery = unsafe { Montgomery::take(lc::BN_MONT_CTX_new_consttime(p.as_ptr(), context)) }?;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use num_bigint::BigUint;

    use super::*;

    thread_local! {
        /// Tries of this thread.
        pub(super) static TRIED: Cell<u32> = const { Cell::new(0) };
    }

    /// How many tries it takes to look for the primes of n, and whether there are two factors.
    fn search(n: &BigUint, e: &BigUint, d: &BigUint) -> (u32, bool) {
        // SAFETY: makes a new context.
        let context = unsafe { BignumContext::take(lc::BN_CTX_new()) }.unwrap();
        let [n, e, d] = [n, e, d].map(|of| number(&of.to_bytes_be()).unwrap());
        TRIED.set(0);
        let found = primes(&n, &e, &d, &context);
        (TRIED.get(), found.is_some())
    }

    fn one() -> BigUint {
        BigUint::from(1_u8)
    }

    /// A prime k·2ᵗ + 1 of 2048 bits, k being so much above the least.
    fn prime(twos: u32, above: u32) -> BigUint {
        (((one() << (2047 - twos)) + above) << twos) + 1_u8
    }

    #[test]
    fn moduli_without_two_primes_are_not_worth_a_try() {
        let e = BigUint::from(65537_u32);
        let (plain, many_twos) = (prime(1, 959), prime(1980, 1583));
        for n in [&plain, &many_twos] {
            let order = n - 1_u8;
            assert_eq!(one() + 1_u8, (one() + 1_u8).modpow(n, n), "by Fermat, a prime");
            let d = e.modinv(&order).unwrap();
            assert_eq!(search(n, &e, &d), (0, false));
            // Exponents that have nothing to do with it.
            assert_eq!(search(n, &e, &(d - 1_u8)), (0, false));
        }
        for exponent in [2, 3, 5] {
            let small = (one() << 521_u32) - 1_u8;
            let d = e.modinv(&(small.pow(exponent - 1) * (&small - 1_u8))).unwrap();
            assert_eq!(search(&small.pow(exponent), &e, &d), (0, false), "a prime to the power of {exponent}");
        }
        assert_eq!(search(&one(), &e, &e), (0, false));
        assert_eq!(search(&(&plain + 1_u8), &e, &e), (0, false));
    }

    #[test]
    fn what_two_divides_more_often_than_it_may_is_not_tried() {
        let (p, q) = ((one() << 521_u32) - 1_u8, (one() << 255_u32) - 19_u8);
        let (n, order) = (&p * &q, (&p - 1_u8) * (&q - 1_u8));
        let e = BigUint::from(65537_u32);
        // d + j·order, for the j with which 2 divides e·d − 1 so many times.
        let with_twos = |twos: u32| {
            let d = e.modinv(&order).unwrap();
            let made = &e * &d - 1_u8;
            let factor = &made / &order;
            let more = u64::from(twos) - order.trailing_zeros().unwrap();
            let modulus = one() << more;
            let inverse = e.modinv(&modulus).unwrap();
            // So that factor + e·j is 2 to the power of `more` times an odd number.
            let j = (&modulus - (&factor * inverse) % &modulus) % &modulus;
            let j = if ((&factor + &e * &j) >> more).bit(0) { j } else { j + &modulus };
            d + j * &order
        };
        for (twos, found) in [(TWOS_MAX - 1, true), (TWOS_MAX, true), (TWOS_MAX + 1, false)] {
            let twos = u32::try_from(twos).unwrap();
            let d = with_twos(twos);
            assert_eq!((&e * &d - 1_u8).trailing_zeros(), Some(u64::from(twos)));
            let (tried, has_found) = search(&n, &e, &d);
            assert_eq!((has_found, (1..=TRIES).contains(&tried)), (found, found), "{twos}");
        }
    }
}
