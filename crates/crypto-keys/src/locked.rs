//! Memory for the few secrets that open all others: never swapped while the system lets us lock it, out of core dumps,
//! absent in forked children, wiped before it is given back.

use std::ptr::NonNull;
use std::{fmt, ptr};

use zeroize::Zeroize;

/// A buffer of fixed length on pages of its own.
pub struct Locked {
    at: NonNull<u8>,
    len: usize,
    mapped: usize,
    locked: bool,
}

// SAFETY: the pages belong to this value alone and to no thread.
unsafe impl Send for Locked {}
// SAFETY: through a shared reference the pages are only read.
unsafe impl Sync for Locked {}

impl Locked {
    /// A buffer of `len` zeros, at least one.
    ///
    /// # Panics
    /// When the system has no memory left, as every allocation does.
    pub fn zeroed(len: usize) -> Locked {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page has a size");
        let mapped = len.max(1).checked_next_multiple_of(page).expect("a buffer is smaller than the address space");
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: asks for new pages anywhere; nothing that is mapped is touched.
        let at = unsafe { libc::mmap(ptr::null_mut(), mapped, protection, flags, -1, 0) };
        assert!(at != libc::MAP_FAILED, "out of memory");
        let at = NonNull::new(at.cast::<u8>()).expect("mmap maps nothing at address zero");
        // SAFETY: the pages are ours, just mapped. Advice that the kernel does not know changes nothing.
        let locked = unsafe {
            libc::madvise(at.as_ptr().cast(), mapped, libc::MADV_DONTDUMP);
            libc::madvise(at.as_ptr().cast(), mapped, libc::MADV_DONTFORK);
            libc::mlock(at.as_ptr().cast(), mapped) == 0
        };
        Locked { at, len, mapped, locked }
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped, initialised (by the kernel with zeros), and unchanged while borrowed.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    /// The bytes, to be written.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `expose`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }

    /// Whether the system locked the pages. It refuses beyond `RLIMIT_MEMLOCK`; the bytes may be swapped then.
    pub fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.expose_mut().zeroize();
        // SAFETY: the pages were mapped by `zeroed` with this length, and nothing borrows them any more. Unmapping
        // unlocks.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.mapped) };
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locked({} bytes)", self.len)
    }
}

/// The user that this process acts as: whose the file is from which such memory is filled.
pub(crate) fn user() -> u32 {
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_and_not_shown() {
        for len in [0, 1, 32, 4096, 4097] {
            let mut memory = Locked::zeroed(len);
            assert!(memory.expose().iter().all(|byte| *byte == 0));
            memory.expose_mut().fill(0xa5);
            assert_eq!(memory.expose(), vec![0xa5; len]);
            assert_eq!(format!("{memory:?}"), format!("Locked({len} bytes)"));
        }
    }

    /// `VmFlags` of a mapping: `lo` locked, `dd` not dumped, `dc` not copied on fork (proc(5)).
    #[test]
    fn the_kernel_says_what_was_done_to_the_pages() {
        let memory = Locked::zeroed(32);
        let address = memory.at.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let flags = maps.lines().find_map(|line| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range {
                let hex = |text| usize::from_str_radix(text, 16);
                if let (Ok(from), Ok(to)) = (hex(from), hex(to)) {
                    inside = (from..to).contains(&address);
                }
            }
            line.strip_prefix("VmFlags:").filter(|_| inside)
        });
        let flags: Vec<&str> = flags.expect("the page is mapped").split_whitespace().collect();
        assert!(flags.contains(&"dd"), "{flags:?}");
        assert!(flags.contains(&"dc"), "{flags:?}");
        assert_eq!(flags.contains(&"lo"), memory.is_locked(), "{flags:?}");
    }
}
