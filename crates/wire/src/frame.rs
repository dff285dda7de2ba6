//! Frames: four bytes of big-endian length, then one message of that many bytes (`docs/spec/wire.md`).

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use strongroom_types::limits::{FRAME_LEN_MAX, SHARED_USERS_MAX, TEMPLATE_LEN_MAX};
use thiserror::Error;

use crate::convert::Malformed;
use crate::v1;

/// Bytes in front of a message.
pub const PREFIX_LEN: usize = 4;

/// The first number of a field of `Request` that is an operation (`hsm.proto`).
const OPERATIONS_FROM: u32 = 10;

/// The number of the field of `Request` that holds approvals, each with a list of signatures.
const APPROVALS: u32 = 6;

/// Fields in one request, its operation's among them: two templates, a share list, and room for all else. An element of
/// a list may take two bytes on the wire and a hundred in memory, so lists are counted before they are decoded.
pub const REQUEST_FIELDS_MAX: usize = 2 * TEMPLATE_LEN_MAX + SHARED_USERS_MAX + 64;

/// A length that no frame may have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// No message is empty: each carries an id.
    #[error("a frame without content")]
    Empty,
    /// Over the limit of this connection.
    #[error("a frame of {len} bytes, where at most {max} are allowed")]
    TooLong {
        /// The length announced, or that of the message to be sent.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Puts a message into `buffer` as one frame, in place of what was there. The buffer keeps its capacity.
pub fn encode(message: &impl Message, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
    let len = message.encoded_len();
    let prefix = u32::try_from(len).ok().filter(|_| len <= FRAME_LEN_MAX);
    let prefix = prefix.ok_or(FrameError::TooLong { len, max: FRAME_LEN_MAX })?;
    buffer.clear();
    buffer.reserve(PREFIX_LEN + len);
    buffer.extend_from_slice(&prefix.to_be_bytes());
    message.encode_raw(buffer);
    Ok(())
}

/// Bytes that a message takes in a frame.
pub fn message_len(message: &impl Message) -> usize {
    message.encoded_len()
}

/// How many bytes follow this prefix, where at most `max` may. Ask before allocating.
pub fn body_len(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_be_bytes(prefix)) {
        Ok(0) => Err(FrameError::Empty),
        Ok(len) if len <= max => Ok(len),
        Ok(len) => Err(FrameError::TooLong { len, max }),
        Err(_) => Err(FrameError::TooLong { len: usize::MAX, max }),
    }
}

/// The request in a frame's content. One with more than [`REQUEST_FIELDS_MAX`] fields is malformed, and nothing is
/// allocated for it.
pub fn decode_request(content: &[u8]) -> Result<v1::Request, Malformed> {
    let malformed = Malformed { field: "request" };
    let mut left = REQUEST_FIELDS_MAX;
    count_fields(content, &mut left, true).ok_or(malformed)?;
    v1::Request::decode(content).map_err(|_| malformed)
}

/// Takes the fields of a message from `left`; with `inside`, also those of its approvals and of its operation, which may
/// be there in several pieces that decoding puts together. None when there are more, or when the bytes are no fields.
fn count_fields(mut content: &[u8], left: &mut usize, inside: bool) -> Option<()> {
    while !content.is_empty() {
        *left = left.checked_sub(1)?;
        let (number, wire_type) = decode_key(&mut content).ok()?;
        let has_lists = number == APPROVALS || number >= OPERATIONS_FROM;
        if inside && wire_type == WireType::LengthDelimited && has_lists {
            let len = usize::try_from(decode_varint(&mut content).ok()?).ok()?;
            let (operation, rest) = content.split_at_checked(len)?;
            content = rest;
            count_fields(operation, left, false)?;
        } else {
            skip_field(wire_type, number, &mut content, DecodeContext::default()).ok()?;
        }
    }
    Some(())
}

