//! A configuration file as it is written, by the `configure-*` tools and by `strongroom up`: each change touches what it
//! names. Keys that are not known here stay, and all keys keep their order.

use std::path::Path;

use serde_json::{Map, Value, json};
use strongroom_types::ClusterId;
use strongroom_types::limits::CONFIG_LEN_MAX;

use super::file::{self, RETRY_MODE};
use super::{Component, RetryMode, Server, Setting, content, tool_of};
use crate::error::ConfigError;
use crate::logging::{Level, LogKind, Logging, Rotation};

/// The host of a file that nobody has configured. No host has such a name.
pub const PLACEHOLDER: &str = "%%HSM_IP_ADDRESS%%";

/// A file's content. It has the shape of a configuration; whether its HSMs and files are there is another question.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Map<String, Value>,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Document, ConfigError> {
        Document::parse(&content(path)?, path)
    }

    /// Reads the content of the file at `path`.
    pub fn parse(content: &[u8], path: &Path) -> Result<Document, ConfigError> {
        let read = file::check(content).and_then(|()| serde_json::from_slice(content));
        let root = read.map_err(|source| ConfigError::Form { path: path.into(), tool: tool_of(path), source })?;
        Ok(Document { root })
    }

    /// What a component's file holds after installation, in the folder of clients `home`: the placeholder as host, logs as
    /// the guide says.
    pub fn fresh(component: Component, home: &Path) -> Document {
        let mut document = Document { root: Map::new() };
        let mut cluster = document.entry();
        cluster.set_ca(&home.join("etc").join("customerCA.crt"));
        cluster.set_servers(&[Server::new(PLACEHOLDER)]);
        let kind = if component.logs_to_terminal() { LogKind::Term } else { LogKind::File };
        document.set_log_kind(kind);
        if kind == LogKind::File {
            document.set_log_file(&home.join("run").join(component.file_stem()).with_extension("log"));
        }
        document.set_log_level(Logging::default().level);
        if kind == LogKind::File {
            document.set_log_rotation(Logging::default().interval);
        }
        document
    }

    /// The file's text, unless it is longer than is read.
    pub fn to_text(&self) -> Option<String> {
        let text = serde_json::to_string_pretty(&self.root).expect("a JSON value is JSON") + "\n";
        Some(text).filter(|text| text.len() as u64 <= CONFIG_LEN_MAX)
    }

    /// The ids of its clusters, in their order; none where a cluster has no id. Clusters that are placeholders are not
    /// counted.
    pub fn clusters(&mut self) -> Vec<Option<String>> {
        self.entries().filter(|entry| !entry.is_placeholder()).map(|entry| entry.id().map(str::to_owned)).collect()
    }

    /// The only cluster, placeholder or not.
    pub fn only(&mut self) -> Option<ClusterEntry<'_>> {
        let single = self.list().len() == 1;
        self.entries().next().filter(|_| single)
    }

    /// The only cluster, or a new one where there is none. None where there are several.
    pub fn only_or_new(&mut self) -> Option<ClusterEntry<'_>> {
        if self.list().is_empty() { Some(self.entry()) } else { self.only() }
    }

    /// The cluster of this id.
    pub fn cluster(&mut self, id: &ClusterId) -> Option<ClusterEntry<'_>> {
        self.entries().find(|entry| entry.id() == Some(id.as_str()))
    }

    /// One more cluster, for which a placeholder is taken if there is one: what was set in it stays.
    pub fn add(&mut self, id: &ClusterId) -> ClusterEntry<'_> {
        let placeholder = self.entries().position(|entry| entry.is_placeholder());
        let mut entry = match placeholder {
            Some(at) => self.entries().nth(at).expect("it was found there"),
            None => self.entry(),
        };
        entry.set_id(id);
        entry
    }

    /// Takes the cluster of this id away. False if there was none.
    pub fn remove(&mut self, id: &ClusterId) -> bool {
        let before = self.list().len();
        self.list().retain_mut(|entry| cluster_of(entry).is_none_or(|entry| entry.id() != Some(id.as_str())));
        self.list().len() < before
    }

    /// Where lines of the log go.
    pub fn set_log_kind(&mut self, kind: LogKind) {
        self.logging().insert("log_type".to_owned(), json!(kind.name()));
    }

    /// The file that the log goes to, if it goes to one.
    pub fn set_log_file(&mut self, file: &Path) {
        self.logging().insert("log_file".to_owned(), path(file));
    }

    /// The least important lines of the log.
    pub fn set_log_level(&mut self, level: Level) {
        self.logging().insert("log_level".to_owned(), json!(level.name()));
    }

    /// When a new log is begun.
    pub fn set_log_rotation(&mut self, rotation: Rotation) {
        self.logging().insert("log_interval".to_owned(), json!(rotation.name()));
    }

    /// Whether the log goes to standard error because the file says so.
    pub fn logs_to_terminal(&self) -> bool {
        let kind = self.root.get("logging").and_then(|logging| logging.get("log_type"));
        kind.is_some_and(|kind| kind == LogKind::Term.name())
    }

    /// The file that the log goes to, where one is named.
    pub fn log_file(&self) -> Option<&str> {
        self.root.get("logging")?.get("log_file")?.as_str()
    }

    fn logging(&mut self) -> &mut Map<String, Value> {
        object(self.root.entry("logging").or_insert_with(|| json!({})))
    }

    fn list(&mut self) -> &mut Vec<Value> {
        let list = self.root.entry("clusters").or_insert_with(|| json!([]));
        list.as_array_mut().expect("a document has the shape of a configuration")
    }

    fn entries(&mut self) -> impl Iterator<Item = ClusterEntry<'_>> {
        self.list().iter_mut().filter_map(cluster_of)
    }

    /// A new cluster of nothing.
    fn entry(&mut self) -> ClusterEntry<'_> {
        let list = self.list();
        list.push(json!({ "type": "hsm1", "cluster": {} }));
        list.last_mut().and_then(cluster_of).expect("it was put there")
    }
}

