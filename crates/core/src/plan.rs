//! From a command to the records that it writes.

use std::sync::Arc;

use strongroom_types::limits::RECEIPTS_EACH_MAX;
use strongroom_types::{CredentialId, Refusal, Revision, Status};

use crate::derive::Deriving;
use crate::permissions::permit;
use crate::records::{Asker, Creation, Outcome, Receipt};
use crate::wrapping::Unwrapping;
use crate::{
    Actor, Checked, Cluster, Command, Effect, Made, Plan, PlanError, Planned, QuorumToken, Record, Replayed, Reply,
    Request, State, User, UserView, Via, attributes, certificates, copies, derive, key_uses, keys, lifecycle, logins,
    mtls, quorum, receipts, replicate, sharing, users, wrapping,
};

/// One command being decided: who asks, of which state, when.
pub(crate) struct Asking<'a> {
    pub(crate) state: &'a State,
    pub(crate) actor: &'a Actor,
    /// The actor's user; there for every operation that needs a login.
    pub(crate) user: Option<&'a Arc<User>>,
    pub(crate) request: &'a Request,
    /// The cluster's time.
    pub(crate) now_ms: u64,
}

/// Everything that would be refused whatever is [`Made`], in the order of [`Status`]. Run it before generating a key
/// or hashing a password; [`plan`] runs it again on the state it plans for.
pub fn check(
    state: &State,
    actor: &Actor,
    command: &Command,
    request: &Request,
    now_ms: u64,
) -> Result<Checked, Refusal> {
    match ask(state, actor, command, request, now_ms)? {
        Asked::Replayed(replayed) => Ok(Checked::Replayed(replayed)),
        Asked::Now(asking) => {
            refuse(&asking, command)?;
            quorum::check(&asking, command)?;
            Ok(Checked::Proceed)
        }
    }
}

/// What to write for a command. Pure: the same arguments give the same plan, and nothing changes until the plan's
/// records are committed and applied.
///
/// `state` must be the newest: the plan counts on it when the batch commits as the revision that follows. To put
/// several plans into one batch, use [`Draft`](crate::Draft).
pub fn plan(
    state: &State,
    actor: &Actor,
    command: &Command,
    made: &Made,
    request: &Request,
    now_ms: u64,
) -> Result<Plan, PlanError> {
    let asking = match ask(state, actor, command, request, now_ms)? {
        Asked::Replayed(replayed) => return Ok(Plan::Replayed(replayed)),
        Asked::Now(asking) => asking,
    };
    refuse(&asking, command)?;
    let spent = quorum::check(&asking, command)?;
    let mut plan = planned(&asking, command, made)?;
    if let Plan::Change(change) = &mut plan
        && !spent.is_empty()
    {
        // With the change that they allow, or not at all. What is taken away with it must hold everywhere.
        change.deletes.extend(spent.into_iter().map(QuorumToken::path_of));
        change.effect = Effect::Revoking;
    }
    Ok(plan)
}

