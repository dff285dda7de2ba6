//! The file's shape.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_types::limits::HSM_PORT;

use super::{ClusterConfig, Component, Config, RetryMode, Server, home};
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
    #[serde(default)]
    servers: Vec<ServerEntry>,
    #[serde(default)]
    options: Options,
}

#[derive(Deserialize)]
struct ServerEntry {
    hostname: String,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default = "yes")]
    enable: bool,
}

/// The guide names `disable_key_availability_check`; the key of the retry mode is our choice (`docs/reference/choices.md`).
#[derive(Default, Deserialize)]
struct Options {
    #[serde(default)]
    disable_key_availability_check: bool,
    #[serde(default)]
    retry_mode: Retry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Retry {
    Off,
    #[default]
    Standard,
}

#[derive(Default, Deserialize)]
struct LoggingEntry {
    log_type: Option<Kind>,
    log_file: Option<PathBuf>,
    #[serde(default)]
    log_level: LevelName,
    #[serde(default)]
    log_interval: Interval,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Term,
    File,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LevelName {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Interval {
    Never,
    Hourly,
    #[default]
    Daily,
}

fn default_port() -> u16 {
    HSM_PORT
}

fn yes() -> bool {
    true
}

/// Makes a configuration of the file's content; `tool` is who writes such files.
pub(super) fn parse(
    content: &[u8],
    path: &Path,
    tool: &str,
    read_ca: impl Fn(&Path) -> Result<Vec<u8>, ConfigError>,
) -> Result<Config, ConfigError> {
    let root: Root = serde_json::from_slice(content).map_err(|source| ConfigError::Form {
        path: path.into(),
        tool: tool.into(),
        source,
    })?;
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
        let ca_path = match cluster.hsm_ca_file {
            Some(file) => path.parent().unwrap_or(Path::new("")).join(file),
            None => home().join("etc").join("customerCA.crt"),
        };
        Ok(ClusterConfig {
            cluster_id: cluster_id.map_err(|source| ConfigError::ClusterId { source })?,
            servers,
            ca_pem: read_ca(&ca_path)?,
            ca_path: Some(ca_path),
            availability_check: !cluster.options.disable_key_availability_check,
            retry: match cluster.options.retry_mode {
                Retry::Off => RetryMode::Off,
                Retry::Standard => RetryMode::Standard,
            },
        })
    });
    Ok(Config { clusters: clusters.collect::<Result<_, _>>()?, logging: logging(root.logging, path) })
}

/// What the file at `path` leaves out is as the guide says: libraries that OpenSSL loads log to standard error, the
/// others to a file of their own name under `run` in the folder of clients.
fn logging(entry: LoggingEntry, path: &Path) -> Logging {
    let stem = path.file_stem().unwrap_or_default();
    let for_openssl = [Component::Dyn, Component::OpensslProvider].map(|component| component.file_stem());
    let kind = match entry.log_type {
        Some(Kind::Term) => LogKind::Term,
        Some(Kind::File) => LogKind::File,
        None if entry.log_file.is_none() && for_openssl.iter().any(|name| stem == name.as_str()) => LogKind::Term,
        None => LogKind::File,
    };
    let own = || home().join("run").join(stem).with_extension("log");
    Logging {
        kind,
        file: entry.log_file.or_else(|| (kind == LogKind::File).then(own)),
        level: match entry.log_level {
            LevelName::Error => Level::Error,
            LevelName::Warn => Level::Warn,
            LevelName::Info => Level::Info,
            LevelName::Debug => Level::Debug,
            LevelName::Trace => Level::Trace,
        },
        interval: match entry.log_interval {
            Interval::Never => Rotation::Never,
            Interval::Hourly => Rotation::Hourly,
            Interval::Daily => Rotation::Daily,
        },
    }
}
