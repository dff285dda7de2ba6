//! Looking for a prime factor of an RSA modulus in files and in the memory of processes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use num_bigint::BigUint;

/// The product of the odd primes up to 29: a number that shares a factor with it is no prime of a key.
const SMALL_PRIMES: [u64; 9] = [3, 5, 7, 11, 13, 17, 19, 23, 29];
const PRODUCT: u64 = 3_234_846_615;

/// Finds windows of half the modulus' length that divide it, in either byte order.
pub struct Primes {
    modulus: BigUint,
    prime_len: usize,
    /// 256 to the power of a window's last byte, modulo [`PRODUCT`].
    top: u64,
    /// The inverse of 256 modulo [`PRODUCT`].
    unshift: u64,
    /// For each residue modulo [`TABLED`], whether it is coprime to that.
    coprime: Vec<bool>,
}

/// The product of the first five, small enough for a table of its residues.
const TABLED: u64 = 3 * 5 * 7 * 11 * 13;

impl Primes {
    /// For this modulus, big-endian.
    pub fn of(modulus: &[u8]) -> Primes {
        let prime_len = modulus.len() / 2;
        let top = (1..prime_len).fold(1, |power, _| power * 256 % PRODUCT);
        // Euler: 256 is coprime to the product, whose totient is the product of the primes less one.
        let totient: u64 = SMALL_PRIMES.iter().map(|prime| prime - 1).product();
        let unshift = power(256, totient - 1);
        let coprime = (0..TABLED).map(|residue| SMALL_PRIMES[..5].iter().all(|prime| residue % prime != 0)).collect();
        Primes { modulus: BigUint::from_bytes_be(modulus), prime_len, top, unshift, coprime }
    }

    /// Offsets at which a prime factor begins.
    pub fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let Some(first) = bytes.get(..self.prime_len) else { return found };
        // The window's residue, read from either end, moves along with it: no byte is looked at twice.
        let residue =
            |bytes: &mut dyn Iterator<Item = &u8>| bytes.fold(0, |sum, byte| (sum * 256 + u64::from(*byte)) % PRODUCT);
        let (mut big, mut little) = (residue(&mut first.iter()), residue(&mut first.iter().rev()));
        for (offset, window) in bytes.windows(self.prime_len).enumerate() {
            if self.divides(window, big, little) {
                found.push(offset);
            }
            if let Some(next) = bytes.get(offset + self.prime_len) {
                let (gone, next) = (u64::from(window[0]), u64::from(*next));
                big = ((big + PRODUCT - gone * self.top % PRODUCT) * 256 + next) % PRODUCT;
                little = ((little + PRODUCT - gone) % PRODUCT * self.unshift % PRODUCT + next * self.top) % PRODUCT;
            }
        }
        found
    }

    /// A factor of half the modulus' length has its highest bit set and is odd and prime, whichever end comes first.
    /// That spares the division for nearly all of a memory's bytes.
    fn divides(&self, window: &[u8], big: u64, little: u64) -> bool {
        let (first, last) = (window[0], window[window.len() - 1]);
        let nothing = BigUint::ZERO;
        (self.may_divide(first, last, big) && &self.modulus % BigUint::from_bytes_be(window) == nothing)
            || (self.may_divide(last, first, little) && &self.modulus % BigUint::from_bytes_le(window) == nothing)
    }

    fn may_divide(&self, high: u8, low: u8, residue: u64) -> bool {
        high & 0x80 != 0
            && low & 1 == 1
            && usize::try_from(residue % TABLED).is_ok_and(|tabled| self.coprime[tabled])
            && !SMALL_PRIMES[5..].iter().any(|prime| residue.is_multiple_of(*prime))
    }

    /// Searches every regular file below a folder; the number of files read. Fails the test on a find.
    #[track_caller]
    pub fn assert_not_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder's entry can be read").path();
            let kind = fs::symlink_metadata(&path).map(|metadata| metadata.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => files += self.assert_not_below(&path),
                Ok(kind) if kind.is_file() => {
                    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    assert_eq!(self.find(&bytes), [0_usize; 0], "a prime of the key in {}", path.display());
                    files += 1;
                }
                _ => {}
            }
        }
        files
    }
}

/// A power modulo [`PRODUCT`], which is below 2^32.
fn power(base: u64, exponent: u64) -> u64 {
    let (mut result, mut square, mut left) = (1, base % PRODUCT, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = result * square % PRODUCT;
        }
        square = square * square % PRODUCT;
        left >>= 1;
    }
    result
}

/// The readable memory of a process, region by region.
pub fn process_memory(pid: u32) -> io::Result<Vec<Vec<u8>>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let number = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (start, end) = (number(start)?, number(end)?);
        if !rights.starts_with('r') {
            continue;
        }
        let mut region = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        // Regions of the kernel's own, such as vvar, cannot be read: nothing of ours lies there.
        if memory.read_exact_at(&mut region, start).is_ok() {
            regions.push(region);
        }
    }
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two primes of 64 bits: 2^64 - 59 and 2^64 - 83.
    const P: u64 = 18_446_744_073_709_551_557;
    const Q: u64 = 18_446_744_073_709_551_533;

    #[test]
    fn factors_are_found_wherever_they_lie_in_either_order() {
        let primes = Primes::of(&(u128::from(P) * u128::from(Q)).to_be_bytes());
        let noise: Vec<u8> = (0_u32..500).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(primes.find(&noise), [0_usize; 0]);
        for planted in [P.to_be_bytes(), P.to_le_bytes(), Q.to_be_bytes(), Q.to_le_bytes()] {
            for offset in [0, 1, 77, 499, 500] {
                let bytes = [&noise[..offset], &planted, &noise[offset..]].concat();
                assert_eq!(primes.find(&bytes), [offset], "{planted:02x?}");
            }
        }
        assert_eq!(primes.find(&P.to_be_bytes()[1..]), [0_usize; 0]);
        assert_eq!(primes.find(&[]), [0_usize; 0]);
    }
}
