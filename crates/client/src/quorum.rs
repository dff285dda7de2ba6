//! Quorum and MFA: tokens, values, keys that users register, challenges.

use strongroom_types::{KeyReference, Password, QuorumService, QuorumSubject, Role, UserName};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, convert, v1};

use crate::answers::{LoggedIn, UserInfo};
use crate::client::Client;
use crate::error::ClientError;
use crate::manner;

/// Bytes of what is signed.
const DIGEST_LEN: usize = 32;

/// Which keys a user loses with a new password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deregister {
    /// The one for MFA, which ends with it.
    pub mfa: bool,
    /// The one for approvals.
    pub quorum: bool,
}

/// Something to sign beside a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Opaque; goes back with the signature.
    pub challenge: Vec<u8>,
    /// What is signed, as a SHA-256 digest.
    pub digest: [u8; DIGEST_LEN],
}

/// A challenge and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedChallenge {
    /// As it was given out.
    pub challenge: Vec<u8>,
    /// By the user's key, over the digest.
    pub signature: Vec<u8>,
}

/// What becomes of a user's MFA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MfaChange {
    /// It is enabled.
    Enable {
        /// The user's public key, SubjectPublicKeyInfo, DER.
        public_key: Vec<u8>,
        /// Signed by the private one.
        signed: SignedChallenge,
    },
    /// It ends.
    Disable,
}

/// Tokens of one user for one service, and of the key services for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Whose.
    pub user: UserName,
    /// For what.
    pub subject: QuorumSubject,
    /// How many approvals it needs.
    pub approvals_required: u32,
    /// Seconds until the last of them ends.
    pub seconds: u32,
    /// How many there are.
    pub count: u32,
}

/// How many admins must approve what, and for how long tokens are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumValues {
    /// The service user.
    pub user: u32,
    /// The service quorum.
    pub quorum: u32,
    /// The service cluster.
    pub cluster: u32,
    /// Seconds within which a token is approved.
    pub generated_seconds: u32,
    /// Seconds within which it is used.
    pub approved_seconds: u32,
}

impl Client {
    /// A challenge for a user with MFA, who logs in. Counts as a try.
    pub fn login_challenge(&self, user: &UserName, role: Role, password: &Password) -> Result<Challenge, ClientError> {
        let operation = Operation::LoginChallenge(v1::LoginChallenge {
            user_name: user.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
        });
        self.call(&manner::LOGIN, operation)?.read(|answer| match answer {
            Answer::LoginChallenge(challenge) => Some(challenge.try_into()),
            _ => None,
        })
    }

    /// Logs in with a signed challenge, in place of whoever was logged in.
    pub fn login_signed(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        signed: &SignedChallenge,
    ) -> Result<LoggedIn, ClientError> {
        self.engine().login(user, role, password, Some(signed))
    }

    /// A challenge for the key with which a user shall have MFA.
    pub fn mfa_challenge(&self, user: &UserName, role: Role) -> Result<Challenge, ClientError> {
        let user_name = user.as_str().to_owned();
        let operation = Operation::MfaChallenge(v1::MfaChallenge { user_name, role: v1::Role::from(role).into() });
        self.call(&manner::QUERY, operation)?.read(|answer| match answer {
            Answer::MfaChallenge(challenge) => Some(challenge.try_into()),
            _ => None,
        })
    }

