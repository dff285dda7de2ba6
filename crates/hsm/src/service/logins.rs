//! Logging in and out, tickets.

use std::num::NonZeroU32;
use std::sync::PoisonError;

use strongroom_core::permissions::{self, permit};
use strongroom_core::{
    Actor, Command, Lock, LoginActor, PasswordCheck, Ticket, actor_of_ticket, login_check, login_stands,
};
use strongroom_crypto::random;
use strongroom_crypto_keys::password;
use strongroom_types::{CredentialId, LoginId, Password, Refusal, Role, Secret, Status, UserId, UserName};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::mfa::{self, Proof};
use super::{Asked, Service, Session};
use crate::log::Level;

impl Service {
    pub(super) fn login(
        &self,
        session: &mut Session,
        message: &mut v1::Login,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let password = Password::for_login(Secret::new(std::mem::take(&mut message.password)));
        self.may_log_in(session, asked)?;
        let role = convert::role(message.role)?;
        self.room_for(session, role, asked)?;
        // What breaks the rules of names is nobody's name.
        let name: UserName = message.user_name.parse().map_err(|_| Status::LoginFailed)?;
        let proof = match (message.challenge.as_slice(), message.signature.as_slice()) {
            ([], []) => Proof::Password,
            (challenge, signature) => Proof::Signed { challenge, signature },
        };
        let outcome = self.right_password((&name, role), &password, proof, asked);
        let checked = match outcome {
            Ok(checked) => checked,
            Err(refusal) => {
                self.log.client(Level::Warn, format_args!("login of {name} as {role} from {session}: {refusal}"));
                return Err(refusal);
            }
        };
        let state = self.cluster.state();
        let now_ms = state.cluster_time(self.cluster.now_ms());
        let login = checked.login(LoginId::from_bytes(random::bytes()), now_ms);
        let ticket = self.ticket(login).ok_or(Status::WrongClusterState)?;
        session.logged_in(login);
        self.log.client(Level::Info, format_args!("login of {name} as {role} from {session}"));
        Ok(Answer::Login(v1::LoginResult {
            ticket,
            user_name: checked.name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            user_id: checked.user.as_bytes().to_vec(),
        }))
    }

    /// Refuses to look at passwords where nobody logs in.
    pub(super) fn may_log_in(&self, session: &Session, asked: &Asked) -> Result<(), Refusal> {
        let actor = session.actor();
        self.fresh(asked, |state| permit(state, &actor, permissions::Operation::Login, asked.now_ms).map(drop))
    }

    /// Tries a password, one of a user at a time, and writes down how it went before anybody is told. A signature that is
    /// wrong beside the right password counts like a wrong one.
    pub(super) fn right_password(
        &self,
        (name, role): (&UserName, Role),
        password: &Password,
        proof: Proof<'_>,
        asked: &Asked,
    ) -> Result<PasswordCheck, Refusal> {
        let check = || self.fresh(asked, |state| login_check(state, name, role, asked.now_ms));
        let user = check()?.user;
        let _turn = self.tries.enter(user, asked.deadline)?;
        self.pay(user, asked)?;
        // The one before may have locked the user.
        let checked = check()?;
        if !self.is_right(&checked, password, asked)? {
            return Err(self.wrong(user, checked.credential.id, asked));
        }
        // The password may have been changed, or the user locked, while it was hashed. The same password may have another
        // id: every login of the user was ended.
        let again = check()?;
        let of = |check: &PasswordCheck| (check.credential.salt, check.credential.hash.clone());
        if of(&again) != of(&checked) {
            return Err(Status::LoginFailed.into());
        }
        let credential = again.credential.id;
        match (&again.mfa_key, proof) {
            (None, Proof::Password) => {}
            (Some(_), Proof::Password) => return Err(Status::MfaRequired.into()),
            (None, Proof::ToBeSigned | Proof::Signed { .. }) => return Err(mfa::without(name)),
            // Nothing is forgotten before the signature is there.
            (Some(_), Proof::ToBeSigned) => return Ok(again),
            (Some(key), Proof::Signed { challenge, signature }) => {
                let opened = self.login_challenge_of(user, challenge, asked)?;
                if !mfa::is_signed(key, challenge, signature) {
                    return Err(self.wrong(user, credential, asked));
                }
                self.own_change(Command::LoginSigned { user, credential, challenge: opened.spent() }, asked)?;
                return Ok(again);
            }
        }
        let state = self.cluster.state();
        let is_clean = state.user(user).is_some_and(|user| user.failures == 0 && user.lock == Lock::Open);
        if !is_clean {
            self.own_change(Command::LoginSucceeded { user, credential }, asked)?;
        }
        Ok(again)
    }

