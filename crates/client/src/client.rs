//! The operations of a cluster.

use std::sync::Arc;

use strongroom_crypto::random;
use strongroom_types::{
    DecryptMechanism, Filter, HsmId, KeyReference, KeyType, Password, Role, Secret, SignMechanism, Template, UserName,
};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{KeyInfo, Malformed, convert, v1};

use crate::answers::{ClusterInfo, FoundKeys, Hello, LoggedIn, PairAlgorithm, UserInfo};
use crate::config::ClusterConfig;
use crate::engine::{Answered, Engine};
use crate::error::{ClientError, ConfigError};
use crate::logging::Log;
use crate::manner;

/// Bytes of a client's name that an HSM's log takes.
const CLIENT_NAME_LEN_MAX: usize = 64;

/// What a client calls itself, for the HSMs' logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// A program's name; the version is added.
    pub fn new(name: &str) -> ClientName {
        let mut text = format!("{name} {}", env!("CARGO_PKG_VERSION"));
        text.truncate(text.floor_char_boundary(CLIENT_NAME_LEN_MAX));
        ClientName(text)
    }

    /// Name and version.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A cluster, as one process uses it.
///
/// Cloning is cheap and gives the same client. It has no thread of its own: each call uses the caller's, over a
/// connection from a pool. After a `fork` the child begins with fresh connections; a login made with [`Client::login`]
/// is the parent's alone, credentials given with [`Client::set_credentials`] are the child's too.
#[derive(Clone)]
pub struct Client(Arc<Engine>);

impl Client {
    /// A client that says nothing to anybody yet and logs nothing.
    pub fn open(cluster: ClusterConfig, name: ClientName) -> Result<Client, ConfigError> {
        Client::open_with_log(cluster, name, Log::none())
    }

    /// A client that says nothing to anybody yet and logs what happens to its connections.
    pub fn open_with_log(cluster: ClusterConfig, name: ClientName, log: Log) -> Result<Client, ConfigError> {
        Ok(Client(Arc::new(Engine::new(cluster, name, log)?)))
    }

    /// Greets a member: which cluster this is, and which HSMs it has.
    pub fn hello(&self) -> Result<Hello, ClientError> {
        self.0.hello()
    }

