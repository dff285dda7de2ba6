//! Keys and users between a cluster and its clones: who may take what out, and what is taken in.
//!
//! * What is taken in is new here, or it is what is here already. Nothing that is here is ever changed by it.
//! * A user comes under a new credential id: tickets of an earlier life of the same user stay void. Shares of that
//!   earlier life have left every list before ([`forget`]).
//! * `trusted` is an admin's word: a crypto user brings no trusted key along, and takes no key out that is to leave under
//!   trusted keys only: in a clone others may be admins.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_types::{
    ClusterId, CredentialId, Flag, KeyReference, Refusal, Revision, Role, Status, UserId, UserName,
};

use crate::index::Term;
use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::Lock;
use crate::users::whole;
use crate::{
    Actor, Credential, Effect, Key, PLANNED_RECORDS_MAX, Plan, PlanError, Planned, Record, Replica, Replicated, Reply,
    State, User, UserView, keys, quorum,
};

/// Decides whether `actor` may take a key to a clone, and says what is to be sealed with it: the owner, and admins every
/// key. Users who are gone are not on its list.
pub fn export_key(
    state: &State,
    actor: &Actor,
    reference: KeyReference,
    destination: &ClusterId,
    now_ms: u64,
) -> Result<(Replica, Key), Refusal> {
    let user = permit(state, actor, Operation::KeyExport, now_ms)?.ok_or(Status::NotLoggedIn)?;
    let is_admin = user.role == Role::Admin;
    let key = state.key(reference).filter(|key| is_admin || key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
    if !is_admin && key.owner != user.id {
        return Err(Status::KeyNotOwned.into());
    }
    if !is_admin && key.attributes.flags.has(Flag::WrapWithTrusted) {
        let about = "the key has wrap-with-trusted=true, and admins alone say where it may go";
        return Err(Refusal::new(Status::RoleNotPermitted, about));
    }
    check_alone(user, key)?;
    let replica = Replica::of(state, user, destination, Replicated::Key(reference), now_ms)?;
    Ok((replica, Key { shared: known(state, &key.shared), ..Key::clone(key) }))
}

/// Who must ask others before managing or using a key does not take it alone to where others may answer for them.
fn check_alone(user: &User, key: &Key) -> Result<(), Refusal> {
    if user.role == Role::Admin || key.quorum.highest() <= 1 {
        return Ok(());
    }
    Err(Refusal::new(
        Status::RoleNotPermitted,
        "several users must approve what is done with the key, and admins alone take it to a clone",
    ))
}

/// The same for a user, by admins.
pub fn export_user(
    state: &State,
    actor: &Actor,
    (name, role): (&UserName, Role),
    destination: &ClusterId,
    now_ms: u64,
) -> Result<(Replica, User), Refusal> {
    let admin = permit(state, actor, Operation::UserExport, now_ms)?.ok_or(Status::NotLoggedIn)?;
    let user = state.user_named(name).filter(|user| user.role == role || is_internal(user));
    let user = user.ok_or_else(|| Refusal::new(Status::UserUnknown, name.as_str()))?;
    check_internal(user)?;
    let replica = Replica::of(state, admin, destination, Replicated::User(user.id), now_ms)?;
    Ok((replica, User::clone(user)))
}

/// What becomes of what is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is here already.
    Here,
    /// It is new.
    New,
}

pub(crate) fn check_key(asking: &Asking<'_>, replica: &Replica, key: &Key) -> Result<Taken, Refusal> {
    let (state, user) = (asking.state, asking.user()?);
    replica.check(state, user, asking.now_ms)?;
    if replica.what != Replicated::Key(key.reference) {
        return Err(internal("reference"));
    }
    if user.role != Role::Admin && key.attributes.flags.has(Flag::Trusted) {
        let about = "the key is trusted, and admins alone say which keys are";
        return Err(Refusal::new(Status::RoleNotPermitted, about));
    }
    if user.role != Role::Admin && key.owner != user.id {
        return Err(Status::KeyNotOwned.into());
    }
    check_alone(user, key)?;
    check_users(state, key)?;
    quorum::check_key_values(key.quorum, 1 + key.shared.len())?;
    match state.key(key.reference) {
        Some(here) if alike(state, here) == alike(state, key) => return Ok(Taken::Here),
        Some(here) => {
            let other = here.creation != key.creation || here.created_ms != key.created_ms;
            let about = if other { "it is another key" } else { "its attributes, owner or shares differ" };
            return Err(Refusal::new(Status::KeyReplicaConflict, about));
        }
        None if state.is_reference_taken(key.reference.as_u64()) => {
            return Err(Refusal::new(Status::KeyReplicaConflict, "a certificate has its reference"));
        }
        None => {}
    }
    let asymmetric = usize::from(key.attributes.public.is_some());
    keys::check_room(asking, 1, asymmetric)?;
    Ok(Taken::New)
}

/// What the key is, apart from how and when this cluster keeps it. A reference is given once, and the request that made a
/// key is named in it: two keys that are alike have the same material.
fn alike(state: &State, key: &Key) -> Key {
    let shared = known(state, &key.shared);
    Key { revision: Revision(0), sealed: None, key_epoch: 0, uses_reserved: 0, shared, ..key.clone() }
}

fn known(state: &State, users: &BTreeSet<UserId>) -> BTreeSet<UserId> {
    users.iter().copied().filter(|user| state.user(*user).is_some()).collect()
}

