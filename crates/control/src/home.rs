//! The folder that clients take as `CLOUDHSM_HOME`: configurations, the CA they trust, links to the tools.
//!
//! Configurations belong to whoever uses them: what `configure-*` or an editor changed stays, except where the HSMs
//! and the CA are, which this room knows better.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::StateError;
use crate::programs;
use crate::state::{
    ClusterFile, Durability, MODE_FOLDER, MODE_PUBLIC, StateFolder, make_folder, read_bounded, same_content,
    write_whole,
};

/// The clients that read a configuration, and whether their log is a file by default (otherwise standard error).
const COMPONENTS: [(&str, bool); 5] =
    [("cli", true), ("dyn", false), ("pkcs11", true), ("jce", true), ("openssl-provider", false)];
/// The CA that clients trust, in `etc`.
const CA_FILE: &str = "customerCA.crt";

/// Makes the folder, or brings it up to date. Returns what is worth telling a person.
pub fn prepare(
    folder: &StateFolder,
    cluster: &ClusterFile,
    ca_pem: &[u8],
    beside: &Path,
) -> Result<Vec<String>, StateError> {
    let home = folder.home();
    make_folder(&home, MODE_FOLDER)?;
    let etc = home.join("etc");
    for part in ["etc", "run", "bin", "lib", "engines-3"] {
        make_folder(&home.join(part), MODE_FOLDER)?;
    }
    let ca = etc.join(CA_FILE);
    if !same_content(&ca, ca_pem)? {
        write_whole(&ca, ca_pem, MODE_PUBLIC, Durability::Disk)?;
    }
    for (component, to_file) in COMPONENTS {
        let path = etc.join(format!("cloudhsm-{component}.cfg"));
        let found = read_bounded(&path)?;
        let updated = match &found {
            Some(content) => update(content, &home, cluster).ok_or(StateError::Configuration { path: path.clone() })?,
            None => fresh(&home, cluster, component, to_file),
        };
        let mut content = serde_json::to_vec_pretty(&updated).expect("a JSON value is JSON");
        content.push(b'\n');
        if found.is_none_or(|found| serde_json::from_slice::<Value>(&found).ok() != Some(updated)) {
            write_whole(&path, &content, MODE_PUBLIC, Durability::Disk)?;
        }
    }
    link_programs(&home, beside)
}

fn link_programs(home: &Path, beside: &Path) -> Result<Vec<String>, StateError> {
    let mut notes = Vec::new();
    let links = [
        (programs::CLI, vec![home.join("bin").join(programs::CLI)]),
        (programs::ENGINE, vec![home.join("lib").join(programs::ENGINE), home.join("engines-3").join("cloudhsm.so")]),
    ];
    for (name, places) in links {
        let target = beside.join(name);
        if !target.is_file() {
            notes.push(format!(
                "{name} is not in {}, so the client folder has no link to it; build it and run `strongroom up` again",
                beside.display()
            ));
            continue;
        }
        for place in places {
            link(&target, &place)?;
        }
    }
    Ok(notes)
}

/// Lets `place` be a link to `target`, whatever it was before.
fn link(target: &Path, place: &Path) -> Result<(), StateError> {
    if fs::read_link(place).is_ok_and(|found| found == target) {
        return Ok(());
    }
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| StateError::Io { action, path, source }
    };
    let temporary = crate::state::temporary(place);
    crate::state::remove_file(&temporary)?;
    symlink(target, &temporary).map_err(failed("link", &temporary))?;
    match fs::rename(&temporary, place) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => Err(failed("replace the folder", place)(error)),
        other => other.map_err(failed("link", place)),
    }
}

fn ca_path(home: &Path) -> PathBuf {
    home.join("etc").join(CA_FILE)
}

fn servers(cluster: &ClusterFile) -> Value {
    let server =
        |hsm: &crate::state::HsmEntry| json!({ "hostname": hsm.ip.to_string(), "port": hsm.port, "enable": true });
    cluster.hsms.iter().map(server).collect()
}

/// A configuration as `configure-*` would write it (reference: the CloudHSM user guide's `configure` tools).
fn fresh(home: &Path, cluster: &ClusterFile, component: &str, to_file: bool) -> Value {
    // A cluster of one HSM has no second copy of a key, and the check would refuse every new key.
    let single = cluster.hsms.len() == 1;
    let log = home.join("run").join(format!("cloudhsm-{component}.log"));
    let logging = if to_file {
        json!({ "log_type": "file", "log_file": log, "log_level": "info", "log_interval": "daily" })
    } else {
        json!({ "log_type": "term", "log_level": "info" })
    };
    json!({
        "clusters": [{
            "type": cluster.hsm_type.as_str().split('.').next(),
            "cluster": {
                "cluster_id": cluster.cluster_id.as_str(),
                "hsm_ca_file": ca_path(home),
                "servers": servers(cluster),
                "options": { "disable_key_availability_check": single },
            },
        }],
        "logging": logging,
    })
}

/// The configuration with this cluster's HSMs and CA as they are now, everything else as found. None if it is not a
/// configuration.
fn update(content: &[u8], home: &Path, cluster: &ClusterFile) -> Option<Value> {
    let mut configuration: Value = serde_json::from_slice(content).ok()?;
    let clusters = configuration.get_mut("clusters")?.as_array_mut()?;
    let id = cluster.cluster_id.as_str();
    // A file without an id is one that `configure-* -a` wrote; it is about the only cluster it names.
    let only = clusters.len() == 1;
    let ours = clusters.iter_mut().find_map(|entry| {
        let entry = entry.get_mut("cluster")?;
        let matches = entry.get("cluster_id").map_or(only, |found| found == id);
        if matches { entry.as_object_mut() } else { None }
    });
    // Somebody points this client to other clusters only: that is theirs to decide.
    let Some(ours) = ours else { return Some(configuration) };
    let ca = ca_path(home);
    let old_ca = ours.get("hsm_ca_file").and_then(Value::as_str).map(PathBuf::from);
    ours.insert("servers".to_owned(), servers(cluster));
    ours.insert("hsm_ca_file".to_owned(), json!(ca));
    // The folder was moved: a log that was inside moves along.
    if let Some(old_home) = old_ca.as_deref().and_then(|old| old.parent()?.parent())
        && old_home != home
        && let Some(log_file) = configuration.get_mut("logging").and_then(|logging| logging.get_mut("log_file"))
        && let Some(inside) = log_file.as_str().and_then(|log| Path::new(log).strip_prefix(old_home).ok())
    {
        *log_file = json!(home.join(inside));
    }
    Some(configuration)
}

#[cfg(test)]
mod tests;
