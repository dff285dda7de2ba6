//! What can go wrong, named so that a person knows what to do; never with a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use strongroom_crypto::certificates::AnchorError;
use strongroom_crypto::tls::IdentityError;
use strongroom_types::{ClusterId, IdError, Refusal, Status};
use strongroom_wire::Malformed;
use strongroom_wire::frame::FrameError;
use thiserror::Error;

/// A configuration that can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is missing or unreadable.
    #[error("cannot read the configuration {}: {source}; set CLOUDHSM_HOME to the client folder that `strongroom up` names, or \
         make the file with `{tool} -a <address of an HSM>`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The tool that writes it.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than any configuration.
    #[error("the configuration {} is longer than {max} bytes; it is no configuration", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// The file is no JSON of the right shape.
    #[error("the configuration {} cannot be understood: {source}; correct it, or write it anew with `{tool}`", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The tool that writes it.
        tool: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// No cluster, or one without an HSM.
    #[error("the configuration {} names no HSM; add one with `{tool} -a <address of an HSM>`", path.display())]
    NoServers {
        /// The file.
        path: PathBuf,
        /// The tool that writes it.
        tool: String,
    },
    /// A configuration made by a program names no HSM.
    #[error("no address of an HSM is given")]
    NoAddress,
    /// A host name that can be none, such as the placeholder of a fresh installation.
    #[error(
        "Config key hostname has invalid value: {value:?} is no address; set one with `{tool} -a <address of an HSM>`"
    )]
    Hostname {
        /// What stands there.
        value: String,
        /// The tool that writes it.
        tool: String,
    },
    /// A cluster id that can be none.
    #[error("Config key cluster_id has invalid value: {source}")]
    ClusterId {
        /// What would have been right.
        source: IdError,
    },
    /// The CA's file is missing or unreadable.
    #[error("cannot read the CA's certificate {}: {source}; put the customerCA.crt of this cluster there", path.display())]
    CaRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA's file holds no CA.
    #[error("the CA's certificate {}: {source}", path.as_deref().map_or("that was given".into(), |path| path.display().to_string()))]
    Ca {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        source: AnchorError,
    },
    /// A certificate without its key, or the other way round.
    #[error(
        "the configuration {} has one of client_cert_path and client_key_path, and needs both or none; set them with `{tool} \
         --client-cert-hsm-tls-file <file> --client-key-hsm-tls-file <file>`",
        path.display()
    )]
    ClientPair {
        /// The file.
        path: PathBuf,
        /// The tool that writes it.
        tool: String,
    },
    /// The client's certificate or key cannot be read.
    #[error("cannot read the client's {}: {source}; the configuration names it for mutual TLS", path.display())]
    ClientRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client's certificate or key is longer than any.
    #[error("the client's {} is longer than {max} bytes; it is no certificate or key", path.display())]
    ClientTooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// The client's certificate and key are none to use.
    #[error("the client certificate {} with the key {}: {source}", chain_path.display(), key_path.display())]
    ClientIdentity {
        /// The certificate's file.
        chain_path: PathBuf,
        /// The key's file.
        key_path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// Several clusters and no choice.
    #[error("the configuration names several clusters; say which with --cluster-id: {}", join(clusters))]
    SeveralClusters {
        /// Those with an id.
        clusters: Vec<ClusterId>,
    },
    /// The wanted cluster is not there.
    #[error("the configuration does not name {wanted}; it names {}", join(clusters))]
    ClusterUnknown {
        /// What was asked for.
        wanted: ClusterId,
        /// What is there.
        clusters: Vec<ClusterId>,
    },
}

fn join(clusters: &[ClusterId]) -> String {
    match clusters {
        [] => "none by its id".to_owned(),
        _ => clusters.iter().map(ClusterId::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// Why an operation has no result.
#[derive(Debug, Error)]
pub enum ClientError {
    /// An HSM refused it; every other would.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No HSM could be brought to answer in time.
    #[error("{}", attempts(tried))]
    Unavailable {
        /// Each address that was tried, and why it did not answer the last time.
        tried: Vec<Attempt>,
    },
    /// An HSM's answer is not one to the question.
    #[error("the HSM at {address} broke the protocol: {source}; client and HSM may be of different versions")]
    Protocol {
        /// Which.
        address: String,
        /// What is wrong.
        source: Malformed,
    },
    /// A change that may have been made: an HSM was asked for it and gave no answer, and when it was asked for again,
    /// the login had ended, to which nothing of an earlier answer is told.
    #[error(
        "it is not known whether the change was made, because its answer was lost and, when it was asked for again, {0}; \
         look whether it was made before you make it again"
    )]
    Unsettled(Refusal),
    /// The operation needs a login, and there is neither one nor credentials for one.
    #[error("nobody is logged in; log in, or give a user's name and password")]
    NoCredentials,
    /// The cluster has one HSM, where the configuration asks that keys are on two (wording of the original tool).
    #[error(
        "Cannot perform the requested key operation as the key must be available on at least 2 HSMs before being used"
    )]
    KeyAvailability,
    /// The request is longer than a frame may be.
    #[error("the request is too long: {0}")]
    TooLong(#[from] FrameError),
}

