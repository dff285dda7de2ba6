//! What can go wrong for somebody who runs `strongroom`: one enum a family, and the closed list with exit codes.

use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use strongroom_client::{ClientError, ConfigError};
use strongroom_crypto::certificates::{AuthorityError, CertificateError};
use strongroom_types::{ClusterId, HsmId, NameError, PasswordError, Role, UserName};
use thiserror::Error;

use crate::processes::Exit;

/// The closed list. Each family has one exit code; `strongroom --help` lists them.
#[derive(Debug, Error)]
pub enum ExpectedError {
    /// The command line, or settings that differ from the cluster's.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Addresses of HSMs.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Others at work on the folder.
    #[error(transparent)]
    Busy(#[from] BusyError),
    /// Programs of Strongroom.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// HSMs that do not serve.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// What the cluster refused.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A rollback that is not accepted.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// A clone that is not made.
    #[error(transparent)]
    Clone(#[from] CloneError),
    /// Standard output takes no more. What was asked for is done.
    #[error("the answer cannot be written, though the command did its work")]
    Print {
        /// Why.
        source: io::Error,
    },
    /// A system call that does not fail on a sound machine.
    #[error("the system refused to {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ExpectedError {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            ExpectedError::Print { .. } | ExpectedError::System { .. } => 1,
            ExpectedError::Settings(_) => 2,
            ExpectedError::State(_) => 3,
            ExpectedError::Address(_) => 4,
            ExpectedError::Busy(_) => 5,
            ExpectedError::Program(_) => 6,
            ExpectedError::Hsm(_) => 7,
            ExpectedError::Provision(_) => 8,
            ExpectedError::Rollback(_) => 9,
            ExpectedError::Clone(_) => 10,
        }
    }
}

/// Settings that cannot be taken.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The type knows one mode only.
    #[error("hsm1.medium has no NON_FIPS mode; use --hsm-type hsm2m.medium or --mode FIPS")]
    ModeOfType,
    /// No colon.
    #[error("--crypto-user needs a name and a password with a colon between them, as in alice:correct-horse")]
    CryptoUserForm,
    /// The name of the crypto user.
    #[error("--crypto-user: {0}")]
    CryptoUserName(NameError),
    /// A name that the cluster's own users have.
    #[error("--crypto-user: every cluster has a user {name}; choose another name")]
    CryptoUserReserved {
        /// The name.
        name: UserName,
    },
    /// A password.
    #[error("{option}: {rule}")]
    Password {
        /// The option it came with.
        option: &'static str,
        /// The rule it breaks.
        rule: PasswordError,
    },
    /// The cluster exists and is different.
    #[error(
        "the cluster has {what} {has}, which `up` cannot change to {asked}; leave the option out, or make another \
         cluster with another --state"
    )]
    Different {
        /// The setting.
        what: &'static str,
        /// Its value in the cluster.
        has: String,
        /// The value asked for.
        asked: String,
    },
    /// The passwords were set before.
    #[error(
        "{option} differs from what the cluster was made with; leave it out, and change passwords with `cloudhsm-cli \
         user change-password`"
    )]
    PasswordDifferent {
        /// The option.
        option: &'static str,
    },
    /// A clone has its origin's users.
    #[error(
        "{option} is of no use with --clone-of: the users and their passwords come from the other cluster; leave it out"
    )]
    CloneCredentials {
        /// The option.
        option: &'static str,
    },
    /// The cluster exists, and began empty.
    #[error(
        "{cluster} is no clone, and `up` cannot make it one of {}; make the clone with another --state", asked.display()
    )]
    NoClone {
        /// The cluster.
        cluster: ClusterId,
        /// The folder that was asked for.
        asked: PathBuf,
    },
    /// `credentials.json` was removed after the cluster had been made.
    #[error(
        "{option} is of no use: the users exist, and credentials.json was removed from the state folder; leave it out"
    )]
    CredentialsRemoved {
        /// The option.
        option: &'static str,
    },
}

