use strongroom_types::{
    Attributes, ClusterId, ClusterMode, ClusterState, HsmType, KeyQuorum, KeyReference, Refusal, Revision, Role,
    Status, UserId, UserName,
};

use crate::permissions::{Operation, permit};
use crate::{Actor, Hsm, Key, SessionKey, State, User};

/// A user as others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// Name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// Whether the user may not log in now.
    pub locked: bool,
    /// Whether the user signs a challenge beside the password.
    pub mfa: bool,
    /// Whether the user has a key to approve with.
    pub quorum: bool,
}

impl UserView {
    pub(crate) fn of(user: &User, now_ms: u64) -> UserView {
        UserView {
            name: user.name.clone(),
            role: user.role,
            locked: user.is_locked(now_ms),
            mfa: user.mfa_key.is_some(),
            quorum: user.quorum_key.is_some(),
        }
    }
}

/// A key as those who may see it do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Reference.
    pub reference: KeyReference,
    /// Attributes.
    pub attributes: Attributes,
    /// Owner.
    pub owner: UserName,
    /// Users the key is shared with, in order of their names.
    pub shared_with: Vec<UserName>,
    /// How many of them must approve what is done with it.
    pub quorum: KeyQuorum,
    /// Revision of the key's record; 0 for a session key, which has none.
    pub revision: Revision,
}

impl KeyView {
    pub(crate) fn of(state: &State, key: &Key) -> Result<KeyView, Refusal> {
        // `apply` keeps every key's owner among the users.
        let owner = state.user(key.owner).ok_or(Status::Internal)?;
        let mut shared_with: Vec<UserName> =
            key.shared.iter().filter_map(|id| state.user(*id)).map(|user| user.name.clone()).collect();
        shared_with.sort();
        Ok(KeyView {
            reference: key.reference,
            attributes: key.attributes.clone(),
            owner: owner.name.clone(),
            shared_with,
            quorum: key.quorum,
            revision: key.revision,
        })
    }

    /// A session key as its own login sees it.
    pub fn of_session_key(state: &State, key: &SessionKey) -> Result<KeyView, Refusal> {
        let owner = state.user(key.owner).ok_or(Status::LoginEnded)?;
        Ok(KeyView {
            reference: key.reference,
            attributes: key.attributes.clone(),
            owner: owner.name.clone(),
            shared_with: Vec::new(),
            quorum: KeyQuorum::NONE,
            revision: Revision(0),
        })
    }
}

impl Key {
    /// Whether a crypto user may see the key: their own, shared ones, and every public key.
    pub fn is_visible_to(&self, user: UserId) -> bool {
        use strongroom_types::KeyClass;
        self.owner == user || self.attributes.class == KeyClass::PublicKey || self.shared.contains(&user)
    }
}

/// The cluster as anybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Id.
    pub id: ClusterId,
    /// Type of its HSMs.
    pub hsm_type: HsmType,
    /// FIPS policy.
    pub mode: ClusterMode,
    /// Where it stands in its life.
    pub state: ClusterState,
    /// Every HSM, alive or not, in order of ids.
    pub hsms: Vec<Hsm>,
}

/// The cluster and its HSMs. Needs no login; refused only before the cluster is made.
pub fn cluster_view(state: &State) -> Result<ClusterView, Refusal> {
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    Ok(ClusterView {
        id: cluster.id.clone(),
        hsm_type: cluster.hsm_type,
        mode: cluster.mode,
        state: cluster.state,
        hsms: state.hsms().cloned().collect(),
    })
}

/// Every user: admins first, then crypto users, each by name, `app_user` last. Needs no login.
pub fn list_users(state: &State, actor: &Actor, now_ms: u64) -> Result<Vec<UserView>, Refusal> {
    permit(state, actor, Operation::UserList, now_ms)?;
    let now_ms = state.cluster_time(now_ms);
    let mut views: Vec<UserView> = state.users().map(|user| UserView::of(user, now_ms)).collect();
    views.sort_by(|a, b| (rank(a.role), &a.name).cmp(&(rank(b.role), &b.name)));
    Ok(views)
}

fn rank(role: Role) -> u8 {
    match role {
        Role::UnactivatedAdmin | Role::Admin => 0,
        Role::CryptoUser => 1,
        Role::ApplianceUser => 2,
    }
}

/// One key, if the actor may see it: crypto users their own, shared and public ones, admins all.
pub fn key_view(state: &State, actor: &Actor, reference: KeyReference, now_ms: u64) -> Result<KeyView, Refusal> {
    let user = permit(state, actor, Operation::KeyGet, now_ms)?.ok_or(Status::NotLoggedIn)?;
    let visible = |key: &&std::sync::Arc<Key>| user.role == Role::Admin || key.is_visible_to(user.id);
    let key = state.key(reference).filter(visible).ok_or(Status::KeyUnknown)?;
    KeyView::of(state, key)
}
