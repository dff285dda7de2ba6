//! Frames: four bytes of big-endian length, then one message of that many bytes (`docs/spec/wire.md`).

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, skip_field};
use strongroom_types::limits::{FRAME_LEN_MAX, SHARED_USERS_MAX, TEMPLATE_LEN_MAX};
use thiserror::Error;

use crate::convert::Malformed;
use crate::v1;

/// Bytes in front of a message.
pub const PREFIX_LEN: usize = 4;

// Of each message with lists in it, however deep, the fields that lead to them.
include!(concat!(env!("OUT_DIR"), "/lists.rs"));

/// Where the request stands in that table.
const REQUEST: usize = 0;

/// The first number of a field of `Request` that is an operation (`hsm.proto`).
const OPERATIONS_FROM: u32 = 10;

/// How many messages an attribute is in that stands in a template: the request, the operation, the attribute whose value the
/// template is, the template. Nothing with lists in it is deeper; a template in a template would be.
const DEPTH_MAX: usize = 4;

/// Templates in one request: two lists of attributes, each with a wrap and an unwrap template among them.
const TEMPLATES_MAX: usize = 2 * 3;

/// Fields of a template's attribute, itself among them.
const ATTRIBUTE_FIELDS: usize = 3;

/// Fields in one request, those of every message in it that holds lists among them: its templates, a share list, and room
/// for all else. An element of a list may take two bytes on the wire and a hundred in memory, so lists are counted before
/// they are decoded.
pub const REQUEST_FIELDS_MAX: usize = TEMPLATES_MAX * TEMPLATE_LEN_MAX * ATTRIBUTE_FIELDS + SHARED_USERS_MAX + 64;

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

/// The request in a frame's content, as [`read_request`] reads it.
pub fn decode_request(content: &[u8]) -> Result<v1::Request, Malformed> {
    let mut request = v1::Request::default();
    read_request(content, &mut request).map(|()| request)
}

/// Puts the request in a frame's content into `request`, an empty one. When this fails, what was read before stays there:
/// it may have to be wiped.
///
/// A request with more than [`REQUEST_FIELDS_MAX`] fields is malformed, and so is one with a template in a template, or with
/// two operations. Nothing is allocated for it.
pub fn read_request(content: &[u8], request: &mut v1::Request) -> Result<(), Malformed> {
    let malformed = Malformed { field: "request" };
    let mut scan = Scan { left: REQUEST_FIELDS_MAX, operation: None };
    scan.message(content, REQUEST, 0).ok_or(malformed)?;
    if let Some(number) = scan.operation {
        // An operation that fails to decode is dropped by prost, unless it was there before.
        let mut empty = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut empty);
        empty.push(0);
        request.merge(empty.as_slice()).map_err(|_| malformed)?;
    }
    request.merge(content).map_err(|_| malformed)
}

/// A look at a request's bytes before they are decoded.
struct Scan {
    /// Fields that may still come.
    left: usize,
    /// The operation's number. It may be there in several pieces, which decoding puts together.
    operation: Option<u32>,
}

impl Scan {
    /// Counts the fields of a message that is in so many others, and of those in it that hold lists. None when there are more
    /// than may be, or deeper ones, or when the bytes are no fields.
    fn message(&mut self, mut content: &[u8], kind: usize, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        while !content.is_empty() {
            self.left = self.left.checked_sub(1)?;
            let (number, wire_type) = decode_key(&mut content).ok()?;
            if kind == REQUEST && number >= OPERATIONS_FROM && *self.operation.get_or_insert(number) != number {
                return None;
            }
            let inner = LISTS.get(kind)?.iter().find(|(field, _)| *field == number).map(|(_, inner)| *inner);
            if let (Some(inner), WireType::LengthDelimited) = (inner, wire_type) {
                let len = usize::try_from(decode_varint(&mut content).ok()?).ok()?;
                let (message, rest) = content.split_at_checked(len)?;
                content = rest;
                self.message(message, inner, depth + 1)?;
            } else {
                skip_field(wire_type, number, &mut content, DecodeContext::default()).ok()?;
            }
        }
        Some(())
    }
}

