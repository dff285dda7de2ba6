//! PEM (RFC 7468): base64 between lines that name what it is. Text around the blocks is skipped, as `openssl` writes
//! some.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

/// Label of X.509 certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Label of PKCS #10 requests.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// Label of unencrypted PKCS #8 private keys.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";
/// Label of unencrypted RSA private keys of PKCS #1.
pub const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";
/// Label of unencrypted EC private keys of SEC 1.
pub const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";
/// Label of SubjectPublicKeyInfo.
pub const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Characters on one line of base64 (RFC 7468 §2).
const LINE_LEN: usize = 64;

/// A text in which the blocks asked for cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// No such block.
    #[error("no line `-----BEGIN {label}-----` was found")]
    Missing {
        /// What was looked for.
        label: &'static str,
    },
    /// A block without end.
    #[error("the line `-----END {label}-----` is missing")]
    Unfinished {
        /// What was looked for.
        label: &'static str,
    },
    /// Something between the lines that is not base64.
    #[error("a {label} block holds something other than base64")]
    Base64 {
        /// What was looked for.
        label: &'static str,
    },
    /// More blocks than the caller takes.
    #[error("there are more than {max} {label} blocks")]
    TooMany {
        /// What was looked for.
        label: &'static str,
        /// As many as may be.
        max: usize,
    },
}

/// One block.
pub fn encode(label: &str, der: &[u8]) -> String {
    String::from_utf8(encode_bytes(label, der)).expect("base64 and an ASCII label are UTF-8")
}

/// One block that holds a secret.
pub fn encode_secret(label: &str, der: &Secret) -> Secret {
    Secret::new(encode_bytes(label, der.expose()))
}

/// The exact capacity is taken at once: a buffer that grows would leave copies behind.
fn encode_bytes(label: &str, der: &[u8]) -> Vec<u8> {
    let mut base64 = Zeroizing::new(vec![0; der.len().div_ceil(3) * 4]);
    STANDARD.encode_slice(der, &mut base64).expect("four characters for three bytes");
    let frame = "-----BEGIN -----\n-----END -----\n".len() + 2 * label.len();
    let mut out = Vec::with_capacity(frame + base64.len() + base64.len().div_ceil(LINE_LEN));
    out.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in base64.chunks(LINE_LEN) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}

/// The content of every block of this label, at least one and at most `max`. Blocks of other labels are skipped.
pub fn decode(label: &'static str, text: &[u8], max: usize) -> Result<Vec<Vec<u8>>, PemError> {
    let mut blocks = Vec::new();
    let mut lines = Lines(text);
    while let Some(line) = lines.next() {
        if !is_mark(line, b"BEGIN", label) {
            continue;
        }
        if blocks.len() == max {
            return Err(PemError::TooMany { label, max });
        }
        blocks.push(block(label, &mut lines)?);
    }
    if blocks.is_empty() { Err(PemError::Missing { label }) } else { Ok(blocks) }
}

/// The content of the first block of this label, a secret.
pub fn decode_secret(label: &'static str, text: &Secret) -> Result<Secret, PemError> {
    let mut lines = Lines(text.expose());
    while let Some(line) = lines.next() {
        if is_mark(line, b"BEGIN", label) {
            return block(label, &mut lines).map(Secret::new);
        }
    }
    Err(PemError::Missing { label })
}

fn block(label: &'static str, lines: &mut Lines<'_>) -> Result<Vec<u8>, PemError> {
    // What is left of the text bounds the block, so that no buffer grows: a secret leaves no copies behind.
    let mut base64 = Zeroizing::new(Vec::with_capacity(lines.0.len()));
    loop {
        let line = lines.next().ok_or(PemError::Unfinished { label })?;
        if is_mark(line, b"END", label) {
            break;
        }
        base64.extend_from_slice(line);
    }
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
    let len = STANDARD.decode_slice(&base64[..], &mut der).map_err(|_| PemError::Base64 { label })?;
    Ok(der[..len].to_vec())
}

fn is_mark(line: &[u8], word: &[u8], label: &str) -> bool {
    let middle = line.strip_prefix(b"-----").and_then(|rest| rest.strip_suffix(b"-----"));
    let rest = middle.and_then(|middle| middle.strip_prefix(word));
    rest.and_then(|rest| rest.strip_prefix(b" ")) == Some(label.as_bytes())
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        Some(line.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_read_back_whatever_their_length() {
        for len in [0, 1, 2, 3, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..len).map(|n: usize| n.to_le_bytes()[0]).collect();
            let text = encode(CERTIFICATE, &der);
            assert!(text.lines().all(|line| line.len() <= LINE_LEN));
            assert_eq!(decode(CERTIFICATE, text.as_bytes(), 1).unwrap(), std::slice::from_ref(&der));
            assert_eq!(
                decode(CERTIFICATE, text.replace('\n', "\r\n").as_bytes(), 1).unwrap(),
                std::slice::from_ref(&der)
            );
            let secret = encode_secret(PRIVATE_KEY, &Secret::new(der.clone()));
            assert_eq!(decode_secret(PRIVATE_KEY, &secret).unwrap().expose(), der);
        }
    }

    #[test]
    fn other_text_and_other_blocks_are_skipped() {
        let text = format!("Subject: x\n{}junk\n{}", encode(PRIVATE_KEY, b"key"), encode(CERTIFICATE, b"cert"));
        assert_eq!(decode(CERTIFICATE, text.as_bytes(), 1).unwrap(), [b"cert".to_vec()]);
    }

    #[test]
    fn damaged_texts_are_refused_by_cause() {
        let label = CERTIFICATE;
        let check = |text: &str, expected| assert_eq!(decode(label, text.as_bytes(), 1), Err(expected), "{text}");
        check("", PemError::Missing { label });
        check("-----BEGIN CERTIFICATE----\nAAAA\n", PemError::Missing { label });
        check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", PemError::Missing { label });
        check("-----BEGIN CERTIFICATE-----\nAAAA\n", PemError::Unfinished { label });
        check("-----BEGIN CERTIFICATE-----\nAA*A\n-----END CERTIFICATE-----\n", PemError::Base64 { label });
        check("-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", PemError::Base64 { label });
        let two = encode(label, b"one") + &encode(label, b"two");
        check(&two, PemError::TooMany { label, max: 1 });
        let whole = encode(label, b"some bytes");
        for cut in 0..whole.len() - 2 {
            assert!(decode(label, &whole.as_bytes()[..cut], 1).is_err(), "cut to {cut}");
        }
    }
}
