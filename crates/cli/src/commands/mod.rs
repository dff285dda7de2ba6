//! From a command to its answer.

mod crypto;
mod keys;
mod mtls;
mod quorum;
mod replicate;
mod users;
mod wrapping;

use serde_json::Value;
use strongroom_client::{Challenge, Client, KeyInfo, SignedChallenge};
use strongroom_types::{ClusterId, Filter, FilterTerm};

use crate::arguments::{Cluster, Command, Key, Login, LoginMfa};
use crate::error::ExpectedError;
use crate::session::{Need, Session};
use crate::{output, prompt};

type Outcome = Result<Value, ExpectedError>;

/// Runs one command on a cluster.
pub fn run(session: &mut Session, cluster: Option<&ClusterId>, command: Command) -> Outcome {
    match command {
        Command::Cluster(Cluster::Activate { password }) => {
            let password = prompt::to_set(password)?;
            session.client(cluster, Need::Nothing)?.activate(&password)?;
            Ok(Value::from("Cluster activation successful"))
        }
        Command::Cluster(Cluster::HsmInfo) => {
            Ok(output::hsms(&session.client(cluster, Need::Nothing)?.cluster_info()?))
        }
        Command::Cluster(Cluster::Mtls(command)) => mtls::run(session, cluster, command),
        Command::Crypto(command) => crypto::run(&session.client(cluster, Need::Login)?, command),
        Command::Key(command) => {
            let cluster = if let Key::Replicate { between, .. } = &command {
                session.check_between(between)?;
                Some(&between.source_cluster_id)
            } else {
                cluster
            };
            let client = session.client(cluster, Need::Login)?;
            keys::run(session, &client, command)
        }
        Command::Login(options) => login(session, cluster, options),
        Command::Logout => {
            session.client(cluster, Need::Login)?.logout()?;
            Ok(Value::from("Logout successful"))
        }
        Command::Quorum(command) => quorum::run(session, cluster, command),
        Command::User(command) => users::run(session, cluster, command),
    }
}

fn login(session: &mut Session, cluster: Option<&ClusterId>, options: Login) -> Outcome {
    let client = session.client(cluster, Need::Nothing)?;
    let name = options.who.username.parse()?;
    let password = prompt::for_login(options.password)?;
    let role = options.who.role;
    let Some(LoginMfa::MfaTokenSign { token }) = options.mfa else {
        return Ok(output::login(&client.login(&name, role, &password)?));
    };
    let Challenge { challenge, digest } = client.login_challenge(&name, role, &password)?;
    let signature = quorum::signed_elsewhere(&token, &digest)?;
    let signed = SignedChallenge { challenge, signature };
    Ok(output::login(&client.login_signed(&name, role, &password, &signed)?))
}

/// The one key that fits.
fn single(client: &Client, filter: Vec<FilterTerm>) -> Result<KeyInfo, ExpectedError> {
    let found = client.key_find(&Filter(filter), 0, 1)?;
    match (found.total, found.keys.into_iter().next()) {
        (1, Some(key)) => Ok(key),
        (total, _) => Err(ExpectedError::Selection(total)),
    }
}
