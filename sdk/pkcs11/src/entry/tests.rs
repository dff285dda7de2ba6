//! What callers pass, and what is written back.

use cryptoki_sys::{CK_BBOOL, CK_TRUE, CKA_LABEL, CKA_TOKEN, CKA_VALUE};

use super::*;

fn attribute(kind: CK_ULONG, value: &[u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: value.as_ptr().cast_mut().cast(), ulValueLen: value.len() as CK_ULONG }
}

/// A template of a test's own attributes, whose values live longer than the call.
fn read(attributes: &[CK_ATTRIBUTE]) -> Result<Vec<Given>, Failure> {
    // SAFETY: the slice's own pointer and length; each value is a slice's, null, or refused by its length.
    unsafe { template(attributes.as_ptr(), attributes.len() as CK_ULONG) }
}

fn nested(kind: CK_ULONG, inner: &[CK_ATTRIBUTE]) -> CK_ATTRIBUTE {
    let len = mem::size_of_val(inner) as CK_ULONG;
    CK_ATTRIBUTE { type_: kind, pValue: inner.as_ptr().cast_mut().cast(), ulValueLen: len }
}

#[test]
fn a_template_is_copied() {
    let mut label = b"a label".to_vec();
    let token: [CK_BBOOL; 1] = [CK_TRUE];
    let inner = [attribute(CKA_TOKEN, &token)];
    let given = read(&[attribute(CKA_LABEL, &label), attribute(CKA_VALUE, b""), nested(CKA_WRAP_TEMPLATE, &inner)]);
    let given = given.unwrap();
    label.fill(0);
    match given.as_slice() {
        [
            Given { kind: CKA_LABEL, value: Value::Bytes(label) },
            Given { kind: CKA_VALUE, value: Value::Bytes(empty) },
            Given { kind: CKA_WRAP_TEMPLATE, value: Value::Template(inner) },
        ] => {
            assert_eq!((label.expose(), empty.expose()), (&b"a label"[..], &b""[..]));
            assert!(
                matches!(inner.as_slice(), [Given { kind: CKA_TOKEN, value: Value::Bytes(token) }] if token.expose() == [1])
            );
        }
        _ => panic!("another template"),
    }
    assert_eq!(read(&[]).unwrap().len(), 0);
}