fn planned(asking: &Asking<'_>, command: &Command, made: &Made) -> Result<Plan, PlanError> {
    let state = asking.state;
    match (command, made) {
        (Command::MakeHistoryKey, Made::HistoryKey(sealed)) => Ok(lifecycle::make_history_key(asking, sealed)),
        (Command::CreateCluster { .. }, Made::Cluster { .. }) => lifecycle::create(asking, command, made),
        (Command::RegisterHsm(hsm), Made::Nothing) => Ok(lifecycle::register(asking, hsm)),
        (Command::InstallCertificate { certificate_pem, trust_anchor_pem }, Made::Nothing) => {
            lifecycle::install(asking, certificate_pem, trust_anchor_pem)
        }
        (Command::Activate, Made::Password(credential)) => lifecycle::activate(asking, credential),
        (Command::CreateUser { name, role }, Made::User { id, credential }) => {
            users::create(asking, name, *role, *id, credential)
        }
        (Command::DeleteUser { name, role }, Made::Nothing) => users::delete(asking, name, *role),
        (Command::ChangePassword { name, role, deregister }, Made::Password(credential)) => {
            users::change_password(asking, name, *role, *deregister, credential)
        }
        (Command::ChangeMfa { name, role, change, change_quorum }, Made::Password(credential)) => {
            users::change_mfa(asking, (name, *role), change, *change_quorum, credential)
        }
        (Command::RegisterQuorumKey { key, token }, Made::Nothing) => quorum::register(asking, key, *token),
        (Command::GenerateQuorumToken(subject), Made::Token(id)) => quorum::generate(asking, *subject, *id),
        (Command::DeleteQuorumTokens { of_everybody }, Made::Nothing) => quorum::delete_all(asking, *of_everybody),
        (Command::SetQuorumValue { service, value }, Made::Nothing) => Ok(quorum::set_value(asking, *service, *value)),
        (Command::SetTokenTime { time, seconds }, Made::Nothing) => Ok(quorum::set_seconds(asking, *time, *seconds)),
        (Command::UseApproved { .. }, Made::Nothing) => Ok(quorum::use_approved(asking)),
        (Command::LoginFailed { user, credential }, Made::Nothing) => {
            Ok(asking.user_written(logins::failed(state, *user, *credential, asking.now_ms)))
        }
        (Command::LoginSucceeded { user, credential }, Made::Nothing) => {
            Ok(asking.user_written(logins::succeeded(state, *user, *credential, asking.now_ms)))
        }
        (Command::LoginSigned { user, credential, challenge }, Made::Nothing) => {
            Ok(logins::signed(asking, *user, *credential, *challenge))
        }
        (Command::Logout, Made::Nothing) => logins::logout(asking),
        (Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum }, Made::Secret(made)) => {
            keys::secret(asking, (*key_type, *length_bytes), template, (share_with, *quorum), made)
        }
        (Command::ImportKey { key, template }, Made::Key(made)) => wrapping::import(asking, key, template, made),
        (Command::DeriveKey { .. }, Made::Key(made)) => derive::derive(asking, Deriving::of(command)?, made),
        (Command::UnwrapKey { share_with, quorum, .. }, Made::Key(made)) => {
            wrapping::unwrap(asking, Unwrapping::of(command)?, (share_with, *quorum), made)
        }
        (Command::CopyKey { from, template }, Made::Key(made)) => copies::copy(asking, from, template, made),
        (
            Command::GeneratePair { algorithm, public_template, private_template, share_with, quorum },
            Made::Pair(made),
        ) => keys::pair(asking, algorithm, (public_template, private_template), (share_with, *quorum), made),
        (Command::DeleteKey(reference), Made::Nothing) => keys::delete(asking, *reference),
        (Command::ShareKey { key, name, role }, Made::Nothing) => sharing::share(asking, *key, name, *role),
        (Command::UnshareKey { key, name, role }, Made::Nothing) => sharing::unshare(asking, *key, name, *role),
        (Command::SetAttribute { key, attribute, value }, Made::Nothing) => {
            attributes::set(asking, *key, *attribute, value)
        }
        (Command::RegisterTrustAnchor { chain_pem, fingerprint }, Made::Nothing) => {
            mtls::register(asking, chain_pem, fingerprint)
        }
        (Command::DeregisterTrustAnchor(reference), Made::Nothing) => mtls::deregister(asking, *reference),
        (Command::SetEnforcement(level), Made::Nothing) => mtls::set_enforcement(asking, *level),
        (Command::ReplicateKey { replica, key }, Made::Nothing) => replicate::key(asking, replica, key),
        (Command::ReplicateUser { replica, user }, Made::User { id, credential }) if *id == user.id => {
            replicate::user(asking, replica, user, credential)
        }
        (Command::ReserveUses { key, uses }, Made::Nothing) => key_uses::reserve(asking, *key, *uses),
        (Command::ForgetUser(user), Made::Nothing) => Ok(replicate::forget(asking, *user)),
        (Command::CreateCertificate { template, .. }, Made::Certificate { reference, check_value }) => {
            certificates::create(asking, template, *reference, *check_value)
        }
        (Command::DeleteCertificate(reference), Made::Nothing) => certificates::delete(asking, *reference),
        (Command::SetCertificate { reference, change }, Made::Nothing) => certificates::set(asking, *reference, change),
        _ => Err(internal("made").into()),
    }
}