fn attempts(tried: &[Attempt]) -> String {
    match tried {
        [] => "no HSM of the cluster answered: the deadline passed before one was free".to_owned(),
        // What all of them say is said once.
        [Attempt { cause: Cause::Status(refusal), .. }, others @ ..]
            if others.iter().all(|other| other.cause == tried[0].cause) =>
        {
            format!("no HSM of the cluster can do it now: {refusal}")
        }
        _ => {
            let tried: Vec<String> = tried.iter().map(Attempt::to_string).collect();
            format!("no HSM of the cluster answered: {}", tried.join("; "))
        }
    }
}

/// One address, and what came of it the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Host and port, or the path of a socket.
    pub address: String,
    /// Why there is no answer.
    pub cause: Cause,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.cause)
    }
}

/// Why a member gave no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Cause {
    /// No connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection ended before the answer was there.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Nothing came in time.
    #[error("no answer within {0} ms")]
    Silent(u128),
    /// A member that cannot serve at present.
    #[error("{0}")]
    Status(Refusal),
    /// What came is no answer.
    #[error("it broke the protocol: {0}; client and HSM may be of different versions")]
    Protocol(&'static str),
}

impl Cause {
    /// Whether asking the same member again can't help before somebody changes a configuration.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Cause::Connect(error) => error.is_lasting(),
            Cause::Status(refusal) => refusal.status == Status::Internal,
            Cause::Protocol(_) => true,
            Cause::Lost(_) | Cause::Silent(_) => false,
        }
    }
}

/// Why there is no connection to a member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the host name has no address: {0}")]
    Name(String),
    /// TCP, or the Unix socket, gave no connection.
    #[error("cannot connect: {0}")]
    Socket(String),
    /// Nobody answered in time.
    #[error("no connection within {0} ms")]
    Silent(u128),
    /// The port is open, and who listens there says nothing.
    #[error(
        "something takes connections there and does not answer the TLS handshake within {0} ms; check address and port, \
         and whether the HSM is stopped or overloaded"
    )]
    Mute(u128),
    /// Connected, and closed during the handshake.
    #[error("the connection was lost during the TLS handshake: {0}")]
    Lost(String),
    /// What answers is not TLS.
    #[error("what answers there does not speak TLS; check address and port")]
    NoTls,
    /// TLS, and not ours.
    #[error("what answers there speaks TLS and is no HSM of Strongroom; check address and port")]
    NoHsm,
    /// Another CA's certificate.
    #[error("the HSM's certificate was not issued by the CA in {0}; give the customerCA.crt of this cluster")]
    Ca(String),
    /// The certificate is outside its time.
    #[error("the HSM's certificate {0}; check this machine's clock, or have the certificate renewed")]
    Time(&'static str),
    /// Another cluster's HSM.
    #[error("the HSM belongs to {found}, and {wanted} is wanted; check the addresses and the cluster id")]
    AnotherCluster {
        /// Its cluster.
        found: ClusterId,
        /// Ours.
        wanted: ClusterId,
    },
    /// The HSM takes clients with a certificate only, and this one has none.
    #[error(
        "the HSM takes clients with a certificate only (mutual TLS is enforced); set client_cert_path and client_key_path in \
         the configuration, or let the configure tool do it with --client-cert-hsm-tls-file and --client-key-hsm-tls-file"
    )]
    CertificateRequired,
    /// The HSM does not take the client's certificate.
    #[error("the HSM refused the client certificate {path}: {fault}")]
    CertificateRefused {
        /// Its file.
        path: String,
        /// Why.
        fault: CertificateFault,
    },
    /// Whatever else TLS finds wrong.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
}

/// Why an HSM does not take a client's certificate, as far as the alerts of TLS tell (RFC 8446 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// It, or one that vouches for it, is outside its time.
    #[error("it, or one that vouches for it, has expired or is not valid yet; renew it, or check the clocks")]
    Time,
    /// It is under none of the registered trust anchors.
    #[error(
        "it is not under a registered trust anchor, as far as its file has the certificates between; register its CA with \
         `cluster mtls register-trust-anchor`, or use a certificate of a registered one"
    )]
    UnknownCa,
    /// Its usage is another one.
    #[error("its key usage or extended key usage does not allow to authenticate a client; have it issued for that")]
    Usage,
    /// Anything else; the HSM's log says what.
    #[error("it cannot be verified; the HSM's log says more")]
    Other,
}

impl ConnectError {
    /// Whether the HSM wants another certificate of the client, or one at all.
    pub(crate) fn is_about_certificate(&self) -> bool {
        matches!(self, ConnectError::CertificateRequired | ConnectError::CertificateRefused { .. })
    }

    fn is_lasting(&self) -> bool {
        match self {
            ConnectError::Name(_)
            | ConnectError::Socket(_)
            | ConnectError::Silent(_)
            | ConnectError::Mute(_)
            | ConnectError::Lost(_) => false,
            ConnectError::NoTls
            | ConnectError::NoHsm
            | ConnectError::Ca(_)
            | ConnectError::Time(_)
            | ConnectError::AnotherCluster { .. }
            | ConnectError::CertificateRequired
            | ConnectError::CertificateRefused { .. }
            | ConnectError::Tls(_) => true,
        }
    }
}