    /// The cluster and its HSMs.
    pub fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        let answered = self.0.call(&manner::PUBLIC_QUERY, Operation::ClusterInfo(v1::ClusterInfo {}))?;
        answered.read(|answer| match answer {
            Answer::ClusterInfo(info) => Some(info.try_into()),
            _ => None,
        })
    }

    /// Sets the first admin's password. Only while the cluster is initialised and not active.
    pub fn activate(&self, password: &Password) -> Result<(), ClientError> {
        let operation = Operation::Activate(v1::Activate { password: password.expose().to_vec() });
        let answered = self.0.call(&manner::ACTIVATION, operation)?;
        answered.read(|answer| matches!(answer, Answer::Activate(_)).then_some(Ok(())))
    }

    /// Logs in, in place of whoever was logged in.
    pub fn login(&self, user: &UserName, role: Role, password: &Password) -> Result<LoggedIn, ClientError> {
        self.0.login(user, role, password)
    }

    /// Gives credentials for a login at the first operation that needs one, again whenever that login ended, and again
    /// in each forked child. Says nothing to anybody yet.
    pub fn set_credentials(&self, user: UserName, role: Role, password: Password) {
        self.0.set_credentials(user, role, password);
    }

    /// Ends the login on every member. Login and credentials are forgotten whatever the answer.
    pub fn logout(&self) -> Result<(), ClientError> {
        self.0.logout()
    }

    /// Who is logged in. Nobody, while credentials have not been used.
    pub fn logged_in(&self) -> Option<LoggedIn> {
        self.0.logged_in()
    }

    /// Makes a user.
    pub fn user_create(&self, name: &UserName, role: Role, password: &Password) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserCreate(v1::UserCreate {
            user_name: name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
        });
        self.0.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserCreate(user) => Some(user.try_into()),
            _ => None,
        })
    }

    /// Deletes a user.
    pub fn user_delete(&self, name: &UserName, role: Role) -> Result<UserInfo, ClientError> {
        let user_name = name.as_str().to_owned();
        let operation = Operation::UserDelete(v1::UserDelete { user_name, role: v1::Role::from(role).into() });
        self.0.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserDelete(user) => Some(user.try_into()),
            _ => None,
        })
    }

    /// Sets a user's password, which ends that user's logins.
    pub fn user_change_password(
        &self,
        name: &UserName,
        role: Role,
        password: &Password,
    ) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserChangePassword(v1::UserChangePassword {
            user_name: name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
        });
        self.0.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserChangePassword(user) => Some(user.try_into()),
            _ => None,
        })
    }

    /// Every user. Needs no login.
    pub fn user_list(&self) -> Result<Vec<UserInfo>, ClientError> {
        let answered = self.0.call(&manner::PUBLIC_QUERY, Operation::UserList(v1::UserList {}))?;
        answered.read(|answer| match answer {
            Answer::UserList(list) => Some(list.users.into_iter().map(UserInfo::try_from).collect()),
            _ => None,
        })
    }

    /// Makes a secret key.
    pub fn key_generate_secret(
        &self,
        key_type: KeyType,
        length_bytes: u32,
        template: &Template,
        share_with: &[UserName],
    ) -> Result<KeyInfo, ClientError> {
        self.0.check_availability()?;
        let operation = Operation::KeyGenerateSecret(v1::KeyGenerateSecret {
            key_type: v1::KeyType::from(key_type).into(),
            length_bytes,
            template: convert::template_message(template),
            share_with: names(share_with),
        });
        self.0.call(&manner::KEY_GENERATION, operation)?.read(|answer| match answer {
            Answer::KeyGenerateSecret(key) => Some(key.try_into()),
            _ => None,
        })
    }

    /// Makes a pair; the public key stands first. `share_with` concerns the private key.
    pub fn key_generate_pair(
        &self,
        algorithm: &PairAlgorithm,
        public: &Template,
        private: &Template,
        share_with: &[UserName],
    ) -> Result<(KeyInfo, KeyInfo), ClientError> {
        self.0.check_availability()?;
        let operation = Operation::KeyGeneratePair(v1::KeyGeneratePair {
            algorithm: Some(algorithm.into()),
            public_template: convert::template_message(public),
            private_template: convert::template_message(private),
            share_with: names(share_with),
        });
        self.0.call(&manner::KEY_GENERATION, operation)?.read(|answer| match answer {
            Answer::KeyGeneratePair(pair) => Some(both(pair)),
            _ => None,
        })
    }

    /// The keys that fit, from the match of number `offset` on, at most `limit`.
    pub fn key_find(&self, filter: &Filter, offset: u32, limit: u32) -> Result<FoundKeys, ClientError> {
        self.0.check_availability()?;
        // Two different references select nothing.
        let Some((reference, filter)) = convert::filter_message(filter) else {
            return Ok(FoundKeys { total: 0, keys: Vec::new() });
        };
        let operation = Operation::KeyFind(v1::KeyFind { reference, filter, offset, limit });
        self.0.call(&manner::QUERY, operation)?.read(|answer| match answer {
            Answer::KeyFind(found) => Some(found.try_into()),
            _ => None,
        })
    }

    /// Deletes a key.
    pub fn key_delete(&self, key: KeyReference) -> Result<(), ClientError> {
        let operation = Operation::KeyDelete(v1::KeyDelete { reference: key.as_u64() });
        let answered = self.0.call(&manner::MANAGEMENT, operation)?;
        answered.read(|answer| matches!(answer, Answer::KeyDelete(_)).then_some(Ok(())))
    }

    /// A signature of `data`, which is what the mechanism says: a DigestInfo, a digest, a block.
    pub fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (mechanism, hash, salt_length) = convert::sign_parts(mechanism);
        let operation =
            Operation::Sign(v1::Sign { key: key.as_u64(), mechanism, hash, salt_length, data: data.to_vec() });
        self.0.call(&manner::CRYPTOGRAPHY, operation)?.read(|answer| match answer {
            Answer::Sign(result) => Some(Ok(result.signature)),
            _ => None,
        })
    }

    /// Checks a signature in the HSM; a wrong one is refused as `SignatureInvalid`.
    pub fn verify(
        &self,
        key: KeyReference,
        mechanism: SignMechanism,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), ClientError> {
        let (mechanism, hash, salt_length) = convert::sign_parts(mechanism);
        let operation = Operation::Verify(v1::Verify {
            key: key.as_u64(),
            mechanism,
            hash,
            salt_length,
            data: data.to_vec(),
            signature: signature.to_vec(),
        });
        let answered = self.0.call(&manner::CRYPTOGRAPHY, operation)?;
        answered.read(|answer| matches!(answer, Answer::Verify(_)).then_some(Ok(())))
    }

    /// Opens a ciphertext.
    pub fn decrypt(&self, key: KeyReference, mechanism: DecryptMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        let (mechanism, hash) = convert::decrypt_parts(mechanism);
        let operation = Operation::Decrypt(v1::Decrypt { key: key.as_u64(), mechanism, hash, data: data.to_vec() });
        self.0.call(&manner::DECRYPTION, operation)?.read(|answer| match answer {
            Answer::Decrypt(result) => Some(Ok(Secret::new(result.data))),
            _ => None,
        })
    }

    /// The HSM that answered last, when it is known which one that was.
    pub fn last_member(&self) -> Option<HsmId> {
        self.0.last_member()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.0.cluster_id()).finish()
    }
}

fn names(users: &[UserName]) -> Vec<String> {
    users.iter().map(|name| name.as_str().to_owned()).collect()
}

fn both(pair: v1::KeyPair) -> Result<(KeyInfo, KeyInfo), Malformed> {
    let public = pair.public_key.ok_or(Malformed { field: "public_key" })?;
    let private = pair.private_key.ok_or(Malformed { field: "private_key" })?;
    Ok((public.try_into()?, private.try_into()?))
}

/// Sixteen random bytes for a change.
pub(crate) fn request_id() -> Vec<u8> {
    random::bytes::<16>().to_vec()
}

impl Answered {
    /// The result, if the answer is one of the right operation and form.
    pub(crate) fn read<T>(self, read: impl FnOnce(Answer) -> Option<Result<T, Malformed>>) -> Result<T, ClientError> {
        let wrong = Malformed { field: "result" };
        let result = self.result.and_then(read).unwrap_or(Err(wrong));
        result.map_err(|source| ClientError::Protocol { address: self.address.to_string(), source })
    }
}