#[expect(clippy::large_enum_variant, reason = "lives for one decision, never in numbers")]
enum Asked<'a> {
    Replayed(Replayed),
    Now(Asking<'a>),
}

/// A repeat is answered before what it asks for is looked at. The login comes first, except that a change that ends the
/// very login it comes with is answered all the same: who logged out, or set a new password of their own, learns what
/// became of it. Nothing else is told to a login that has ended, whatever it may have been told before; and nothing is
/// done over a connection that may be no more, also when the change was on its way before. What is done already, such as
/// ending that very connection, is answered: whether the answer can still leave is the HSM's business.
fn ask<'a>(
    state: &'a State,
    actor: &'a Actor,
    command: &Command,
    request: &'a Request,
    now_ms: u64,
) -> Result<Asked<'a>, Refusal> {
    let replayed = receipts::replay(state, actor, request, now_ms);
    let permitted = permit(state, actor, command.operation(), now_ms);
    if let Ok(Some(replayed)) = replayed {
        return match permitted {
            Err(refusal) if refusal.status == Status::LoginEnded && !ends_own_login(command) => Err(refusal),
            // One half was deleted, longer than an hour ago.
            _ if matches!((command, &replayed.reply), (Command::GeneratePair { .. }, Reply::Key(_))) => {
                Err(Status::KeyUnknown.into())
            }
            _ => Ok(Asked::Replayed(replayed)),
        };
    }
    if let Via::Client(presented) = &request.via {
        mtls::check_connection(state, presented.as_ref())?;
    }
    let user = permitted?;
    replayed?;
    check_receipts(state, actor.asker(), command)?;
    Ok(Asked::Now(Asking { state, actor, user, request, now_ms: state.cluster_time(now_ms) }))
}

/// Refuses one more change of a user whose receipts are too many to be kept, until the oldest of them may go. What ends logins
/// is never refused so, and what makes something keeps its receipt in what it makes.
fn check_receipts(state: &State, asker: Asker, command: &Command) -> Result<(), Refusal> {
    let leaves_receipt = match command {
        Command::DeleteUser { .. }
        | Command::DeleteKey(_)
        | Command::ShareKey { .. }
        | Command::UnshareKey { .. }
        | Command::SetAttribute { .. }
        | Command::DeregisterTrustAnchor(_)
        | Command::SetEnforcement(_)
        | Command::ReplicateKey { .. }
        | Command::RegisterQuorumKey { .. }
        | Command::GenerateQuorumToken(_)
        | Command::DeleteQuorumTokens { .. }
        | Command::SetQuorumValue { .. }
        | Command::SetTokenTime { .. }
        | Command::UseApproved { .. }
        | Command::DeleteCertificate(_)
        | Command::SetCertificate { .. } => true,
        Command::CreateCluster { .. }
        | Command::MakeHistoryKey
        | Command::RegisterHsm(_)
        | Command::ReplicateUser { .. }
        | Command::ForgetUser(_)
        | Command::ReserveUses { .. }
        | Command::InstallCertificate { .. }
        | Command::Activate
        | Command::CreateUser { .. }
        | Command::ChangePassword { .. }
        | Command::ChangeMfa { .. }
        | Command::LoginSigned { .. }
        | Command::LoginFailed { .. }
        | Command::LoginSucceeded { .. }
        | Command::Logout
        | Command::GenerateSecret { .. }
        | Command::GeneratePair { .. }
        | Command::ImportKey { .. }
        | Command::UnwrapKey { .. }
        | Command::CopyKey { .. }
        | Command::DeriveKey { .. }
        | Command::RegisterTrustAnchor { .. }
        | Command::CreateCertificate { .. } => false,
    };
    if leaves_receipt && state.receipts_len_of(asker) >= RECEIPTS_EACH_MAX {
        let about = format!("the user made {RECEIPTS_EACH_MAX} changes in the last minutes");
        return Err(Refusal::new(Status::Busy, about));
    }
    Ok(())
}

