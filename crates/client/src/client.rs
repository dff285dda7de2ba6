//! The operations of a cluster.

use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::{random, spki};
use strongroom_types::limits::CLIENT_NAME_LEN_MAX;
use strongroom_types::matching::{is_for_session, token};
use strongroom_types::{
    AttributeName, AttributeValue, HsmId, KeyClass, KeyQuorum, KeyReference, KeyType, Password, PublicPart, Refusal,
    Role, SignMechanism, Status, Template, UserName,
};
use strongroom_wire::secrets::wipe_operation;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{ApprovalInfo, KeyInfo, Malformed, Wrapping, convert, v1};

use crate::answers::{ClusterInfo, Hello, LoggedIn, PairAlgorithm, UserInfo, WrappedKey};
use crate::config::ClusterConfig;
use crate::engine::{Answered, Engine};
use crate::error::{ClientError, ConfigError};
use crate::logging::Log;
use crate::manner::{self, Manner};
use crate::quorum::Deregister;
use crate::session_keys::{SessionKey, SessionKeys};

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
pub struct Client(pub(crate) Arc<Engine>, Arc<[ApprovalInfo]>);

impl Client {
    /// A client that says nothing to anybody yet and logs nothing.
    pub fn open(cluster: ClusterConfig, name: ClientName) -> Result<Client, ConfigError> {
        Client::open_with_log(cluster, name, Log::none())
    }

    /// A client that says nothing to anybody yet and logs what happens to its connections.
    pub fn open_with_log(cluster: ClusterConfig, name: ClientName, log: Log) -> Result<Client, ConfigError> {
        Ok(Client(Arc::new(Engine::new(cluster, name, log)?), Arc::default()))
    }

    /// The same client, whose operations carry these approvals: for one operation that others have approved.
    #[must_use]
    pub fn with_approvals(&self, approvals: Vec<ApprovalInfo>) -> Client {
        Client(Arc::clone(&self.0), approvals.into())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }

    pub(crate) fn call(&self, manner: &Manner, operation: Operation) -> Result<Answered, ClientError> {
        self.call_with(manner, &[], operation)
    }

    pub(crate) fn call_with(
        &self,
        manner: &Manner,
        keys: &[KeyReference],
        operation: Operation,
    ) -> Result<Answered, ClientError> {
        self.0.call_with(manner, keys, &self.1, operation)
    }

