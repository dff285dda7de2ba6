//! Random bytes of the HSMs' generators.

use strongroom_types::buffers::SecretBuffer;
use strongroom_types::limits::{RANDOM_LEN_MAX, RANDOM_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{Secret, Status};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, v1};

use crate::client::Client;
use crate::error::ClientError;
use crate::manner::{self, Manner};

impl Client {
    /// So many random bytes, drawn by HSMs. Needs no login; with one, fewer round trips.
    pub fn random(&self, len: usize) -> Result<Secret, ClientError> {
        let mut bytes = SecretBuffer::with_capacity(len);
        while bytes.len() < len {
            let part = self.random_part(len - bytes.len())?;
            bytes.push(part.expose());
        }
        Ok(bytes.into_secret())
    }

    /// The first of so many bytes, as many as one answer holds.
    fn random_part(&self, len: usize) -> Result<Secret, ClientError> {
        if self.engine().is_logged_in() {
            match self.draw(&manner::CRYPTOGRAPHY, len.min(RANDOM_LEN_MAX)) {
                // It has ended meanwhile, and is not needed.
                Err(ClientError::Refused(refusal))
                    if matches!(refusal.status, Status::LoginEnded | Status::NotLoggedIn) => {}
                outcome => return outcome,
            }
        }
        self.draw(&manner::PUBLIC_RANDOM, len.min(RANDOM_LEN_MAX_BEFORE_LOGIN))
    }

    fn draw(&self, manner: &Manner, len: usize) -> Result<Secret, ClientError> {
        let message = v1::Random { len: u32::try_from(len).expect("no more than an answer holds") };
        self.call(manner, Operation::Random(message))?.read(|answer| match answer {
            Answer::Random(result) => {
                let drawn = Secret::new(result.data);
                Some(if drawn.len() == len { Ok(drawn) } else { Err(Malformed { field: "data" }) })
            }
            _ => None,
        })
    }
}
