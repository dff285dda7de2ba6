//! The one record that every batch rewrites. It tells a damaged, swapped, dropped or old record from a right one.

use std::fmt;

use prost::Message;
use strongroom_types::Revision;
use thiserror::Error;

const VERSION: u8 = 1;

/// The head of a cluster's state (`docs/spec/records.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts the lives of the cluster, from 1; an accepted rollback begins the next.
    pub epoch: u64,
    /// The batch that wrote it.
    pub revision: Revision,
    /// The cluster's time when that batch was made, milliseconds since 1970. Never goes back.
    pub time_ms: u64,
    /// Records in the store, the head itself not counted.
    pub count: u64,
    /// Sum of the MACs of those records.
    pub sum: SumOfMacs,
}

/// A sum of 256-bit MACs modulo 2^256, big-endian. It does not depend on the order of its terms.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SumOfMacs(pub [u8; 32]);

impl SumOfMacs {
    /// The sum with `mac` in it.
    #[must_use]
    pub fn plus(self, mac: &[u8; 32]) -> SumOfMacs {
        let mut sum = self.0;
        let mut carry = 0_u16;
        for (to, term) in sum.iter_mut().zip(mac).rev() {
            let [high, low] = (u16::from(*to) + u16::from(*term) + carry).to_be_bytes();
            *to = low;
            carry = u16::from(high);
        }
        SumOfMacs(sum)
    }

    /// The sum without `mac`.
    #[must_use]
    pub fn minus(self, mac: &[u8; 32]) -> SumOfMacs {
        // Two's complement: −m = !m + 1.
        let mut one = [0; 32];
        one[31] = 1;
        self.plus(&mac.map(|byte| !byte)).plus(&one)
    }
}

impl fmt::Debug for SumOfMacs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A head that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CorruptHead {
    /// Of a format this version does not know.
    #[error("the head has format version {0}, this version reads {VERSION}")]
    Version(u8),
    /// Not the bytes of a head.
    #[error("the head's bytes are damaged")]
    Content,
    /// More records removed than there were.
    #[error("the head counts fewer records than were removed")]
    Count,
}

/// Field numbers as in `docs/spec/records.md`.
#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
    #[prost(uint64, tag = "4")]
    count: u64,
    #[prost(bytes = "vec", tag = "5")]
    sum: Vec<u8>,
}

impl Head {
    /// The head of a store that has no record yet.
    pub fn empty(epoch: u64) -> Head {
        Head { epoch, revision: Revision(0), time_ms: 0, count: 0, sum: SumOfMacs::default() }
    }

    /// The head of the batch that follows. `added` are the MACs of the records it writes, `removed` those of the
    /// records it replaces or deletes.
    pub fn next(&self, clock_ms: u64, removed: &[[u8; 32]], added: &[[u8; 32]]) -> Result<Head, CorruptHead> {
        let len = |macs: &[[u8; 32]]| u64::try_from(macs.len()).map_err(|_| CorruptHead::Count);
        let count = self.count.checked_add(len(added)?).and_then(|count| count.checked_sub(len(removed).ok()?));
        let sum = added.iter().fold(self.sum, |sum, mac| sum.plus(mac));
        Ok(Head {
            epoch: self.epoch,
            revision: self.revision.next(),
            time_ms: cluster_time(clock_ms, self.time_ms),
            count: count.ok_or(CorruptHead::Count)?,
            sum: removed.iter().fold(sum, |sum, mac| sum.minus(mac)),
        })
    }

    /// The record's bytes in clear.
    pub fn encode(&self) -> Vec<u8> {
        let message = HeadMessage {
            epoch: self.epoch,
            revision: self.revision.0,
            time_ms: self.time_ms,
            count: self.count,
            sum: self.sum.0.to_vec(),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(message.encode_to_vec());
        bytes
    }

    /// Reads the record's bytes in clear.
    pub fn decode(bytes: &[u8]) -> Result<Head, CorruptHead> {
        let (version, content) = bytes.split_first().ok_or(CorruptHead::Content)?;
        if *version != VERSION {
            return Err(CorruptHead::Version(*version));
        }
        let message = HeadMessage::decode(content).map_err(|_| CorruptHead::Content)?;
        let head = Head {
            epoch: message.epoch,
            revision: Revision(message.revision),
            time_ms: message.time_ms,
            count: message.count,
            sum: SumOfMacs(message.sum.as_slice().try_into().map_err(|_| CorruptHead::Content)?),
        };
        // Canonical form only; an epoch of 0 was never written.
        if head.epoch == 0 || head.encode() != bytes { Err(CorruptHead::Content) } else { Ok(head) }
    }
}

/// The cluster's time: the later of a member's clock and the time in the head, in milliseconds since 1970.
pub fn cluster_time(clock_ms: u64, head_time_ms: u64) -> u64 {
    clock_ms.max(head_time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(low: u8) -> [u8; 32] {
        let mut mac = [0; 32];
        mac[31] = low;
        mac
    }

    #[test]
    fn sums_wrap_and_do_not_depend_on_order() {
        let all = SumOfMacs([0xff; 32]);
        assert_eq!(all.plus(&mac(1)), SumOfMacs::default());
        assert_eq!(SumOfMacs::default().minus(&mac(1)), all);
        let (a, b) = ([0xa7; 32], [0x9c; 32]);
        assert_eq!(all.plus(&a).plus(&b), all.plus(&b).plus(&a));
        assert_eq!(all.plus(&a).plus(&b).minus(&a), all.plus(&b));
        assert_eq!(SumOfMacs::default().plus(&mac(200)).plus(&mac(100)).0[30..], [1, 44]);
    }

    #[test]
    fn the_next_head_counts_and_never_goes_back_in_time() {
        let first = Head::empty(1).next(5_000, &[], &[mac(1), mac(2)]).unwrap();
        assert_eq!((first.revision, first.count, first.sum, first.time_ms), (Revision(1), 2, SumOfMacs(mac(3)), 5_000));
        let second = first.next(4_000, &[mac(2)], &[]).unwrap();
        assert_eq!((second.revision, second.count, second.sum), (Revision(2), 1, SumOfMacs(mac(1))));
        assert_eq!(second.time_ms, 5_000);
        assert_eq!(second.next(0, &[mac(1), mac(1)], &[]), Err(CorruptHead::Count));
    }

    #[test]
    fn heads_read_back_and_nothing_else_does() {
        let head = Head { epoch: 1, revision: Revision(7), time_ms: 9, count: 300, sum: SumOfMacs([5; 32]) };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Ok(head));
        for len in 0..bytes.len() {
            assert!(Head::decode(&bytes[..len]).is_err(), "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert_ne!(Head::decode(&other), Ok(head), "bit {bit} of byte {at}");
            }
        }
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(Head::decode(&newer), Err(CorruptHead::Version(2)));
        let mut longer = bytes;
        longer.extend([0x30, 1]);
        assert_eq!(Head::decode(&longer), Err(CorruptHead::Content));
    }
}