/// The response in a frame's content.
pub fn decode_response(content: &[u8]) -> Result<v1::Response, Malformed> {
    v1::Response::decode(content).map_err(|_| Malformed { field: "response" })
}

#[cfg(test)]
mod tests {
    use strongroom_types::limits::{APPROVAL_SIGNATURES_MAX, APPROVALS_IN_REQUEST_MAX, SESSION_KEYS_IN_REQUEST_MAX};

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

    const MALFORMED: Malformed = Malformed { field: "request" };

    fn bytes_of(operation: v1::request::Operation) -> Vec<u8> {
        v1::Request { operation: Some(operation), ..v1::Request::default() }.encode_to_vec()
    }

    fn template(attributes: Vec<v1::Attribute>) -> v1::Attribute {
        let value = Some(v1::attribute::Value::Template(v1::AttributeList { attributes }));
        v1::Attribute { name: String::new(), value }
    }

    /// A request whose list has so many elements: empty ones take two bytes each, the least there is.
    fn listed(elements: usize) -> Vec<u8> {
        let filter = vec![v1::Attribute::default(); elements];
        bytes_of(v1::request::Operation::KeyFind(v1::KeyFind { filter, ..v1::KeyFind::default() }))
    }

    /// Lists where they may stand, of so many elements, with so many fields around them.
    fn lists(elements: usize) -> [(usize, Vec<u8>); 5] {
        let list = || template(vec![v1::Attribute::default(); elements]);
        let approval =
            v1::Approval { signatures: vec![v1::ApprovalSignature::default(); elements], ..v1::Approval::default() };
        let set = v1::KeySetAttribute { attribute: Some(list()), ..v1::KeySetAttribute::default() };
        let import = v1::KeyImport { template: vec![list()], ..v1::KeyImport::default() };
        let counter_kdf = v1::CounterKdf { fields: vec![v1::KdfField::default(); elements], ..Default::default() };
        let derivation = Some(v1::key_derive::Derivation::CounterKdf(counter_kdf));
        [
            (1, listed(elements)),
            (1, v1::Request { approvals: vec![approval], ..v1::Request::default() }.encode_to_vec()),
            (3, bytes_of(v1::request::Operation::KeySetAttribute(set))),
            (3, bytes_of(v1::request::Operation::KeyImport(import))),
            (2, bytes_of(v1::request::Operation::KeyDerive(v1::KeyDerive { derivation, ..Default::default() }))),
        ]
    }

    #[test]
    fn elements_of_lists_are_counted_however_deep() {
        for (index, (around, _)) in lists(0).into_iter().enumerate() {
            let of = |elements: usize| decode_request(&lists(elements)[index].1);
            assert!(of(REQUEST_FIELDS_MAX - around).is_ok(), "{index}");
            assert_eq!(of(REQUEST_FIELDS_MAX - around + 1), Err(MALFORMED), "{index}");
            assert_eq!(of(10 * REQUEST_FIELDS_MAX), Err(MALFORMED), "{index}");
        }
    }

    #[test]
    fn a_list_longer_than_any_is_not_decoded() {
        // The operation is a field too.
        let at_limit = decode_request(&listed(REQUEST_FIELDS_MAX - 1)).unwrap();
        let Some(v1::request::Operation::KeyFind(find)) = at_limit.operation else { panic!("{at_limit:?}") };
        assert_eq!(find.filter.len(), REQUEST_FIELDS_MAX - 1);
        // Decoding joins the pieces of one operation.
        assert!(decode_request(&listed(REQUEST_FIELDS_MAX / 4).repeat(3)).is_ok());
        assert_eq!(decode_request(&listed(REQUEST_FIELDS_MAX / 4).repeat(5)), Err(MALFORMED));
        // Fields that nobody knows are counted, and bytes are not looked into.
        assert_eq!(decode_request(&[0x08, 1].repeat(REQUEST_FIELDS_MAX + 1)), Err(MALFORMED));
        let sign = v1::Sign { data: vec![0x0a; FRAME_LEN_MAX / 2], ..v1::Sign::default() };
        assert!(decode_request(&bytes_of(v1::request::Operation::Sign(sign))).is_ok());
    }

