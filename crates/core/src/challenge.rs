//! What is signed beside a password: sealed by an HSM, opened by every member, good once.

use prost::Message;
use strongroom_types::limits::MFA_CHALLENGE_SECONDS;
use strongroom_types::{ChallengeId, CredentialId, LoginId, Refusal, Status, UserId};
use thiserror::Error;

use crate::{SpentChallenge, State, User};

const VERSION: u8 = 1;

/// A challenge, in clear. It leaves an HSM sealed; what users sign is a digest of the sealed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Random.
    pub id: ChallengeId,
    /// Whose password, and whose key, it goes with.
    pub user: UserId,
    /// The password that the user had.
    pub credential: CredentialId,
    /// For what.
    pub purpose: ChallengePurpose,
    /// When it runs out, in milliseconds since 1970.
    pub until_ms: u64,
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengePurpose {
    /// Logging in.
    Login,
    /// Enabling MFA, by whoever has this login.
    Enable(LoginId),
}

/// Bytes that are no challenge, though they were sealed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes of the challenge are damaged, or of a format this version does not know")]
pub struct CorruptChallenge;

/// Field numbers as in `docs/spec/records.md`.
#[derive(Clone, PartialEq, Message)]
struct ChallengeMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    credential: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    login: Vec<u8>,
    #[prost(uint64, tag = "5")]
    until_ms: u64,
}

impl Challenge {
    /// A challenge for a user as the user is now; none for who has no password. `id` is random.
    pub fn issue(user: &User, purpose: ChallengePurpose, id: ChallengeId, now_ms: u64) -> Option<Challenge> {
        let credential = user.credential.as_ref()?.id;
        let until_ms = now_ms.saturating_add(MFA_CHALLENGE_SECONDS * 1_000);
        Some(Challenge { id, user: user.id, credential, purpose, until_ms })
    }

    /// Refuses a challenge of another user, password or purpose, and one that has run out. Whether it was used is asked
    /// by the change that uses it up.
    pub fn check(&self, user: &User, purpose: ChallengePurpose, now_ms: u64) -> Result<(), Refusal> {
        let same_password = user.credential.as_ref().is_some_and(|own| own.id == self.credential);
        if (self.user, self.purpose) != (user.id, purpose) || !same_password {
            return Err(Refusal::new(Status::MfaChallengeInvalid, "it was made for something else"));
        }
        if self.until_ms <= now_ms { Err(run_out()) } else { Ok(()) }
    }

    /// What remains of it once it is used.
    pub fn spent(&self) -> SpentChallenge {
        SpentChallenge { id: self.id, until_ms: self.until_ms }
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let login = match self.purpose {
            ChallengePurpose::Login => Vec::new(),
            ChallengePurpose::Enable(login) => login.as_bytes().to_vec(),
        };
        let message = ChallengeMessage {
            id: self.id.as_bytes().to_vec(),
            user: self.user.as_bytes().to_vec(),
            credential: self.credential.as_bytes().to_vec(),
            login,
            until_ms: self.until_ms,
        };
        let mut bytes = vec![VERSION];
        bytes.extend(message.encode_to_vec());
        bytes
    }

    /// Reads bytes that were sealed as a challenge.
    pub fn decode(bytes: &[u8]) -> Result<Challenge, CorruptChallenge> {
        let content = bytes.strip_prefix(&[VERSION]).ok_or(CorruptChallenge)?;
        let message = ChallengeMessage::decode(content).map_err(|_| CorruptChallenge)?;
        let purpose = match message.login.as_slice() {
            [] => ChallengePurpose::Login,
            login => ChallengePurpose::Enable(LoginId::try_from(login).map_err(|_| CorruptChallenge)?),
        };
        let challenge = Challenge {
            id: ChallengeId::try_from(message.id.as_slice()).map_err(|_| CorruptChallenge)?,
            user: UserId::try_from(message.user.as_slice()).map_err(|_| CorruptChallenge)?,
            credential: CredentialId::try_from(message.credential.as_slice()).map_err(|_| CorruptChallenge)?,
            purpose,
            until_ms: message.until_ms,
        };
        // One that never ends is none; and nothing is dropped that this version does not know.
        if challenge.until_ms > 0 && challenge.encode() == bytes { Ok(challenge) } else { Err(CorruptChallenge) }
    }
}

/// Refuses a challenge that was used, or whose time is over: then the mark of its use may be gone.
pub(crate) fn check_unused(state: &State, challenge: SpentChallenge, now_ms: u64) -> Result<(), Refusal> {
    if challenge.until_ms <= now_ms {
        return Err(run_out());
    }
    if state.is_challenge_spent(challenge.id) {
        return Err(Refusal::new(Status::MfaChallengeInvalid, "it was used"));
    }
    Ok(())
}

fn run_out() -> Refusal {
    Refusal::new(Status::MfaChallengeInvalid, "its time is over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_read_back_and_nothing_else_does() {
        for purpose in [ChallengePurpose::Login, ChallengePurpose::Enable(LoginId::from_bytes([4; 16]))] {
            let challenge = Challenge {
                id: ChallengeId::from_bytes([1; 16]),
                user: UserId::from_bytes([2; 16]),
                credential: CredentialId::from_bytes([3; 16]),
                purpose,
                until_ms: 5,
            };
            let bytes = challenge.encode();
            assert_eq!(Challenge::decode(&bytes), Ok(challenge));
            for len in 0..bytes.len() {
                assert_eq!(Challenge::decode(&bytes[..len]), Err(CorruptChallenge), "{len}");
            }
            let mut newer = bytes.clone();
            newer[0] = 2;
            assert_eq!(Challenge::decode(&newer), Err(CorruptChallenge));
            assert_eq!(Challenge::decode(&[&bytes[..], &[0x78, 1]].concat()), Err(CorruptChallenge));
        }
    }
}
