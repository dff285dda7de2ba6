//! The configuration file of a component, as the original's `configure-*` tools write it
//! (`etc/cloudhsm-<component>.cfg`, JSON). Keys that are not known here are left alone.

mod document;
mod file;
mod settings;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use strongroom_types::limits::{CA_CHAIN_LEN_MAX, CLIENT_FILE_LEN_MAX, CONFIG_LEN_MAX, HSM_PORT};
use strongroom_types::{ClusterId, Secret};

use crate::error::ConfigError;
use crate::logging::Logging;

pub use document::{ClusterEntry, Document, PLACEHOLDER};
pub use settings::{Setting, Settings};

/// Where everything of a client lies unless `CLOUDHSM_HOME` says otherwise.
const HOME: &str = "/opt/cloudhsm";
/// Who may read a private key beside its owner: nobody (the permissions of group and others).
const OTHERS_READ: u32 = 0o044;

/// The programs that have a configuration of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The command line tool.
    Cli,
    /// The OpenSSL engine.
    Dyn,
    /// The PKCS #11 library.
    Pkcs11,
    /// The JCE provider.
    Jce,
    /// The OpenSSL provider.
    OpensslProvider,
}

impl Component {
    /// All of them.
    pub const ALL: [Component; 5] =
        [Component::Cli, Component::Pkcs11, Component::Dyn, Component::OpensslProvider, Component::Jce];

    /// As it stands in the names of files and tools.
    pub fn as_str(self) -> &'static str {
        match self {
            Component::Cli => "cli",
            Component::Dyn => "dyn",
            Component::Pkcs11 => "pkcs11",
            Component::Jce => "jce",
            Component::OpensslProvider => "openssl-provider",
        }
    }

    /// The component's configuration file.
    pub fn path(self) -> PathBuf {
        self.path_in(&home())
    }

    /// The same in another folder of clients.
    pub fn path_in(self, home: &Path) -> PathBuf {
        home.join("etc").join(self.file_stem()).with_extension("cfg")
    }

    /// The tool that writes it.
    pub fn tool(self) -> String {
        format!("configure-{}", self.as_str())
    }

    /// Whether it logs to standard error unless told otherwise: what OpenSSL loads has no place of its own.
    pub(crate) fn logs_to_terminal(self) -> bool {
        match self {
            Component::Dyn | Component::OpensslProvider => true,
            Component::Cli | Component::Pkcs11 | Component::Jce => false,
        }
    }

    /// The name of the component's files, without what comes after the dot.
    fn file_stem(self) -> String {
        format!("cloudhsm-{}", self.as_str())
    }
}

/// The folder of clients: `CLOUDHSM_HOME`, or `/opt/cloudhsm`. In a set-user-id program the variable is somebody else's
/// word, and not heard.
pub fn home() -> PathBuf {
    home_of(std::env::var_os("CLOUDHSM_HOME"), strongroom_ffi::secure_mode())
}

fn home_of(variable: Option<OsString>, secure_mode: bool) -> PathBuf {
    match variable {
        Some(folder) if !secure_mode && !folder.is_empty() => folder.into(),
        _ => HOME.into(),
    }
}

/// What a configuration file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The clusters, in the file's order.
    pub clusters: Vec<ClusterConfig>,
    /// Where and how much to log.
    pub logging: Logging,
}

impl Config {
    /// Reads the component's file, and the files it names.
    pub fn load(component: Component) -> Result<Config, ConfigError> {
        Config::read(&component.path())
    }

    /// Reads this file, and the files it names: of CAs, of certificates, of their keys. Their paths may be relative to its
    /// folder.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        file::parse(&content(path)?, path, &tool_of(path), read_ca, ClientCertificate::read)
    }
}

/// The whole of a configuration file.
fn content(path: &Path) -> Result<Vec<u8>, ConfigError> {
    match read_bounded(path, CONFIG_LEN_MAX) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(ConfigError::TooLong { path: path.into(), max: CONFIG_LEN_MAX }),
        Err(source) => Err(ConfigError::Read { path: path.into(), tool: tool_of(path), source }),
    }
}

/// The tool that writes a file, by the file's name.
fn tool_of(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    format!("configure-{}", stem.strip_prefix("cloudhsm-").unwrap_or("cli"))
}

/// A file's content, or none when it is longer than `max`.
fn read_bounded(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut content)?;
    Ok(Some(content).filter(|content| content.len() as u64 <= max))
}

/// For fuzzing: a configuration of this content, without a look at the files that it names.
#[cfg(feature = "fuzz")]
pub fn config_of(content: &[u8]) -> Result<Config, ConfigError> {
    file::parse(
        content,
        Path::new("cloudhsm-cli.cfg"),
        "configure-cli",
        |_| Ok(Vec::new()),
        |certificate, key| {
            Ok(ClientCertificate {
                chain_pem: Vec::new(),
                chain_path: certificate.into(),
                key_pem: Secret::from(&[][..]),
                key_path: key.into(),
                is_key_exposed: false,
            })
        },
    )
}