/// Whether the command can end the login that it comes with.
fn ends_own_login(command: &Command) -> bool {
    matches!(command, Command::Logout | Command::ChangePassword { .. } | Command::ChangeMfa { .. })
}

fn refuse(asking: &Asking<'_>, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::CreateCluster { .. } => lifecycle::check_create(command),
        Command::RegisterHsm(hsm) => lifecycle::check_register(asking, hsm),
        Command::InstallCertificate { certificate_pem, trust_anchor_pem } => {
            lifecycle::check_install(certificate_pem, trust_anchor_pem)
        }
        Command::Activate | Command::LoginFailed { .. } | Command::Logout | Command::MakeHistoryKey => Ok(()),
        Command::CreateUser { name, role } => users::check_create(asking, name, *role),
        Command::DeleteUser { name, role } => users::check_delete(asking, name, *role).map(drop),
        Command::ChangePassword { name, role, deregister } => {
            users::check_change_password(asking, name, *role, *deregister).map(drop)
        }
        Command::ChangeMfa { name, role, change, change_quorum } => {
            users::check_change_mfa(asking, (name, *role), change, *change_quorum).map(drop)
        }
        Command::RegisterQuorumKey { key, token } => quorum::register(asking, key, *token).map(drop).map_err(refusal),
        Command::GenerateQuorumToken(subject) => quorum::check_generate(asking, *subject),
        Command::DeleteQuorumTokens { of_everybody } => users::check_delete_tokens(asking, *of_everybody),
        Command::SetQuorumValue { service, value } => quorum::check_set_value(asking, *service, *value),
        Command::SetTokenTime { seconds, .. } => quorum::check_set_seconds(*seconds),
        Command::UseApproved { keys, .. } => quorum::check_use(asking, keys),
        Command::LoginSigned { user, credential, challenge } => {
            logins::check_signed(asking, *user, *credential, *challenge)
        }
        Command::LoginSucceeded { user, credential } => {
            logins::still_right(asking.state, *user, *credential, asking.now_ms)
        }
        Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum } => {
            keys::check_secret(asking, (*key_type, *length_bytes), template, (share_with, *quorum)).map(drop)
        }
        Command::GeneratePair { algorithm, public_template, private_template, share_with, quorum } => {
            keys::check_pair(asking, algorithm, (public_template, private_template), (share_with, *quorum)).map(drop)
        }
        Command::ImportKey { key, template } => wrapping::check_import(asking, key, template).map(drop),
        Command::DeriveKey { .. } => derive::check(asking, Deriving::of(command)?).map(drop),
        Command::UnwrapKey { share_with, quorum, .. } => {
            wrapping::check_unwrap(asking, Unwrapping::of(command)?, (share_with, *quorum)).map(drop)
        }
        Command::CopyKey { from, template } => copies::check(asking, from, template).map(drop),
        Command::DeleteKey(reference) => keys::check_delete(asking, *reference).map(drop),
        Command::ShareKey { key, name, role } => sharing::check(asking, *key, name, *role).map(drop),
        Command::UnshareKey { key, name, role } => sharing::check_unshare(asking, *key, name, *role).map(drop),
        Command::SetAttribute { key, attribute, value } => {
            attributes::check_set(asking, *key, *attribute, value).map(drop)
        }
        Command::RegisterTrustAnchor { chain_pem, fingerprint } => mtls::check_register(asking, chain_pem, fingerprint),
        Command::DeregisterTrustAnchor(reference) => mtls::check_deregister(asking, *reference).map(drop),
        Command::SetEnforcement(_) => mtls::check_set_enforcement(asking),
        Command::ReplicateKey { replica, key } => replicate::check_key(asking, replica, key).map(drop),
        Command::ReplicateUser { replica, user } => replicate::check_user(asking, replica, user).map(drop),
        Command::ReserveUses { key, .. } => key_uses::check(asking.state, *key).map(drop),
        Command::ForgetUser(user) => replicate::check_forget(asking, *user),
        Command::CreateCertificate { template, trusted } => certificates::check_create(asking, template, *trusted),
        Command::DeleteCertificate(reference) => certificates::check_delete(asking, *reference).map(drop),
        Command::SetCertificate { reference, change } => certificates::check_set(asking, *reference, change).map(drop),
    }
}