/// The state folder.
#[derive(Debug, Error)]
pub enum StateError {
    /// A file or folder.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something else is there.
    #[error(
        "{} has other files in it and is no state folder of Strongroom; name an empty or a new folder with --state",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// Something else is there, and a cluster was looked for.
    #[error(
        "{} holds no cluster: the files in it are not Strongroom's; name the cluster's folder with --state",
        path.display()
    )]
    NotState {
        /// The folder.
        path: PathBuf,
    },
    /// The root key or the store of a cluster, but not the file that says which cluster it is.
    #[error(
        "{} is missing beside the cluster's other files; put it back from a copy, and make no new cluster in its place",
        path.display()
    )]
    ClusterFileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A file stands where the folder should be.
    #[error("{} is not a folder; name a folder with --state", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// There is no cluster: the folder is empty or not there.
    #[error(
        "{} holds no cluster: it is empty or not there; name the cluster's folder with --state, or make a new cluster \
         with `strongroom up`",
        path.display()
    )]
    NoCluster {
        /// The folder.
        path: PathBuf,
    },
    /// Another user's folder.
    #[error("{} belongs to another user (uid {owner}); use the state folder as that user, or name another", path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others could put their own files in place of the cluster's: its root key, its CA, what its HSMs are told.
    #[error("others may write to {} (mode {mode:04o}); if nobody has: chmod 700 {0}", path.display())]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A newer Strongroom wrote it.
    #[error(
        "{} has format {found}, this version of strongroom knows {known}; use the version that wrote it, or a newer one",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// Not the JSON it should be. The parser's own words are left out: they may repeat a password.
    #[error("{} is damaged at line {line}, column {column}; put it back from a copy of the state folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The JSON contradicts itself.
    #[error("{} is damaged: {what}; put it back from a copy of the state folder", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Too long to be what it should be.
    #[error("{} is longer than {max} bytes and not what strongroom wrote; put it back from a copy", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A file without which the rest is worthless.
    #[error("{} is missing, and the cluster's state cannot be used without it; put it back from a copy", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The cluster has a certificate and the CA that signed it is gone.
    #[error(
        "{} is missing, but the cluster has a certificate that it signed; clients trust that file alone: put it back \
         from a copy",
        path.display()
    )]
    CustomerCaMissing {
        /// The certificate of the CA.
        path: PathBuf,
    },
    /// The store of a cluster that was ready once. A new one beside the old keys would be another cluster.
    #[error(
        "{} is missing, and with it every user and key of the cluster; put the folder `store` back from a copy (is its \
         disk mounted?)",
        path.display()
    )]
    StoreMissing {
        /// The database.
        path: PathBuf,
    },
    /// A client's configuration that somebody changed into something else.
    #[error("{} is no client configuration; remove it and run `strongroom up` again, which writes it anew", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
    },
}

impl StateError {
    /// A file of ours that the JSON parser refuses.
    pub(crate) fn damaged(path: PathBuf, error: &serde_json::Error) -> StateError {
        StateError::Damaged { path, line: error.line(), column: error.column() }
    }
}

/// Addresses of HSMs.
#[derive(Debug, Error)]
pub enum AddressError {
    /// An address that the cluster has.
    #[error(
        "{address}, the address of {hsm}, is used by another process; find it with `ss -ltnp 'sport = :{}'`, stop it \
         and run `strongroom up` again",
        address.port()
    )]
    Taken {
        /// Whose.
        hsm: HsmId,
        /// Which.
        address: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// No free block.
    #[error(
        "no free addresses found in 127.0.0.0/8 for {hsms} HSMs ({tries} tries); a process that listens on port {port} \
         of every address may be the cause: `ss -ltnp 'sport = :{port}'` shows it"
    )]
    NoneFree {
        /// How many are needed.
        hsms: usize,
        /// How often it was tried.
        tries: u32,
        /// The port.
        port: u16,
        /// What the system said last.
        source: io::Error,
    },
}