/// The CA that a cluster's certificate must come from.
fn read_ca(path: &Path) -> Result<Vec<u8>, ConfigError> {
    // One byte more than allowed is enough for the check of the chain to say so.
    let mut content = Vec::new();
    let max = CA_CHAIN_LEN_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(max).read_to_end(&mut content));
    read.map_err(|source| ConfigError::CaRead { path: path.into(), source })?;
    Ok(content)
}

/// One cluster of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster, when the configuration names it: HSMs of another one are not spoken to.
    pub cluster_id: Option<ClusterId>,
    /// HSMs to begin with; one is enough, the cluster tells the others.
    pub servers: Vec<Server>,
    /// The customer's CA, a PEM chain.
    pub ca_pem: Vec<u8>,
    /// Where `ca_pem` came from, for messages.
    pub ca_path: Option<PathBuf>,
    /// What the client shows to HSMs that ask for it, under mutual TLS.
    pub certificate: Option<ClientCertificate>,
    /// What is switched on and off.
    pub settings: Settings,
    /// Whether failed requests are repeated.
    pub retry: RetryMode,
}

impl ClusterConfig {
    /// A cluster with these HSMs to begin with, whose certificate comes from this CA; all else as it is where nothing is
    /// said.
    pub fn new(servers: Vec<Server>, ca_pem: Vec<u8>) -> ClusterConfig {
        ClusterConfig {
            cluster_id: None,
            servers,
            ca_pem,
            ca_path: None,
            certificate: None,
            settings: Settings::default(),
            retry: RetryMode::default(),
        }
    }

    /// The cluster of this id, or the only one.
    pub fn select<'a>(config: &'a Config, wanted: Option<&ClusterId>) -> Result<&'a ClusterConfig, ConfigError> {
        let ids = || config.clusters.iter().filter_map(|cluster| cluster.cluster_id.clone()).collect();
        match (wanted, config.clusters.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(ConfigError::SeveralClusters { clusters: ids() }),
            // A file that `configure-* -a` wrote has no id; whether it is that cluster's is seen in its certificate.
            (Some(_), [only]) if only.cluster_id.is_none() => Ok(only),
            (Some(wanted), clusters) => clusters
                .iter()
                .find(|cluster| cluster.cluster_id.as_ref() == Some(wanted))
                .ok_or_else(|| ConfigError::ClusterUnknown { wanted: wanted.clone(), clusters: ids() }),
        }
    }
}

/// A client's certificate and its private key, as their files hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain up to the trust anchor, PEM.
    pub chain_pem: Vec<u8>,
    /// Where that came from.
    pub chain_path: PathBuf,
    /// The private key, PEM.
    pub key_pem: Secret,
    /// Where that came from.
    pub key_path: PathBuf,
    /// Whether others than the owner may read the key's file.
    pub is_key_exposed: bool,
}

impl ClientCertificate {
    /// Reads both files.
    pub fn read(chain_path: &Path, key_path: &Path) -> Result<ClientCertificate, ConfigError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ConfigError::ClientRead { path, source }
        };
        let too_long = |path: &Path| ConfigError::ClientTooLong { path: path.into(), max: CLIENT_FILE_LEN_MAX };
        let chain_pem = read_bounded(chain_path, CLIENT_FILE_LEN_MAX).map_err(failed(chain_path))?;
        let (key, mode) = read_secret(key_path).map_err(failed(key_path))?;
        Ok(ClientCertificate {
            chain_pem: chain_pem.ok_or_else(|| too_long(chain_path))?,
            chain_path: chain_path.into(),
            key_pem: key.ok_or_else(|| too_long(key_path))?,
            key_path: key_path.into(),
            is_key_exposed: mode & OTHERS_READ != 0,
        })
    }
}

/// A file's content, or none when it is longer than a client's may be; and who may read it. The buffer never grows, so that
/// no copy stays behind.
fn read_secret(path: &Path) -> io::Result<(Option<Secret>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let max = usize::try_from(CLIENT_FILE_LEN_MAX).unwrap_or(usize::MAX);
    let mut content = Vec::with_capacity(max + 2);
    let read = file.take(CLIENT_FILE_LEN_MAX + 1).read_to_end(&mut content);
    let content = Secret::new(content);
    read?;
    Ok((Some(content).filter(|content| content.len() <= max), mode))
}

/// Where an HSM listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// IPv4 or IPv6 address, or a host name.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

impl Server {
    /// At the port of HSMs.
    pub fn new(address: &str) -> Server {
        Server { address: address.to_owned(), port: HSM_PORT }
    }

    /// Whether the address can be one at all. The placeholder of a fresh installation, `%%HSM_IP_ADDRESS%%`, can't.
    pub fn is_valid(&self) -> bool {
        let name = |text: &str| {
            !text.is_empty()
                && text.len() <= 253
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                && !text.starts_with(['-', '.'])
        };
        self.address.parse::<std::net::IpAddr>().is_ok() || name(&self.address)
    }
}

/// Whether failed requests are repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetryMode {
    /// What failed is asked once and reported.
    Off,
    /// Repeated, on other members first, within the operation's time.
    #[default]
    Standard,
}

impl RetryMode {
    /// All.
    pub const ALL: [RetryMode; 2] = [RetryMode::Off, RetryMode::Standard];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            RetryMode::Off => "off",
            RetryMode::Standard => "standard",
        }
    }
}
