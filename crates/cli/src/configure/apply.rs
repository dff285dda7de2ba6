//! A request carried out on a document.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use strongroom_client::{ClusterEntry, Document};
use strongroom_types::ClusterId;

use super::error::ConfigureError;
use super::options::{Change, Place, Request, Tool};

/// Carries it out. The document is to be written only if this succeeds. Answers with what is worth telling a person.
pub(super) fn apply(
    tool: Tool,
    request: &Request,
    path: &Path,
    document: &mut Document,
) -> Result<Vec<String>, ConfigureError> {
    match request {
        Request::Change(change) => one(tool, change, path, document),
        Request::Add(id, place) => add(tool, id, place, path, document),
        Request::Remove(id) => {
            if document.remove(id) {
                return Ok(Vec::new());
            }
            let found = names(&document.clusters());
            Err(ConfigureError::NotThere { path: path.to_owned(), id: id.clone(), found })
        }
    }
}

fn one(tool: Tool, change: &Change, path: &Path, document: &mut Document) -> Result<Vec<String>, ConfigureError> {
    asks_nobody(tool, "", change.id.as_ref(), &change.place)?;
    let ids = document.clusters();
    let Some(mut entry) = document.only_or_new() else {
        let (program, found) = (tool.component.tool(), names(&ids));
        return Err(ConfigureError::SeveralClusters { path: path.to_owned(), program, found, fix: tool.of_several() });
    };
    if let Some(id) = &change.id {
        entry.set_id(id);
    }
    put(&change.place, &mut entry);
    for (setting, on) in &change.settings {
        entry.set(*setting, *on);
    }
    if let Some(mode) = change.retry {
        entry.set_retry_mode(mode);
    }
    let notes = notes(&change.place, &entry);
    if let Some(kind) = change.log.kind {
        document.set_log_kind(kind);
    }
    if let Some(file) = &change.log.file {
        document.set_log_file(file);
    }
    if let Some(level) = change.log.level {
        document.set_log_level(level);
    }
    if let Some(rotation) = change.log.rotation {
        document.set_log_rotation(rotation);
    }
    Ok(notes)
}

fn add(
    tool: Tool,
    id: &ClusterId,
    place: &Place,
    path: &Path,
    document: &mut Document,
) -> Result<Vec<String>, ConfigureError> {
    let program = tool.component.tool();
    if document.cluster(id).is_some() {
        return Err(ConfigureError::AlreadyThere { path: path.to_owned(), program, id: id.clone() });
    }
    if document.clusters().contains(&None) {
        return Err(ConfigureError::Nameless { path: path.to_owned(), program });
    }
    asks_nobody(tool, "add-cluster ", Some(id), place)?;
    let mut entry = document.add(id);
    if entry.ca().is_none() {
        let folder = path.parent().unwrap_or(Path::new(""));
        entry.set_ca(&folder.join("customerCA.crt"));
    }
    put(place, &mut entry);
    Ok(notes(place, &entry))
}

/// A cluster named without an HSM of it would have to be asked for.
fn asks_nobody(tool: Tool, command: &'static str, id: Option<&ClusterId>, place: &Place) -> Result<(), ConfigureError> {
    match id {
        Some(id) if place.servers.is_empty() => {
            Err(ConfigureError::NoControlPlane { program: tool.component.tool(), command, id: id.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

fn put(place: &Place, entry: &mut ClusterEntry<'_>) {
    if !place.servers.is_empty() {
        entry.set_servers(&place.servers);
    }
    if let Some(file) = &place.ca {
        entry.set_ca(file);
    }
    if let Some((certificate, key)) = &place.certificate {
        entry.set_client_certificate(certificate, key);
    }
    if let Some(region) = &place.region {
        entry.set_region(region);
    }
    if let Some(endpoint) = &place.endpoint {
        entry.set_endpoint(endpoint);
    }
}

/// Files that are named before they are there are no error: a script may put them there later.
fn notes(place: &Place, entry: &ClusterEntry<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if (place.ca.is_some() || !place.servers.is_empty())
        && let Some(ca) = entry.ca().filter(|ca| !is_file(Path::new(ca)))
    {
        notes.push(format!(
            "there is no file {ca} yet; put the customerCA.crt of the cluster there, readable for all users"
        ));
    }
    if let Some((certificate, key)) = &place.certificate {
        for file in [certificate, key].into_iter().filter(|file| !is_file(file)) {
            notes.push(format!("there is no file {} yet; clients need it to connect", file.display()));
        }
        if fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
            notes.push(format!("{} can be read by other users; chmod 600 lets its owner alone", key.display()));
        }
    }
    notes
}

/// A log that cannot be written fails nothing, so nobody would notice.
pub(super) fn log_note(document: &Document) -> Option<String> {
    let folder = Path::new(document.log_file()?).parent()?;
    let missing = !document.logs_to_terminal() && !folder.is_dir();
    missing.then(|| {
        format!(
            "there is no folder {}, so nothing is logged; make it, for the users of clients to write",
            folder.display()
        )
    })
}

fn names(ids: &[Option<String>]) -> String {
    match ids {
        [] => "none".to_owned(),
        ids => ids.iter().map(|id| id.as_deref().unwrap_or("one without an id")).collect::<Vec<_>>().join(", "),
    }
}
