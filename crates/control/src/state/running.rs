//! `serve.json`: what the supervisor says it watches. Written by the supervisor alone, while it holds its lock.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strongroom_types::HsmId;

use super::{Durability, MODE_SECRET, StateFolder, read_bounded, write_whole};
use crate::error::StateError;
use crate::processes::{Exit, ProcessRecord};

const FORMAT: u32 = 1;

/// A supervisor and what it watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    format: u32,
    /// The supervisor's process.
    #[serde(flatten)]
    pub process: ProcessRecord,
    /// The HSMs.
    pub hsms: Vec<HsmRun>,
}

/// One HSM, as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HsmRun {
    /// Which.
    pub hsm_id: String,
    /// Its process, or none while the supervisor pauses before it starts it again.
    pub process: Option<ProcessRecord>,
    /// How often it ended under this supervisor.
    pub ends: u64,
    /// How it ended last.
    pub last_end: Option<Exit>,
}

impl Running {
    /// A report.
    pub fn new(process: ProcessRecord, hsms: Vec<HsmRun>) -> Running {
        Running { format: FORMAT, process, hsms }
    }

    /// What is said about one HSM.
    pub fn hsm(&self, hsm: &HsmId) -> Option<&HsmRun> {
        self.hsms.iter().find(|run| run.hsm_id == hsm.as_str())
    }

    /// The file of `folder`, or none if there is none. It means something only while the supervisor's lock is held.
    pub fn read(folder: &StateFolder) -> Result<Option<Running>, StateError> {
        let path = folder.serve_file();
        let Some(content) = read_bounded(&path)? else { return Ok(None) };
        Running::parse(path, &content).map(Some)
    }

    /// Reads the content of the file at `path`.
    pub fn parse(path: PathBuf, content: &[u8]) -> Result<Running, StateError> {
        let running: Running = match serde_json::from_slice(content) {
            Ok(running) => running,
            Err(error) => return Err(StateError::damaged(path, &error)),
        };
        if running.format != FORMAT {
            return Err(StateError::Format { path, found: u64::from(running.format), known: FORMAT });
        }
        Ok(running)
    }

    /// Writes the file.
    pub fn write(&self, folder: &StateFolder) -> Result<(), StateError> {
        let mut content = serde_json::to_vec_pretty(self).expect("a struct of texts and numbers is JSON");
        content.push(b'\n');
        write_whole(&folder.serve_file(), &content, MODE_SECRET, Durability::Runtime)
    }
}
