//! Quorum and MFA: token files written and read, approvals passed on.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strongroom_client::{ApprovalInfo, Client, MfaChange, SignedChallenge, UserInfo};
use strongroom_crypto::pem;
use strongroom_types::{ClusterId, QuorumService, QuorumSubject};

use super::{Outcome, single};
use crate::arguments::{Approval, ChangeMfa, Quorum, Scope, TokenSign};
use crate::error::ExpectedError;
use crate::session::{Need, Session};
use crate::token_files::{self, TokenFileError};
use crate::{files, output, prompt};

/// `quorum …`.
pub fn run(session: &mut Session, cluster: Option<&ClusterId>, command: Quorum) -> Outcome {
    let Quorum::TokenSign(command) = command;
    match command {
        TokenSign::Delete { scope } => {
            session.client(cluster, Need::Login)?.quorum_token_delete(scope == Scope::All)?;
            Ok(Value::from("Deletion of quorum token(s) successful"))
        }
        TokenSign::Generate { service, token, filter } => {
            let client = session.client(cluster, Need::Login)?;
            let key = match (service.is_of_key(), filter.is_empty()) {
                (true, false) => Some(single(&client, filter)?.reference),
                (true, true) => return Err(ExpectedError::FilterMissing(service)),
                (false, _) => None,
            };
            generate(&client, QuorumSubject { service, key }, &token)
        }
        TokenSign::List => Ok(output::tokens(&session.client(cluster, Need::Nothing)?.quorum_tokens()?)),
        TokenSign::ListQuorumValues => {
            let values = session.client(cluster, Need::Nothing)?.quorum_values()?;
            Ok(json!({ "user": values.user, "quorum": values.quorum, "cluster": values.cluster }))
        }
        TokenSign::ListTimeouts => {
            let values = session.client(cluster, Need::Nothing)?.quorum_values()?;
            Ok(json!({ "generated": values.generated_seconds, "approved": values.approved_seconds }))
        }
        TokenSign::SetQuorumValue { service, value, approval } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            client.quorum_set_value(service, value)?;
            Ok(Value::from("Set quorum value successful"))
        }
        TokenSign::SetTimeout { times, approval } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            let seconds = times.approved.or(times.generated).expect("the option parser asks for one of the two");
            client.quorum_set_time(times.approved.is_some(), seconds)?;
            Ok(Value::from("Set token timeout successful"))
        }
    }
}

fn generate(client: &Client, subject: QuorumSubject, token: &Path) -> Outcome {
    let approval_data = client.quorum_token_generate(subject)?;
    let text = match subject.service {
        QuorumService::Registration => token_files::registration(&approval_data),
        _ => token_files::approval(subject, &approval_data),
    };
    files::write(token, text.as_bytes())?;
    let whole = std::path::absolute(token).unwrap_or_else(|_| token.to_owned());
    Ok(json!({ "path": whole.display().to_string() }))
}

/// The client whose next operation carries what was approved.
pub fn approved(client: &Client, approval: &Approval) -> Result<Client, ExpectedError> {
    with_files(client, approval.approval.iter())
}

/// The same for an operation that needs approvals of several tokens.
pub fn with_files<'a>(client: &Client, files: impl IntoIterator<Item = &'a PathBuf>) -> Result<Client, ExpectedError> {
    let read = |path: &PathBuf| -> Result<ApprovalInfo, ExpectedError> {
        token_files::read_approval(&files::read(path, token_files::LEN_MAX)?).map_err(|source| wrong(path, source))
    };
    let approvals = files.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(client.with_approvals(approvals))
}

fn wrong(path: &Path, source: TokenFileError) -> ExpectedError {
    ExpectedError::TokenFile { path: path.to_owned(), source }
}

/// `user change-quorum token-sign register`.
pub fn register(client: &Client, public_key: &Path, signed_token: &Path) -> Result<UserInfo, ExpectedError> {
    let bytes = files::read(signed_token, token_files::LEN_MAX)?;
    let (approval_data, signature) =
        token_files::read_registration(&bytes).map_err(|source| wrong(signed_token, source))?;
    Ok(client.quorum_register(&public_key_der(public_key)?, &approval_data, &signature)?)
}

/// `user change-mfa token-sign`.
pub fn change_mfa(client: &Client, command: ChangeMfa) -> Result<UserInfo, ExpectedError> {
    let ChangeMfa::TokenSign { who, change_password, how, change_quorum, approval } = command;
    let client = approved(client, &approval)?;
    let name = who.username.parse()?;
    let password = prompt::to_set(change_password)?;
    let change = match how.token {
        None => MfaChange::Disable,
        Some(token) => {
            let challenge = client.mfa_challenge(&name, who.role)?;
            let signature = signed_elsewhere(&token, &challenge.digest)?;
            let public_key = public_key_der(Path::new(&prompt::line("Enter public key PEM file path:")?))?;
            MfaChange::Enable { public_key, signed: SignedChallenge { challenge: challenge.challenge, signature } }
        }
    };
    Ok(client.user_change_mfa(&name, who.role, &password, change, change_quorum)?)
}

/// Writes a digest to be signed, waits until somebody says that it is, and reads the signature.
pub fn signed_elsewhere(token: &Path, digest: &[u8]) -> Result<Vec<u8>, ExpectedError> {
    files::write(token, token_files::challenge(digest).as_bytes())?;
    let asked = "Enter signed token file path (press enter if same as the unsigned token file):";
    let answer = prompt::line(asked)?;
    let path = if answer.is_empty() { token.to_owned() } else { PathBuf::from(answer) };
    let bytes = files::read(&path, token_files::LEN_MAX)?;
    token_files::read_challenge(&bytes, digest).map_err(|source| wrong(&path, source))
}

/// The SubjectPublicKeyInfo in a PEM file. Whether it is a key to sign tokens with is for the HSM to say.
fn public_key_der(path: &Path) -> Result<Vec<u8>, ExpectedError> {
    let text = files::read(path, token_files::LEN_MAX)?;
    let blocks = pem::decode(pem::PUBLIC_KEY, &text, 1);
    let blocks = blocks.map_err(|source| ExpectedError::PublicKeyPem { path: path.to_owned(), source })?;
    Ok(blocks.into_iter().next().expect("one block at least"))
}