fn cluster_of(entry: &mut Value) -> Option<ClusterEntry<'_>> {
    entry.as_object_mut().map(ClusterEntry)
}

/// Every object that is asked for was checked to be one, or was made here.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("a document has the shape of a configuration")
}

/// A path that is no text cannot stand in JSON; what stands there then is no file's, and whoever reads it is told so.
fn path(path: &Path) -> Value {
    json!(path.to_string_lossy())
}

/// One cluster of a document.
#[derive(Debug)]
pub struct ClusterEntry<'a>(&'a mut Map<String, Value>);

impl ClusterEntry<'_> {
    /// Its id, where it has one.
    pub fn id(&self) -> Option<&str> {
        self.0.get("cluster")?.get("cluster_id")?.as_str()
    }

    /// The CA's file, where one is named.
    pub fn ca(&self) -> Option<&str> {
        self.0.get("cluster")?.get("hsm_ca_file")?.as_str()
    }

    /// Whether it is what an installation leaves: its hosts are none.
    pub fn is_placeholder(&self) -> bool {
        let hosts = self.0.get("cluster").and_then(|cluster| cluster.get("servers")).and_then(Value::as_array);
        hosts.is_some_and(|hosts| hosts.iter().any(|host| host.get("hostname").is_some_and(|name| name == PLACEHOLDER)))
    }

    /// What kind of HSMs it has, as the first part of their type's name.
    pub fn set_type(&mut self, name: &str) {
        self.0.insert("type".to_owned(), json!(name));
    }

    /// Which cluster it is.
    pub fn set_id(&mut self, id: &ClusterId) {
        let cluster = self.inside();
        if cluster.contains_key("cluster_id") {
            cluster.insert("cluster_id".to_owned(), json!(id.as_str()));
        } else {
            // Where people look first.
            cluster.shift_insert(0, "cluster_id".to_owned(), json!(id.as_str()));
        }
    }

    /// The HSMs to begin with, in place of those that are there.
    pub fn set_servers(&mut self, servers: &[Server]) {
        let server = |server: &Server| json!({ "hostname": server.address, "port": server.port, "enable": true });
        self.inside().insert("servers".to_owned(), servers.iter().map(server).collect());
    }

    /// The CA's file.
    pub fn set_ca(&mut self, file: &Path) {
        self.inside().insert("hsm_ca_file".to_owned(), path(file));
    }

    /// What the client shows of itself, and the key to it.
    pub fn set_client_certificate(&mut self, certificate: &Path, key: &Path) {
        self.inside().insert("client_cert_path".to_owned(), path(certificate));
        self.inside().insert("client_key_path".to_owned(), path(key));
    }

    /// Where the cluster's HSMs can be asked for. Kept for when that is done.
    pub fn set_region(&mut self, region: &str) {
        self.inside().insert("region".to_owned(), json!(region));
    }

    /// Whom to ask for them, in place of the region's own. Kept as well.
    pub fn set_endpoint(&mut self, endpoint: &str) {
        self.inside().insert("endpoint".to_owned(), json!(endpoint));
    }

    /// Switches something on or off.
    pub fn set(&mut self, setting: Setting, on: bool) {
        self.options().insert(setting.key().to_owned(), json!(setting.value(on)));
    }

    /// Whether failed requests are repeated.
    pub fn set_retry_mode(&mut self, mode: RetryMode) {
        self.options().insert(RETRY_MODE.to_owned(), json!(mode.name()));
    }

    fn options(&mut self) -> &mut Map<String, Value> {
        object(self.inside().entry("options").or_insert_with(|| json!({})))
    }

    fn inside(&mut self) -> &mut Map<String, Value> {
        object(self.0.entry("cluster").or_insert_with(|| json!({})))
    }
}
