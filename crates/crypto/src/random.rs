//! Randomness from AWS-LC's DRBG (SP 800-90A), which seeds and reseeds itself and notices a fork.

/// Fills `bytes` with random bytes.
///
/// # Panics
/// When the system gives no entropy. There is nothing right to do without randomness, and AWS-LC itself aborts then.
pub fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("AWS-LC aborts rather than fail to give randomness");
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes::<16>(), super::bytes::<16>());
    }
}
