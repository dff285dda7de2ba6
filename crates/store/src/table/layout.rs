//! The bytes of the member table file, version 1 (`docs/spec/store.md`).
//!
//! Everything that several processes touch is an atomic, so no content of the file can be undefined behaviour. Fields
//! keep the machine's byte order, which is little-endian wherever Strongroom runs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use strongroom_types::{HsmId, Incarnation, Revision};

#[cfg(not(target_endian = "little"))]
compile_error!("the member table's fields are little-endian");

/// First bytes of the file.
pub(super) const MAGIC: [u8; 8] = *b"SRMEMBER";
/// The version that this module reads and writes.
pub(super) const VERSION: u32 = 1;
/// Slots; more than a cluster has HSMs, so that a dying process and its successor both find room.
pub(super) const SLOTS: usize = 64;
/// Bytes of a slot, and of the header: two cache lines.
pub(super) const SLOT_LEN: usize = 128;
/// Bytes of the file.
pub(super) const FILE_LEN: usize = SLOT_LEN * (SLOTS + 1);
/// Bytes of the header that never change once the file has its name.
pub(super) const FIXED_LEN: usize = 40;

const HSM_ID_LEN_MAX: usize = 32;
/// Looks at a slot that is being written before it counts as one that is not there.
const READ_TRIES: u32 = 1_000;

/// The whole file.
#[repr(C)]
pub(super) struct Layout {
    pub(super) header: Header,
    pub(super) slots: [Slot; SLOTS],
}

/// Bytes 0 to 127.
#[repr(C)]
pub(super) struct Header {
    /// Magic, version, number of slots, length of a slot, zero, id of the table. Read through the file, not here.
    fixed: [AtomicU64; 8],
    /// Offset 64. Futex word: changes with every commit and every changed entry.
    pub(super) signal: AtomicU32,
    zero: AtomicU32,
    /// Offset 72. Changes when an entry comes, goes, or shows another applied revision.
    pub(super) entries: AtomicU64,
    /// Offset 80. Who holds SQLite's write lock: 0, or the number of the write times 256, plus slot + 1 (0: no slot).
    pub(super) writer: AtomicU64,
    /// Offset 88. Writes begun.
    pub(super) writes: AtomicU64,
    /// Offset 96. Who wants to commit first: 0, or the number of the asking times 256, plus slot + 1.
    pub(super) turn: AtomicU64,
    /// Offset 104. Askings begun.
    pub(super) turns: AtomicU64,
    rest: [AtomicU64; 2],
}

/// 128 bytes of one member.
#[repr(C)]
pub(super) struct Slot {
    /// Odd while the fields behind it are written.
    sequence: AtomicU32,
    /// 0 in an empty slot.
    hsm_id_len: AtomicU32,
    hsm_id: [AtomicU64; 4],
    incarnation: [AtomicU64; 2],
    pid: AtomicU32,
    zero: AtomicU32,
    /// Field 22 of `/proc/PID/stat`: with the pid it names one process until the host starts again.
    start_time: AtomicU64,
    applied: AtomicU64,
    /// CLOCK_BOOTTIME in milliseconds.
    heartbeat: AtomicU64,
    rest: [AtomicU64; 5],
}

const _: () = assert!(size_of::<Layout>() == FILE_LEN && size_of::<Slot>() == SLOT_LEN);
const _: () = assert!(size_of::<Header>() == SLOT_LEN && std::mem::offset_of!(Header, signal) == 64);

/// What an occupied slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    /// None when the bytes are no HSM id.
    pub(super) hsm_id: Option<HsmId>,
    pub(super) incarnation: Incarnation,
    pub(super) pid: u32,
    pub(super) start_time: u64,
    pub(super) applied: Revision,
    pub(super) heartbeat: u64,
}

impl Slot {
    /// Whether there is anything to clean.
    pub(super) fn is_used(&self) -> bool {
        self.hsm_id_len.load(SeqCst) != 0 || self.is_being_written()
    }

    fn is_being_written(&self) -> bool {
        self.sequence.load(SeqCst) % 2 == 1
    }

