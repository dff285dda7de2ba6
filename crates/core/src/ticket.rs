//! What a login leaves with the client: sealed by the HSM, opened by every member.

use prost::Message;
use strongroom_types::{ClusterId, CredentialId, LoginId, Role, UserId};
use thiserror::Error;

use crate::records::{role_from_number, role_number};
use crate::{LoginActor, State};

const VERSION: u8 = 1;

/// A login, in clear. Only sealed does it leave an HSM; clients treat it like the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The login; stays when a ticket is renewed.
    pub login: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// The password it rests on.
    pub credential: CredentialId,
    /// Admin or crypto user.
    pub role: Role,
    /// The cluster it is good for.
    pub cluster: ClusterId,
    /// The cluster's life it is good for.
    pub epoch: u64,
    /// When this ticket was made, milliseconds since 1970.
    pub issued_ms: u64,
    /// When it runs out.
    pub expires_ms: u64,
}

/// Bytes that are no ticket, though they were sealed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes of the ticket are damaged, or of a format this version does not know")]
pub struct CorruptTicket;

/// Field numbers as in `docs/spec/records.md`.
#[derive(Clone, PartialEq, Message)]
struct TicketMessage {
    #[prost(bytes = "vec", tag = "1")]
    login: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    credential: Vec<u8>,
    #[prost(uint32, tag = "4")]
    role: u32,
    #[prost(string, tag = "5")]
    cluster: String,
    #[prost(uint64, tag = "6")]
    epoch: u64,
    #[prost(uint64, tag = "7")]
    issued_ms: u64,
    #[prost(uint64, tag = "8")]
    expires_ms: u64,
}

impl Ticket {
    /// The ticket of a new login ([`PasswordCheck::login`](crate::PasswordCheck::login)) or the next one of a login that
    /// goes on ([`LoginActor::renewal`], [`LoginActor::with_credential`]); none before the cluster is made.
    pub fn issue(state: &State, actor: LoginActor, now_ms: u64) -> Option<Ticket> {
        let cluster = state.cluster()?;
        Some(Ticket {
            login: actor.login,
            user: actor.user,
            credential: actor.credential,
            role: actor.role,
            cluster: cluster.id.clone(),
            epoch: cluster.epoch,
            issued_ms: state.cluster_time(now_ms),
            expires_ms: actor.expires_ms,
        })
    }

    /// The actor, without asking whether the login stands; see [`actor_of_ticket`](crate::actor_of_ticket).
    pub fn actor(&self) -> LoginActor {
        LoginActor {
            login: self.login,
            user: self.user,
            credential: self.credential,
            role: self.role,
            expires_ms: self.expires_ms,
        }
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        let message = TicketMessage {
            login: self.login.as_bytes().to_vec(),
            user: self.user.as_bytes().to_vec(),
            credential: self.credential.as_bytes().to_vec(),
            role: role_number(self.role),
            cluster: self.cluster.as_str().to_owned(),
            epoch: self.epoch,
            issued_ms: self.issued_ms,
            expires_ms: self.expires_ms,
        };
        let mut bytes = vec![VERSION];
        bytes.extend(message.encode_to_vec());
        bytes
    }

    /// Reads bytes that were sealed as a ticket.
    pub fn decode(bytes: &[u8]) -> Result<Ticket, CorruptTicket> {
        let content = bytes.strip_prefix(&[VERSION]).ok_or(CorruptTicket)?;
        let message = TicketMessage::decode(content).map_err(|_| CorruptTicket)?;
        let ticket = Ticket {
            login: LoginId::try_from(message.login.as_slice()).map_err(|_| CorruptTicket)?,
            user: UserId::try_from(message.user.as_slice()).map_err(|_| CorruptTicket)?,
            credential: CredentialId::try_from(message.credential.as_slice()).map_err(|_| CorruptTicket)?,
            role: role_from_number(message.role).ok_or(CorruptTicket)?,
            cluster: message.cluster.parse().map_err(|_| CorruptTicket)?,
            epoch: message.epoch,
            issued_ms: message.issued_ms,
            expires_ms: message.expires_ms,
        };
        // Epochs count from 1, and a ticket lasts: without its last fields, which then read as 0, it is none.
        let was_good = ticket.epoch > 0 && ticket.issued_ms < ticket.expires_ms;
        if was_good && ticket.encode() == bytes { Ok(ticket) } else { Err(CorruptTicket) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_read_back_and_nothing_else_does() {
        let ticket = Ticket {
            login: LoginId::from_bytes([1; 16]),
            user: UserId::from_bytes([2; 16]),
            credential: CredentialId::from_bytes([3; 16]),
            role: Role::CryptoUser,
            cluster: ClusterId::from_random([4; 7]),
            epoch: 5,
            issued_ms: 6,
            expires_ms: 7,
        };
        let bytes = ticket.encode();
        assert_eq!(Ticket::decode(&bytes), Ok(ticket.clone()));
        for (epoch, issued_ms, expires_ms) in [(0, 6, 7), (5, 7, 7), (5, 8, 7), (5, 0, 0)] {
            let never_good = Ticket { epoch, issued_ms, expires_ms, ..ticket.clone() };
            assert_eq!(Ticket::decode(&never_good.encode()), Err(CorruptTicket), "{epoch} {issued_ms} {expires_ms}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Ticket::decode(&bytes[..len]), Err(CorruptTicket), "{len}");
        }
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(Ticket::decode(&newer), Err(CorruptTicket));
        let mut longer = bytes;
        longer.extend([0x78, 1]);
        assert_eq!(Ticket::decode(&longer), Err(CorruptTicket));
    }
}
