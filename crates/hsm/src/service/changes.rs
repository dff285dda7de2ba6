//! Changes: checked before the expensive part, made, committed by the cluster.

use std::num::NonZeroU32;
use std::time::Instant;

use prost::Message;
use strongroom_core::{Actor, Checked, Command, Credential, Made, Reply, Request, check};
use strongroom_crypto::random;
use strongroom_crypto_keys::password;
use strongroom_types::{CredentialId, Password, PasswordError, Refusal, Secret, Status, UserId, UserName};
use strongroom_wire::v1;

use super::{Asked, Service, Session};
use crate::cluster::{Change, ChangeError};

/// How often ids are drawn before the HSM gives up. References have 48 random bits, other ids 128.
pub(super) const DRAWS_MAX: usize = 8;

/// A request as the digest of a change sees it: without what may differ when it is sent again.
pub(super) fn operation_bytes(request: &v1::Request) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.encoded_len());
    if let Some(operation) = &request.operation {
        // As in a message: the number of the field, then its content.
        operation.encode(&mut bytes);
    }
    bytes
}

impl Service {
    /// Makes a change for the session's actor. `make` does the expensive part, after everything that can be refused
    /// without it was.
    pub(super) fn change(
        &self,
        session: &Session,
        asked: &Asked,
        command: &Command,
        make: impl FnMut() -> Result<Made, Refusal>,
    ) -> Result<Reply, Refusal> {
        self.change_by(session.actor(), asked, asked.deadline, command, make)
    }

    /// The same for this actor, who waits for the change until `deadline`.
    pub(super) fn change_by(
        &self,
        actor: Actor,
        asked: &Asked,
        deadline: Instant,
        command: &Command,
        mut make: impl FnMut() -> Result<Made, Refusal>,
    ) -> Result<Reply, Refusal> {
        let (checked, request) = self.fresh(asked, |state| {
            let request = asked.request(state, &actor)?;
            Ok((check(state, &actor, command, &request, asked.now_ms)?, request))
        })?;
        for _ in 0..DRAWS_MAX {
            let made = match checked {
                Checked::Proceed => make()?,
                // Planning finds the receipt again, and waits for its effect.
                Checked::Replayed(_) => Made::Nothing,
            };
            let change = Change { actor, command: command.clone(), made, request: request.clone() };
            asked.turn.end();
            match self.cluster.change(change, deadline) {
                Ok(changed) => return Ok(changed.reply),
                Err(ChangeError::Refused(refusal)) => return Err(refusal),
                Err(ChangeError::DrawAgain) => {}
            }
        }
        self.log.error(format_args!("random ids were taken {DRAWS_MAX} times in a row"));
        Err(Status::Internal.into())
    }

    /// A change that needs nothing made, whose answer is that it is done.
    pub(super) fn change_only(&self, session: &Session, asked: &Asked, command: &Command) -> Result<Reply, Refusal> {
        self.change(session, asked, command, || Ok(Made::Nothing))
    }

    /// A change by the HSM itself, under an id of its own.
    pub(super) fn own_change(&self, command: Command, asked: &Asked) -> Result<(), Refusal> {
        let request = Request::new(strongroom_types::RequestId::from_bytes(random::bytes()), random::bytes());
        let change = Change { actor: Actor::Hsm, command, made: Made::Nothing, request };
        asked.turn.end();
        match self.cluster.change(change, asked.deadline) {
            Ok(_) => Ok(()),
            Err(ChangeError::Refused(refusal)) => Err(refusal),
            Err(ChangeError::DrawAgain) => Err(Status::Internal.into()),
        }
    }

    /// Hashes a new password, when it is the turn of `user`, for whom it is done.
    pub(super) fn credential(&self, user: UserId, password: &Password, asked: &Asked) -> Result<Credential, Refusal> {
        let settings = self.cluster.state().cluster().map(|cluster| cluster.settings);
        let iterations = settings.ok_or(Status::WrongClusterState)?.password_iterations;
        let cost = NonZeroU32::new(iterations).ok_or(Status::Internal)?;
        let _place = self.hashing.enter(user, asked.deadline)?;
        let salt = random::bytes();
        let hash = Secret::new(password::hash(password, &salt, cost).to_vec());
        Ok(Credential { id: CredentialId::from_bytes(random::bytes()), salt, iterations, hash })
    }

    /// Under whose name a session's expensive work waits.
    pub(super) fn waits_as(&self, session: &Session) -> UserId {
        session.login().map_or(UserId::from_bytes([0; 16]), |login| login.user)
    }
}

/// A password to be set.
pub(super) fn new_password(bytes: &mut Vec<u8>) -> Result<Password, Refusal> {
    let refused = |error: PasswordError| Refusal::new(Status::PasswordInvalid, error.to_string());
    Password::new(Secret::new(std::mem::take(bytes))).map_err(refused)
}

/// A user's name in a request that is about that user.
pub(super) fn user_name(text: &str) -> Result<UserName, Refusal> {
    text.parse().map_err(|error: strongroom_types::NameError| Refusal::new(Status::UserNameInvalid, error.to_string()))
}

/// Something that can't happen did; `about` says where.
pub(super) fn internal(about: &'static str) -> Refusal {
    Refusal::new(Status::Internal, about)
}