    /// Enables or ends a user's MFA, and sets a password, which ends that user's logins. With `change_quorum` the key for
    /// approvals changes in the same way.
    pub fn user_change_mfa(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        change: MfaChange,
        change_quorum: bool,
    ) -> Result<UserInfo, ClientError> {
        let (public_key, signed) = match change {
            MfaChange::Enable { public_key, signed } => (public_key, signed),
            MfaChange::Disable => (Vec::new(), SignedChallenge { challenge: Vec::new(), signature: Vec::new() }),
        };
        let operation = Operation::UserChangeMfa(v1::UserChangeMfa {
            user_name: user.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
            public_key,
            challenge: signed.challenge,
            signature: signed.signature,
            change_quorum,
        });
        let changed = self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserChangeMfa(user) => Some(user.try_into()),
            _ => None,
        })?;
        self.engine().password_changed(user, role);
        Ok(changed)
    }

    /// Registers the key with which the user of this login approves: SubjectPublicKeyInfo, DER, and a signature of the
    /// approval data of a registration token by the private key.
    pub fn quorum_register(
        &self,
        public_key: &[u8],
        approval_data: &[u8],
        signature: &[u8],
    ) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserChangeQuorum(v1::UserChangeQuorum {
            public_key: public_key.to_vec(),
            approval_data: approval_data.to_vec(),
            signature: signature.to_vec(),
        });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserChangeQuorum(user) => Some(user.try_into()),
            _ => None,
        })
    }

    /// Makes a quorum token, good in this login alone; its approval data.
    pub fn quorum_token_generate(&self, subject: QuorumSubject) -> Result<Vec<u8>, ClientError> {
        let operation = Operation::QuorumTokenGenerate(v1::QuorumTokenGenerate {
            service: v1::QuorumService::from(subject.service).into(),
            key: subject.key.map_or(0, KeyReference::as_u64),
        });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::QuorumTokenGenerate(token) => Some(Ok(token.approval_data)),
            _ => None,
        })
    }

    /// The tokens that can be used. Needs no login.
    pub fn quorum_tokens(&self) -> Result<Vec<TokenInfo>, ClientError> {
        let operation = Operation::QuorumTokenList(v1::QuorumTokenList {});
        self.call(&manner::PUBLIC_QUERY, operation)?.read(|answer| match answer {
            Answer::QuorumTokenList(list) => Some(list.tokens.into_iter().map(TokenInfo::try_from).collect()),
            _ => None,
        })
    }

    /// Deletes the tokens of this login's user, or as an admin everybody's.
    pub fn quorum_token_delete(&self, all: bool) -> Result<(), ClientError> {
        let operation = Operation::QuorumTokenDelete(v1::QuorumTokenDelete { all });
        let answered = self.call(&manner::MANAGEMENT, operation)?;
        answered.read(|answer| matches!(answer, Answer::QuorumTokenDelete(_)).then_some(Ok(())))
    }

    /// How many admins must approve what. Needs no login.
    pub fn quorum_values(&self) -> Result<QuorumValues, ClientError> {
        let operation = Operation::QuorumValues(v1::QuorumValues {});
        self.call(&manner::PUBLIC_QUERY, operation)?.read(|answer| match answer {
            Answer::QuorumValues(values) => Some(Ok(QuorumValues {
                user: values.user,
                quorum: values.quorum,
                cluster: values.cluster,
                generated_seconds: values.generated_seconds,
                approved_seconds: values.approved_seconds,
            })),
            _ => None,
        })
    }

    /// Sets how many admins must approve what a service holds; 1 is off.
    pub fn quorum_set_value(&self, service: QuorumService, value: u32) -> Result<(), ClientError> {
        let service = v1::QuorumService::from(service).into();
        let operation = Operation::QuorumSetValue(v1::QuorumSetValue { service, value });
        let answered = self.call(&manner::MANAGEMENT, operation)?;
        answered.read(|answer| matches!(answer, Answer::QuorumSetValue(_)).then_some(Ok(())))
    }

    /// Sets for how many seconds a new token may be approved, or used.
    pub fn quorum_set_time(&self, approved: bool, seconds: u32) -> Result<(), ClientError> {
        let operation = Operation::QuorumSetTime(v1::QuorumSetTime { approved, seconds });
        let answered = self.call(&manner::MANAGEMENT, operation)?;
        answered.read(|answer| matches!(answer, Answer::QuorumSetTime(_)).then_some(Ok(())))
    }
}

impl TryFrom<v1::Challenge> for Challenge {
    type Error = Malformed;

    fn try_from(message: v1::Challenge) -> Result<Challenge, Malformed> {
        let digest = message.digest.as_slice().try_into().map_err(|_| Malformed { field: "digest" })?;
        Ok(Challenge { challenge: message.challenge, digest })
    }
}

impl TryFrom<v1::ListedQuorumToken> for TokenInfo {
    type Error = Malformed;

    fn try_from(message: v1::ListedQuorumToken) -> Result<TokenInfo, Malformed> {
        let service = convert::quorum_service(message.service)?;
        Ok(TokenInfo {
            user: message.user_name.parse().map_err(|_| Malformed { field: "user_name" })?,
            subject: QuorumSubject { service, key: KeyReference::from_u64(message.key) },
            approvals_required: message.approvals_required,
            seconds: message.seconds,
            count: message.count,
        })
    }
}
