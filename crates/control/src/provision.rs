//! From HSMs that run to a cluster that serves: certificate, activation, crypto user.
//!
//! Each step may have been done by an `up` that was cut short; the cluster says so, and that is as good as doing it.

use strongroom_client::{Appliance, Client, ClientError, ClientName, ClusterConfig, appliance};
use strongroom_crypto::certificates::CustomerCa;
use strongroom_types::{ClusterState, Role, Status};

use crate::error::{ExpectedError, HsmError, ProvisionError, StateError};
use crate::make::{self, CA_CERTIFICATE, CA_KEY};
use crate::state::{ClusterFile, Credentials, HsmEntry, StateFolder, read_bounded};
use crate::supervise::CONTROL_SOCKET;
