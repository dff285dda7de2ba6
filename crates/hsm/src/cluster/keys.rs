//! The cluster key, while a store is opened with it.

use strongroom_crypto_keys::seal::{ClusterKey, RootKey, Sealer};
use strongroom_store::Loaded;
use strongroom_types::{ClusterId, RecordPath};

use super::StateError;

/// A cluster's key, and the epoch of the store that it was found in.
pub(super) struct Keys {
    key: ClusterKey,
    cluster: ClusterId,
    pub(super) epoch: u64,
}

impl Keys {
    /// For fuzzing: a new cluster's.
    #[cfg(feature = "fuzz")]
    pub(super) fn generate(cluster: ClusterId) -> Keys {
        Keys { key: ClusterKey::generate(), cluster, epoch: 1 }
    }

    /// Opens the cluster key in a store.
    pub(super) fn open(root_key: &RootKey, cluster: &ClusterId, loaded: &Loaded) -> Result<Keys, StateError> {
        let sealed = loaded.records.iter().find(|record| record.path == RecordPath::CLUSTER_KEY);
        let sealed = sealed.ok_or(StateError::Missing(RecordPath::CLUSTER_KEY))?;
        let opened = root_key.open_cluster_key(&sealed.sealed, cluster);
        let (key, epoch) = opened.map_err(|cause| StateError::ClusterKey { cluster: cluster.clone(), cause })?;
        Ok(Keys { key, cluster: cluster.clone(), epoch })
    }

    /// What seals and opens in the store's epoch.
    pub(super) fn sealer(&self) -> Sealer {
        self.sealer_of(self.epoch)
    }

    /// What seals and opens in another epoch.
    pub(super) fn sealer_of(&self, epoch: u64) -> Sealer {
        Sealer::new(&self.key, &self.cluster, epoch)
    }

    /// The cluster key's record for another epoch.
    pub(super) fn seal_for(&self, root_key: &RootKey, epoch: u64) -> Vec<u8> {
        root_key.seal_cluster_key(&self.key, &self.cluster, epoch)
    }
}