/// Others at work on the folder.
#[derive(Debug, Error)]
pub enum BusyError {
    /// Another `up` or `down`.
    #[error("another `strongroom up` or `down` has worked on {} for {seconds} s; wait for it or stop it", path.display())]
    Changing {
        /// The folder.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// Another supervisor.
    #[error("another `strongroom serve` watches {} already; stop it with `strongroom down`", path.display())]
    Serving {
        /// The folder.
        path: PathBuf,
    },
    /// The cluster runs, and the command needs it stopped.
    #[error("the cluster runs: {what}; stop it with `strongroom down` and run the command again")]
    Running {
        /// What of it.
        what: String,
    },
    /// A process that is told to stop and doesn't.
    #[error("{what} (process {pid}) did not end; the system may be stuck in input or output")]
    DoesNotEnd {
        /// Which.
        what: String,
        /// Its pid.
        pid: u32,
    },
    /// A supervisor that holds the lock but is not to be found.
    #[error("a process holds {} but is not the one named in serve.json; find it with `fuser {}`", path.display(), path.display())]
    UnknownSupervisor {
        /// The lock file.
        path: PathBuf,
    },
}

/// Programs of Strongroom.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// Not where it belongs.
    #[error("{} is missing; it belongs beside the strongroom program (`cargo build -p strongroom-hsm` makes it)", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The system did not start it.
    #[error("cannot start {}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Our own path.
    #[error("cannot tell where the strongroom program is")]
    OwnPath {
        /// Why.
        source: io::Error,
    },
    /// `strongroom-hsm init-root-key`.
    #[error("the root key could not be made ({exit}): {said}")]
    RootKey {
        /// How the program ended.
        exit: Exit,
        /// What it wrote.
        said: String,
    },
    /// Not what its version prints.
    #[error("{} printed something else than it should for {what}; install programs of the same version", path.display())]
    Answer {
        /// The program.
        path: PathBuf,
        /// What it was asked for.
        what: &'static str,
    },
    /// The supervisor ended while we waited for it.
    #[error("the supervisor ended while starting ({exit}); the end of {}:\n{tail}", log.display())]
    Supervisor {
        /// How it ended.
        exit: Exit,
        /// Its log.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// The supervisor ended while the HSMs were waited for.
    #[error("the supervisor ended while the HSMs were starting; {} may say why; run `strongroom up` again", log.display())]
    SupervisorGone {
        /// Its log.
        log: PathBuf,
    },
    /// The supervisor never reported.
    #[error("the supervisor did not start within {seconds} s; see {}", log.display())]
    SupervisorSilent {
        /// How long we waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
}

/// HSMs that do not serve.
#[derive(Debug, Error)]
pub enum HsmError {
    /// It ended instead of serving.
    #[error("{hsm} ended ({exit}); the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which.
        hsm: HsmId,
        /// How.
        exit: Exit,
        /// Its log.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// It runs and does not serve.
    #[error("{hsm} does not serve after {seconds} s: {reason}; see {}", log.display())]
    NotServing {
        /// Which.
        hsm: HsmId,
        /// How long we waited.
        seconds: u64,
        /// What it says.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// Another cluster answers on the socket.
    #[error("the process behind {} is {found}, not {hsm}; stop it and run `strongroom up` again", socket.display())]
    Another {
        /// Who should be there.
        hsm: HsmId,
        /// Who says it is.
        found: String,
        /// Where.
        socket: PathBuf,
    },
    /// A request over the HSM's own socket.
    #[error("{hsm} does not {action}")]
    Appliance {
        /// Which.
        hsm: HsmId,
        /// What was asked.
        action: &'static str,
        /// What came back.
        source: ClientError,
    },
}

/// A clone that is not made.
#[derive(Debug, Error)]
pub enum CloneError {
    /// There is no such cluster to begin with.
    #[error("the cluster to be cloned, in {}, cannot be used; name its state folder with --clone-of", path.display())]
    Origin {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        source: StateError,
    },
    /// A folder cannot begin with itself.
    #[error("--clone-of and --state name the same folder, {}; name another --state", path.display())]
    Itself {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds another cluster than when the clone was begun.
    #[error(
        "{} holds {found} now, and the clone was begun with {wanted}; remove the clone's state folder and begin it again",
        path.display()
    )]
    Another {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: ClusterId,
        /// What it held.
        wanted: ClusterId,
    },
    /// Something that a clone takes over.
    #[error("{cluster} has {what} {has}, and so has its clone, not {asked}; leave the option out")]
    Different {
        /// The origin.
        cluster: ClusterId,
        /// The setting.
        what: &'static str,
        /// Its value in the origin.
        has: String,
        /// The value asked for.
        asked: String,
    },
    /// The HSM program says why.
    #[error("{said}")]
    Refused {
        /// Its words.
        said: String,
    },
}

/// A rollback that is not accepted.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// The HSM program says why.
    #[error("{said}")]
    Refused {
        /// Its words.
        said: String,
    },
    /// It says nothing.
    #[error("the HSM program ended without a word ({exit})")]
    Silent {
        /// How it ended.
        exit: Exit,
    },
}

/// What the cluster, or the making of its certificate, refused.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The customer CA.
    #[error("the customer CA in {} cannot be used", path.display())]
    CustomerCa {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: AuthorityError,
    },
    /// What the HSM wants a certificate for.
    #[error("the certificate request of {hsm} cannot be used")]
    Request {
        /// Whose.
        hsm: HsmId,
        /// Why.
        source: CertificateError,
    },
    /// A step over the network protocol.
    #[error("the cluster does not {action}")]
    Client {
        /// What was asked.
        action: &'static str,
        /// What came back.
        source: ClientError,
    },
    /// The client engine does not take what we made.
    #[error("the client configuration cannot be used")]
    Configuration {
        /// Why.
        source: ConfigError,
    },
    /// A user's password is not the one that we have.
    #[error(
        "the cluster does not let {role} {name} log in with the password in {}, so it cannot be made ready; correct \
         the password there, or remove the state folder if it holds no key",
        path.display()
    )]
    Password {
        /// Whose.
        name: UserName,
        /// Their role.
        role: Role,
        /// The file.
        path: PathBuf,
        /// What the cluster said.
        source: ClientError,
    },
}
