//! Asking a cluster as the doors do, from this process or from one of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use strongroom_client::{Client, ClientError, ClientName, ClusterConfig, Config, FoundKeys, PairAlgorithm};
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Family, Filter, FilterTerm, Flag, KeyReference, KeyType, Password, Role,
    Secret, SignMechanism, Status, UserName,
};

/// The argument that makes this program a client: it asks what its standard input says, line by line.
pub const CLIENT: &str = "client";
/// Keys of one page.
const PAGE_LEN: u32 = 1_000;

/// What a client is to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// As an admin or a crypto user.
    Login {
        user: String,
        admin: bool,
        password: String,
    },
    Logout,
    UserCreate {
        user: String,
        admin: bool,
        password: String,
    },
    UserDelete {
        user: String,
    },
    ChangePassword {
        user: String,
        admin: bool,
        password: String,
    },
    UserList,
    /// An AES key.
    GenerateAes {
        label: String,
    },
    /// A P-256 pair; the public label first.
    GeneratePair {
        labels: [String; 2],
    },
    /// A P-256 pair that lives as long as the login.
    GenerateSessionPair,
    Find {
        reference: u64,
    },
    FindLabel {
        label: String,
    },
    FindAll,
    Delete {
        reference: u64,
    },
    Share {
        reference: u64,
        user: String,
    },
    Unshare {
        reference: u64,
        user: String,
    },
    SetLabel {
        reference: u64,
        label: String,
    },
    Sign {
        reference: u64,
    },
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// References of what was made; of a pair the public key's first.
    Created(Vec<u64>),
    Keys(Vec<Found>),
    Users(Vec<String>),
}

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    pub reference: u64,
    pub label: String,
    pub owner: String,
    /// By name.
    pub shared_with: Vec<String>,
}

/// Why there is no reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// Refused with a status of this number.
    Refused(u16),
    /// Nobody answered in time, or only that it cannot be done now.
    Lost(String),
    /// What must never be answered.
    Broken(String),
    /// It was not asked at all.
    Unsent(String),
}

/// A client.
pub enum Caller {
    /// In this process.
    Here(Client),
    /// In one of its own.
    There(Process),
}

/// A client in a process of its own.
pub struct Process {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Caller {
    /// A client in this process of the cluster that this folder is configured for.
    pub fn here(home: &Path) -> anyhow::Result<Caller> {
        Ok(Caller::Here(open(home)?))
    }

    /// One in a process of its own.
    pub fn there(home: &Path) -> anyhow::Result<Caller> {
        let own = std::env::current_exe().context("the path of this program")?;
        let mut command = Command::new(own);
        command.arg(CLIENT).arg(home).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a client's process")?;
        let commands = child.stdin.take().context("its standard input")?;
        let answers = BufReader::new(child.stdout.take().context("its standard output")?);
        Ok(Caller::There(Process { child, commands, answers }))
    }

