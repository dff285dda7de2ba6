//! Users, and the first admin's password.

use strongroom_core::{Command, Deregister, Made, Reply, UserView, list_users};
use strongroom_crypto::random;
use strongroom_types::{Refusal, UserId};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::changes::{internal, new_password, user_name};
use super::{Asked, Service, Session};

impl Service {
    pub(super) fn activate(
        &self,
        session: &Session,
        message: &mut v1::Activate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let password = new_password(&mut message.password)?;
        let user = self.waits_as(session);
        self.change(session, asked, &Command::Activate, || {
            Ok(Made::Password(self.credential(user, &password, asked)?))
        })?;
        self.log.info(format_args!("the cluster was activated by {session}"));
        Ok(Answer::Activate(v1::Empty {}))
    }

    pub(super) fn user_create(
        &self,
        session: &Session,
        message: &mut v1::UserCreate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let command = Command::CreateUser { name: user_name(&message.user_name)?, role: convert::role(message.role)? };
        let password = new_password(&mut message.password)?;
        let user = self.waits_as(session);
        let reply = self.change(session, asked, &command, || {
            let credential = self.credential(user, &password, asked)?;
            Ok(Made::User { id: UserId::from_bytes(random::bytes()), credential })
        })?;
        let (user, _) = user_of(reply)?;
        Ok(Answer::UserCreate(user))
    }

    pub(super) fn user_delete(
        &self,
        session: &Session,
        message: &v1::UserDelete,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let command = Command::DeleteUser { name: user_name(&message.user_name)?, role: convert::role(message.role)? };
        let (user, _) = user_of(self.change_only(session, asked, &command)?)?;
        Ok(Answer::UserDelete(user))
    }

    pub(super) fn user_change_password(
        &self,
        session: &mut Session,
        message: &mut v1::UserChangePassword,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let command = Command::ChangePassword {
            name: user_name(&message.user_name)?,
            role: convert::role(message.role)?,
            deregister: Deregister { mfa: message.deregister_mfa, quorum: message.deregister_quorum },
        };
        let password = new_password(&mut message.password)?;
        let waits_as = self.waits_as(session);
        let reply =
            self.change(session, asked, &command, || Ok(Made::Password(self.credential(waits_as, &password, asked)?)))?;
        Ok(Answer::UserChangePassword(changed_user(session, reply)?))
    }

    pub(super) fn user_list(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let users = list_users(&self.cluster.state(), &session.actor(), asked.now_ms)?;
        Ok(Answer::UserList(v1::UserListResult { users: users.into_iter().map(user_message).collect() }))
    }
}

/// The user of a change that set a password. Users who change their own stay logged in here, on the new one.
pub(super) fn changed_user(session: &mut Session, reply: Reply) -> Result<v1::User, Refusal> {
    let (user, renewed) = user_of(reply)?;
    if let (Some(credential), Some(login)) = (renewed, session.login()) {
        session.logged_in(login.with_credential(credential));
        session.renewed = true;
    }
    Ok(user)
}

pub(super) fn user_message(user: UserView) -> v1::User {
    v1::User {
        user_name: user.name.as_str().to_owned(),
        role: v1::Role::from(user.role).into(),
        locked: user.locked,
        mfa: user.mfa,
        quorum: user.quorum,
    }
}

pub(super) fn user_of(reply: Reply) -> Result<(v1::User, Option<strongroom_types::CredentialId>), Refusal> {
    match reply {
        Reply::User { user, renewed } => Ok((user_message(user), renewed)),
        Reply::Done
        | Reply::Key(_)
        | Reply::Pair { .. }
        | Reply::TrustAnchor(_)
        | Reply::Token(_)
        | Reply::Certificate(_)
        | Reply::Uses(_) => Err(internal("reply")),
    }
}
