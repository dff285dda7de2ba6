//! Keys that live as long as a login, and not in the store: what may be made, and what deletes them.
//!
//! Making one is no change of the state: nothing is committed, and asking twice makes two. What ends one is a change:
//! logging out, the user's deletion, a new password. [`authorize_session_key`](crate::authorize_session_key) asks each
//! time whether the login stands.

use strongroom_types::matching;
use strongroom_types::{AttributeName, Attributes, Flag, KeyClass, KeyQuorum, KeyReference, Refusal, Status, UserName};

use crate::derive::Deriving;
use crate::permissions::{Operation, permit};
use crate::plan::internal;
use crate::templates::{self, Chosen};
use crate::wrapping::Unwrapping;
use crate::{Actor, Command, Made, PlanError, SessionKey, State, algorithms, copies, keys, wrapping};

/// What checked session keys will be.
enum NewKeys {
    Secret(Chosen),
    /// Brought in, or derived.
    Key(Chosen),
    /// The public half first.
    Pair(Chosen, Chosen),
    Copy(Box<Attributes>),
}

/// Whether a command asks for session keys: a template of it says `token=false`, or for it the template of the key that
/// unwraps or the original of a copy. Refuses when the actor sees no key there that unwraps: what others' keys say is
/// told to nobody else.
pub fn is_for_session(state: &State, actor: &Actor, command: &Command) -> Result<bool, Refusal> {
    Ok(match command {
        Command::GenerateSecret { template, .. } => matching::is_for_session(template),
        Command::GeneratePair { public_template, private_template, .. } => {
            matching::is_for_session(public_template) || matching::is_for_session(private_template)
        }
        Command::ImportKey { template, .. } | Command::DeriveKey { template, .. } => matching::is_for_session(template),
        Command::UnwrapKey { .. } => Unwrapping::of(command)?.is_for_session(state, actor)?,
        Command::CopyKey { from, template } => copies::is_for_session(from, template),
        _ => false,
    })
}

/// Everything that would be refused whatever is [`Made`], in the order of [`Status`]: of commands for which
/// [`is_for_session`] holds. Run it before generating a key.
pub fn check_session_keys(state: &State, actor: &Actor, command: &Command, now_ms: u64) -> Result<(), Refusal> {
    checked(state, actor, command, now_ms).map(drop)
}

/// The session keys of a command, for the actor's login; of a pair the public key first.
pub fn session_keys(
    state: &State,
    actor: &Actor,
    command: &Command,
    made: &Made,
    now_ms: u64,
) -> Result<Vec<SessionKey>, PlanError> {
    let new_keys = checked(state, actor, command, now_ms)?;
    let Actor::Login(login) = actor else { return Err(internal("login").into()) };
    let key = |reference: KeyReference, attributes, sealed| SessionKey {
        reference,
        login: login.login,
        credential: login.credential,
        owner: login.user,
        attributes,
        sealed,
        created_ms: state.cluster_time(now_ms),
        uses_before: 0,
    };
    match (command, made, new_keys) {
        (Command::GenerateSecret { key_type, length_bytes, .. }, Made::Secret(made), NewKeys::Secret(chosen)) => {
            keys::check_drawn(state, made.reference)?;
            let attributes = keys::secret_attributes((*key_type, *length_bytes), chosen, made)?;
            Ok(vec![key(made.reference, attributes, Some(made.sealed.clone()))])
        }
        (Command::GeneratePair { algorithm, .. }, Made::Pair(made), NewKeys::Pair(public, private)) => {
            keys::check_drawn_pair(state, made)?;
            let (public, private) = keys::pair_attributes(algorithm, (public, private), made)?;
            let public = key(made.public_reference, public, None);
            Ok(vec![public, key(made.private_reference, private, Some(made.sealed.clone()))])
        }
        (Command::UnwrapKey { class, key_type, .. }, Made::Key(made), NewKeys::Key(chosen)) => {
            keys::check_drawn(state, made.reference)?;
            let attributes = wrapping::unwrapped_attributes(state, (*class, *key_type), chosen, made)?;
            Ok(vec![key(made.reference, attributes, made.sealed.clone())])
        }
        (Command::CopyKey { from, .. }, Made::Key(made), NewKeys::Copy(copy)) => {
            keys::check_drawn(state, made.reference)?;
            copies::check_made(&copy, made)?;
            let uses_before = copies::uses_before(state, from);
            Ok(vec![SessionKey { uses_before, ..key(made.reference, *copy, made.sealed.clone()) }])
        }
        (Command::ImportKey { key: imported, .. }, Made::Key(made), NewKeys::Key(chosen)) => {
            keys::check_drawn(state, made.reference)?;
            let attributes = wrapping::imported_attributes(state, imported, chosen, made)?;
            Ok(vec![key(made.reference, attributes, made.sealed.clone())])
        }
        (Command::DeriveKey { .. }, Made::Key(made), NewKeys::Key(chosen)) => {
            keys::check_drawn(state, made.reference)?;
            let attributes = Deriving::of(command)?.attributes(chosen, made)?;
            Ok(vec![key(made.reference, attributes, made.sealed.clone())])
        }
        _ => Err(internal("made").into()),
    }
}

