//! The folder that clients take as `CLOUDHSM_HOME`: configurations, the CA they trust, links to the tools, headers of the PKCS #11
//! library.
//!
//! Configurations belong to whoever uses them: what `configure-*` or an editor changed stays, except where the HSMs
//! and the CA are, which this room knows better.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use strongroom_client::{Component, Document, Server, Setting};

use crate::error::StateError;
use crate::programs;
use crate::state::{
    ClusterFile, Durability, MODE_FOLDER, MODE_PUBLIC, StateFolder, make_folder, read_bounded, same_content,
    write_whole,
};

/// The CA that clients trust, in `etc`.
const CA_FILE: &str = "customerCA.crt";

/// What programs in C are compiled with. Headers are no programs, and lie beside none: they are in this one.
const HEADERS: [(&str, &str); 5] = [
    ("cryptoki.h", include_str!("../../../sdk/pkcs11/include/cryptoki.h")),
    ("pkcs11.h", include_str!("../../../sdk/pkcs11/include/pkcs11.h")),
    ("pkcs11f.h", include_str!("../../../sdk/pkcs11/include/pkcs11f.h")),
    ("pkcs11t.h", include_str!("../../../sdk/pkcs11/include/pkcs11t.h")),
    ("cloudhsm_pkcs11_vendor_defs.h", include_str!("../../../sdk/pkcs11/include/cloudhsm_pkcs11_vendor_defs.h")),
];

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
    for part in ["etc", "run", "bin", "lib", "engines-3", "include", "include/pkcs11"] {
        make_folder(&home.join(part), MODE_FOLDER)?;
    }
    let ca = etc.join(CA_FILE);
    if !same_content(&ca, ca_pem)? {
        write_whole(&ca, ca_pem, MODE_PUBLIC, Durability::Disk)?;
    }
    for component in Component::ALL {
        let path = component.path_in(&home);
        let no_configuration = || StateError::Configuration { path: path.clone() };
        let found = match read_bounded(&path)? {
            Some(content) => Some(Document::parse(&content, &path).map_err(|_| no_configuration())?),
            None => None,
        };
        let updated = match found.clone() {
            Some(document) => update(document, &home, cluster),
            None => fresh(&home, cluster, component),
        };
        if found.as_ref() != Some(&updated) {
            let text = updated.to_text().ok_or_else(no_configuration)?;
            write_whole(&path, text.as_bytes(), MODE_PUBLIC, Durability::Disk)?;
        }
    }
    write_headers(&home)?;
    link_programs(&home, beside)
}

fn write_headers(home: &Path) -> Result<(), StateError> {
    let folder = home.join("include").join("pkcs11");
    for (name, text) in HEADERS {
        let path = folder.join(name);
        if !same_content(&path, text.as_bytes())? {
            write_whole(&path, text.as_bytes(), MODE_PUBLIC, Durability::Disk)?;
        }
    }
    Ok(())
}

fn link_programs(home: &Path, beside: &Path) -> Result<Vec<String>, StateError> {
    let mut notes = Vec::new();
    let tools = Component::ALL.map(Component::tool);
    let in_bin = [programs::CLI].into_iter().chain(tools.iter().map(String::as_str));
    let mut links: Vec<_> = in_bin.map(|name| (name, vec![home.join("bin").join(name)])).collect();
    links.push((
        programs::ENGINE,
        vec![home.join("lib").join(programs::ENGINE), home.join("engines-3").join("cloudhsm.so")],
    ));
    links.push((programs::PKCS11, vec![home.join("lib").join(programs::PKCS11)]));
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

fn servers(cluster: &ClusterFile) -> Vec<Server> {
    cluster.hsms.iter().map(|hsm| Server { address: hsm.ip.to_string(), port: hsm.port }).collect()
}

/// A configuration as `configure-*` would write it.
fn fresh(home: &Path, cluster: &ClusterFile, component: Component) -> Document {
    let mut document = Document::fresh(component, home);
    let mut entry = document.only().expect("a new configuration has one cluster");
    entry.set_type(cluster.hsm_type.as_str().split('.').next().unwrap_or_default());
    entry.set_id(&cluster.cluster_id);
    entry.set_ca(&ca_path(home));
    entry.set_servers(&servers(cluster));
    // A cluster of one HSM has no second copy of a key, and the check would refuse every new key.
    entry.set(Setting::KeyAvailabilityCheck, cluster.hsms.len() != 1);
    document
}

/// The configuration with this cluster's HSMs and CA as they are now, everything else as found.
fn update(mut document: Document, home: &Path, cluster: &ClusterFile) -> Document {
    let named = document.cluster(&cluster.cluster_id).is_some();
    // A file without an id is one that `configure-* -a` wrote; it is about the only cluster it names.
    let nameless = document.only().is_some_and(|entry| entry.id().is_none());
    let ours = if named { document.cluster(&cluster.cluster_id) } else { document.only().filter(|_| nameless) };
    // Somebody points this client to other clusters only: that is theirs to decide.
    let Some(mut ours) = ours else { return document };
    let old_ca = ours.ca().map(PathBuf::from);
    ours.set_servers(&servers(cluster));
    ours.set_ca(&ca_path(home));
    // The folder was moved: a log that was inside moves along.
    if let Some(old_home) = old_ca.as_deref().and_then(|old| old.parent()?.parent())
        && old_home != home
        && let Some(inside) = document.log_file().and_then(|log| Path::new(log).strip_prefix(old_home).ok())
    {
        let moved = home.join(inside);
        document.set_log_file(&moved);
    }
    document
}

#[cfg(test)]
mod tests;
