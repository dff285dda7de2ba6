//! What clients ask, what HSMs answer, and what is drawn for both.

use std::sync::Arc;

use strongroom_core::{Actor, Command, Credential, KeyUse, LoginActor, Made, MadePair, PairAlgorithm, Reply, Request};
use strongroom_types::{
    AttributeName, AttributeValue, CredentialId, Curve, Flag, KeyReference, LoginId, PublicPart, Refusal, RequestId,
    Revision, Role, Secret, SignMechanism, Template, UserId, UserName,
};

use super::World;

/// A password, by whose it is and which of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PasswordNumber {
    pub(crate) user: u32,
    pub(crate) number: u64,
}

/// What a client asks.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each request of a simulated client")]
pub(crate) enum Ask {
    Use { actor: Actor, key: KeyReference },
    Find { actor: Actor },
    Login { name: UserName, role: Role, password: PasswordNumber },
    Change { actor: Actor, command: Command, made: ToMake, request: Request },
}

/// What an HSM makes for a change before it is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToMake {
    Nothing,
    User(PasswordNumber),
    Password(PasswordNumber),
    Pair,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) client: usize,
    pub(crate) attempt: u64,
    pub(crate) ask: Ask,
    pub(crate) seen: Revision,
    /// Milliseconds from arrival.
    pub(crate) deadline_ms: u64,
}

/// An answer.
#[expect(clippy::large_enum_variant, reason = "lives for one message, never in numbers")]
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Used,
    /// What a search found, and whether the store was asked before.
    Found(Vec<KeyReference>, bool),
    LoggedIn(LoginActor),
    /// With the login that goes on when users set a password of their own.
    Changed(Reply, Option<LoginActor>),
}

/// What arrives at a client.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) revision: Revision,
    pub(crate) result: Result<Answer, Refusal>,
}

pub(crate) const KEY_USE: KeyUse<'static> = KeyUse::Sign(SignMechanism::Ecdsa, &[1; 32]);

pub(crate) fn user_name(user: u32) -> UserName {
    format!("user{user}").parse().expect("a name")
}

pub(crate) fn label(number: u64) -> AttributeValue {
    AttributeValue::Text(format!("label {number}"))
}

/// A pair whose private half signs and may be deleted.
pub(crate) fn generate_pair(number: u64) -> Command {
    let yes = |flag| (AttributeName::Flag(flag), AttributeValue::Bool(true));
    let public: Template = [yes(Flag::Verify)].into_iter().collect();
    let private: Template = [yes(Flag::Sign), (AttributeName::Label, label(number))].into_iter().collect();
    Command::GeneratePair {
        algorithm: PairAlgorithm::Ec(Curve::P256),
        public_template: public,
        private_template: private,
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    }
}

/// What a password is kept as: told by its first bytes which it is, and by all of them that it leaked.
pub(crate) fn hash_of(password: PasswordNumber) -> Vec<u8> {
    let seed = u64::from(password.user) << 32 | password.number;
    let mut bytes = fastrand::Rng::with_seed(seed ^ 0x5ec2_e700_0000_0000);
    (0..64).map(|_| bytes.u8(..)).collect()
}

impl World {
    pub(crate) fn draw(&mut self) -> [u8; 16] {
        std::array::from_fn(|_| self.rng.u8(..))
    }

    /// An id and the digest of what it stands for.
    pub(crate) fn request(&mut self, actor: &Actor, command: &Command, made: ToMake) -> Request {
        let digest = self.sealing.sealer().command_digest(&[format!("{actor:?} {command:?} {made:?}").as_bytes()]);
        Request::new(RequestId::from_bytes(self.draw()), digest)
    }

    pub(crate) fn credential(&mut self, password: PasswordNumber) -> Credential {
        let hash = hash_of(password);
        self.recorder.secret(&hash);
        Credential {
            id: CredentialId::from_bytes(self.draw()),
            salt: self.draw(),
            iterations: 1,
            hash: Secret::new(hash),
        }
    }

    pub(crate) fn login_id(&mut self) -> LoginId {
        LoginId::from_bytes(self.draw())
    }

    fn reference(&mut self) -> KeyReference {
        loop {
            if let Some(reference) = KeyReference::from_random(std::array::from_fn(|_| self.rng.u8(..))) {
                return reference;
            }
        }
    }

    pub(crate) fn make(&mut self, what: ToMake) -> Made {
        match what {
            ToMake::Nothing => Made::Nothing,
            ToMake::User(password) => {
                let id = UserId::from_bytes(self.draw());
                Made::User { id, credential: self.credential(password) }
            }
            ToMake::Password(password) => Made::Password(self.credential(password)),
            ToMake::Pair => {
                let (public_reference, private_reference) = (self.reference(), self.reference());
                let material: Vec<u8> = (0..32).map(|_| self.rng.u8(..)).collect();
                self.recorder.secret(&material);
                let sealed = self.sealing.sealer().seal_material(private_reference, &Secret::new(material));
                let mut point = vec![0x5a; 65];
                point[0] = 4;
                Made::Pair(MadePair {
                    public_reference,
                    private_reference,
                    public: PublicPart::Ec { curve: Curve::P256, point },
                    sealed: Arc::from(sealed),
                    private_length_bytes: 138,
                    check_value: [8; 3],
                })
            }
        }
    }
}
