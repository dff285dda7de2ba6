//! Quorum: tokens given out, approvals verified for the rules to judge, values.

use strongroom_core::permissions::Operation;
use strongroom_core::{
    Actor, Approval, Approver, Command, ListedToken, Made, QuorumToken, Reply, Request, State, TokenTime,
    approval_data, list_tokens, quorum_values, token_in,
};
use strongroom_crypto::digest::digest;
use strongroom_crypto::random;
use strongroom_types::{HashFunction, KeyReference, QuorumSubject, Refusal, Status, TokenId, TokenKey};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{ApprovalInfo, ApprovalSignature, convert, v1};

use super::changes::internal;
use super::mfa::{is_signature, token_key};
use super::users::changed_user;
use super::{Asked, Service, Session};

impl Asked<'_, '_> {
    /// What comes beside a command: its id and digest, and the approvals as this state lets them be found.
    pub(super) fn request(&self, state: &State, actor: &Actor) -> Result<Request, Refusal> {
        let request = self.change.as_ref().ok_or_else(|| Refusal::new(Status::MalformedRequest, "request_id"))?;
        let approvals = self.approvals.iter().map(|info| verified(state, actor, info));
        Ok(Request { approvals: approvals.collect::<Result<_, Refusal>>()?, ..request.clone() })
    }
}

/// Who has approved a token. A signature that is wrong is refused by name rather than passed over: somebody can mend it.
///
/// Of a token that the actor cannot use nothing is verified: strangers must not make an HSM work.
fn verified(state: &State, actor: &Actor, info: &ApprovalInfo) -> Result<Approval, Refusal> {
    let id = token_in(&info.approval_data).ok_or_else(|| Refusal::new(Status::MalformedRequest, "approval_data"))?;
    let own = |token: &&std::sync::Arc<QuorumToken>| matches!(actor, Actor::Login(login) if (login.user, login.login) == (token.user, token.login));
    let Some(token) = state.quorum_token(id).filter(own) else {
        return Ok(Approval { token: id, approvers: Vec::new() });
    };
    check_data(state, token, &info.approval_data)?;
    let hashed = digest(HashFunction::Sha256, &info.approval_data);
    let approvers = info.signatures.iter().map(|signature| approver(state, &hashed, signature));
    Ok(Approval { token: id, approvers: approvers.collect::<Result<_, Refusal>>()? })
}

/// Refuses data that is not the token's to the last byte: whoever signs reads service, key and user there.
fn check_data(state: &State, token: &QuorumToken, data: &[u8]) -> Result<(), Refusal> {
    let user = state.user(token.user).ok_or(Status::LoginEnded)?;
    if approval_data(token, &user.name) == data {
        return Ok(());
    }
    Err(Refusal::new(Status::QuorumTokenInvalid, "its approval data was changed"))
}

fn approver(state: &State, hashed: &[u8], signed: &ApprovalSignature) -> Result<Approver, Refusal> {
    let ApprovalSignature { user: name, role, signature } = signed;
    let invalid = |about: String| Refusal::new(Status::TokenSignatureInvalid, about);
    let user = state.user_named(name).filter(|user| user.role == *role);
    let user = user.ok_or_else(|| invalid(format!("there is no {role} {name}")))?;
    let key = user.quorum_key.as_ref().ok_or_else(|| invalid(format!("{name} has registered no key")))?;
    if !is_signature(key, hashed, signature) {
        return Err(invalid(format!("the one of {name}, with the key that is registered now")));
    }
    Ok(Approver { user: user.id, key: key.clone() })
}

impl Service {
    /// Spends the tokens for the use of keys; what comes next under the request that this answers is approved.
    pub(super) fn spend_approvals(
        &self,
        session: &Session,
        asked: &Asked,
        operation: Operation,
        keys: Vec<QuorumSubject>,
    ) -> Result<Request, Refusal> {
        self.change_only(session, asked, &Command::UseApproved { operation, keys })?;
        asked.change.clone().ok_or_else(|| internal("request"))
    }