#[test]
fn a_template_is_bounded_before_it_is_copied() {
    let check = |attributes: &[CK_ATTRIBUTE], expected: Result<usize, CK_RV>| {
        let read = read(attributes).map(|given| given.len()).map_err(|failure| failure.rv());
        assert_eq!(read, expected);
    };
    let one = attribute(CKA_LABEL, b"x");
    check(&[one; TEMPLATE_LEN_MAX], Ok(TEMPLATE_LEN_MAX));
    check(&[one; TEMPLATE_LEN_MAX - 1], Ok(TEMPLATE_LEN_MAX - 1));
    check(&[one; TEMPLATE_LEN_MAX + 1], Err(CKR_ARGUMENTS_BAD));
    let long = vec![7; ATTRIBUTE_LEN_MAX + 1];
    check(&[attribute(CKA_VALUE, &long[..ATTRIBUTE_LEN_MAX])], Ok(1));
    check(&[attribute(CKA_VALUE, &long)], Err(CKR_ATTRIBUTE_VALUE_INVALID));
    // Lengths that lie: nothing is read of what they point to.
    for len in [CK_ULONG::MAX, CK_ULONG::MAX / 2, 1 << 40] {
        check(&[CK_ATTRIBUTE { ulValueLen: len, ..one }], Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    check(&[CK_ATTRIBUTE { pValue: ptr::null_mut(), ..one }], Err(CKR_ATTRIBUTE_VALUE_INVALID));
    for count in [TEMPLATE_LEN_MAX as CK_ULONG + 1, CK_ULONG::MAX] {
        // SAFETY: refused before anything is read.
        let refused = unsafe { template(&raw const one, count) };
        assert_eq!(refused.err().unwrap().rv(), CKR_ARGUMENTS_BAD);
    }
    // SAFETY: null is refused, and nothing is read of an empty one.
    let (refused, empty) = unsafe { (template(ptr::null(), 1), template(ptr::null(), 0)) };
    assert_eq!(refused.err().unwrap().rv(), CKR_ARGUMENTS_BAD);
    assert_eq!(empty.unwrap().len(), 0);
}

#[test]
fn more_attributes_are_read_than_a_template_has() {
    use strongroom_types::limits::ATTRIBUTES_READ_MAX;
    let asked = vec![attribute(CKA_LABEL, b""); ATTRIBUTES_READ_MAX + 1];
    for (count, expected) in [
        (TEMPLATE_LEN_MAX + 1, Ok(TEMPLATE_LEN_MAX + 1)),
        (ATTRIBUTES_READ_MAX - 1, Ok(ATTRIBUTES_READ_MAX - 1)),
        (ATTRIBUTES_READ_MAX, Ok(ATTRIBUTES_READ_MAX)),
        (ATTRIBUTES_READ_MAX + 1, Err(CKR_ARGUMENTS_BAD)),
    ] {
        // SAFETY: there are as many attributes.
        let wanted = unsafe { objects::wanted(asked.as_ptr(), count as CK_ULONG) };
        assert_eq!(wanted.map(|wanted| wanted.len()).map_err(|failure| failure.rv()), expected);
    }
}

#[test]
fn templates_nest_once_and_by_whole_attributes() {
    let inner = [attribute(CKA_LABEL, b"x"), attribute(CKA_TOKEN, &[1])];
    for kind in [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE] {
        let outer = nested(kind, &inner);
        assert_eq!(read(&[outer]).unwrap().len(), 1);
        let refused =
            |attribute: CK_ATTRIBUTE| assert_eq!(read(&[attribute]).err().unwrap().rv(), CKR_ATTRIBUTE_VALUE_INVALID);
        refused(CK_ATTRIBUTE { ulValueLen: outer.ulValueLen - 1, ..outer });
        refused(nested(kind, &[outer]));
    }
}

/// What comes of an output of `made` bytes, with a buffer of `capacity` or none.
fn written(made: &[u8], capacity: Option<usize>) -> (CK_RV, CK_ULONG, Vec<u8>) {
    let mut buffer = vec![0xee; capacity.unwrap_or_default()];
    let mut len = buffer.len() as CK_ULONG;
    let to = if capacity.is_some() { buffer.as_mut_ptr() } else { ptr::null_mut() };
    let make = |room| {
        Ok(match room {
            Room::Length => Output::Length(made.len()),
            Room::Bytes(room) if room < made.len() => Output::TooSmall(made.len()),
            Room::Bytes(_) => Output::Bytes(Secret::from(made)),
        })
    };
    // SAFETY: null, or a buffer of that length.
    let result = unsafe { put_output(to, &raw mut len, make) };
    (result.map_or_else(|failure| failure.rv(), |()| CKR_OK), len, buffer)
}

#[test]
fn an_output_is_measured_refused_or_written_whole() {
    assert_eq!(written(b"four", None), (CKR_OK, 4, vec![]));
    assert_eq!(written(b"four", Some(3)), (CKR_BUFFER_TOO_SMALL, 4, vec![0xee; 3]));
    assert_eq!(written(b"four", Some(4)), (CKR_OK, 4, b"four".to_vec()));
    assert_eq!(written(b"four", Some(5)), (CKR_OK, 4, b"four\xee".to_vec()));
    assert_eq!(written(b"", Some(0)), (CKR_OK, 0, vec![]));
    // SAFETY: null is refused.
    let refused = unsafe { put_output(ptr::null_mut(), ptr::null_mut(), |_| Ok(Output::Length(1))) };
    assert_eq!(refused.unwrap_err().rv(), CKR_ARGUMENTS_BAD);
}

/// A caller may have all of it in one piece of memory, the data to be encrypted too.
#[test]
fn an_iv_is_written_with_the_output_and_not_while_it_is_made() {
    let mut memory = *b"data to be encrypted";
    let start = memory.as_mut_ptr();
    let mut len = memory.len() as CK_ULONG;
    let make = |_| {
        // SAFETY: the bytes of `memory`, which nothing else touches before the output is written.
        let data = unsafe { bytes(start, 20) }?;
        let buffer = IvBuffer::at(start.wrapping_add(16), 4);
        let made = Output::BytesWithIv(Secret::from(&b"cipher"[..]), b"12-byte IV".to_vec(), buffer);
        assert_eq!(data, b"data to be encrypted");
        Ok(made)
    };
    // SAFETY: a buffer of that length.
    unsafe { put_output(start, &raw mut len, make) }.unwrap();
    assert_eq!((&memory, len), (b"ciphero be encry12-b", 6));
}

#[test]
fn a_list_is_measured_refused_or_written_whole() {
    let check = |capacity: Option<usize>, expected: (CK_RV, CK_ULONG, &[u16])| {
        let mut buffer = vec![9_u16; capacity.unwrap_or_default()];
        let mut count = capacity.unwrap_or(77) as CK_ULONG;
        let to = if capacity.is_some() { buffer.as_mut_ptr() } else { ptr::null_mut() };
        // SAFETY: null, or a buffer of that length.
        let result = unsafe { put_list(to, &raw mut count, &[1_u16, 2]) };
        let rv = result.map_or_else(|failure| failure.rv(), |()| CKR_OK);
        assert_eq!((rv, count, buffer.as_slice()), expected);
    };
    check(None, (CKR_OK, 2, &[]));
    check(Some(1), (CKR_BUFFER_TOO_SMALL, 2, &[9]));
    check(Some(2), (CKR_OK, 2, &[1, 2]));
    check(Some(3), (CKR_OK, 2, &[1, 2, 9]));
}
