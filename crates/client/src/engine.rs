//! The engine of a client; its body follows.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use strongroom_types::{ClusterId, HsmId, Password, Role, Secret, UserName};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::answers::{Hello, LoggedIn};
use crate::client::ClientName;
use crate::config::ClusterConfig;
use crate::error::{ClientError, ConfigError};
use crate::logging::Log;
use crate::manner::{self, Manner};

pub(crate) struct Answered {
    pub(crate) address: Arc<str>,
    pub(crate) result: Option<v1::response::Result>,
}

pub(crate) struct Engine {
    cluster: ClusterConfig,
    credentials: ArcSwapOption<(UserName, Role, Password)>,
}

impl Engine {
    pub(crate) fn new(cluster: ClusterConfig, _name: ClientName, _log: Log) -> Result<Engine, ConfigError> {
        Ok(Engine { cluster, credentials: ArcSwapOption::empty() })
    }
    pub(crate) fn call(&self, _manner: &Manner, _operation: Operation) -> Result<Answered, ClientError> {
        Err(ClientError::Unavailable { tried: Vec::new() })
    }
    pub(crate) fn hello(&self) -> Result<Hello, ClientError> {
        Err(ClientError::Unavailable { tried: Vec::new() })
    }
    pub(crate) fn login(&self, _: &UserName, _: Role, _: &Password) -> Result<LoggedIn, ClientError> {
        let _ = (&manner::LOGIN, Secret::new(Vec::new()));
        Err(ClientError::Unavailable { tried: Vec::new() })
    }
    pub(crate) fn set_credentials(&self, user: UserName, role: Role, password: Password) {
        self.credentials.store(Some(Arc::new((user, role, password))));
    }
    pub(crate) fn logout(&self) -> Result<(), ClientError> {
        Err(ClientError::NoCredentials)
    }
    pub(crate) fn logged_in(&self) -> Option<LoggedIn> {
        None
    }
    pub(crate) fn check_availability(&self) -> Result<(), ClientError> {
        Ok(())
    }
    pub(crate) fn last_member(&self) -> Option<HsmId> {
        None
    }
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.cluster_id.clone()
    }
}
