//! Stories of quorum and MFA.

mod admins;
mod bounds;
mod clones;
mod keys;
mod mfa;
mod model;
mod registration;
mod values;
mod wrapping;

use strongroom_types::{
    KeyQuorum, KeyReference, KeyType, QuorumService, QuorumSubject, Role, Status, Template, TokenId, TokenKey,
};

use super::world::{World, name};
use crate::{Actor, Approval, Approver, Command, Made, Reply, Request};

/// A key that nobody made, another one for each number.
pub(super) fn key(number: u8) -> TokenKey {
    let modulus = [&[0xc5, number][..], &[0x11; 254]].concat();
    TokenKey::new(modulus, vec![1, 0, 1]).unwrap()
}

pub(super) fn subject(service: QuorumService) -> QuorumSubject {
    QuorumSubject { service, key: None }
}

pub(super) fn of_key(service: QuorumService, key: KeyReference) -> QuorumSubject {
    QuorumSubject { service, key: Some(key) }
}

impl World {
    pub(super) fn token(&mut self, actor: &Actor, subject: QuorumSubject) -> Result<TokenId, Status> {
        let made = Made::Token(TokenId::from_bytes(self.draw()));
        match self.done(actor, &Command::GenerateQuorumToken(subject), &made)? {
            Reply::Token(view) => Ok(view.token.id),
            other => panic!("{other:?}"),
        }
    }

    /// Registers a key for whoever is logged in.
    pub(super) fn register(&mut self, actor: &Actor, number: u8) -> Result<Reply, Status> {
        let token = self.token(actor, subject(QuorumService::Registration))?;
        self.done(actor, &Command::RegisterQuorumKey { key: key(number), token }, &Made::Nothing)
    }

    /// An admin with a registered key.
    pub(super) fn approving_admin(&mut self, user: &str, number: u8) -> Actor {
        if user != "admin" {
            self.create(user, Role::Admin).unwrap();
        }
        let actor = self.login(user, Role::Admin);
        self.register(&actor, number).unwrap();
        actor
    }

    /// A crypto user with a registered key.
    pub(super) fn approving_user(&mut self, user: &str, number: u8) -> Actor {
        let actor = self.crypto_user(user);
        self.register(&actor, number).unwrap();
        actor
    }

    pub(super) fn approver(&self, user: &str, number: u8) -> Approver {
        Approver { user: self.state.user_named(&name(user)).unwrap().id, key: key(number) }
    }

    /// One change under a request id of its own, with approvals of one token.
    pub(super) fn approved(
        &mut self,
        actor: &Actor,
        command: &Command,
        made: &Made,
        (token, approvers): (TokenId, &[(&str, u8)]),
    ) -> Result<Reply, Status> {
        let approvers = approvers.iter().map(|(user, number)| self.approver(user, *number)).collect();
        let request = Request { approvals: vec![Approval { token, approvers }], ..self.request() };
        let outcome = self.again(actor, command, made, &request);
        assert_eq!(self.loaded(), self.state);
        outcome
    }

    pub(super) fn set_value(&mut self, actor: &Actor, service: QuorumService, value: u8) -> Result<Reply, Status> {
        self.done(actor, &Command::SetQuorumValue { service, value }, &Made::Nothing)
    }

    /// A secret key with quorum values.
    pub(super) fn quorum_key(
        &mut self,
        actor: &Actor,
        share_with: &[&str],
        quorum: KeyQuorum,
    ) -> Result<KeyReference, Status> {
        let command = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template: Template::new(),
            share_with: share_with.iter().map(|user| name(user)).collect(),
            quorum,
        };
        let made = self.made_secret(KeyType::Aes);
        match self.done(actor, &command, &made)? {
            Reply::Key(view) => {
                assert_eq!(view.quorum, quorum);
                Ok(view.reference)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An admin, with two others, all with keys 1 to 3, and these values of user and quorum.
pub(super) fn three_admins(user: u8, quorum: u8) -> (World, [Actor; 3]) {
    let mut world = World::active();
    let admins = [("admin", 1), ("bea", 2), ("cyd", 3)].map(|(user, number)| world.approving_admin(user, number));
    world.set_value(&admins[0], QuorumService::User, user).unwrap();
    if quorum > 1 {
        world.set_value(&admins[0], QuorumService::Quorum, quorum).unwrap();
    }
    (world, admins)
}