    /// How keys are used: with approvals, which are good for one use, so that a repeat must be known as one.
    pub(crate) fn use_of<'a>(&self, manner: &'a Manner) -> &'a Manner {
        if self.1.is_empty() { manner } else { &manner::APPROVED_USE }
    }

    /// Greets a member: which cluster this is, and which HSMs it has.
    pub fn hello(&self) -> Result<Hello, ClientError> {
        self.0.hello()
    }

    /// The cluster and its HSMs.
    pub fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        let answered = self.call(&manner::PUBLIC_QUERY, Operation::ClusterInfo(v1::ClusterInfo {}))?;
        answered.read(|answer| match answer {
            Answer::ClusterInfo(info) => Some(info.try_into()),
            _ => None,
        })
    }

    /// Sets the first admin's password. Only while the cluster is initialised and not active.
    pub fn activate(&self, password: &Password) -> Result<(), ClientError> {
        let operation = Operation::Activate(v1::Activate { password: password.expose().to_vec() });
        let answered = self.call(&manner::ACTIVATION, operation)?;
        answered.read(|answer| matches!(answer, Answer::Activate(_)).then_some(Ok(())))
    }

    /// Logs in, in place of whoever was logged in.
    pub fn login(&self, user: &UserName, role: Role, password: &Password) -> Result<LoggedIn, ClientError> {
        self.0.login(user, role, password, None)
    }

    /// The same for whoever cannot wait as long as a login may take.
    pub fn login_within(
        &self,
        user: &UserName,
        role: Role,
        password: &Password,
        patience: Duration,
    ) -> Result<LoggedIn, ClientError> {
        self.0.login_within(user, role, password, patience)
    }

    /// Gives credentials for a login at the first operation that needs one, again whenever that login ended, and again
    /// in each forked child. Says nothing to anybody yet.
    pub fn set_credentials(&self, user: UserName, role: Role, password: Password) {
        self.0.set_credentials(user, role, password);
    }

    /// Ends the login on every member. Login and credentials are forgotten whatever the answer.
    pub fn logout(&self) -> Result<(), ClientError> {
        self.logout_within(manner::MANAGEMENT.patience)
    }

    /// The same for whoever cannot wait for long.
    pub fn logout_within(&self, patience: Duration) -> Result<(), ClientError> {
        self.0.logout(patience)
    }

    /// Who is logged in. Nobody, while credentials have not been used.
    pub fn logged_in(&self) -> Option<LoggedIn> {
        self.0.logged_in()
    }

    /// Whether a user is logged in. A login that has ended is none from the first answer on that said so.
    pub fn is_logged_in(&self) -> bool {
        self.0.is_logged_in()
    }

    /// The number of the login in use, which no other login of this client has before a fork; zero while there is none.
    pub fn login_number(&self) -> u64 {
        self.0.login_number()
    }

    /// In a forked child that will not use the client: closes the child's copies of the parent's connections.
    pub fn begin_in_child(&self) {
        self.0.begin_in_child();
    }

    /// Makes a user.
    pub fn user_create(&self, name: &UserName, role: Role, password: &Password) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserCreate(v1::UserCreate {
            user_name: name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
        });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserCreate(user) => Some(user.try_into()),
            _ => None,
        })
    }

    /// Deletes a user.
    pub fn user_delete(&self, name: &UserName, role: Role) -> Result<UserInfo, ClientError> {
        let user_name = name.as_str().to_owned();
        let operation = Operation::UserDelete(v1::UserDelete { user_name, role: v1::Role::from(role).into() });
        self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
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
        self.user_change_password_and_keys(name, role, password, Deregister::default())
    }

    /// The same, and takes keys from the user.
    pub fn user_change_password_and_keys(
        &self,
        name: &UserName,
        role: Role,
        password: &Password,
        deregister: Deregister,
    ) -> Result<UserInfo, ClientError> {
        let operation = Operation::UserChangePassword(v1::UserChangePassword {
            user_name: name.as_str().to_owned(),
            role: v1::Role::from(role).into(),
            password: password.expose().to_vec(),
            deregister_mfa: deregister.mfa,
            deregister_quorum: deregister.quorum,
        });
        let changed = self.call(&manner::MANAGEMENT, operation)?.read(|answer| match answer {
            Answer::UserChangePassword(user) => Some(user.try_into()),
            _ => None,
        })?;
        self.0.password_changed(name, role);
        Ok(changed)
    }

    /// Every user. Needs no login.
    pub fn user_list(&self) -> Result<Vec<UserInfo>, ClientError> {
        let answered = self.call(&manner::PUBLIC_QUERY, Operation::UserList(v1::UserList {}))?;
        answered.read(|answer| match answer {
            Answer::UserList(list) => Some(list.users.into_iter().map(UserInfo::try_from).collect()),
            _ => None,
        })
    }

    /// Makes a secret key; with `token=false` in the template one that lives as long as this login, on every HSM.
    pub fn key_generate_secret(
        &self,
        key_type: KeyType,
        length_bytes: u32,
        template: &Template,
        share_with: &[UserName],
    ) -> Result<KeyInfo, ClientError> {
        self.key_generate_secret_with_quorum(key_type, length_bytes, template, (share_with, KeyQuorum::NONE))
    }

    /// The same for a key of which several users must approve what is done with it.
    pub fn key_generate_secret_with_quorum(
        &self,
        key_type: KeyType,
        length_bytes: u32,
        template: &Template,
        (share_with, quorum): (&[UserName], KeyQuorum),
    ) -> Result<KeyInfo, ClientError> {
        let operation = Operation::KeyGenerateSecret(v1::KeyGenerateSecret {
            key_type: v1::KeyType::from(key_type).into(),
            length_bytes,
            template: convert::template_message(template),
            share_with: names(share_with),
            manage_quorum: quorum.manage.into(),
            use_quorum: quorum.usage.into(),
        });
        self.one_key(&[], template, operation, |answer| match answer {
            Answer::KeyGenerateSecret(key) => Some(key),
            _ => None,
        })
    }

    /// Makes a pair; the public key stands first. `share_with` concerns the private key. With `token=false` in both
    /// templates the pair lives as long as this login, on every HSM.
    pub fn key_generate_pair(
        &self,
        algorithm: &PairAlgorithm,
        public: &Template,
        private: &Template,
        share_with: &[UserName],
    ) -> Result<(KeyInfo, KeyInfo), ClientError> {
        self.key_generate_pair_with_quorum(algorithm, public, private, (share_with, KeyQuorum::NONE))
    }

    /// The same for a private key of which several users must approve what is done with it.
    pub fn key_generate_pair_with_quorum(
        &self,
        algorithm: &PairAlgorithm,
        public: &Template,
        private: &Template,
        (share_with, quorum): (&[UserName], KeyQuorum),
    ) -> Result<(KeyInfo, KeyInfo), ClientError> {
        let is_for_session = is_for_session(public) || is_for_session(private);
        if !is_for_session {
            self.0.check_availability()?;
        }
        let operation = Operation::KeyGeneratePair(v1::KeyGeneratePair {
            algorithm: Some(algorithm.into()),
            public_template: convert::template_message(public),
            private_template: convert::template_message(private),
            share_with: names(share_with),
            manage_quorum: quorum.manage.into(),
            use_quorum: quorum.usage.into(),
        });
        let read = |answer| match answer {
            Answer::KeyGeneratePair(pair) => Some(both(pair)),
            _ => None,
        };
        if is_for_session {
            let [public, private] = self.session_keys(&[], operation, read)?;
            return Ok((public, private));
        }
        let answered = self.call(&manner::KEY_GENERATION, operation)?;
        answered.read(|answer| {
            Some(read(answer)?.and_then(|[public, private]| Ok((public.try_into()?, private.try_into()?))))
        })
    }

    /// Makes a public key of one that others have; with `token=false` in the template one that lives as long as this
    /// login.
    pub fn key_import(&self, public: &PublicPart, template: &Template) -> Result<KeyInfo, ClientError> {
        let public_key_info = spki::encode(public);
        self.imported(public.key_type(), v1::KeyImport { public_key_info, ..v1::KeyImport::default() }, template)
    }

    /// The payload wrapped under another key, and the initialisation vector where it is apart.
    pub fn key_wrap(
        &self,
        payload: KeyReference,
        wrapping_key: KeyReference,
        wrapping: &Wrapping,
    ) -> Result<WrappedKey, ClientError> {
        let operation = Operation::KeyWrap(v1::KeyWrap {
            payload: payload.as_u64(),
            wrapping_key: wrapping_key.as_u64(),
            wrapping: Some(wrapping.into()),
        });
        let answered = self.call_with(self.use_of(&manner::CRYPTOGRAPHY), &[payload, wrapping_key], operation)?;
        answered.read(|answer| match answer {
            Answer::KeyWrap(result) => Some(Ok(WrappedKey { iv: result.iv, wrapped: result.wrapped })),
            _ => None,
        })
    }

    /// Makes a key of what was wrapped; with `token=false` in the template, or in the unwrapping key's, one that lives as
    /// long as this login.
    pub fn key_unwrap(
        &self,
        unwrapping_key: KeyReference,
        wrapping: &Wrapping,
        wrapped: &[u8],
        kind: (KeyClass, KeyType),
        template: &Template,
        shares: (&[UserName], KeyQuorum),
    ) -> Result<KeyInfo, ClientError> {
        let templates = (template, &Template::new());
        self.key_unwrap_with_defaults(unwrapping_key, wrapping, wrapped, kind, templates, shares)
    }

    /// The same with attributes that hold unless the template or the unwrapping key's template says otherwise: the
    /// template names what may not be contradicted.
    pub fn key_unwrap_with_defaults(
        &self,
        unwrapping_key: KeyReference,
        wrapping: &Wrapping,
        wrapped: &[u8],
        (class, key_type): (KeyClass, KeyType),
        (template, defaults): (&Template, &Template),
        (share_with, quorum): (&[UserName], KeyQuorum),
    ) -> Result<KeyInfo, ClientError> {
        let named = token(template).or_else(|| token(defaults));
        let operation = Operation::KeyUnwrap(v1::KeyUnwrap {
            unwrapping_key: unwrapping_key.as_u64(),
            wrapping: Some(wrapping.into()),
            wrapped: wrapped.to_vec(),
            class: v1::KeyClass::from(class).into(),
            key_type: v1::KeyType::from(key_type).into(),
            template: convert::template_message(template),
            share_with: names(share_with),
            manage_quorum: quorum.manage.into(),
            use_quorum: quorum.usage.into(),
            defaults: convert::template_message(defaults),
        });
        self.key_of(unwrapping_key, named.unwrap_or(true), operation, |answer| match answer {
            Answer::KeyUnwrap(key) => Some(key),
            _ => None,
        })
    }

    /// Makes another key of the same material: a key of one's own, of the store or of this login, with the attributes of
    /// the template and otherwise the original's. `token` in the template says where the copy lives.
    pub fn key_copy(&self, key: KeyReference, template: &Template) -> Result<KeyInfo, ClientError> {
        let lives_on = token(template).unwrap_or_else(|| !self.holds_session_key(key));
        let operation =
            Operation::KeyCopy(v1::KeyCopy { reference: key.as_u64(), template: convert::template_message(template) });
        self.key_of(key, lives_on, operation, |answer| match answer {
            Answer::KeyCopy(key) => Some(key),
            _ => None,
        })
    }

    /// Has one key made of `used`, of the store as far as this side knows or of the session. Which it is the HSM decides,
    /// by attributes of `used` too; so it is asked as for a change, which does no harm when it is none.
    fn key_of(
        &self,
        used: KeyReference,
        token: bool,
        operation: Operation,
        read: impl Fn(Answer) -> Option<v1::Key>,
    ) -> Result<KeyInfo, ClientError> {
        match self.0.present_login() {
            Some(login) if !token => login.session_keys.check_room(1)?,
            None if !token => {}
            _ => self.0.check_availability()?,
        }
        let answered = self.call_with(&manner::KEY_GENERATION, &[used], operation)?;
        let login = answered.login.clone().ok_or(ClientError::NoCredentials)?;
        let made = answered.read(|answer| read(answer).map(Made::try_from))?;
        match made {
            Made::Stored(info) => Ok(info),
            Made::OfSession(key) => {
                let [info] = kept(&login.session_keys, vec![key])?;
                Ok(info)
            }
        }
    }

    /// Has one key made: of the session, if the template says so. `used` are keys that it takes.
    pub(crate) fn one_key(
        &self,
        used: &[KeyReference],
        template: &Template,
        mut operation: Operation,
        read: impl Fn(Answer) -> Option<v1::Key>,
    ) -> Result<KeyInfo, ClientError> {
        if is_for_session(template) {
            let [key] = self.session_keys(used, operation, |answer| read(answer).map(|key| Ok([key])))?;
            return Ok(key);
        }
        self.0.check_availability().inspect_err(|_| wipe_operation(&mut operation))?;
        let answered = self.call_with(&manner::KEY_GENERATION, used, operation)?;
        answered.read(|answer| read(answer).map(KeyInfo::try_from))
    }

    /// Has session keys made, and keeps them with the login for which they were made.
    fn session_keys<const N: usize>(
        &self,
        used: &[KeyReference],
        mut operation: Operation,
        read: impl FnOnce(Answer) -> Option<Result<[v1::Key; N], Malformed>>,
    ) -> Result<[KeyInfo; N], ClientError> {
        if let Some(login) = self.0.present_login() {
            login.session_keys.check_room(N).inspect_err(|_| wipe_operation(&mut operation))?;
        }
        let answered = self.call_with(&manner::SESSION_KEY_GENERATION, used, operation)?;
        let login = answered.login.clone().ok_or(ClientError::NoCredentials)?;
        let made = answered.read(|answer| {
            let keys = |keys: [v1::Key; N]| keys.into_iter().map(SessionKey::try_from).collect::<Result<Vec<_>, _>>();
            Some(read(answer)?.and_then(keys))
        })?;
        kept(&login.session_keys, made)
    }

    /// Deletes a key.
    pub fn key_delete(&self, key: KeyReference) -> Result<(), ClientError> {
        let operation = Operation::KeyDelete(v1::KeyDelete { reference: key.as_u64() });
        if let Some(login) = self.0.present_login().filter(|login| login.session_keys.holds(key)) {
            let answered = self.call_with(&manner::SESSION_KEY_DELETION, &[key], operation)?;
            answered.read(|answer| matches!(answer, Answer::KeyDelete(_)).then_some(Ok(())))?;
            login.session_keys.forget(key);
            return Ok(());
        }
        let answered = self.call(&manner::MANAGEMENT, operation)?;
        answered.read(|answer| matches!(answer, Answer::KeyDelete(_)).then_some(Ok(())))
    }

    /// Ends session keys, of which none can fail to: from here on this client does not know them, whatever attributes they
    /// have and whatever any HSM answers. HSMs are told, for a short time, so that they have room for others; a key that one
    /// holds still ends there with the login, and nobody can name it. Keys of the store are left as they are.
    pub fn end_session_keys(&self, keys: &[KeyReference]) {
        if let Some(login) = self.0.present_login() {
            let ended = login.session_keys.take(keys);
            self.0.tell_of_ended_keys(&login, ended);
        }
    }

    /// Lets a crypto user use a key of one's own; done, too, when it is so already.
    pub fn key_share(&self, key: KeyReference, user: &UserName, role: Role) -> Result<(), ClientError> {
        let operation = Operation::KeyShare(v1::KeyShare {
            reference: key.as_u64(),
            user_name: user.as_str().to_owned(),
            role: v1::Role::from(role).into(),
        });
        let answered = self.change_stored(key, operation)?;
        answered.read(|answer| matches!(answer, Answer::KeyShare(_)).then_some(Ok(())))
    }

    /// Takes that back: when this returns, no HSM lets the user use the key.
    pub fn key_unshare(&self, key: KeyReference, user: &UserName, role: Role) -> Result<(), ClientError> {
        let operation = Operation::KeyUnshare(v1::KeyUnshare {
            reference: key.as_u64(),
            user_name: user.as_str().to_owned(),
            role: v1::Role::from(role).into(),
        });
        let answered = self.change_stored(key, operation)?;
        answered.read(|answer| matches!(answer, Answer::KeyUnshare(_)).then_some(Ok(())))
    }

    /// Changes an attribute: when this returns, it is so on every HSM.
    pub fn key_set_attribute(
        &self,
        key: KeyReference,
        name: AttributeName,
        value: &AttributeValue,
    ) -> Result<(), ClientError> {
        let attribute = Some(convert::attribute_message(name, value));
        let operation = Operation::KeySetAttribute(v1::KeySetAttribute { reference: key.as_u64(), attribute });
        let answered = self.change_stored(key, operation)?;
        answered.read(|answer| matches!(answer, Answer::KeySetAttribute(_)).then_some(Ok(())))
    }

    /// Whether the key is one of the session that is logged in.
    pub fn holds_session_key(&self, key: KeyReference) -> bool {
        self.0.present_login().is_some_and(|login| login.session_keys.holds(key))
    }

    /// Makes a change that only keys of the store take.
    fn change_stored(&self, key: KeyReference, operation: Operation) -> Result<Answered, ClientError> {
        if self.holds_session_key(key) {
            return Err(Refusal::from(Status::SessionKeyFixed).into());
        }
        self.call(&manner::MANAGEMENT, operation)
    }

    /// A signature of `data`, which is what the mechanism says: a DigestInfo, a digest, a block.
    pub fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (mechanism, hash, salt_length) = convert::sign_parts(mechanism);
        let operation =
            Operation::Sign(v1::Sign { key: key.as_u64(), mechanism, hash, salt_length, data: data.to_vec() });
        self.call_with(self.use_of(&manner::CRYPTOGRAPHY), &[key], operation)?.read(|answer| match answer {
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
        let answered = self.call_with(&manner::CRYPTOGRAPHY, &[key], operation)?;
        answered.read(|answer| matches!(answer, Answer::Verify(_)).then_some(Ok(())))
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

/// A key that the HSM made.
enum Made {
    Stored(KeyInfo),
    OfSession(SessionKey),
}

impl TryFrom<v1::Key> for Made {
    type Error = Malformed;

    fn try_from(key: v1::Key) -> Result<Made, Malformed> {
        if key.sealed_session_key.is_empty() {
            KeyInfo::try_from(key).map(Made::Stored)
        } else {
            SessionKey::try_from(key).map(Made::OfSession)
        }
    }
}

fn kept<const N: usize>(keys: &SessionKeys, made: Vec<SessionKey>) -> Result<[KeyInfo; N], ClientError> {
    Ok(keys.insert(made)?.try_into().expect("as many as were made"))
}

fn names(users: &[UserName]) -> Vec<String> {
    users.iter().map(|name| name.as_str().to_owned()).collect()
}

/// The public key, then the private key.
fn both(pair: v1::KeyPair) -> Result<[v1::Key; 2], Malformed> {
    let public = pair.public_key.ok_or(Malformed { field: "public_key" })?;
    let private = pair.private_key.ok_or(Malformed { field: "private_key" })?;
    Ok([public, private])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_and_above_its_limit() {
        let version = concat!(" ", env!("CARGO_PKG_VERSION"));
        let check = |name: &str, expected: &str| assert_eq!(ClientName::new(name).as_str(), expected);
        let most = "a".repeat(CLIENT_NAME_LEN_MAX - version.len());
        check(&most, &format!("{most}{version}"));
        check(&format!("{most}a"), &format!("{most}a{}", &version[..version.len() - 1]));
        // Cut between characters.
        check(&format!("a{}", "é".repeat(CLIENT_NAME_LEN_MAX)), &format!("a{}", "é".repeat(31)));
    }
}
