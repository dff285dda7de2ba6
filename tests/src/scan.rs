//! Looking for a prime factor of an RSA modulus in files and in the memory of processes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use num_bigint::BigUint;

/// Finds windows of half the modulus' length that divide it, in either byte order.
pub struct Primes {
    modulus: BigUint,
    prime_len: usize,
}

impl Primes {
    /// For this modulus, big-endian.
    pub fn of(modulus: &[u8]) -> Primes {
        Primes { modulus: BigUint::from_bytes_be(modulus), prime_len: modulus.len() / 2 }
    }

    /// Offsets at which a prime factor begins.
    pub fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let windows = bytes.windows(self.prime_len).enumerate();
        windows.filter(|(_, window)| self.divides(window)).map(|(offset, _)| offset).collect()
    }

    /// A factor of half the modulus' length has its highest bit set and is odd, whichever end comes first. That
    /// spares the division for nearly all of a memory's bytes.
    fn divides(&self, window: &[u8]) -> bool {
        let (first, last) = (window[0], window[window.len() - 1]);
        let candidate = |high: u8, low: u8| high & 0x80 != 0 && low & 1 == 1;
        let nothing = BigUint::ZERO;
        (candidate(first, last) && &self.modulus % BigUint::from_bytes_be(window) == nothing)
            || (candidate(last, first) && &self.modulus % BigUint::from_bytes_le(window) == nothing)
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
