//! The anchor file (`docs/spec/records.md`): two slots, written in turn, so that a crash in the middle of a write leaves
//! the other one. [`AnchorPlace`] is small so that a counter of a TPM can take the file's place.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use strongroom_core::member::Anchor;
use strongroom_crypto::equal;
use strongroom_crypto_keys::seal::Sealer;
use strongroom_types::Revision;

use super::AnchorError;
use super::keys::Keys;

/// Where a member keeps its anchor.
pub(super) trait AnchorPlace: Send {
    /// The newest anchor that was written; none before the first.
    fn read(&mut self, keys: &Keys) -> Result<Option<Anchor>, AnchorError>;
    /// What an operator should know of the place as it was read. The next write mends it.
    fn remark(&self) -> Option<String> {
        None
    }
    /// Writes an anchor and returns when it is durable.
    fn write(&mut self, sealer: &Sealer, anchor: &Anchor) -> Result<(), AnchorError>;
}

/// The place, and what it is known to hold.
pub(super) struct Anchored {
    place: Box<dyn AnchorPlace>,
    pub(super) revision: Revision,
    /// Whether the last write failed.
    pub(super) is_failing: bool,
}

impl Anchored {
    pub(super) fn new(place: Box<dyn AnchorPlace>) -> Anchored {
        Anchored { place, revision: Revision(0), is_failing: false }
    }

    pub(super) fn read(&mut self, keys: &Keys) -> Result<Option<Anchor>, AnchorError> {
        let anchor = self.place.read(keys)?;
        self.revision = anchor.map_or(Revision(0), |anchor| anchor.revision);
        Ok(anchor)
    }

    pub(super) fn remark(&self) -> Option<String> {
        self.place.remark()
    }

    pub(super) fn write(&mut self, sealer: &Sealer, anchor: &Anchor) -> Result<(), AnchorError> {
        let written = self.place.write(sealer, anchor);
        self.is_failing = written.is_err();
        written?;
        self.revision = anchor.revision;
        Ok(())
    }
}

const MAGIC: &[u8; 8] = b"SRANCHOR";
const VERSION: u8 = 1;
/// Magic, version, epoch, revision, digest of the head.
const CONTENT_LEN: usize = 8 + 1 + 8 + 8 + 32;
/// With the MAC.
const SLOT_LEN: usize = CONTENT_LEN + 32;
/// Far enough apart that no sector holds both slots.
const SLOT_STEP: u64 = 4_096;
const SLOTS: u64 = 2;

/// The anchor in a file.
pub(super) struct AnchorFile {
    path: PathBuf,
    file: Option<File>,
    /// Which slot is written next.
    next: u64,
    /// Whether one of the slots held no anchor.
    is_half_damaged: bool,
}

impl AnchorFile {
    pub(super) fn new(path: &Path) -> AnchorFile {
        AnchorFile { path: path.to_owned(), file: None, next: 0, is_half_damaged: false }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> AnchorError + use<> {
        let path = self.path.clone();
        move |source| AnchorError::Inaccessible { path: path.clone(), doing, source }
    }

    /// Whether the path still names this file.
    fn is_in_place(&self, file: &File) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (known, found) = (file.metadata().map(identity), std::fs::metadata(&self.path).map(identity));
        matches!((known, found), (Ok(known), Ok(found)) if known == found)
    }

