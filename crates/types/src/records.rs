use std::fmt;

use crate::IdError;

/// Kinds of records; the number is the first byte of a path (`docs/spec/records.md`). Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// The cluster key, sealed under the installation's root key.
    ClusterKey = 1,
    /// The one record every batch rewrites.
    Head = 2,
    /// The cluster's life: mode, type, state, certificate, settings.
    Cluster = 3,
    /// One HSM of the cluster, alive or not.
    Hsm = 4,
    /// One user.
    User = 5,
    /// One key.
    Key = 6,
    /// The outcome of one change.
    Receipt = 7,
    /// One login that was ended before its ticket ran out.
    EndedLogin = 8,
    /// An older store was accepted on purpose.
    Rollback = 9,
    /// One trust anchor of clients' certificates.
    TrustAnchor = 13,
    /// The key that a cluster shares with its clones, sealed.
    HistoryKey = 16,
    /// One certificate that applications keep.
    Certificate = 17,
    /// What users approve together, once.
    QuorumToken = 10,
    /// A challenge that was signed and used.
    SpentChallenge = 11,
    /// How many admins must approve what; one record.
    QuorumValues = 12,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [RecordKind; 15] = [
        RecordKind::ClusterKey,
        RecordKind::Head,
        RecordKind::Cluster,
        RecordKind::Hsm,
        RecordKind::User,
        RecordKind::Key,
        RecordKind::Receipt,
        RecordKind::EndedLogin,
        RecordKind::Rollback,
        RecordKind::TrustAnchor,
        RecordKind::HistoryKey,
        RecordKind::Certificate,
        RecordKind::QuorumToken,
        RecordKind::SpentChallenge,
        RecordKind::QuorumValues,
    ];

    /// The number in a path.
    pub fn number(self) -> u8 {
        self as u8
    }

    fn as_str(self) -> &'static str {
        match self {
            RecordKind::ClusterKey => "cluster-key",
            RecordKind::Head => "head",
            RecordKind::Cluster => "cluster",
            RecordKind::Hsm => "hsm",
            RecordKind::User => "user",
            RecordKind::Key => "key",
            RecordKind::Receipt => "receipt",
            RecordKind::EndedLogin => "ended-login",
            RecordKind::Rollback => "rollback",
            RecordKind::TrustAnchor => "trust-anchor",
            RecordKind::HistoryKey => "history-key",
            RecordKind::Certificate => "certificate",
            RecordKind::QuorumToken => "quorum-token",
            RecordKind::SpentChallenge => "spent-challenge",
            RecordKind::QuorumValues => "quorum-values",
        }
    }
}

/// Where a record lies in a store: its kind and a random id, never a name. All zero for kinds with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPath {
    /// Kind.
    pub kind: RecordKind,
    /// Id.
    pub id: [u8; 16],
}

impl RecordPath {
    /// Length of a path in bytes.
    pub const LEN: usize = 17;
    /// The head.
    pub const HEAD: RecordPath = RecordPath::single(RecordKind::Head);
    /// The cluster key.
    pub const CLUSTER_KEY: RecordPath = RecordPath::single(RecordKind::ClusterKey);
    /// The cluster's life.
    pub const CLUSTER: RecordPath = RecordPath::single(RecordKind::Cluster);
    /// The history key.
    pub const HISTORY_KEY: RecordPath = RecordPath::single(RecordKind::HistoryKey);
    /// The quorum values.
    pub const QUORUM_VALUES: RecordPath = RecordPath::single(RecordKind::QuorumValues);

    const fn single(kind: RecordKind) -> RecordPath {
        RecordPath { kind, id: [0; 16] }
    }

    /// The kind's number, then the id.
    pub fn to_bytes(self) -> [u8; RecordPath::LEN] {
        let mut bytes = [0; RecordPath::LEN];
        let (kind, id) = bytes.split_at_mut(1);
        kind.copy_from_slice(&[self.kind.number()]);
        id.copy_from_slice(&self.id);
        bytes
    }
}

impl TryFrom<&[u8]> for RecordPath {
    type Error = IdError;

    fn try_from(bytes: &[u8]) -> Result<RecordPath, IdError> {
        let error = IdError { what: "record path", expected: "a kind's number and 16 bytes" };
        let (kind, id) = bytes.split_first().ok_or(error)?;
        let kind = RecordKind::ALL.into_iter().find(|known| known.number() == *kind).ok_or(error)?;
        Ok(RecordPath { kind, id: id.try_into().map_err(|_| error)? })
    }
}

impl fmt::Display for RecordPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.kind.as_str())?;
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_and_others_are_refused() {
        for kind in RecordKind::ALL {
            let path = RecordPath { kind, id: [7; 16] };
            assert_eq!(RecordPath::try_from(&path.to_bytes()[..]), Ok(path));
        }
        assert!(RecordPath::try_from(&[0; 17][..]).is_err());
        assert!(RecordPath::try_from(&[200; 17][..]).is_err());
        assert!(RecordPath::try_from(&[1; 16][..]).is_err());
        assert!(RecordPath::try_from(&[1; 18][..]).is_err());
        assert!(RecordPath::try_from(&[][..]).is_err());
    }
}
