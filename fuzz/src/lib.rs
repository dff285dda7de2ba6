//! What is fuzzed: every decoder of bytes that come from outside, a target for each family of them. A target checks that
//! decoders never panic, allocate within their bounds, and that what they accept encodes back to what was read.
//!
//! `cargo xtask fuzz` runs the targets under libFuzzer (`libfuzzer/`). The tests of this crate run them under none: on their
//! seeds, on what was once found (`found/`), and on thousands of changed seeds, the same ones every time.
//!
//! Seeds come from the encoders themselves and are in no file, so they follow the formats.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "the modules' documentation says what there is to say of a target")]

pub mod anchors;
pub mod attributes;
pub mod certificates;
pub mod command_lines;
pub mod configurations;
pub mod der;
pub mod derivations;
pub mod mechanisms;
pub mod member_table;
pub mod messages;
pub mod pem;
pub mod private_keys;
pub mod records;
pub mod reference_pem;
mod samples;
pub mod sealed;
pub mod settings;
pub mod templates;
pub mod tickets;
pub mod token_files;
pub mod wrapped_keys;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name; that of its file, and of its program under `libfuzzer/fuzz_targets`.
    pub name: &'static str,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Feeds one input to the decoders.
    pub run: fn(&[u8]),
    /// Changed seeds that the tests run: fewer where one takes long.
    pub smoke_runs: u32,
}

macro_rules! targets {
    ($($name:ident: $smoke_runs:literal),+ $(,)?) => {
        /// All targets, by name.
        pub const ALL: &[Target] = &[$(Target {
            name: stringify!($name),
            seeds: $name::seeds,
            run: $name::run,
            smoke_runs: $smoke_runs,
        }),+];
    };
}

targets! {
    anchors: 20_000,
    attributes: 20_000,
    certificates: 400,
    command_lines: 1_000,
    configurations: 4_000,
    der: 20_000,
    derivations: 1_000,
    mechanisms: 20_000,
    member_table: 20_000,
    messages: 20_000,
    pem: 10_000,
    private_keys: 300,
    records: 20_000,
    reference_pem: 2_000,
    sealed: 10_000,
    settings: 5_000,
    templates: 20_000,
    tickets: 20_000,
    token_files: 5_000,
    wrapped_keys: 1_000,
}

/// Writes the seeds of a target into the folder that `STRONGROOM_FUZZ_SEEDS` names, if it does: libFuzzer reads them
/// after a target has begun.
pub fn write_seeds(name: &str) {
    let Some(folder) = std::env::var_os("STRONGROOM_FUZZ_SEEDS").map(std::path::PathBuf::from) else { return };
    let target = ALL.iter().find(|target| target.name == name).expect("a target is one of all");
    std::fs::create_dir_all(&folder).expect("the folder of seeds can be made");
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed can be written");
    }
}

/// The input itself, or valid bytes with the input's edits in them: so that every input soon gets behind the first
/// checks of a nested format.
///
/// The first byte of `data` chooses. An edit is three bytes: where (big-endian, modulo the length), and what is XORed to
/// the byte there; zero cuts the bytes off at that place.
pub(crate) fn raw_or_edited(valid: &[u8], data: &[u8]) -> Vec<u8> {
    let Some((choice, rest)) = data.split_first() else { return Vec::new() };
    if choice % 2 == 0 || valid.is_empty() {
        return rest.to_vec();
    }
    let mut bytes = valid.to_vec();
    for edit in rest.chunks_exact(3) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % bytes.len();
        match edit[2] {
            0 => bytes.truncate(at),
            change => bytes[at] ^= change,
        }
    }
    bytes
}

/// Inputs for [`raw_or_edited`], behind each of these bytes, or behind none: valid bytes whole, changed, cut off.
pub(crate) fn edits(choices: &[u8]) -> Vec<Vec<u8>> {
    let edits: [&[u8]; 5] =
        [&[1], &[1, 0, 9, 1], &[1, 0, 40, 0x80, 0, 90, 1], &[1, 0, 60, 0], &[0, 0x30, 0x03, 2, 1, 0]];
    if choices.is_empty() {
        return edits.map(<[u8]>::to_vec).to_vec();
    }
    let behind = |choice: &u8| edits.map(|edit| [&[*choice], edit].concat());
    choices.iter().flat_map(behind).collect()
}
