//! Ed25519 (RFC 8032 §5.1).

use std::ptr::{self, NonNull};

use aws_lc_sys as lc;

use super::{Bignum, ErrorQueue, owned};

owned!(
    /// Room for the numbers of a calculation.
    BignumContext,
    lc::BN_CTX,
    BN_CTX_free
);

/// PureEdDSA. A point that is none verifies nothing, nor does an s of the order or more.
pub(crate) fn verify_ed25519(point: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let _queue = ErrorQueue;
    // SAFETY: reads the message by its length and the arrays by theirs.
    unsafe { lc::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), point.as_ptr()) == 1 }
}

/// HashEdDSA with an empty context, of a SHA-512 digest.
pub(crate) fn verify_ed25519ph(point: &[u8; 32], digest: &[u8; 64], signature: &[u8; 64]) -> bool {
    let _queue = ErrorQueue;
    // SAFETY: reads the arrays by their lengths, and nothing of the empty context.
    unsafe { lc::ED25519ph_verify_digest(digest.as_ptr(), signature.as_ptr(), point.as_ptr(), ptr::null(), 0) == 1 }
}

/// p = 2^255 − 19, big-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0x7f;
    p[31] = 0xed;
    p
};

/// d of x² = (y² − 1) / (d·y² + 1), big-endian (RFC 8032 §5.1).
const D: [u8; 32] = [
    0x52, 0x03, 0x6c, 0xee, 0x2b, 0x6f, 0xfe, 0x73, 0x8c, 0xc7, 0x40, 0x79, 0x77, 0x79, 0xe8, 0x98, 0x00, 0x70, 0x0a,
    0x4d, 0x41, 0x41, 0xd8, 0xab, 0x75, 0xeb, 0x4d, 0xca, 0x13, 0x59, 0x78, 0xa3,
];

/// y of the points whose order divides 8, big-endian: 0, 1, −1, and those of order 8. A public key of such an order has
/// signatures that anybody can make, for any message.
const OF_SMALL_ORDER: [[u8; 32]; 5] = {
    let (mut one, mut minus_one) = ([0; 32], P);
    one[31] = 1;
    minus_one[31] -= 1;
    let eighth = [
        0x7a, 0x03, 0xac, 0x92, 0x77, 0xfd, 0xc7, 0x4e, 0xc6, 0xcc, 0x39, 0x2c, 0xfa, 0x53, 0x20, 0x2a, 0x0f, 0x67,
        0x10, 0x0d, 0x76, 0x0b, 0x3c, 0xba, 0x4f, 0xd8, 0x4d, 0x3d, 0x70, 0x6a, 0x17, 0xc7,
    ];
    let minus_eighth = [
        0x05, 0xfc, 0x53, 0x6d, 0x88, 0x02, 0x38, 0xb1, 0x39, 0x33, 0xc6, 0xd3, 0x05, 0xac, 0xdf, 0xd5, 0xf0, 0x98,
        0xef, 0xf2, 0x89, 0xf4, 0xc3, 0x45, 0xb0, 0x27, 0xb2, 0xc2, 0x8f, 0x95, 0xe8, 0x26,
    ];
    [[0; 32], one, minus_one, eighth, minus_eighth]
};

/// Whether 32 bytes are the one encoding of a point on the curve that can be a public key: y below p, x² a square (RFC
/// 8032 §5.1.3), and the order not a small one. AWS-LC takes any bytes for a public key, and says that they are no point
/// at the first signature only.
pub(crate) fn is_on_edwards25519(point: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(point) else { return false };
    let negative = y[31] & 0x80 != 0;
    y[31] &= 0x7f;
    y.reverse();
    y < P && !OF_SMALL_ORDER.contains(&y) && x_squared_is_square(&y).is_some_and(|x_is_zero| !(x_is_zero && negative))
}

/// Whether x is 0, when there is an x for this y; none when there is not.
///
/// u/v is a square exactly when u·v is, because they differ by v²; and v is never 0 (d is no square). u·v is one when
/// its power (p − 1)/2 is 1 (Euler), or it is 0.
fn x_squared_is_square(y: &[u8; 32]) -> Option<bool> {
    let _queue = ErrorQueue;
    let (p, d, y, one) = (Bignum::new(&P)?, Bignum::new(&D)?, Bignum::new(y)?, Bignum::new(&[1])?);
    let (u, v, half) = (Bignum::new(&[])?, Bignum::new(&[])?, Bignum::new(&[])?);
    // SAFETY: makes a new context.
    let context = unsafe { BignumContext::take(lc::BN_CTX_new()) }?;
    let (p, d, y, one, ctx) = (p.as_ptr(), d.as_ptr(), y.as_ptr(), one.as_ptr(), context.as_ptr());
    let (u, v, half) = (u.as_ptr(), v.as_ptr(), half.as_ptr());
    // SAFETY: every number lives until the end of this function; results may be operands, says `openssl/bn.h`.
    unsafe {
        let done = lc::BN_mod_sqr(u, y, p, ctx) == 1
            && lc::BN_mod_mul(v, d, u, p, ctx) == 1
            && lc::BN_mod_add(v, v, one, p, ctx) == 1
            && lc::BN_mod_sub(u, u, one, p, ctx) == 1
            && lc::BN_mod_mul(u, u, v, p, ctx) == 1
            && lc::BN_rshift1(half, p) == 1
            && lc::BN_mod_exp(v, u, half, p, ctx) == 1;
        let (zero, square) = (lc::BN_is_zero(u) == 1, lc::BN_is_one(v) == 1);
        (done && (zero || square)).then_some(zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is a point, and a signature of zeros and the key itself verifies for one message in a few: of such a key
    /// nobody needs the private half.
    #[test]
    fn keys_of_small_order_are_points_that_anybody_signs_for() {
        for mut y in OF_SMALL_ORDER {
            assert!(x_squared_is_square(&y).is_some(), "{y:02x?} is no point");
            y.reverse();
            let signature = <[u8; 64]>::try_from([&y[..], &[0; 32]].concat()).unwrap();
            let forged = (0..64_u8).filter(|message| verify_ed25519(&y, &[*message], &signature)).count();
            assert!(forged > 0, "{y:02x?}");
            assert!(!is_on_edwards25519(&y));
        }
    }
}
