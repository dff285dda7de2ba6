use std::fmt;
use std::str::FromStr;

use crate::{IdError, limits};

/// FIPS policy of a cluster, fixed at its creation. Names are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterMode {
    /// Approved algorithms only.
    Fips,
    /// Every algorithm of the table.
    NonFips,
}

impl ClusterMode {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            ClusterMode::Fips => "FIPS",
            ClusterMode::NonFips => "NON_FIPS",
        }
    }
}

impl fmt::Display for ClusterMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClusterMode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<ClusterMode, IdError> {
        match text {
            "FIPS" => Ok(ClusterMode::Fips),
            "NON_FIPS" => Ok(ClusterMode::NonFips),
            _ => Err(IdError { what: "cluster mode", expected: "FIPS or NON_FIPS" }),
        }
    }
}

/// The type of a cluster's HSMs; sets its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HsmType {
    /// `hsm1.medium`: FIPS only, 3,300 keys, 250 users.
    Hsm1Medium,
    /// `hsm2m.medium`: both modes, 16,666 keys of which 3,333 asymmetric, 1,024 users.
    Hsm2mMedium,
}

impl HsmType {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            HsmType::Hsm1Medium => "hsm1.medium",
            HsmType::Hsm2mMedium => "hsm2m.medium",
        }
    }

    /// What a new cluster of this type may hold. It becomes a record of the cluster, which keeps it.
    pub const fn capacity(self) -> Capacity {
        match self {
            HsmType::Hsm1Medium => Capacity {
                keys_max: limits::HSM1_KEYS_MAX,
                asymmetric_keys_max: limits::HSM1_KEYS_MAX,
                users_max: limits::HSM1_USERS_MAX,
            },
            HsmType::Hsm2mMedium => Capacity {
                keys_max: limits::HSM2M_KEYS_MAX,
                asymmetric_keys_max: limits::HSM2M_ASYMMETRIC_KEYS_MAX,
                users_max: limits::HSM2M_USERS_MAX,
            },
        }
    }
}

/// How much a cluster may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Keys; each half of a pair counts.
    pub keys_max: usize,
    /// Halves of pairs among them.
    pub asymmetric_keys_max: usize,
    /// Users, `app_user` not counted.
    pub users_max: usize,
}

impl fmt::Display for HsmType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HsmType {
    type Err = IdError;

    fn from_str(text: &str) -> Result<HsmType, IdError> {
        match text {
            "hsm1.medium" => Ok(HsmType::Hsm1Medium),
            "hsm2m.medium" => Ok(HsmType::Hsm2mMedium),
            _ => Err(IdError { what: "HSM type", expected: "hsm1.medium or hsm2m.medium" }),
        }
    }
}

/// Where a cluster stands in its life, as an HSM sees it. Names are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterState {
    /// Has a key and a CSR, no certificate.
    Uninitialized,
    /// Has its certificate; the admin has not set a password.
    Initialized,
    /// Serves.
    Active,
}

impl ClusterState {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            ClusterState::Uninitialized => "UNINITIALIZED",
            ClusterState::Initialized => "INITIALIZED",
            ClusterState::Active => "ACTIVE",
        }
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
