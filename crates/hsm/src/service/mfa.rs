//! Signatures beside passwords: challenges given out and taken back, MFA enabled and ended.

use strongroom_core::{Challenge, ChallengePurpose, Command, Made, MfaChange, State, mfa_target};
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::verify::verify;
use strongroom_crypto::{random, spki};
use strongroom_types::limits::MFA_CHALLENGE_LEN_MAX;
use strongroom_types::{
    ChallengeId, HashFunction, Password, Refusal, Secret, SignMechanism, Status, TokenKey, UserId, UserName,
};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::changes::{internal, new_password, user_name};
use super::users::changed_user;
use super::{Asked, Service, Session};
use crate::log::Level;

/// What stands before a challenge's sealed bytes in what is signed: no digest of a challenge is that of a quorum token.
const SIGNED_PREFIX: &[u8] = b"strongroom MFA challenge\0";

/// What comes with a password.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// Nothing.
    Password,
    /// Nothing yet: a challenge is asked for.
    ToBeSigned,
    /// A challenge with its signature.
    Signed {
        /// As it was given out.
        challenge: &'a [u8],
        /// By the user's key.
        signature: &'a [u8],
    },
}

/// The refusal of a signature for a user who signs nothing.
pub(super) fn without(name: &UserName) -> Refusal {
    let about = format!("{name} has no MFA; log in without mfa-token-sign");
    Refusal::new(Status::MfaChallengeInvalid, about)
}

/// Whether the signature is the key's over these 32 bytes, as the digest of something.
pub(super) fn is_signature(key: &TokenKey, hashed: &[u8], signature: &[u8]) -> bool {
    let signed = digest_info(HashFunction::Sha256, hashed);
    verify(&key.public_part(), SignMechanism::RsaPkcs, &signed, signature).is_ok()
}

/// Whether the signature is the key's over this challenge.
pub(super) fn is_signed(key: &TokenKey, challenge: &[u8], signature: &[u8]) -> bool {
    is_signature(key, &challenge_digest(challenge), signature)
}

/// A key to sign tokens with, as clients send it.
pub(super) fn token_key(der: &[u8]) -> Result<TokenKey, Refusal> {
    let invalid = |about: String| Refusal::new(Status::TokenKeyInvalid, about);
    let public = spki::decode(der).map_err(|error| invalid(error.to_string()))?;
    TokenKey::try_from(public).map_err(|error| invalid(error.to_string()))
}

fn challenge_digest(sealed: &[u8]) -> Vec<u8> {
    digest(HashFunction::Sha256, &[SIGNED_PREFIX, sealed].concat())
}

impl Service {
    /// A challenge for who knows the password; without it a login is not told that there is MFA.
    pub(super) fn login_challenge(
        &self,
        session: &Session,
        message: &mut v1::LoginChallenge,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let password = Password::for_login(Secret::new(std::mem::take(&mut message.password)));
        self.may_log_in(session, asked)?;
        let role = convert::role(message.role)?;
        let name: UserName = message.user_name.parse().map_err(|_| Status::LoginFailed)?;
        let checked =
            self.right_password((&name, role), &password, Proof::ToBeSigned, asked).inspect_err(|refusal| {
                self.log.client(Level::Warn, format_args!("challenge for {name} as {role} from {session}: {refusal}"));
            })?;
        let challenge = self.issued(checked.user, ChallengePurpose::Login)?;
        Ok(Answer::LoginChallenge(challenge))
    }

    /// A challenge for the key with which a user shall have MFA.
    pub(super) fn mfa_challenge(
        &self,
        session: &Session,
        message: &v1::MfaChallenge,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (name, role) = (user_name(&message.user_name)?, convert::role(message.role)?);
        let actor = session.actor();
        let target = |state: &State| mfa_target(state, &actor, &name, role, asked.now_ms).map(|user| user.id);
        let user = self.fresh(asked, target)?;
        let login = session.login().ok_or(Status::NotLoggedIn)?.login;
        Ok(Answer::MfaChallenge(self.issued(user, ChallengePurpose::Enable(login))?))
    }

    fn issued(&self, user: UserId, purpose: ChallengePurpose) -> Result<v1::Challenge, Refusal> {
        let state = self.cluster.state();
        let user = state.user(user).ok_or(Status::UserUnknown)?;
        let (id, now_ms) = (ChallengeId::from_bytes(random::bytes()), state.cluster_time(self.cluster.now_ms()));
        let challenge = Challenge::issue(user, purpose, id, now_ms).ok_or_else(|| internal("credential"))?;
        let challenge = self.cluster.sealer().seal_challenge(&challenge.encode());
        Ok(v1::Challenge { digest: challenge_digest(&challenge), challenge })
    }

    /// The challenge in sealed bytes, if a cluster of today sealed them.
    fn opened_challenge(&self, sealed: &[u8]) -> Result<Challenge, Refusal> {
        let invalid = || Refusal::new(Status::MfaChallengeInvalid, "it is none of this cluster's");
        if sealed.len() > MFA_CHALLENGE_LEN_MAX {
            return Err(invalid());
        }
        let opened = self.cluster.sealer().open_challenge(sealed).map_err(|_| invalid())?;
        Challenge::decode(opened.expose()).map_err(|_| invalid())
    }

    /// The challenge, if it is one for this user's login now.
    pub(super) fn login_challenge_of(&self, user: UserId, sealed: &[u8], asked: &Asked) -> Result<Challenge, Refusal> {
        let challenge = self.opened_challenge(sealed)?;
        self.check_challenge(&challenge, user, ChallengePurpose::Login, asked)?;
        Ok(challenge)
    }

    fn check_challenge(
        &self,
        challenge: &Challenge,
        user: UserId,
        purpose: ChallengePurpose,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        let state = self.cluster.state();
        let user = state.user(user).ok_or(Status::UserUnknown)?;
        challenge.check(user, purpose, state.cluster_time(asked.now_ms))
    }

    pub(super) fn user_change_mfa(
        &self,
        session: &mut Session,
        message: &mut v1::UserChangeMfa,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (name, role) = (user_name(&message.user_name)?, convert::role(message.role)?);
        let password = new_password(&mut message.password)?;
        let change = match message.public_key.as_slice() {
            [] => MfaChange::Disable,
            der => {
                let challenge = self.opened_challenge(&message.challenge)?;
                MfaChange::Enable { key: token_key(der)?, user: challenge.user, challenge: challenge.spent() }
            }
        };
        let change_quorum = message.change_quorum;
        let command = Command::ChangeMfa { name, role, change: change.clone(), change_quorum };
        let (waits_as, login) = (self.waits_as(session), session.login());
        // Looked at only when the change was not made before: afterwards the user's password is another.
        let make = || {
            if let MfaChange::Enable { key, user, .. } = &change {
                let purpose = ChallengePurpose::Enable(login.ok_or(Status::NotLoggedIn)?.login);
                self.check_challenge(&self.opened_challenge(&message.challenge)?, *user, purpose, asked)?;
                if !is_signed(key, &message.challenge, &message.signature) {
                    return Err(Refusal::new(
                        Status::TokenSignatureInvalid,
                        "it is none by the public key that was given",
                    ));
                }
            }
            Ok(Made::Password(self.credential(waits_as, &password, asked)?))
        };
        let reply = self.change(session, asked, &command, make)?;
        Ok(Answer::UserChangeMfa(changed_user(session, reply)?))
    }
}