    /// Asks, and waits for what comes of it.
    pub fn ask(&mut self, ask: &Ask) -> Result<Reply, Failure> {
        match self {
            Caller::Here(client) => carry_out(client, ask),
            Caller::There(process) => process
                .exchange(ask)
                .unwrap_or_else(|error| Err(Failure::Broken(format!("a client's process failed: {error:#}")))),
        }
    }
}

impl Process {
    fn exchange(&mut self, ask: &Ask) -> anyhow::Result<Result<Reply, Failure>> {
        let mut line = serde_json::to_string(ask)?;
        line.push('\n');
        self.commands.write_all(line.as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).with_context(|| format!("it answered {answer:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its input at the latest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The life of a client's process: one answer for each line.
pub fn serve(home: &Path) -> anyhow::Result<()> {
    let client = open(home)?;
    // Whoever started it says when it is over.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default())?;
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let ask: Ask = serde_json::from_str(&line?)?;
        let mut answer = serde_json::to_string(&carry_out(&client, &ask))?;
        answer.push('\n');
        answers.write_all(answer.as_bytes())?;
        answers.flush()?;
    }
    Ok(())
}

fn open(home: &Path) -> anyhow::Result<Client> {
    let file: PathBuf = home.join("etc/cloudhsm-cli.cfg");
    let config = Config::read(&file).context("the configuration")?;
    let cluster = ClusterConfig::select(&config, None).context("the cluster")?;
    Client::open(cluster.clone(), ClientName::new("chaos")).context("the client")
}

fn carry_out(client: &Client, ask: &Ask) -> Result<Reply, Failure> {
    let done = |()| Reply::Done;
    match ask {
        Ask::Login { user, admin, password } => {
            let password = Password::for_login(Secret::from(password.as_bytes()));
            Ok(client.login(&name(user)?, role(*admin), &password).map(|_| Reply::Done)?)
        }
        Ask::Logout => Ok(client.logout().map(done)?),
        Ask::UserCreate { user, admin, password } => {
            Ok(client.user_create(&name(user)?, role(*admin), &new(password)?).map(|_| Reply::Done)?)
        }
        Ask::UserDelete { user } => Ok(client.user_delete(&name(user)?, Role::CryptoUser).map(|_| Reply::Done)?),
        Ask::ChangePassword { user, admin, password } => {
            Ok(client.user_change_password(&name(user)?, role(*admin), &new(password)?).map(|_| Reply::Done)?)
        }
        Ask::UserList => {
            let users = client.user_list()?;
            Ok(Reply::Users(users.into_iter().map(|user| user.name.as_str().to_owned()).collect()))
        }
        Ask::GenerateAes { label } => {
            let made = client.key_generate_secret(KeyType::Aes, 32, &vec![labelled(label)], &[])?;
            Ok(Reply::Created(vec![made.reference.as_u64()]))
        }
        Ask::GeneratePair { labels: [public, private] } => {
            let may = |flag, label| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true)), labelled(label)];
            let algorithm = PairAlgorithm::Ec(Curve::P256);
            let (public, private) =
                client.key_generate_pair(&algorithm, &may(Flag::Verify, public), &may(Flag::Sign, private), &[])?;
            Ok(Reply::Created(vec![public.reference.as_u64(), private.reference.as_u64()]))
        }
        Ask::GenerateSessionPair => {
            let may = |flag| {
                let flags = [(Flag::Token, false), (flag, true)];
                flags.map(|(flag, value)| (AttributeName::Flag(flag), AttributeValue::Bool(value))).to_vec()
            };
            let algorithm = PairAlgorithm::Ec(Curve::P256);
            let (_, private) = client.key_generate_pair(&algorithm, &may(Flag::Verify), &may(Flag::Sign), &[])?;
            Ok(Reply::Created(vec![private.reference.as_u64()]))
        }
        Ask::Find { reference } => find(client, &Filter(vec![FilterTerm::Reference(key(*reference)?)])),
        Ask::FindLabel { label } => {
            let (name, value) = labelled(label);
            find(client, &Filter(vec![FilterTerm::Attribute(name, value)]))
        }
        Ask::FindAll => find(client, &Filter(Vec::new())),
        Ask::Delete { reference } => Ok(client.key_delete(key(*reference)?).map(done)?),
        Ask::Share { reference, user } => {
            Ok(client.key_share(key(*reference)?, &name(user)?, Role::CryptoUser).map(done)?)
        }
        Ask::Unshare { reference, user } => {
            Ok(client.key_unshare(key(*reference)?, &name(user)?, Role::CryptoUser).map(done)?)
        }
        Ask::SetLabel { reference, label } => {
            let (name, value) = labelled(label);
            Ok(client.key_set_attribute(key(*reference)?, name, &value).map(done)?)
        }
        Ask::Sign { reference } => {
            Ok(client.sign(key(*reference)?, SignMechanism::Ecdsa, &DIGEST).map(|_| Reply::Done)?)
        }
    }
}

/// What is signed.
pub const DIGEST: [u8; 32] = [7; 32];

/// Every match.
fn find(client: &Client, filter: &Filter) -> Result<Reply, Failure> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).map_err(|_| Failure::Broken("too many keys".into()))?;
        let FoundKeys { total, keys } = client.key_find(filter, offset, PAGE_LEN)?;
        let len = keys.len();
        all.extend(keys.into_iter().map(Found::from));
        if len == 0 || all.len() >= usize::try_from(total).unwrap_or(usize::MAX) {
            return Ok(Reply::Keys(all));
        }
    }
}

impl From<strongroom_client::KeyInfo> for Found {
    fn from(key: strongroom_client::KeyInfo) -> Found {
        Found {
            reference: key.reference.as_u64(),
            label: key.attributes.label,
            owner: key.owner.as_str().to_owned(),
            shared_with: key.shared_with.iter().map(|name| name.as_str().to_owned()).collect(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        match &error {
            ClientError::Refused(refusal) => Failure::of(refusal.status, &refusal.about),
            ClientError::Unavailable { .. } | ClientError::Unsettled(_) => Failure::Lost(error.to_string()),
            ClientError::Protocol { .. } => Failure::Broken(error.to_string()),
            ClientError::NoCredentials | ClientError::KeyAvailability | ClientError::TooLong(_) => {
                Failure::Unsent(error.to_string())
            }
        }
    }
}

impl Failure {
    /// What a status means for who asked.
    pub fn of(status: Status, about: &str) -> Failure {
        match status.family() {
            Family::Refused => Failure::Refused(status.number()),
            Family::Unavailable => Failure::Lost(format!("{status} {about}")),
            Family::Corrupt | Family::Bug => Failure::Broken(format!("{status} {about}")),
        }
    }
}

fn name(user: &str) -> Result<UserName, Failure> {
    user.parse().map_err(|_| Failure::Broken(format!("{user} is no name")))
}

fn role(admin: bool) -> Role {
    if admin { Role::Admin } else { Role::CryptoUser }
}

fn new(password: &str) -> Result<Password, Failure> {
    let password = Password::new(Secret::from(password.as_bytes()));
    password.map_err(|error| Failure::Broken(format!("a password of chaos is none: {error}")))
}

fn key(reference: u64) -> Result<KeyReference, Failure> {
    KeyReference::from_u64(reference).ok_or_else(|| Failure::Broken(format!("{reference:#x} is no reference")))
}

fn labelled(label: &str) -> (AttributeName, AttributeValue) {
    (AttributeName::Label, AttributeValue::Text(label.to_owned()))
}