    /// Makes the file with both slots full, under another name first: it is there whole or not at all.
    fn create(&self, slot: &[u8; SLOT_LEN]) -> io::Result<File> {
        let mut name = self.path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        for number in 0..SLOTS {
            file.write_all_at(slot, number * SLOT_STEP)?;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(file)
    }
}

impl AnchorPlace for AnchorFile {
    fn read(&mut self, keys: &Keys) -> Result<Option<Anchor>, AnchorError> {
        let failed = self.failed("read");
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut newest: Option<(Anchor, u64)> = None;
        for number in 0..SLOTS {
            let mut slot = [0; SLOT_LEN];
            let anchor = match file.read_exact_at(&mut slot, number * SLOT_STEP) {
                Ok(()) => decode(keys, &slot),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
                Err(error) => return Err(failed(error)),
            };
            let place = |anchor: &Anchor| (anchor.epoch, anchor.revision);
            match anchor {
                Some(anchor) if newest.is_none_or(|(known, _)| place(&known) < place(&anchor)) => {
                    newest = Some((anchor, number));
                }
                Some(_) => {}
                None => self.is_half_damaged = true,
            }
        }
        let (anchor, number) = newest.ok_or_else(|| AnchorError::Damaged { path: self.path.clone() })?;
        self.file = Some(file);
        self.next = (number + 1) % SLOTS;
        Ok(Some(anchor))
    }

    fn remark(&self) -> Option<String> {
        let text = format!(
            "one of the two slots of the anchor {} is damaged: its last write was cut short when the machine stopped, or \
             somebody altered it; the other one counts, and may be older",
            self.path.display()
        );
        self.is_half_damaged.then_some(text)
    }

    fn write(&mut self, sealer: &Sealer, anchor: &Anchor) -> Result<(), AnchorError> {
        let failed = self.failed("written");
        let slot = encode(sealer, anchor);
        match &self.file {
            Some(file) if self.is_in_place(file) => {
                let written = file.write_all_at(&slot, self.next * SLOT_STEP).and_then(|()| file.sync_data());
                written.map_err(failed)?;
                self.next = (self.next + 1) % SLOTS;
            }
            // None yet, or it was removed or replaced: what nobody finds at the next start is worth nothing.
            _ => self.file = Some(self.create(&slot).map_err(failed)?),
        }
        Ok(())
    }
}

fn encode(sealer: &Sealer, anchor: &Anchor) -> [u8; SLOT_LEN] {
    let mut slot = [0; SLOT_LEN];
    let parts: [&[u8]; 5] =
        [MAGIC, &[VERSION], &anchor.epoch.to_be_bytes(), &anchor.revision.0.to_be_bytes(), &anchor.head_digest];
    let content = parts.concat();
    let mac = sealer.anchor_mac(&content);
    slot.iter_mut().zip(content.iter().chain(&mac)).for_each(|(to, from)| *to = *from);
    slot
}

/// An anchor of whatever epoch: its MAC tells whether an HSM wrote it.
fn decode(keys: &Keys, slot: &[u8; SLOT_LEN]) -> Option<Anchor> {
    let (content, mac) = slot.split_at_checked(CONTENT_LEN)?;
    let fields = content.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (epoch, fields) = fields.split_first_chunk::<8>()?;
    let epoch = u64::from_be_bytes(*epoch);
    if !equal(mac, &keys.sealer_of(epoch).anchor_mac(content)) {
        return None;
    }
    let (revision, digest) = fields.split_first_chunk::<8>()?;
    Some(Anchor { epoch, revision: Revision(u64::from_be_bytes(*revision)), head_digest: digest.try_into().ok()? })
}

/// For fuzzing: the slots of one cluster's anchor files.
#[cfg(feature = "fuzz")]
pub struct AnchorSlots(Keys);

#[cfg(feature = "fuzz")]
impl AnchorSlots {
    /// Of a new cluster.
    pub fn generate(cluster: strongroom_types::ClusterId) -> AnchorSlots {
        AnchorSlots(Keys::generate(cluster))
    }

    /// The slot that holds an anchor.
    pub fn encode(&self, anchor: &Anchor) -> Vec<u8> {
        encode(&self.0.sealer_of(anchor.epoch), anchor).to_vec()
    }

    /// The anchor that a slot holds, if an HSM of the cluster wrote it.
    pub fn decode(&self, slot: &[u8]) -> Option<Anchor> {
        decode(&self.0, slot.try_into().ok()?)
    }
}