/// Whether the actor may delete the session key. Nothing is written: the client forgets it, and so does the HSM.
pub fn check_delete_session_key(state: &State, actor: &Actor, key: &SessionKey, now_ms: u64) -> Result<(), Refusal> {
    permit(state, actor, Operation::KeyDelete, now_ms)?.ok_or(Status::NotLoggedIn)?;
    if !key.is_of(actor) {
        return Err(Status::KeyUnknown.into());
    }
    if key.attributes.flags.has(Flag::Destroyable) { Ok(()) } else { Err(Status::KeyNotDestroyable.into()) }
}

fn checked(state: &State, actor: &Actor, command: &Command, now_ms: u64) -> Result<NewKeys, Refusal> {
    let user = permit(state, actor, command.operation(), now_ms)?.ok_or(Status::NotLoggedIn)?;
    let cluster = state.cluster().ok_or_else(|| internal("cluster"))?;
    let not_shared = |share_with: &[UserName], quorum: KeyQuorum| match (share_with, quorum) {
        ([], KeyQuorum::NONE) => Ok(()),
        ([], _) => Err(Refusal::new(Status::SessionKeyFixed, "quorum values")),
        _ => Err(Refusal::new(Status::SessionKeyFixed, "crypto users to share with")),
    };
    match command {
        Command::GenerateSecret { key_type, length_bytes, template, share_with, quorum } => {
            not_shared(share_with, *quorum)?;
            let chosen = templates::read(KeyClass::SecretKey, *key_type, template)?.lives(true)?;
            algorithms::check_secret(*key_type, *length_bytes, cluster)?;
            Ok(NewKeys::Secret(chosen))
        }
        Command::GeneratePair { algorithm, public_template, private_template, share_with, quorum } => {
            not_shared(share_with, *quorum)?;
            let key_type = keys::type_of(algorithm);
            let public = templates::read(KeyClass::PublicKey, key_type, public_template)?;
            let private = templates::read(KeyClass::PrivateKey, key_type, private_template)?;
            if public.flags.has(Flag::Token) != private.flags.has(Flag::Token) {
                let token = AttributeName::Flag(Flag::Token);
                return Err(Refusal::new(Status::TemplateInconsistent, token.as_str()));
            }
            algorithms::check_pair(algorithm, cluster)?;
            Ok(NewKeys::Pair(public.lives(true)?, private.lives(true)?))
        }
        Command::UnwrapKey { share_with, quorum, .. } => {
            // Of a key that the actor does not see, this is all that may be found out: that it is unknown.
            let chosen = Unwrapping::of(command)?.check(state, actor, true, now_ms)?;
            not_shared(share_with, *quorum)?;
            Ok(NewKeys::Key(chosen))
        }
        Command::ImportKey { key, template } => Ok(NewKeys::Key(wrapping::chosen_import(state, key, template, true)?)),
        Command::DeriveKey { .. } => Ok(NewKeys::Key(Deriving::of(command)?.check(state, actor, true, now_ms)?)),
        Command::CopyKey { from, template } => {
            let copy = copies::copied(state, user, from, template, |key| key.is_of(actor))?;
            if copy.flags.has(Flag::Token) {
                return Err(templates::refused(Status::AttributeValueInvalid, AttributeName::Flag(Flag::Token)));
            }
            Ok(NewKeys::Copy(Box::new(copy)))
        }
        _ => Err(internal("command")),
    }
}