    pub(super) fn quorum_token_generate(
        &self,
        session: &Session,
        message: &v1::QuorumTokenGenerate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let service = convert::quorum_service(message.service)?;
        let subject = QuorumSubject { service, key: KeyReference::from_u64(message.key) };
        let command = Command::GenerateQuorumToken(subject);
        let made = || Ok(Made::Token(TokenId::from_bytes(random::bytes())));
        match self.change(session, asked, &command, made)? {
            Reply::Token(view) => {
                let approval_data = approval_data(&view.token, &view.user).to_vec();
                Ok(Answer::QuorumTokenGenerate(v1::QuorumToken { approval_data }))
            }
            Reply::Done
            | Reply::User { .. }
            | Reply::Key(_)
            | Reply::Pair { .. }
            | Reply::TrustAnchor(_)
            | Reply::Certificate(_)
            | Reply::Uses(_) => Err(internal("reply")),
        }
    }

    pub(super) fn quorum_token_list(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let tokens = list_tokens(&self.cluster.state(), &session.actor(), asked.now_ms)?;
        let tokens = tokens.into_iter().map(|listed: ListedToken| v1::ListedQuorumToken {
            user_name: listed.user.as_str().to_owned(),
            service: v1::QuorumService::from(listed.subject.service).into(),
            key: listed.subject.key.map_or(0, KeyReference::as_u64),
            approvals_required: listed.approvals_required.into(),
            seconds: u32::try_from(listed.left_ms.div_ceil(1_000)).unwrap_or(u32::MAX),
            count: listed.count,
        });
        Ok(Answer::QuorumTokenList(v1::QuorumTokenListResult { tokens: tokens.collect() }))
    }

    pub(super) fn quorum_token_delete(
        &self,
        session: &Session,
        message: &v1::QuorumTokenDelete,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        self.change_only(session, asked, &Command::DeleteQuorumTokens { of_everybody: message.all })?;
        Ok(Answer::QuorumTokenDelete(v1::Empty {}))
    }

    pub(super) fn quorum_values(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let values = quorum_values(&self.cluster.state(), &session.actor(), asked.now_ms)?;
        Ok(Answer::QuorumValues(v1::QuorumValuesResult {
            user: values.user.into(),
            quorum: values.quorum.into(),
            cluster: values.cluster.into(),
            generated_seconds: values.generated_seconds,
            approved_seconds: values.approved_seconds,
        }))
    }

    pub(super) fn quorum_set_value(
        &self,
        session: &Session,
        message: &v1::QuorumSetValue,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let service = convert::quorum_service(message.service)?;
        // Too large for any service: the rules say which values there are.
        let value = u8::try_from(message.value).unwrap_or(u8::MAX);
        self.change_only(session, asked, &Command::SetQuorumValue { service, value })?;
        self.log.info(format_args!("the quorum value of {service} was set to {value} by {session}"));
        Ok(Answer::QuorumSetValue(v1::Empty {}))
    }

    pub(super) fn quorum_set_time(
        &self,
        session: &Session,
        message: &v1::QuorumSetTime,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let time = if message.approved { TokenTime::Approved } else { TokenTime::Generated };
        self.change_only(session, asked, &Command::SetTokenTime { time, seconds: message.seconds })?;
        Ok(Answer::QuorumSetTime(v1::Empty {}))
    }

    pub(super) fn user_change_quorum(
        &self,
        session: &mut Session,
        message: &v1::UserChangeQuorum,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let key = token_key(&message.public_key)?;
        let malformed = || Refusal::new(Status::MalformedRequest, "approval_data");
        let token = token_in(&message.approval_data).ok_or_else(malformed)?;
        let command = Command::RegisterQuorumKey { key: key.clone(), token };
        // Looked at only when the change was not made before: afterwards there is no token.
        let make = || self.check_possession(&key, token, message).map(|()| Made::Nothing);
        let reply = self.change(session, asked, &command, make)?;
        Ok(Answer::UserChangeQuorum(changed_user(session, reply)?))
    }

    /// Whether who registers a public key holds the private one: it signed the token.
    fn check_possession(&self, key: &TokenKey, token: TokenId, message: &v1::UserChangeQuorum) -> Result<(), Refusal> {
        let state = self.cluster.state();
        let token = state.quorum_token(token).ok_or(Status::QuorumRequired)?;
        check_data(&state, token, &message.approval_data)?;
        if is_signature(key, &digest(HashFunction::Sha256, &message.approval_data), &message.signature) {
            return Ok(());
        }
        Err(Refusal::new(Status::TokenSignatureInvalid, "it is none by the public key that was given"))
    }
}