    #[test]
    fn a_template_in_a_template_is_not_decoded() {
        let set = |attribute| {
            let attribute = Some(attribute);
            bytes_of(v1::request::Operation::KeySetAttribute(v1::KeySetAttribute { attribute, ..Default::default() }))
        };
        let mut nested = template(Vec::new());
        assert!(decode_request(&set(nested.clone())).is_ok());
        for _ in 0..40 {
            nested = template(vec![nested]);
            assert_eq!(decode_request(&set(nested.clone())), Err(MALFORMED));
        }
    }

    #[test]
    fn a_request_has_one_operation() {
        let sign = || bytes_of(v1::request::Operation::Sign(v1::Sign { key: 1, ..v1::Sign::default() }));
        let get = || bytes_of(v1::request::Operation::KeyGet(v1::KeyGet { reference: 1 }));
        assert!(decode_request(&[sign(), sign()].concat()).is_ok());
        assert_eq!(decode_request(&[sign(), get()].concat()), Err(MALFORMED));
        // Nor one that nobody knows beside one that is known.
        assert!(decode_request(&[0xa2, 0x3f, 0]).is_ok_and(|request| request.operation.is_none()));
        assert_eq!(decode_request(&[&[0xa2, 0x3f, 0], get().as_slice()].concat()), Err(MALFORMED));
    }

    /// A caller wipes what it is handed, and can wipe nothing that is gone.
    #[test]
    fn what_was_read_before_it_failed_is_there_to_be_wiped() {
        let password = b"hunter2222".to_vec();
        let login = v1::Login { user_name: "alice".into(), password: password.clone(), ..v1::Login::default() };
        let whole = bytes_of(v1::request::Operation::Login(login));
        // In the operation behind the password: a field of a wire type that it cannot have. Then behind the operation.
        let inside = [&[whole[0], whole[1] + 2], &whole[2..], &[0x08, 1]].concat();
        let behind = [whole.as_slice(), &[0x0a, 0]].concat();
        for broken in [inside, behind] {
            let mut request = v1::Request::default();
            assert_eq!(read_request(&broken, &mut request), Err(MALFORMED));
            let Some(v1::request::Operation::Login(login)) = &request.operation else { panic!("{request:?}") };
            assert_eq!(login.password, password);
        }
    }

    /// Every list that a client may send, each at its limit, fits.
    #[test]
    fn the_largest_lists_are_decoded() {
        let text = Some(v1::attribute::Value::Text("x".into()));
        let attributes = vec![v1::Attribute { name: "label".into(), value: text }; TEMPLATE_LEN_MAX];
        let mut outer = attributes.clone();
        for (attribute, name) in outer.iter_mut().zip(["wrap-template", "unwrap-template"]) {
            *attribute = v1::Attribute { name: name.into(), ..template(attributes.clone()) };
        }
        let pair = v1::KeyGeneratePair {
            public_template: outer.clone(),
            private_template: outer,
            share_with: vec!["a".repeat(31); SHARED_USERS_MAX],
            manage_quorum: 1,
            use_quorum: 1,
            algorithm: Some(v1::key_generate_pair::Algorithm::Curve(1)),
        };
        let operation = Some(v1::request::Operation::KeyGeneratePair(pair));
        let approval = v1::Approval {
            approval_data: vec![5; 80],
            signatures: vec![v1::ApprovalSignature::default(); APPROVAL_SIGNATURES_MAX],
        };
        let request = v1::Request {
            id: 1,
            deadline_ms: 2,
            seen_revision: 3,
            request_id: vec![4; 16],
            session_keys: vec![v1::SessionKey::default(); SESSION_KEYS_IN_REQUEST_MAX],
            approvals: vec![approval; APPROVALS_IN_REQUEST_MAX],
            operation,
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
