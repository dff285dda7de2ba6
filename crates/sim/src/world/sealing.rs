//! Sealing: the real sealer, or one that is wrong on purpose.

use strongroom_core::Head;
use strongroom_core::member::Mac;
use strongroom_crypto_keys::seal::{ClusterKey, SealError, Sealer};
use strongroom_hsm::cluster::sealing::{Sealed, SealsRecords};
use strongroom_types::{ClusterId, RecordKind, RecordPath, Revision, Secret};

use crate::Mutant;

pub(crate) const EPOCH: u64 = 1;

/// How this world's HSMs seal. Shared by all: they hold the same cluster key.
#[derive(Clone)]
pub(crate) struct Sealing {
    sealer: std::rc::Rc<Sealer>,
    pub(crate) cluster: ClusterId,
    mutant: Option<Mutant>,
}

impl Sealing {
    pub(crate) fn new(rng: &mut fastrand::Rng, mutant: Option<Mutant>) -> Sealing {
        let cluster = ClusterId::from_random(std::array::from_fn(|_| rng.u8(..)));
        let sealer = std::rc::Rc::new(Sealer::new(&ClusterKey::generate(), &cluster, EPOCH));
        Sealing { sealer, cluster, mutant }
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn place(&self, path: RecordPath) -> RecordPath {
        if self.mutant == Some(Mutant::SealWithoutPath) { RecordPath { kind: path.kind, id: [0; 16] } } else { path }
    }

    /// A batch as the mutant would have sealed it.
    pub(crate) fn mutate(&self, sealed: &mut Sealed) {
        if self.mutant != Some(Mutant::CountHeadWrong) || !sealed.revision.0.is_multiple_of(16) {
            return;
        }
        sealed.head = Head { count: sealed.head.count + 1, ..sealed.head };
        let (revision, head) = (sealed.revision, sealed.head.encode());
        for (path, bytes) in sealed.puts.iter_mut().filter(|(path, _)| path.kind == RecordKind::Head) {
            *bytes = self.seal_record(*path, revision, &head);
        }
    }
}

impl SealsRecords for Sealing {
    fn seal_record(&self, path: RecordPath, revision: Revision, plain: &[u8]) -> Vec<u8> {
        self.sealer.seal_record(self.place(path), revision, plain)
    }

    fn open_record(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Result<Secret, SealError> {
        self.sealer.open_record(self.place(path), revision, sealed)
    }

    fn record_mac(&self, path: RecordPath, revision: Revision, sealed: &[u8]) -> Mac {
        self.sealer.record_mac(path, revision, sealed)
    }
}