/// Owner and sharers are crypto users here.
fn check_users(state: &State, key: &Key) -> Result<(), Refusal> {
    let is_here = |id: &UserId| state.user(*id).is_some_and(|user| user.role == Role::CryptoUser);
    if !is_here(&key.owner) {
        return Err(Refusal::new(Status::ReplicaUsersMissing, "its owner is missing"));
    }
    let missing = key.shared.iter().filter(|id| !is_here(id)).count();
    if missing > 0 {
        let about = format!("{missing} of the {} users it is shared with are missing", key.shared.len());
        return Err(Refusal::new(Status::ReplicaUsersMissing, about));
    }
    Ok(())
}

pub(crate) fn key(asking: &Asking<'_>, replica: &Replica, key: &Key) -> Result<Plan, PlanError> {
    if check_key(asking, replica, key)? == Taken::Here {
        return Ok(Plan::Nothing(Reply::Done));
    }
    let key_epoch = asking.state.cluster().ok_or_else(|| internal("cluster"))?.epoch;
    let key = Key { revision: asking.next_revision(), key_epoch, ..key.clone() };
    Ok(asking.done(vec![Record::Key(key)], Effect::Granting))
}

pub(crate) fn check_user(asking: &Asking<'_>, replica: &Replica, user: &User) -> Result<Taken, Refusal> {
    let state = asking.state;
    replica.check(state, asking.user()?, asking.now_ms)?;
    if replica.what != Replicated::User(user.id) {
        return Err(internal("user"));
    }
    match (state.user(user.id), state.user_named(&user.name)) {
        (Some(here), _) if same_user(here) == same_user(user) => return Ok(Taken::Here),
        (Some(_), _) => {
            let about = format!("{}: another password, MFA or quorum key was set since", user.name);
            return Err(Refusal::new(Status::UserReplicaConflict, about));
        }
        (None, Some(_)) => {
            let about = format!("{}: it is another user of the same name", user.name);
            return Err(Refusal::new(Status::UserReplicaConflict, about));
        }
        (None, None) => {}
    }
    check_internal(user)?;
    let users_max = state.cluster().map_or(0, |cluster| cluster.capacity().users_max);
    if state.users_len() >= users_max {
        return Err(Refusal::new(Status::UsersFull, format!("{users_max} users")));
    }
    Ok(Taken::New)
}

/// The user apart from what differs from cluster to cluster: when and how they came, wrong passwords, and the id of the
/// password.
fn same_user(user: &User) -> User {
    let mut user = User { failures: 0, lock: Lock::Open, creation: None, created_ms: 0, ..user.clone() };
    if let Some(credential) = &mut user.credential {
        credential.id = CredentialId::from_bytes([0; 16]);
    }
    user
}

fn is_internal(user: &User) -> bool {
    matches!(user.role, Role::UnactivatedAdmin | Role::ApplianceUser)
}

fn check_internal(user: &User) -> Result<(), Refusal> {
    if is_internal(user) { Err(Refusal::new(Status::UserInternal, user.name.as_str())) } else { Ok(()) }
}

pub(crate) fn user(
    asking: &Asking<'_>,
    replica: &Replica,
    user: &User,
    credential: &Credential,
) -> Result<Plan, PlanError> {
    if check_user(asking, replica, user)? == Taken::Here {
        let here = asking.state.user(user.id).ok_or_else(|| internal("user"))?;
        return Ok(Plan::Nothing(Reply::User { user: UserView::of(here, asking.now_ms), renewed: None }));
    }
    if asking.state.shared_with(user.id).next().is_some() {
        // Somebody brought the user here and deleted them again, just now.
        return Err(Refusal::from(Status::Busy).into());
    }
    let user = User {
        credential: Some(whole(credential)?.clone()),
        creation: Some(asking.creation()),
        created_ms: asking.now_ms,
        ..user.clone()
    };
    let reply = Reply::User { user: UserView::of(&user, asking.now_ms), renewed: None };
    let (puts, deletes) = (vec![Record::User(user)], Vec::new());
    Ok(Plan::Change(Planned { puts, deletes, reply, effect: Effect::Granting }))
}

pub(crate) fn check_forget(asking: &Asking<'_>, user: UserId) -> Result<(), Refusal> {
    match asking.state.user(user) {
        Some(here) => Err(Refusal::new(Status::UserExists, here.name.as_str())),
        None => Ok(()),
    }
}

/// A user who is gone may stand on share lists, where the id grants nothing while nobody has it. Before the same user
/// comes back by way of a clone, it leaves them.
pub(crate) fn forget(asking: &Asking<'_>, user: UserId) -> Plan {
    let keys = asking.state.shared_with(user).take(PLANNED_RECORDS_MAX - 1);
    let puts: Vec<Record> = keys.map(|key| Record::Key(keys::rewritten(asking, key))).collect();
    if puts.is_empty() { Plan::Nothing(Reply::Done) } else { asking.done(puts, Effect::Revoking) }
}

impl State {
    /// The keys on whose list a user stands, gone or not.
    pub fn shared_with(&self, user: UserId) -> impl Iterator<Item = &Arc<Key>> {
        let term = Term::Shared(user);
        let references: Vec<KeyReference> = self.index.iter(&term).collect();
        references.into_iter().filter_map(|reference| self.key(reference))
    }
}
