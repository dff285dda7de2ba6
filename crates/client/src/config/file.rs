//! The file's shape.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Map, Value};
use strongroom_types::limits::HSM_PORT;

use super::{ClientCertificate, ClusterConfig, Component, Config, RetryMode, Server, Setting, Settings, home};
use crate::error::ConfigError;
use crate::logging::{Level, LogKind, Logging, Rotation};

#[derive(Deserialize)]
struct Root {
    #[serde(default)]
    clusters: Vec<ClusterEntry>,
    #[serde(default)]
    logging: LoggingEntry,
}

#[derive(Deserialize)]
struct ClusterEntry {
    cluster: Cluster,
}

#[derive(Deserialize)]
struct Cluster {
    cluster_id: Option<String>,
    hsm_ca_file: Option<PathBuf>,
    client_cert_path: Option<PathBuf>,
    client_key_path: Option<PathBuf>,
    #[serde(default)]
    servers: Vec<ServerEntry>,
    #[serde(default)]
    options: Map<String, Value>,
}

#[derive(Deserialize)]
struct ServerEntry {
    hostname: String,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default = "yes")]
    enable: bool,
}

/// The key of the retry mode under `options`: our choice (`docs/reference/choices.md`).
pub(super) const RETRY_MODE: &str = "retry_mode";

/// The guide says to set a switch to `True`, which is no JSON: somebody may have put it in quotes.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn settings(options: &Map<String, Value>) -> Result<Settings, serde_json::Error> {
    let given = Setting::ALL.iter().filter_map(|setting| Some((*setting, options.get(setting.key())?)));
    given.into_iter().try_fold(Settings::default(), |settings, (setting, value)| match flag(value) {
        Some(value) => Ok(settings.with(setting, setting.value(value))),
        None => Err(serde_json::Error::custom(format!("{}: expected true or false, found {value}", setting.key()))),
    })
}

fn retry(options: &Map<String, Value>) -> Result<RetryMode, serde_json::Error> {
    match options.get(RETRY_MODE) {
        None => Ok(RetryMode::default()),
        Some(value) => RetryMode::ALL.into_iter().find(|mode| value == mode.name()).ok_or_else(|| {
            serde_json::Error::custom(format!("{RETRY_MODE}: expected \"off\" or \"standard\", found {value}"))
        }),
    }
}

#[derive(Default, Deserialize)]
struct LoggingEntry {
    log_type: Option<LogKind>,
    log_file: Option<PathBuf>,
    #[serde(default)]
    log_level: Level,
    #[serde(default)]
    log_interval: Rotation,
}

fn default_port() -> u16 {
    HSM_PORT
}

fn yes() -> bool {
    true
}

/// Reads the shape. Where nothing is looked at the content must be JSON all the same: tools rewrite all of it.
fn root(content: &[u8]) -> Result<Root, serde_json::Error> {
    let root = serde_json::from_slice(content)?;
    serde_json::from_slice::<Value>(content)?;
    Ok(root)
}

/// Whether the content has the shape of a configuration, wherever its HSMs are.
pub(super) fn check(content: &[u8]) -> Result<(), serde_json::Error> {
    let root = root(content)?;
    root.clusters.iter().try_for_each(|entry| {
        settings(&entry.cluster.options)?;
        retry(&entry.cluster.options).map(drop)
    })
}

/// Makes a configuration of the file's content; `tool` is who writes such files.
pub(super) fn parse(
    content: &[u8],
    path: &Path,
    tool: &str,
    read_ca: impl Fn(&Path) -> Result<Vec<u8>, ConfigError>,
    read_client: impl Fn(&Path, &Path) -> Result<ClientCertificate, ConfigError>,
) -> Result<Config, ConfigError> {
    let form = |source| ConfigError::Form { path: path.into(), tool: tool.into(), source };
    let root = root(content).map_err(form)?;
    let no_servers = || ConfigError::NoServers { path: path.into(), tool: tool.into() };
    if root.clusters.is_empty() {
        return Err(no_servers());
    }
    let clusters = root.clusters.into_iter().map(|entry| {
        let cluster = entry.cluster;
        let enabled = cluster.servers.into_iter().filter(|server| server.enable);
        let servers: Vec<_> = enabled.map(|entry| Server { address: entry.hostname, port: entry.port }).collect();
        if servers.is_empty() {
            return Err(no_servers());
        }
        if let Some(bad) = servers.iter().find(|server| !server.is_valid()) {
            return Err(ConfigError::Hostname { value: bad.address.clone(), tool: tool.into() });
        }
        let cluster_id = cluster.cluster_id.map(|id| id.parse()).transpose();
        let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
        let certificate = match (cluster.client_cert_path, cluster.client_key_path) {
            (Some(certificate), Some(key)) => Some(read_client(&beside(certificate), &beside(key))?),
            (None, None) => None,
            _ => return Err(ConfigError::ClientPair { path: path.into(), tool: tool.into() }),
        };
        let ca_path = match cluster.hsm_ca_file {
            Some(file) => beside(file),
            None => home().join("etc").join("customerCA.crt"),
        };
        Ok(ClusterConfig {
            cluster_id: cluster_id.map_err(|source| ConfigError::ClusterId { source })?,
            servers,
            ca_pem: read_ca(&ca_path)?,
            ca_path: Some(ca_path),
            certificate,
            settings: settings(&cluster.options).map_err(form)?,
            retry: retry(&cluster.options).map_err(form)?,
        })
    });
    Ok(Config { clusters: clusters.collect::<Result<_, _>>()?, logging: logging(root.logging, path) })
}

/// What the file at `path` leaves out is as the guide says: libraries that OpenSSL loads log to standard error, the
/// others to a file of their own name under `run` in the folder of clients.
fn logging(entry: LoggingEntry, path: &Path) -> Logging {
    let stem = path.file_stem().unwrap_or_default();
    let to_terminal = Component::ALL.into_iter().filter(|component| component.logs_to_terminal());
    let mut to_terminal = to_terminal.map(Component::file_stem);
    let kind = match entry.log_type {
        Some(kind) => kind,
        None if entry.log_file.is_none() && to_terminal.any(|name| stem == name.as_str()) => LogKind::Term,
        None => LogKind::File,
    };
    let own = || home().join("run").join(stem).with_extension("log");
    Logging {
        kind,
        file: entry.log_file.or_else(|| (kind == LogKind::File).then(own)),
        level: entry.log_level,
        interval: entry.log_interval,
    }
}
