//! What operations answer, in the project's own words.

use std::net::{IpAddr, SocketAddr};

use strongroom_types::limits::HSMS_MAX;
use strongroom_types::{
    ClusterId, ClusterMode, ClusterState, Curve, HsmId, HsmType, KeyReference, MlDsaAlgorithm, Revision, Role, UserName,
};
use strongroom_wire::{KeyInfo, Malformed, convert, v1};

/// What an HSM says to whoever greets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Where the cluster stands in its life.
    pub state: ClusterState,
    /// Every HSM the cluster has, alive or not.
    pub members: Vec<Member>,
}

/// A key that went out wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The initialisation vector; empty unless the mechanism gives it apart.
    pub iv: Vec<u8>,
    /// All the rest.
    pub wrapped: Vec<u8>,
}

/// One HSM of a cluster, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub hsm_id: HsmId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The name of its zone.
    pub availability_zone: String,
    /// Whether its entry stands in the member table.
    pub serving: bool,
}

/// A cluster and its HSMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The type of its HSMs.
    pub hsm_type: HsmType,
    /// Its FIPS policy.
    pub mode: ClusterMode,
    /// Where it stands in its life.
    pub state: ClusterState,
    /// Its HSMs.
    pub hsms: Vec<HsmInfo>,
}

/// One HSM, as the tools show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the message HsmInfo")]
pub struct HsmInfo {
    pub hsm_id: HsmId,
    pub serial_number: String,
    pub vendor: String,
    pub model: String,
    pub hardware_major: u32,
    pub hardware_minor: u32,
    pub firmware_major: u32,
    pub firmware_minor: u32,
    pub firmware_build: u32,
    pub firmware_id: String,
    pub serving: bool,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The user.
    pub user_name: UserName,
    /// In this role.
    pub role: Role,
}

/// A user, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user.
    pub name: UserName,
    /// What the user may be.
    pub role: Role,
    /// Whether too many wrong passwords have locked the user.
    pub locked: bool,
    /// Whether the user signs a challenge beside the password.
    pub mfa: bool,
    /// Whether the user has a key to approve with.
    pub quorum: bool,
}

/// One page of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKeys {
    /// Matches in all.
    pub total: u32,
    /// The page, in order of key references.
    pub keys: Vec<KeyInfo>,
}

/// A whole search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAll {
    /// Every match: this login's session keys, then the others, both in order.
    pub references: Vec<KeyReference>,
    /// What the first of them are.
    pub keys: Vec<KeyInfo>,
}

/// Which pair to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairAlgorithm {
    /// RSA.
    Rsa {
        /// Bits of the modulus.
        modulus_bits: u32,
        /// Big-endian.
        public_exponent: Vec<u8>,
    },
    /// A pair on this curve.
    Ec(Curve),
    /// ML-DSA.
    MlDsa(MlDsaAlgorithm),
}

/// What an HSM says of itself to the control plane of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplianceState {
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// Which HSM it is.
    pub hsm_id: HsmId,
    /// Where the cluster stands in its life, as this HSM knows it.
    pub cluster_state: ClusterState,
    /// Whether it answers clients.
    pub serving: bool,
    /// Why it does not, or empty.
    pub reason: String,
    /// What it has applied.
    pub applied_revision: Revision,
    /// Signatures made since it started.
    pub signatures: u64,
    /// Connections it has now.
    pub connections: u32,
}

fn malformed<E>(field: &'static str) -> impl FnOnce(E) -> Malformed {
    move |_| Malformed { field }
}

/// There is no parser of states in `types`: only this protocol carries them as text.
fn cluster_state(text: &str, field: &'static str) -> Result<ClusterState, Malformed> {
    let states = [ClusterState::Uninitialized, ClusterState::Initialized, ClusterState::Active];
    states.into_iter().find(|state| state.as_str() == text).ok_or(Malformed { field })
}

impl TryFrom<v1::HelloResult> for Hello {
    type Error = Malformed;

