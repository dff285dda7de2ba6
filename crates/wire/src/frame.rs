//! Frames: four bytes of big-endian length, then one message of that many bytes (`docs/spec/wire.md`).

use prost::Message;
use strongroom_types::limits::FRAME_LEN_MAX;
use thiserror::Error;

use crate::convert::Malformed;
use crate::v1;

/// Bytes in front of a message.
pub const PREFIX_LEN: usize = 4;

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

/// How many bytes follow this prefix, where at most `max` may. Ask before allocating.
pub fn body_len(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_be_bytes(prefix)) {
        Ok(0) => Err(FrameError::Empty),
        Ok(len) if len <= max => Ok(len),
        Ok(len) => Err(FrameError::TooLong { len, max }),
        Err(_) => Err(FrameError::TooLong { len: usize::MAX, max }),
    }
}

/// The request in a frame's content.
pub fn decode_request(content: &[u8]) -> Result<v1::Request, Malformed> {
    v1::Request::decode(content).map_err(|_| Malformed { field: "request" })
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
