//! What the fuzz targets share. Each target feeds one family of decoders and checks two things: they never panic, and
//! what they accept encodes back to what was read.
#![forbid(unsafe_code)]

/// The input itself, or valid bytes with the input's edits in them: so that every input soon gets behind the first
/// checks of a nested format, without a corpus.
///
/// The first byte of `data` chooses. An edit is three bytes: where (big-endian, modulo the length), and what is XORed to
/// the byte there; zero cuts the bytes off at that place.
pub fn raw_or_edited(valid: &[u8], data: &[u8]) -> Vec<u8> {
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