    /// The occupant, all fields of one moment; none when the slot is empty or being written.
    pub(super) fn read(&self) -> Option<Occupant> {
        for _ in 0..READ_TRIES {
            let before = self.sequence.load(SeqCst);
            if before.is_multiple_of(2) {
                let occupant = self.read_fields();
                if self.sequence.load(SeqCst) == before {
                    return occupant;
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    fn read_fields(&self) -> Option<Occupant> {
        let len = self.hsm_id_len.load(SeqCst);
        if len == 0 {
            return None;
        }
        Some(Occupant {
            hsm_id: hsm_id_of(len, &words(&self.hsm_id)),
            incarnation: incarnation_of(&words(&self.incarnation)),
            pid: self.pid.load(SeqCst),
            start_time: self.start_time.load(SeqCst),
            applied: Revision(self.applied.load(SeqCst)),
            heartbeat: self.heartbeat.load(SeqCst),
        })
    }

    /// Writes the occupant, or empties the slot. Only for who holds the slot's lock. The answer is the slot's sequence
    /// number, which stands until the slot is written again.
    pub(super) fn write(&self, occupant: Option<&Occupant>) -> u32 {
        let odd = self.sequence.load(SeqCst) | 1;
        self.sequence.store(odd, SeqCst);
        let id = occupant.and_then(|occupant| occupant.hsm_id.as_ref()).map_or("", HsmId::as_str);
        let mut id_bytes = [0; HSM_ID_LEN_MAX];
        id_bytes.iter_mut().zip(id.bytes()).for_each(|(to, from)| *to = from);
        store(&self.hsm_id, &id_bytes);
        store(&self.incarnation, occupant.map_or(&[0; 16], |occupant| occupant.incarnation.as_bytes()));
        self.pid.store(occupant.map_or(0, |occupant| occupant.pid), SeqCst);
        self.start_time.store(occupant.map_or(0, |occupant| occupant.start_time), SeqCst);
        self.applied.store(occupant.map_or(0, |occupant| occupant.applied.0), SeqCst);
        self.heartbeat.store(occupant.map_or(0, |occupant| occupant.heartbeat), SeqCst);
        self.hsm_id_len.store(u32::try_from(id.len()).unwrap_or(0), SeqCst);
        let even = odd.wrapping_add(1);
        self.sequence.store(even, SeqCst);
        even
    }

    /// Shows a renewal of the occupant written as `sequence`; none when the slot holds another. Otherwise whether the
    /// applied revision went up.
    pub(super) fn renew(&self, sequence: u32, incarnation: Incarnation, applied: Revision, now: u64) -> Option<bool> {
        if self.sequence.load(SeqCst) != sequence || incarnation_of(&words(&self.incarnation)) != incarnation {
            return None;
        }
        self.heartbeat.store(now, SeqCst);
        Some(self.applied.fetch_max(applied.0, SeqCst) < applied.0)
    }
}

fn words<const WORDS: usize>(words: &[AtomicU64; WORDS]) -> [u64; WORDS] {
    std::array::from_fn(|index| words.get(index).map_or(0, |word| word.load(SeqCst)))
}

fn store(words: &[AtomicU64], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks_exact(8)) {
        word.store(bytes.try_into().map_or(0, u64::from_le_bytes), SeqCst);
    }
}

fn incarnation_of(words: &[u64; 2]) -> Incarnation {
    let mut bytes = [0; Incarnation::LEN];
    let source = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.iter_mut().zip(source).for_each(|(to, from)| *to = from);
    Incarnation::from_bytes(bytes)
}

fn hsm_id_of(len: u32, words: &[u64; 4]) -> Option<HsmId> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let text = bytes.get(..usize::try_from(len).ok()?)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The header's first bytes, as they are written once.
pub(super) fn fixed_bytes(table_id: [u8; 16]) -> [u8; FIXED_LEN] {
    let mut bytes = [0; FIXED_LEN];
    let numbers = [VERSION, SLOTS as u32, SLOT_LEN as u32, 0];
    let source = MAGIC.into_iter().chain(numbers.into_iter().flat_map(u32::to_le_bytes)).chain(table_id);
    bytes.iter_mut().zip(source).for_each(|(to, from)| *to = from);
    bytes
}

/// What the header's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fixed {
    /// A table of this version.
    Table {
        /// Its id.
        table_id: [u8; 16],
    },
    /// A table of a later version.
    TooNew(u32),
    /// Something else.
    Foreign,
}

/// Reads the header's first bytes; `bytes` may be shorter than they should be.
pub(super) fn read_fixed(bytes: &[u8]) -> Fixed {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Fixed::Foreign };
    let Some((version, rest)) = rest.split_first_chunk::<4>() else { return Fixed::Foreign };
    let version = u32::from_le_bytes(*version);
    if version > VERSION {
        return Fixed::TooNew(version);
    }
    match rest.split_at_checked(12).and_then(|(_, rest)| rest.first_chunk::<16>()) {
        Some(table_id) if bytes == fixed_bytes(*table_id) => Fixed::Table { table_id: *table_id },
        _ => Fixed::Foreign,
    }
}

/// A slot of these bytes.
#[cfg(feature = "fuzz")]
pub(super) fn slot_of(bytes: &[u8; SLOT_LEN]) -> Slot {
    let long =
        |at: usize| AtomicU64::new(bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes));
    let short =
        |at: usize| AtomicU32::new(bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes));
    Slot {
        sequence: short(0),
        hsm_id_len: short(4),
        hsm_id: std::array::from_fn(|word| long(8 + 8 * word)),
        incarnation: std::array::from_fn(|word| long(40 + 8 * word)),
        pid: short(56),
        zero: short(60),
        start_time: long(64),
        applied: long(72),
        heartbeat: long(80),
        rest: std::array::from_fn(|word| long(88 + 8 * word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_slot() -> Slot {
        Slot {
            sequence: AtomicU32::new(0),
            hsm_id_len: AtomicU32::new(0),
            hsm_id: Default::default(),
            incarnation: Default::default(),
            pid: AtomicU32::new(0),
            zero: AtomicU32::new(0),
            start_time: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            heartbeat: AtomicU64::new(0),
            rest: Default::default(),
        }
    }

    fn occupant() -> Occupant {
        Occupant {
            hsm_id: Some("hsm-abcdefghijkmnopq".parse().unwrap()),
            incarnation: Incarnation::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            pid: 7,
            start_time: u64::MAX,
            applied: Revision(9),
            heartbeat: 11,
        }
    }

    #[test]
    fn offsets_are_the_documented_ones() {
        use std::mem::offset_of;
        let header = [
            offset_of!(Header, entries),
            offset_of!(Header, writer),
            offset_of!(Header, writes),
            offset_of!(Header, turn),
            offset_of!(Header, turns),
        ];
        assert_eq!(header, [72, 80, 88, 96, 104]);
        assert_eq!(offset_of!(Layout, slots), 128);
        let slot = [
            offset_of!(Slot, sequence),
            offset_of!(Slot, hsm_id_len),
            offset_of!(Slot, hsm_id),
            offset_of!(Slot, incarnation),
            offset_of!(Slot, pid),
            offset_of!(Slot, start_time),
            offset_of!(Slot, applied),
            offset_of!(Slot, heartbeat),
        ];
        assert_eq!(slot, [0, 4, 8, 40, 56, 64, 72, 80]);
    }

    #[test]
    fn an_occupant_reads_back_until_the_slot_is_emptied() {
        let slot = empty_slot();
        assert_eq!((slot.read(), slot.is_used()), (None, false));
        slot.write(Some(&occupant()));
        assert_eq!((slot.read(), slot.is_used()), (Some(occupant()), true));
        slot.write(None);
        assert_eq!((slot.read(), slot.is_used()), (None, false));
    }

    #[test]
    fn a_slot_whose_writer_died_reads_as_empty_and_is_writable_again() {
        let slot = empty_slot();
        slot.write(Some(&occupant()));
        slot.sequence.fetch_add(1, SeqCst);
        assert_eq!((slot.read(), slot.is_used()), (None, true));
        slot.write(Some(&occupant()));
        assert_eq!(slot.read(), Some(occupant()));
    }

    #[test]
    fn applied_never_goes_back_and_another_incarnation_is_noticed() {
        let slot = empty_slot();
        let sequence = slot.write(Some(&occupant()));
        let id = occupant().incarnation;
        let check = |sequence, id, applied, expected: Option<bool>, shown| {
            assert_eq!(slot.renew(sequence, id, Revision(applied), 12), expected);
            assert_eq!(slot.read().unwrap().applied, Revision(shown));
        };
        check(sequence, id, 10, Some(true), 10);
        check(sequence, id, 10, Some(false), 10);
        check(sequence, id, 3, Some(false), 10);
        check(sequence, Incarnation::from_bytes([0; 16]), 11, None, 10);
        check(sequence.wrapping_sub(2), id, 11, None, 10);
    }

    #[test]
    fn garbage_in_a_slot_is_no_hsm_id() {
        let slot = empty_slot();
        let sequence = slot.write(Some(&occupant()));
        for len in [1, 3, 21, 32, 33, u32::MAX] {
            slot.hsm_id_len.store(len, SeqCst);
            assert_eq!(slot.read().unwrap().hsm_id, None, "{len}");
        }
        slot.hsm_id_len.store(20, SeqCst);
        store(&slot.hsm_id, &[0xff; 32]);
        assert_eq!(slot.read().unwrap().hsm_id, None);
        assert_eq!(slot.sequence.load(SeqCst), sequence);
    }

    #[test]
    fn the_fixed_header_reads_back_and_nothing_else_does() {
        let good = fixed_bytes([7; 16]);
        assert_eq!(read_fixed(&good), Fixed::Table { table_id: [7; 16] });
        for len in 0..FIXED_LEN {
            assert_eq!(read_fixed(good.get(..len).unwrap()), Fixed::Foreign, "{len}");
        }
        let changed = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            read_fixed(&bytes)
        };
        assert_eq!(changed(0, b'X'), Fixed::Foreign);
        assert_eq!(changed(8, 0), Fixed::Foreign);
        assert_eq!(changed(8, 2), Fixed::TooNew(2));
        assert_eq!(changed(12, 65), Fixed::Foreign);
        assert_eq!(changed(16, 64), Fixed::Foreign);
        assert_eq!(changed(20, 1), Fixed::Foreign);
    }
}
