//! People with a key outside of the HSM, and what they sign.

use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::{random, spki};
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_types::{HashFunction, Refusal, SignMechanism};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::Client;

/// A key that signs tokens.
pub(super) struct TokenSigner {
    key: PrivateKey,
    pub(super) public_key: Vec<u8>,
}

impl TokenSigner {
    pub(super) fn new(bits: u32) -> TokenSigner {
        let made = generate::rsa(bits, &[1, 0, 1]).unwrap();
        TokenSigner { key: PrivateKey::from_pkcs8(&made.pkcs8).unwrap(), public_key: spki::encode(&made.public) }
    }

    /// Over 32 bytes that are a digest.
    pub(super) fn sign(&self, hashed: &[u8]) -> Vec<u8> {
        self.key.sign(SignMechanism::RsaPkcs, &digest_info(HashFunction::Sha256, hashed)).unwrap()
    }

    /// Over approval data.
    pub(super) fn approve(&self, approval_data: &[u8]) -> Vec<u8> {
        self.sign(&digest(HashFunction::Sha256, approval_data))
    }

    pub(super) fn signature(&self, name: &str, role: i32, approval_data: &[u8]) -> v1::ApprovalSignature {
        v1::ApprovalSignature { user_name: name.into(), role, signature: self.approve(approval_data) }
    }
}

impl Client<'_> {
    /// Approval data of a new token.
    pub(super) fn token(&mut self, service: v1::QuorumService, key: u64) -> Result<Vec<u8>, Refusal> {
        let message = v1::QuorumTokenGenerate { service: service.into(), key };
        match self.change(Operation::QuorumTokenGenerate(message))? {
            Answer::QuorumTokenGenerate(token) => Ok(token.approval_data),
            _ => panic!("another answer"),
        }
    }

    pub(super) fn register(&mut self, signer: &TokenSigner) -> Result<Answer, Refusal> {
        let approval_data = self.token(v1::QuorumService::Registration, 0)?;
        let signature = signer.approve(&approval_data);
        let public_key = signer.public_key.clone();
        self.change(Operation::UserChangeQuorum(v1::UserChangeQuorum { public_key, approval_data, signature }))
    }

    pub(super) fn approved(&mut self, operation: Operation, approval: v1::Approval) -> Result<Answer, Refusal> {
        self.approved_as(&random::bytes::<16>(), operation, approval)
    }

    pub(super) fn approved_as(
        &mut self,
        id: &[u8],
        operation: Operation,
        approval: v1::Approval,
    ) -> Result<Answer, Refusal> {
        let approvals = vec![approval];
        self.send(v1::Request {
            request_id: id.into(),
            approvals,
            operation: Some(operation),
            ..v1::Request::default()
        })
    }
}