    /// A wrong try: what to answer, once it is counted.
    fn wrong(&self, user: UserId, credential: CredentialId, asked: &Asked) -> Refusal {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).insert(user, credential);
        self.pay(user, asked).err().unwrap_or_else(|| Status::LoginFailed.into())
    }

    fn is_right(&self, checked: &PasswordCheck, password: &Password, asked: &Asked) -> Result<bool, Refusal> {
        let credential = &checked.credential;
        let cost = NonZeroU32::new(credential.iterations).ok_or(Status::Internal)?;
        let hash = credential.hash.expose().try_into().map_err(|_| Status::Internal)?;
        let _place = self.hashing.enter(checked.user, asked.deadline)?;
        Ok(password::verify(password, &credential.salt, cost, hash))
    }

    /// Commits a wrong password that is not committed yet. While the store is out of reach nobody learns whether a
    /// password is right: tries that do not count would be free.
    fn pay(&self, user: UserId, asked: &Asked) -> Result<(), Refusal> {
        let owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner).get(&user).copied();
        if let Some(credential) = owed {
            self.own_change(Command::LoginFailed { user, credential }, asked)?;
            self.owed.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
        }
        Ok(())
    }

    pub(super) fn attach(&self, session: &mut Session, message: &v1::Attach, asked: &Asked) -> Result<Answer, Refusal> {
        let actor = session.actor();
        self.fresh(asked, |state| permit(state, &actor, permissions::Operation::Attach, asked.now_ms).map(drop))?;
        let opened = self.cluster.sealer().open_ticket(&message.ticket).map_err(|_| Status::LoginEnded)?;
        let ticket = Ticket::decode(opened.expose()).map_err(|_| Status::LoginEnded)?;
        let found = self.fresh(asked, |state| {
            let login = actor_of_ticket(state, &ticket, asked.now_ms)?;
            let user = state.user(login.user).ok_or(Status::LoginEnded)?;
            Ok((login, user.name.clone()))
        });
        let state = self.cluster.state();
        let is_ours = state.cluster().is_some_and(|own| (&own.id, own.epoch) == (&ticket.cluster, ticket.epoch));
        match found {
            Ok((login, name)) => {
                self.room_for(session, login.role, asked)?;
                session.logged_in(login);
                let role = v1::Role::from(login.role).into();
                Ok(Answer::Attach(v1::AttachResult { user_name: name.as_str().to_owned(), role }))
            }
            Err(refusal) => {
                if refusal.status == Status::LoginEnded && is_ours {
                    // The change that ended it may be sent again now, and finds its receipt.
                    session.attached_to_ended(ticket.actor());
                }
                Err(refusal)
            }
        }
    }

    /// Refuses a crypto user's login when such hold all connections that they may.
    fn room_for(&self, session: &Session, role: Role, asked: &Asked) -> Result<(), Refusal> {
        let is_held = session.standing_login().is_some_and(|login| login.role == Role::CryptoUser);
        if role != Role::CryptoUser || is_held {
            return Ok(());
        }
        let state = self.cluster.state();
        let stands = |login: &LoginActor| login_stands(&state, login, asked.now_ms).is_ok();
        if self.connections.has_room_for_crypto_user(stands) {
            return Ok(());
        }
        Err(Refusal::new(Status::Busy, "crypto users hold all connections that they may"))
    }

    pub(super) fn logout(&self, session: &mut Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.change_only(session, asked, &Command::Logout)?;
        session.logged_out();
        Ok(Answer::Logout(v1::Empty {}))
    }

    /// The ticket that an answer carries: when the login goes on with another password, or the one in use has passed
    /// half its life. Empty otherwise.
    pub(super) fn ticket_of(&self, session: &mut Session) -> Vec<u8> {
        let (Actor::Login(login), true) = (session.actor(), session.has_login()) else { return Vec::new() };
        let state = self.cluster.state();
        let now_ms = state.cluster_time(self.cluster.now_ms());
        let renewed = std::mem::take(&mut session.renewed);
        let next = login.renewal(now_ms);
        if !renewed && next.is_none() {
            return Vec::new();
        }
        let next = next.unwrap_or(login);
        // Only who is still logged in goes on.
        if login_stands(&state, &login, now_ms).is_err() {
            return Vec::new();
        }
        session.logged_in(next);
        self.ticket(next).unwrap_or_default()
    }

    /// After a refusal that speaks of an ended login: whether it was this connection's, or that of a ticket it showed.
    pub(super) fn look_at_login(&self, session: &mut Session) {
        let now_ms = self.cluster.now_ms();
        let stands = session.login().is_some_and(|login| login_stands(&self.cluster.state(), &login, now_ms).is_ok());
        session.set_stands(stands);
    }

    fn ticket(&self, login: LoginActor) -> Option<Vec<u8>> {
        let ticket = Ticket::issue(&self.cluster.state(), login, self.cluster.now_ms())?;
        Some(self.cluster.sealer().seal_ticket(&ticket.encode()))
    }
}