impl Asking<'_> {
    /// The revision of the batch that this plan becomes part of.
    pub(crate) fn next_revision(&self) -> Revision {
        self.state.revision().next()
    }

    /// The user who asks; operations that need one have passed [`permit`].
    pub(crate) fn user(&self) -> Result<&User, Refusal> {
        self.user.map(Arc::as_ref).ok_or_else(|| internal("user"))
    }

    /// The cluster's record; operations that have passed [`permit`] find one.
    pub(crate) fn cluster(&self) -> Result<&Cluster, Refusal> {
        self.state.cluster().map(Arc::as_ref).ok_or_else(|| internal("cluster"))
    }

    /// A change of a user, with the user as its answer.
    pub(crate) fn user_answer(&self, user: &User, renewed: Option<CredentialId>, mut puts: Vec<Record>) -> Plan {
        let effect = Effect::Revoking;
        let outcome = Outcome::User { name: user.name.clone(), role: user.role, renewed };
        puts.push(self.receipt(outcome, effect));
        let reply = Reply::User { user: UserView::of(user, self.now_ms), renewed };
        Plan::Change(Planned { puts, deletes: Vec::new(), reply, effect })
    }

    /// The receipt for what this command creates.
    pub(crate) fn creation(&self) -> Creation {
        Creation { asker: self.actor.asker(), request: self.request.id, digest: self.request.digest }
    }

    /// The receipt of a change that creates nothing.
    pub(crate) fn receipt(&self, outcome: Outcome, effect: Effect) -> Record {
        Record::Receipt(Receipt {
            asker: self.actor.asker(),
            request: self.request.id,
            digest: self.request.digest,
            outcome,
            effect,
            time_ms: self.now_ms,
        })
    }

    /// A change whose answer is that it is done.
    pub(crate) fn done(&self, mut puts: Vec<Record>, effect: Effect) -> Plan {
        puts.push(self.receipt(Outcome::Done, effect));
        Plan::Change(Planned { puts, deletes: Vec::new(), reply: Reply::Done, effect })
    }

    fn user_written(&self, user: Option<User>) -> Plan {
        user.map_or(Plan::Nothing(Reply::Done), |user| self.done(vec![Record::User(user)], Effect::Revoking))
    }
}

impl Actor {
    /// Under whose name the actor's request ids stand.
    pub(crate) fn asker(&self) -> Asker {
        match self {
            Actor::Hsm => Asker::Hsm,
            Actor::Appliance => Asker::Appliance,
            Actor::Anonymous => Asker::Anonymous,
            Actor::Login(login) => Asker::User(login.user),
        }
    }
}

/// The refusal of a plan whose command needs nothing made, for checking it beforehand.
fn refusal(error: PlanError) -> Refusal {
    match error {
        PlanError::Refused(refusal) => refusal,
        PlanError::DrawAgain | PlanError::BatchFull => internal("plan"),
    }
}

/// Something that can't happen did: the caller or this room is wrong. `about` says where.
pub(crate) fn internal(about: &'static str) -> Refusal {
    Refusal::new(Status::Internal, about)
}
