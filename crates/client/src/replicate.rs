//! Keys and users between a cluster and its clones.

use strongroom_types::{ClusterId, KeyReference, Refusal, Role, Status, UserName};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{KeyInfo, v1};

use crate::answers::UserInfo;
use crate::client::Client;
use crate::error::ClientError;
use crate::manner;

/// A key or a user that an HSM of one cluster has sealed for another cluster. Nobody but an HSM of that one opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica(v1::Replica);

impl Client {
    /// Has a key sealed for a clone of this cluster.
    pub fn key_export(&self, key: KeyReference, destination: &ClusterId) -> Result<Replica, ClientError> {
        if self.holds_session_key(key) {
            return Err(Refusal::from(Status::SessionKeyFixed).into());
        }
        let destination_cluster_id = destination.as_str().to_owned();
        let operation = Operation::KeyExport(v1::KeyExport { reference: key.as_u64(), destination_cluster_id });
        self.call(&manner::EXPORT, operation)?.read(|answer| match answer {
            Answer::KeyExport(replica) => Some(Ok(Replica(replica))),
            _ => None,
        })
    }

    /// Takes a key that a clone has sealed for this cluster; done, too, when it is here already.
    pub fn key_replicate(&self, replica: &Replica) -> Result<KeyInfo, ClientError> {
        let operation = Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica.0.clone()) });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::KeyReplicate(key) => Some(key.try_into()),
            _ => None,
        })
    }

    /// Has a user sealed for a clone of this cluster.
    pub fn user_export(&self, name: &UserName, role: Role, destination: &ClusterId) -> Result<Replica, ClientError> {
        let operation = Operation::UserExport(v1::UserExport {
            user_name: name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            destination_cluster_id: destination.as_str().to_owned(),
        });
        self.call(&manner::EXPORT, operation)?.read(|answer| match answer {
            Answer::UserExport(replica) => Some(Ok(Replica(replica))),
            _ => None,
        })
    }

    /// Takes a user that a clone has sealed for this cluster; done, too, when the user is here already.
    pub fn user_replicate(&self, replica: &Replica) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserReplicate(v1::UserReplicate { replica: Some(replica.0.clone()) });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserReplicate(user) => Some(user.try_into()),
            _ => None,
        })
    }
}
