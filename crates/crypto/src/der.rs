//! A small reader and writer of DER (X.690 §10), for the few structures that Strongroom takes apart or makes itself.
//!
//! * The reader borrows, never allocates, and accepts the one encoding that DER allows: definite lengths in their
//!   shortest form, one-byte tags.
//! * Whatever it is given, it answers an error rather than panic.

use thiserror::Error;

/// Tags, with the constructed bit where the type has it.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// A constructed, context-specific tag: `[number]`.
    pub const fn context(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Bytes that are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DerError {
    /// The bytes end inside an element.
    #[error("the DER ends too early")]
    Truncated,
    /// A length that is indefinite, not in its shortest form, or beyond four bytes.
    #[error("a DER length is not in its one valid form")]
    Length,
    /// An element of another type.
    #[error("a DER element has tag {found:#04x} where {expected:#04x} was expected")]
    Tag {
        /// What should stand there.
        expected: u8,
        /// What stands there.
        found: u8,
    },
    /// An INTEGER that is empty, negative, or has needless leading zeros.
    #[error("a DER integer is negative or not in its one valid form")]
    Integer,
    /// A BIT STRING whose length in bits is no multiple of eight.
    #[error("a DER bit string does not end at a byte")]
    BitString,
    /// Bytes behind the last element.
    #[error("bytes stand behind the end of the DER")]
    Trailing,
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element's tag and content, whatever its type.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), DerError> {
        let (&tag, rest) = self.0.split_first().ok_or(DerError::Truncated)?;
        // Tag numbers from 31 up, which take several bytes, appear in no structure read here.
        if tag & 0x1f == 0x1f {
            return Err(DerError::Tag { expected: tag::SEQUENCE, found: tag });
        }
        let (len, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(len).ok_or(DerError::Truncated)?;
        self.0 = rest;
        Ok((tag, content))
    }

    /// The content of the next element, which has this tag.
    pub fn read(&mut self, expected: u8) -> Result<&'a [u8], DerError> {
        match self.peek() {
            Some(found) if found != expected => Err(DerError::Tag { expected, found }),
            _ => self.any().map(|(_, content)| content),
        }
    }

    /// The next element, a SEQUENCE, to be read in turn.
    pub fn sequence(&mut self) -> Result<Reader<'a>, DerError> {
        self.read(tag::SEQUENCE).map(Reader)
    }

    /// The next element, an INTEGER that is not negative: big-endian without leading zeros, empty for zero.
    pub fn unsigned(&mut self) -> Result<&'a [u8], DerError> {
        match self.read(tag::INTEGER)? {
            [0] => Ok(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            content if content.first().is_some_and(|first| (1..0x80).contains(first)) => Ok(content),
            _ => Err(DerError::Integer),
        }
    }

    /// The next element, a BIT STRING of whole bytes.
    pub fn bit_string(&mut self) -> Result<&'a [u8], DerError> {
        self.read(tag::BIT_STRING)?.strip_prefix(&[0]).ok_or(DerError::BitString)
    }

    /// That nothing is left.
    pub fn finish(self) -> Result<(), DerError> {
        if self.0.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }
}

/// The length at the front of `bytes`, and what follows it.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(DerError::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(DerError::Length);
    }
    let (octets, rest) = rest.split_at_checked(count).ok_or(DerError::Truncated)?;
    let len = octets.iter().fold(0u32, |len, octet| len << 8 | u32::from(*octet));
    let shortest = len >= 0x80 && octets.first() != Some(&0);
    let len = usize::try_from(len).map_err(|_| DerError::Length)?;
    if shortest { Ok((len, rest)) } else { Err(DerError::Length) }
}

/// One element: tag, length, the parts one after the other.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len + 6);
    out.push(tag);
    let octets = len.to_be_bytes();
    let first = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
    let significant = &octets[first..];
    if len >= 0x80 {
        out.push(0x80 | u8::try_from(significant.len()).expect("a length has at most eight bytes"));
    }
    out.extend_from_slice(significant);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A SEQUENCE of elements.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// An INTEGER that is not negative, from big-endian bytes; leading zeros may stand there.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = bytes.get(first..).unwrap_or_default();
    match bytes.first() {
        Some(first) if first & 0x80 == 0 => element(tag::INTEGER, &[bytes]),
        _ => element(tag::INTEGER, &[&[0], bytes]),
    }
}

/// An OCTET STRING.
pub fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, &[bytes])
}

/// A BIT STRING of whole bytes.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], bytes])
}

/// An OBJECT IDENTIFIER from its content bytes.
pub fn oid(content: &[u8]) -> Vec<u8> {
    element(tag::OID, &[content])
}

/// NULL.
pub const NULL: [u8; 2] = [tag::NULL, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_at_their_borders() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; len];
            let der = octet_string(&content);
            let mut reader = Reader::new(&der);
            assert_eq!(reader.read(tag::OCTET_STRING).unwrap().len(), len);
            reader.finish().unwrap();
            for cut in 0..der.len().min(300) {
                assert_eq!(Reader::new(&der[..cut]).any(), Err(DerError::Truncated), "{len} cut to {cut}");
            }
        }
    }

    #[test]
    fn forms_that_der_forbids_are_refused() {
        let check = |der: &[u8], expected| assert_eq!(Reader::new(der).any(), Err(expected), "{der:02x?}");
        check(&[0x04, 0x80, 0, 0], DerError::Length);
        check(&[0x04, 0x81, 0x01, 0], DerError::Length);
        check(&[0x04, 0x82, 0x00, 0x80], DerError::Length);
        check(&[0x04, 0x85, 0, 0, 0, 0, 1], DerError::Length);
        check(&[0x04, 0xff], DerError::Length);
        check(&[0x1f, 0x01, 0x00], DerError::Tag { expected: tag::SEQUENCE, found: 0x1f });
        check(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::Truncated);
    }

    #[test]
    fn integers_have_one_form() {
        let check = |der: &[u8], expected: Result<&[u8], DerError>| {
            assert_eq!(Reader::new(der).unsigned(), expected, "{der:02x?}");
        };
        check(&[2, 1, 0], Ok(&[]));
        check(&[2, 1, 1], Ok(&[1]));
        check(&[2, 1, 0x7f], Ok(&[0x7f]));
        check(&[2, 2, 0, 0x80], Ok(&[0x80]));
        check(&[2, 0], Err(DerError::Integer));
        check(&[2, 1, 0x80], Err(DerError::Integer));
        check(&[2, 2, 0, 0x7f], Err(DerError::Integer));
        check(&[2, 2, 0, 0], Err(DerError::Integer));
        check(&[4, 1, 0], Err(DerError::Tag { expected: 2, found: 4 }));
        for number in [&[][..], &[0], &[1], &[0x7f], &[0x80], &[0, 0, 0xff, 1]] {
            let trimmed: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            assert_eq!(Reader::new(&unsigned(number)).unsigned(), Ok(&trimmed[..]));
        }
    }

    #[test]
    fn bit_strings_end_at_a_byte_and_trailing_bytes_are_noticed() {
        assert_eq!(Reader::new(&bit_string(&[1, 2])).bit_string(), Ok(&[1, 2][..]));
        assert_eq!(Reader::new(&[3, 2, 1, 2]).bit_string(), Err(DerError::BitString));
        assert_eq!(Reader::new(&[3, 0]).bit_string(), Err(DerError::BitString));
        assert_eq!(Reader::new(&[0]).finish(), Err(DerError::Trailing));
    }
}