    /// A cluster of more HSMs than there can be is none: every member that is told is kept, and connected to.
    fn try_from(message: v1::HelloResult) -> Result<Hello, Malformed> {
        if message.members.len() > HSMS_MAX {
            return Err(Malformed { field: "members" });
        }
        Ok(Hello {
            cluster_id: message.cluster_id.parse().map_err(malformed("cluster_id"))?,
            state: cluster_state(&message.state, "state")?,
            members: message.members.into_iter().map(Member::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::Member> for Member {
    type Error = Malformed;

    fn try_from(message: v1::Member) -> Result<Member, Malformed> {
        let ip: IpAddr = message.ip.parse().map_err(malformed("ip"))?;
        let port = match message.port {
            0 => strongroom_types::limits::HSM_PORT,
            port => port.try_into().map_err(malformed("port"))?,
        };
        Ok(Member {
            hsm_id: message.hsm_id.parse().map_err(malformed("hsm_id"))?,
            address: SocketAddr::new(ip, port),
            availability_zone: message.availability_zone,
            serving: message.serving,
        })
    }
}

impl TryFrom<v1::ClusterInfoResult> for ClusterInfo {
    type Error = Malformed;

    fn try_from(message: v1::ClusterInfoResult) -> Result<ClusterInfo, Malformed> {
        Ok(ClusterInfo {
            cluster_id: message.cluster_id.parse().map_err(malformed("cluster_id"))?,
            hsm_type: message.hsm_type.parse().map_err(malformed("hsm_type"))?,
            mode: message.mode.parse().map_err(malformed("mode"))?,
            state: cluster_state(&message.state, "state")?,
            hsms: message.hsms.into_iter().map(HsmInfo::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<v1::HsmInfo> for HsmInfo {
    type Error = Malformed;

    fn try_from(message: v1::HsmInfo) -> Result<HsmInfo, Malformed> {
        Ok(HsmInfo {
            hsm_id: message.hsm_id.parse().map_err(malformed("hsm_id"))?,
            serial_number: message.serial_number,
            vendor: message.vendor,
            model: message.model,
            hardware_major: message.hardware_major,
            hardware_minor: message.hardware_minor,
            firmware_major: message.firmware_major,
            firmware_minor: message.firmware_minor,
            firmware_build: message.firmware_build,
            firmware_id: message.firmware_id,
            serving: message.serving,
        })
    }
}

impl TryFrom<v1::User> for UserInfo {
    type Error = Malformed;

    fn try_from(message: v1::User) -> Result<UserInfo, Malformed> {
        let role = convert::role(message.role)?;
        let name = message.user_name.parse().map_err(malformed("user_name"))?;
        Ok(UserInfo { name, role, locked: message.locked, mfa: message.mfa, quorum: message.quorum })
    }
}

impl TryFrom<v1::KeyFindResult> for FoundKeys {
    type Error = Malformed;

    fn try_from(message: v1::KeyFindResult) -> Result<FoundKeys, Malformed> {
        let keys = message.keys.into_iter().map(KeyInfo::try_from).collect::<Result<_, _>>()?;
        Ok(FoundKeys { total: message.total, keys })
    }
}

impl TryFrom<v1::KeyFindResult> for FoundAll {
    type Error = Malformed;

    fn try_from(message: v1::KeyFindResult) -> Result<FoundAll, Malformed> {
        let malformed = || Malformed { field: "references" };
        if u32::try_from(message.references.len()) != Ok(message.total) {
            return Err(malformed());
        }
        let reference = |number| KeyReference::from_u64(number).ok_or_else(malformed);
        let references = message.references.into_iter().map(reference).collect::<Result<_, _>>()?;
        let keys = message.keys.into_iter().map(KeyInfo::try_from).collect::<Result<_, _>>()?;
        Ok(FoundAll { references, keys })
    }
}

impl TryFrom<v1::ApplianceStateResult> for ApplianceState {
    type Error = Malformed;

    fn try_from(message: v1::ApplianceStateResult) -> Result<ApplianceState, Malformed> {
        Ok(ApplianceState {
            cluster_id: message.cluster_id.parse().map_err(malformed("cluster_id"))?,
            hsm_id: message.hsm_id.parse().map_err(malformed("hsm_id"))?,
            cluster_state: cluster_state(&message.cluster_state, "cluster_state")?,
            serving: message.serving,
            reason: message.reason,
            applied_revision: Revision(message.applied_revision),
            signatures: message.signatures,
            connections: message.connections,
        })
    }
}

impl From<&PairAlgorithm> for v1::key_generate_pair::Algorithm {
    fn from(algorithm: &PairAlgorithm) -> v1::key_generate_pair::Algorithm {
        match algorithm {
            PairAlgorithm::Rsa { modulus_bits, public_exponent } => {
                v1::key_generate_pair::Algorithm::Rsa(v1::RsaParameters {
                    modulus_bits: *modulus_bits,
                    public_exponent: public_exponent.clone(),
                })
            }
            PairAlgorithm::Ec(curve) => v1::key_generate_pair::Algorithm::Curve(v1::Curve::from(*curve).into()),
            PairAlgorithm::MlDsa(algorithm) => {
                v1::key_generate_pair::Algorithm::MlDsa(v1::MlDsaAlgorithm::from(*algorithm).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_no_more_members_than_it_can() {
        let member = |host: usize| v1::Member {
            hsm_id: HsmId::from_random([1; 7]).as_str().to_owned(),
            ip: format!("127.0.0.{host}"),
            ..v1::Member::default()
        };
        let hello = |members: usize| {
            Hello::try_from(v1::HelloResult {
                cluster_id: ClusterId::from_random([1; 7]).as_str().to_owned(),
                state: ClusterState::Active.as_str().to_owned(),
                members: (1..=members).map(member).collect(),
                ..v1::HelloResult::default()
            })
        };
        assert_eq!(hello(HSMS_MAX).unwrap().members.len(), HSMS_MAX);
        assert_eq!(hello(HSMS_MAX + 1), Err(Malformed { field: "members" }));
    }
}
