//! Logging in, staying so, logging out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use strongroom_types::{Password, Role, Secret, Status, UserName};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, convert, v1};

use super::tries::Errand;
use super::{Engine, Wiped};
use crate::answers::LoggedIn;
use crate::client::request_id;
use crate::error::ClientError;
use crate::generation::{Credentials, Generation, Login};
use crate::logging::Level;
use crate::manner;
use crate::quorum::SignedChallenge;

impl Engine {
    /// The login in use, or one made now with the stored credentials.
    pub(super) fn current_login(&self, generation: &Generation, deadline: Instant) -> Result<Arc<Login>, ClientError> {
        if let Some(login) = generation.login.load_full() {
            return Ok(login);
        }
        let credentials = self.credentials.load_full().ok_or(ClientError::NoCredentials)?;
        let Some(_turn) = generation.login_turn(deadline) else {
            return Err(ClientError::Unavailable { tried: Vec::new() });
        };
        if let Some(login) = generation.login.load_full() {
            return Ok(login);
        }
        if let Some(refusal) = generation.recent_refusal(credentials.number) {
            return Err(ClientError::Refused(refusal));
        }
        let made = self.log_in(generation, &credentials, None, deadline, true);
        if let Err(ClientError::Refused(refusal)) = &made
            && matches!(refusal.status, Status::LoginFailed | Status::MfaRequired)
        {
            generation.remember_refusal(credentials.number, refusal);
            let user = &credentials.user;
            self.log.write(Level::Error, &format!("the login of {user} ({}) failed: {refusal}", credentials.role));
        }
        made
    }

    fn log_in(
        &self,
        generation: &Generation,
        credentials: &Credentials,
        signed: Option<&SignedChallenge>,
        deadline: Instant,
        from_credentials: bool,
    ) -> Result<Arc<Login>, ClientError> {
        let mut request = Wiped(v1::Request {
            operation: Some(Operation::Login(v1::Login {
                user_name: credentials.user.as_str().to_owned(),
                role: v1::Role::from(credentials.role).into(),
                password: credentials.password.expose().to_vec(),
                challenge: signed.map(|signed| signed.challenge.clone()).unwrap_or_default(),
                signature: signed.map(|signed| signed.signature.clone()).unwrap_or_default(),
            })),
            ..v1::Request::default()
        });
        let number = generation.next_login_number();
        let errand = Errand { makes_login: Some(number), ..Errand::new(&manner::LOGIN, deadline) };
        let answered = self.deliver(generation, &errand, &mut request.0)?;
        let login = answered.read(|answer| match answer {
            Answer::Login(result) => Some(login_of(result, number, from_credentials)),
            _ => None,
        })?;
        let login = Arc::new(login);
        generation.login.store(Some(Arc::clone(&login)));
        Ok(login)
    }

    pub(crate) fn login(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        signed: Option<&SignedChallenge>,
    ) -> Result<LoggedIn, ClientError> {
        self.login_until(user, role, password, signed, Instant::now() + manner::LOGIN.patience)
    }

    pub(crate) fn login_within(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        patience: Duration,
    ) -> Result<LoggedIn, ClientError> {
        let patience = patience.min(manner::LOGIN.patience);
        self.login_until(user, role, password, None, Instant::now() + patience)
    }

    fn login_until(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        signed: Option<&SignedChallenge>,
        deadline: Instant,
    ) -> Result<LoggedIn, ClientError> {
        let credentials = Credentials { user: user.clone(), role, password: password.clone(), number: 0 };
        Ok(self.log_in(&self.generation(), &credentials, signed, deadline, false)?.who.clone())
    }

    pub(crate) fn set_credentials(&self, user: UserName, role: Role, password: Password) {
        let number = self.credentials_given.fetch_add(1, Ordering::Relaxed) + 1;
        self.credentials.store(Some(Arc::new(Credentials { user, role, password, number })));
    }

    pub(crate) fn logout(&self, patience: Duration) -> Result<(), ClientError> {
        let generation = self.generation();
        let had_credentials = self.credentials.swap(None).is_some();
        let Some(login) = generation.leave_login() else {
            return if had_credentials { Ok(()) } else { Err(ClientError::NoCredentials) };
        };
        let mut request = v1::Request {
            request_id: request_id(),
            operation: Some(Operation::Logout(v1::Logout {})),
            ..v1::Request::default()
        };
        let errand = Errand { login: Some(login), ..Errand::new(&manner::MANAGEMENT, Instant::now() + patience) };
        match self.deliver(&generation, &errand, &mut request) {
            Ok(answered) => answered.read(|answer| matches!(answer, Answer::Logout(_)).then_some(Ok(()))),
            // It was over before: what was wanted is so.
            Err(ClientError::Refused(refusal)) if refusal.status == Status::LoginEnded => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn logged_in(&self) -> Option<LoggedIn> {
        self.generation().login.load().as_ref().map(|login| login.who.clone())
    }
}

fn login_of(result: v1::LoginResult, number: u64, from_credentials: bool) -> Result<Login, Malformed> {
    let ticket = Secret::new(result.ticket);
    if ticket.is_empty() {
        return Err(Malformed { field: "ticket" });
    }
    let user_name = result.user_name.parse().map_err(|_| Malformed { field: "user_name" })?;
    let who = LoggedIn { user_name, role: convert::role(result.role)? };
    Ok(Login { number, ticket, ticket_number: 0, session_keys: Arc::default(), who, from_credentials })
}