/// The response in a frame's content.
pub fn decode_response(content: &[u8]) -> Result<v1::Response, Malformed> {
    v1::Response::decode(content).map_err(|_| Malformed { field: "response" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::Request {
        let hello = v1::Hello { client: "a test".into() };
        v1::Request { id: 7, operation: Some(v1::request::Operation::Hello(hello)), ..v1::Request::default() }
    }

    #[test]
    fn a_frame_reads_back() {
        let mut frame = vec![0xff; 3];
        encode(&request(), &mut frame).unwrap();
        let (prefix, content) = frame.split_first_chunk().unwrap();
        assert_eq!(body_len(*prefix, 1024), Ok(content.len()));
        assert_eq!(decode_request(content), Ok(request()));
    }

    #[test]
    fn lengths_at_below_and_above_the_limit() {
        let check = |len: u32, expected| assert_eq!(body_len(len.to_be_bytes(), 16), expected, "{len}");
        check(0, Err(FrameError::Empty));
        check(1, Ok(1));
        check(16, Ok(16));
        check(17, Err(FrameError::TooLong { len: 17, max: 16 }));
        check(u32::MAX, Err(FrameError::TooLong { len: 0xffff_ffff, max: 16 }));
    }

    /// A request whose list has so many elements: empty ones take two bytes each, the least there is.
    fn listed(elements: usize, pieces: usize) -> Vec<u8> {
        let find = v1::KeyFind { filter: vec![v1::Attribute::default(); elements], ..v1::KeyFind::default() };
        let operation = Some(v1::request::Operation::KeyFind(find));
        v1::Request { operation, ..v1::Request::default() }.encode_to_vec().repeat(pieces)
    }

    #[test]
    fn signatures_of_approvals_are_counted_too() {
        let request = |signatures: usize| {
            let approval =
                v1::Approval { signatures: vec![v1::ApprovalSignature::default(); signatures], ..Default::default() };
            v1::Request { approvals: vec![approval], ..v1::Request::default() }.encode_to_vec()
        };
        // The approval is a field too.
        assert!(decode_request(&request(REQUEST_FIELDS_MAX - 1)).is_ok());
        assert_eq!(decode_request(&request(REQUEST_FIELDS_MAX)), Err(Malformed { field: "request" }));
    }

    #[test]
    fn a_list_longer_than_any_is_not_decoded() {
        // The operation is a field too.
        let at_limit = decode_request(&listed(REQUEST_FIELDS_MAX - 1, 1)).unwrap();
        let Some(v1::request::Operation::KeyFind(find)) = at_limit.operation else { panic!("{at_limit:?}") };
        assert_eq!(find.filter.len(), REQUEST_FIELDS_MAX - 1);
        let malformed = Err(Malformed { field: "request" });
        assert_eq!(decode_request(&listed(REQUEST_FIELDS_MAX, 1)), malformed);
        // Decoding joins the pieces of one operation.
        assert!(decode_request(&listed(REQUEST_FIELDS_MAX / 4, 3)).is_ok());
        assert_eq!(decode_request(&listed(REQUEST_FIELDS_MAX / 4, 5)), malformed);
        assert_eq!(decode_request(&listed(FRAME_LEN_MAX / 2 - 8, 1)), malformed);
        // Fields that nobody knows are counted, and bytes are not looked into.
        assert_eq!(decode_request(&[0x08, 1].repeat(REQUEST_FIELDS_MAX + 1)), malformed);
        let sign = v1::Sign { data: vec![0x0a; FRAME_LEN_MAX / 2], ..v1::Sign::default() };
        let operation = Some(v1::request::Operation::Sign(sign));
        assert!(decode_request(&v1::Request { operation, ..v1::Request::default() }.encode_to_vec()).is_ok());
    }

    /// Every list that a client may send, each at its limit, fits.
    #[test]
    fn the_largest_lists_are_decoded() {
        let template = vec![v1::Attribute { name: "label".into(), value: None }; TEMPLATE_LEN_MAX];
        let pair = v1::KeyGeneratePair {
            public_template: template.clone(),
            private_template: template,
            share_with: vec!["a".repeat(31); SHARED_USERS_MAX],
            ..v1::KeyGeneratePair::default()
        };
        let operation = Some(v1::request::Operation::KeyGeneratePair(pair));
        let request = v1::Request {
            id: 1,
            deadline_ms: 2,
            seen_revision: 3,
            request_id: vec![4; 16],
            operation,
            ..v1::Request::default()
        };
        assert_eq!(decode_request(&request.encode_to_vec()), Ok(request));
    }

    #[test]
    fn a_message_over_the_largest_frame_is_not_sent() {
        let sign = |len| v1::Request {
            operation: Some(v1::request::Operation::Sign(v1::Sign { data: vec![0; len], ..v1::Sign::default() })),
            ..v1::Request::default()
        };
        let mut frame = Vec::new();
        assert!(encode(&sign(FRAME_LEN_MAX - 100), &mut frame).is_ok());
        assert!(matches!(encode(&sign(FRAME_LEN_MAX), &mut frame), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn cut_messages_are_malformed_or_another_message() {
        let mut frame = Vec::new();
        encode(&request(), &mut frame).unwrap();
        let content = &frame[PREFIX_LEN..];
        for len in 0..content.len() {
            assert_ne!(decode_request(&content[..len]), Ok(request()), "{len}");
        }
        for garbage in [&[0xff; 32][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x08]] {
            assert!(decode_request(garbage).is_err());
            assert!(decode_response(garbage).is_err());
        }
    }
}
