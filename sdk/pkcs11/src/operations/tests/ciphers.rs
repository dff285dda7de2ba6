//! Blocks, counters, GCM and RSA.

use super::*;

const AES_IV: [u8; 16] = [0x30; 16];
const DES_IV: [u8; 8] = [0x40; 8];

fn cipher(number: CK_MECHANISM_TYPE, direction: Direction) -> Ciphering {
    let parameter = match number {
        CKM_AES_CBC | CKM_AES_CBC_PAD => Parameter::AesIv(AES_IV),
        CKM_DES3_CBC | CKM_DES3_CBC_PAD => Parameter::Des3Iv(DES_IV),
        _ => Parameter::None,
    };
    Ciphering::new(mechanism(number, parameter), a_key(KeyType::Aes), direction).unwrap()
}

fn whole(state: &mut Ciphering, data: &[u8]) -> Told {
    told(state.whole(&Fake::default(), Ok(data), ROOMY))
}

/// The output of all parts, each of which must give what its length was said to be.
fn in_pieces(state: &mut Ciphering, hsms: &Fake, data: &[u8], piece: usize) -> Result<Vec<u8>, CK_RV> {
    let mut all = Vec::new();
    for part in data.chunks(piece) {
        let before = hsms.requests();
        let Told::Length(len) = told(state.update(hsms, Ok(part), NULL)) else { panic!("a length") };
        if len > 0 {
            let short = told(state.update(hsms, Ok(part), Ok(Room::Bytes(len - 1))));
            assert_eq!(short, Told::Rv(CKR_BUFFER_TOO_SMALL));
        }
        assert_eq!(hsms.requests(), before);
        match told(state.update(hsms, Ok(part), Ok(Room::Bytes(len)))) {
            Told::Bytes(made) => {
                assert_eq!(made.len(), len);
                all.extend(made);
            }
            other => panic!("{other:?}"),
        }
        assert!(hsms.requests() - before <= 1, "one round trip for each part");
    }
    match told(state.finish(hsms, ROOMY)) {
        Told::Bytes(made) => all.extend(made),
        Told::Rv(rv) => return Err(rv),
        other => panic!("{other:?}"),
    }
    Ok(all)
}

#[test]
fn parts_of_any_length_give_what_one_part_gives() {
    let padded = [CKM_AES_CBC_PAD, CKM_DES3_CBC_PAD];
    for number in [CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_DES3_ECB, CKM_DES3_CBC, CKM_DES3_CBC_PAD] {
        for len in [0, 1, 7, 8, 15, 16, 17, 48, 63, 64, 65] {
            let data = bytes(len);
            let made = whole(&mut cipher(number, Direction::Encrypt), &data);
            let block_len = if matches!(number, CKM_AES_ECB | CKM_AES_CBC | CKM_AES_CBC_PAD) { 16 } else { 8 };
            if !padded.contains(&number) && len % block_len != 0 {
                assert_eq!(made, Told::Rv(CKR_DATA_LEN_RANGE), "{number:#x} {len}");
                let again = whole(&mut cipher(number, Direction::Decrypt), &data);
                assert_eq!(again, Told::Rv(CKR_ENCRYPTED_DATA_LEN_RANGE), "{number:#x} {len}");
                continue;
            }
            let Told::Bytes(made) = made else { panic!("{number:#x} {len}") };
            let expected_len = if padded.contains(&number) { (len / block_len + 1) * block_len } else { len };
            assert_eq!(made.len(), expected_len);
            assert_eq!(whole(&mut cipher(number, Direction::Decrypt), &made), Told::Bytes(data.clone()));
            for piece in [1, 3, 8, 13, 16, 17, 21, 32, 100] {
                let hsms = Fake::default();
                let parts = in_pieces(&mut cipher(number, Direction::Encrypt), &hsms, &data, piece);
                assert_eq!(parts.as_ref(), Ok(&made), "{number:#x} {len} in {piece}");
                let parts = in_pieces(&mut cipher(number, Direction::Decrypt), &hsms, &made, piece);
                assert_eq!(parts.as_ref(), Ok(&data), "{number:#x} {len} in {piece}");
            }
        }
    }
}

#[test]
fn what_is_left_over_of_a_block_is_an_error_at_the_end() {
    for (direction, expected) in
        [(Direction::Encrypt, CKR_DATA_LEN_RANGE), (Direction::Decrypt, CKR_ENCRYPTED_DATA_LEN_RANGE)]
    {
        let hsms = Fake::default();
        assert_eq!(in_pieces(&mut cipher(CKM_AES_CBC, direction), &hsms, &bytes(33), 10), Err(expected));
    }
    let hsms = Fake::default();
    let mut state = cipher(CKM_AES_CBC_PAD, Direction::Decrypt);
    assert_eq!(in_pieces(&mut state, &hsms, &bytes(33), 10), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    assert_eq!(
        in_pieces(&mut cipher(CKM_AES_CBC_PAD, Direction::Decrypt), &hsms, &[], 10),
        Err(CKR_ENCRYPTED_DATA_LEN_RANGE)
    );
}

#[test]
fn data_beyond_one_request_are_chained_over_several() {
    let data = bytes(2 * CIPHER_DATA_LEN_MAX + 48);
    let hsms = Fake::default();
    let mut state = cipher(CKM_AES_CBC, Direction::Encrypt);
    let Told::Bytes(made) = told(state.whole(&hsms, Ok(&data), ROOMY)) else { panic!("a ciphertext") };
    assert_eq!(hsms.requests(), 3);
    assert!(made == run(&strongroom_types::CipherMechanism::AesCbc { iv: AES_IV }, &data, true));
    let mut state = cipher(CKM_AES_CBC, Direction::Decrypt);
    assert!(told(state.whole(&hsms, Ok(&made), ROOMY)) == Told::Bytes(data));
}

#[test]
fn padding_is_looked_at_whole() {
    let check = |last: &[u8], expected: Option<usize>| {
        let mut plain = vec![9; 32 - last.len()];
        plain.extend(last);
        let made = whole(&mut cipher(CKM_AES_CBC, Direction::Encrypt), &plain);
        let Told::Bytes(made) = made else { panic!("a ciphertext") };
        let opened = whole(&mut cipher(CKM_AES_CBC_PAD, Direction::Decrypt), &made);
        let expected = match expected {
            Some(len) => Told::Bytes(plain[..len].to_vec()),
            None => Told::Rv(CKR_ENCRYPTED_DATA_INVALID),
        };
        assert_eq!(opened, expected, "{last:?}");
    };
    check(&[1], Some(31));
    check(&[2, 2], Some(30));
    check(&[16; 16], Some(16));
    check(&[0], None);
    check(&[17; 17], None);
    check(&[1, 2], None);
    check(&[3, 2, 3], None);
    check(&[255], None);
    let mut almost = [16; 16];
    almost[0] = 15;
    check(&almost, None);
}

#[test]
fn a_padded_plaintext_fits_a_buffer_of_its_own_length() {
    let Told::Bytes(made) = whole(&mut cipher(CKM_AES_CBC_PAD, Direction::Encrypt), &bytes(20)) else { panic!() };
    let hsms = Fake::default();
    let mut state = cipher(CKM_AES_CBC_PAD, Direction::Decrypt);
    assert_eq!(told(state.whole(&hsms, Ok(&made), NULL)), Told::Length(32));
    assert_eq!(hsms.requests(), 0);
    assert_eq!(told(state.whole(&hsms, Ok(&made), Ok(Room::Bytes(19)))), Told::Rv(CKR_BUFFER_TOO_SMALL));
    assert_eq!(told(state.whole(&hsms, Ok(&made), Ok(Room::Bytes(20)))), Told::Bytes(bytes(20)));
    let mut state = cipher(CKM_AES_CBC_PAD, Direction::Decrypt);
    let first = told(state.update(&hsms, Ok(&made), ROOMY));
    assert_eq!(first, Told::Bytes(bytes(16)), "the last block is held back");
    assert_eq!(told(state.finish(&hsms, NULL)), Told::Length(16));
    assert_eq!(told(state.finish(&hsms, Ok(Room::Bytes(3)))), Told::Rv(CKR_BUFFER_TOO_SMALL));
    assert_eq!(told(state.finish(&hsms, Ok(Room::Bytes(4)))), Told::Bytes(bytes(20)[16..].to_vec()));
}

/// CTR with a counter of so many bits, written down anew.
fn reference_ctr(bits: u32, first: u128, data: &[u8]) -> Vec<u8> {
    let mask = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
    data.chunks(16)
        .zip(0..)
        .flat_map(|(block, number)| {
            let counter = (first & !mask) | (first.wrapping_add(number) & mask);
            block.iter().zip(counter.to_be_bytes()).map(|(byte, key)| byte ^ key.wrapping_add(1)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn counters_of_any_width_overflow_into_themselves() {
    let ones = u128::MAX;
    for (bits, first, len) in [
        (128, 5, 100),
        (128, ones - 1, 100),
        (32, ones - 2, 200),
        (32, (7 << 32) | 0xffff_ffff, 33),
        (64, 0xffff_ffff_ffff_fffe, 90),
        (8, 0xfd, 256 * 16),
        (1, 1, 32),
        (1, 0, 31),
        (3, 6, 128),
    ] {
        let state = |direction| {
            let parameter = Parameter::Ctr { bits, block: first.to_be_bytes() };
            Ciphering::new(mechanism(CKM_AES_CTR, parameter), a_key(KeyType::Aes), direction).unwrap()
        };
        let data = bytes(len);
        let expected = reference_ctr(bits, first, &data);
        assert_eq!(whole(&mut state(Direction::Encrypt), &data), Told::Bytes(expected.clone()), "{bits} {first:x}");
        assert_eq!(whole(&mut state(Direction::Decrypt), &expected), Told::Bytes(data.clone()), "{bits} {first:x}");
        for piece in [1, 5, 16, 21, 40] {
            let hsms = Fake::default();
            let mut state = state(Direction::Encrypt);
            let mut all = Vec::new();
            for part in data.chunks(piece) {
                let Told::Bytes(made) = told(state.update(&hsms, Ok(part), ROOMY)) else { panic!("{bits}") };
                assert_eq!(made.len(), part.len());
                all.extend(made);
            }
            assert_eq!(all, expected, "{bits} {first:x} in {piece}");
            assert_eq!(told(state.finish(&hsms, ROOMY)), Told::Bytes(Vec::new()));
        }
    }
}

#[test]
fn a_key_stream_never_comes_twice() {
    for (bits, fits) in [(1, 32), (2, 64), (8, 4096)] {
        let mut state = Ciphering::new(
            mechanism(CKM_AES_CTR, Parameter::Ctr { bits, block: [0xfe; 16] }),
            a_key(KeyType::Aes),
            Direction::Encrypt,
        )
        .unwrap();
        assert_eq!(whole(&mut state, &bytes(fits + 1)), Told::Rv(CKR_DATA_LEN_RANGE));
        let hsms = Fake::default();
        assert_eq!(code(state.update(&hsms, Ok(&bytes(fits)), ROOMY)), CKR_OK);
        assert_eq!(code(state.update(&hsms, Ok(&[]), ROOMY)), CKR_OK);
        assert_eq!(code(state.update(&hsms, Ok(&[1]), ROOMY)), CKR_DATA_LEN_RANGE);
    }
}

fn gcm_state(number: CK_MECHANISM_TYPE, parameter: GcmParameter, direction: Direction) -> Result<Ciphering, CK_RV> {
    let mechanism = mechanism(number, Parameter::Gcm(parameter));
    Ciphering::new(mechanism, a_key(KeyType::Aes), direction).map_err(|failure| failure.rv())
}

#[test]
fn gcm_gives_iv_and_tag_where_the_mechanism_has_them() {
    let data = bytes(50);
    let nowhere = || Some(IvBuffer::nowhere(12));
    let made_apart = {
        let mut state = gcm_state(CKM_AES_GCM, gcm(nowhere(), vec![1; 12], 128), Direction::Encrypt).unwrap();
        assert_eq!(told(state.whole(&Fake::default(), Ok(&data), NULL)), Told::Length(66));
        let Told::BytesWithIv(made, iv) = whole(&mut state, &data) else { panic!("a ciphertext and its IV") };
        assert_eq!(iv, IV);
        made
    };
    let made_ahead = {
        let mut state = gcm_state(CKM_CLOUDHSM_AES_GCM, gcm(None, Vec::new(), 128), Direction::Encrypt).unwrap();
        assert_eq!(told(state.whole(&Fake::default(), Ok(&data), NULL)), Told::Length(78));
        let Told::Bytes(made) = whole(&mut state, &data) else { panic!("a ciphertext") };
        made
    };
    assert_eq!(made_ahead, [&IV[..], &made_apart].concat());
    let apart = || gcm_state(CKM_AES_GCM, gcm(nowhere(), IV.to_vec(), 128), Direction::Decrypt).unwrap();
    let ahead = || gcm_state(CKM_CLOUDHSM_AES_GCM, gcm(None, Vec::new(), 128), Direction::Decrypt).unwrap();
    for (state, made) in [(&apart as &dyn Fn() -> Ciphering, &made_apart), (&ahead, &made_ahead)] {
        assert_eq!(told(state().whole(&Fake::default(), Ok(made), NULL)), Told::Length(50));
        assert_eq!(whole(&mut state(), made), Told::Bytes(data.clone()));
        let mut altered = made.clone();
        altered[20] ^= 1;
        assert_eq!(whole(&mut state(), &altered), Told::Rv(CKR_ENCRYPTED_DATA_INVALID));
        let hsms = Fake::default();
        let mut parts = state();
        for part in made.chunks(7) {
            assert_eq!(told(parts.update(&hsms, Ok(part), ROOMY)), Told::Bytes(Vec::new()), "nothing before the tag");
        }
        assert_eq!(told(parts.finish(&hsms, NULL)), Told::Length(50));
        assert_eq!(hsms.requests(), 0);
        assert_eq!(told(parts.finish(&hsms, ROOMY)), Told::Bytes(data.clone()));
        assert_eq!(hsms.requests(), 1);
        let around = made.len() - data.len();
        assert_eq!(whole(&mut state(), &made[..around - 1]), Told::Rv(CKR_ENCRYPTED_DATA_LEN_RANGE));
    }
}

#[test]
fn gcm_takes_no_iv_of_the_caller() {
    let check = |number, buffer: Option<usize>, iv: Vec<u8>, direction, expected: CK_RV| {
        let state = gcm_state(number, gcm(buffer.map(IvBuffer::nowhere), iv, 96), direction);
        assert_eq!(state.map_or_else(|rv| rv, |_| CKR_OK), expected);
    };
    check(CKM_AES_GCM, Some(12), vec![1; 12], Direction::Encrypt, CKR_OK);
    check(CKM_AES_GCM, Some(16), vec![1; 16], Direction::Encrypt, CKR_OK);
    check(CKM_AES_GCM, Some(11), vec![1; 11], Direction::Encrypt, CKR_MECHANISM_PARAM_INVALID);
    check(CKM_AES_GCM, None, Vec::new(), Direction::Encrypt, CKR_MECHANISM_PARAM_INVALID);
    check(CKM_AES_GCM, Some(12), vec![1; 12], Direction::Decrypt, CKR_OK);
    check(CKM_AES_GCM, Some(16), vec![1; 16], Direction::Decrypt, CKR_MECHANISM_PARAM_INVALID);
    check(CKM_AES_GCM, None, Vec::new(), Direction::Decrypt, CKR_MECHANISM_PARAM_INVALID);
    check(CKM_CLOUDHSM_AES_GCM, None, Vec::new(), Direction::Decrypt, CKR_OK);
}

#[test]
fn gcm_takes_one_request_of_data() {
    let hsms = Fake::default();
    let state = |direction| gcm_state(CKM_CLOUDHSM_AES_GCM, gcm(None, Vec::new(), 128), direction).unwrap();
    let long = vec![0; CIPHER_DATA_LEN_MAX + 1];
    let mut encrypt = state(Direction::Encrypt);
    assert_eq!(code(encrypt.whole(&hsms, Ok(&long), ROOMY)), CKR_DATA_LEN_RANGE);
    assert_eq!(code(encrypt.update(&hsms, Ok(&long[1..]), ROOMY)), CKR_OK);
    assert_eq!(code(encrypt.update(&hsms, Ok(&[1]), ROOMY)), CKR_DATA_LEN_RANGE);
    let around = 12 + 16;
    let mut decrypt = state(Direction::Decrypt);
    assert_eq!(
        code(decrypt.whole(&hsms, Ok(&vec![0; CIPHER_DATA_LEN_MAX + 1 + around]), ROOMY)),
        CKR_ENCRYPTED_DATA_LEN_RANGE
    );
    assert_eq!(hsms.requests(), 0);
}

#[test]
fn rsa_blocks_have_the_modulus_length() {
    let state = |number, direction| {
        let parameter = match number {
            CKM_RSA_PKCS_OAEP => Parameter::Oaep { hash: HashFunction::Sha256 },
            _ => Parameter::None,
        };
        Ciphering::new(mechanism(number, parameter), a_key(KeyType::Rsa), direction).unwrap()
    };
    for (number, room) in [(CKM_RSA_PKCS, 245), (CKM_RSA_PKCS_OAEP, 190), (CKM_RSA_X_509, 256)] {
        let hsms = Fake::default();
        let mut encrypt = state(number, Direction::Encrypt);
        assert_eq!(told(encrypt.whole(&hsms, Ok(&bytes(room)), NULL)), Told::Length(256));
        assert_eq!(code(encrypt.whole(&hsms, Ok(&bytes(room + 1)), ROOMY)), CKR_DATA_LEN_RANGE);
        assert_eq!(hsms.requests(), 0);
        assert_eq!(code(encrypt.whole(&hsms, Ok(&bytes(room)), ROOMY)), CKR_OK);
        let mut decrypt = state(number, Direction::Decrypt);
        assert_eq!(told(decrypt.whole(&hsms, Ok(&[7; 256]), NULL)), Told::Length(room));
        for len in [0, 255, 257] {
            let short = decrypt.whole(&hsms, Ok(&vec![7; len]), ROOMY);
            assert_eq!(code(short), CKR_ENCRYPTED_DATA_LEN_RANGE, "{len}");
        }
        // A plaintext of ten bytes needs room for ten.
        let ciphertext = [vec![7; 10], vec![0xaa; 246]].concat();
        let tight = decrypt.whole(&hsms, Ok(&ciphertext), Ok(Room::Bytes(9)));
        assert_eq!(told(tight), Told::Rv(CKR_BUFFER_TOO_SMALL));
        let fits = decrypt.whole(&hsms, Ok(&ciphertext), Ok(Room::Bytes(10)));
        assert_eq!(told(fits), Told::Bytes(vec![7; 10]));
        decrypt.update(&hsms, Ok(&ciphertext[..100]), ROOMY).unwrap();
        decrypt.update(&hsms, Ok(&ciphertext[100..]), ROOMY).unwrap();
        assert_eq!(told(decrypt.finish(&hsms, ROOMY)), Told::Bytes(vec![7; 10]));
    }
    let hsms = Fake::default();
    let mut raw = state(CKM_RSA_X_509, Direction::Encrypt);
    assert_eq!(code(raw.whole(&hsms, Ok(&[5; 3]), ROOMY)), CKR_OK);
    assert_eq!(hsms.asked.borrow()[0].1, [vec![0; 253], vec![5; 3]].concat(), "zeros come before a short number");
}

#[test]
fn what_is_wrong_with_data_is_wrong_with_a_ciphertext_when_they_are_decrypted() {
    for (status, encrypting, decrypting) in [
        (Status::DataLengthInvalid, CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE),
        (Status::DataInvalid, CKR_DATA_INVALID, CKR_ENCRYPTED_DATA_INVALID),
        (Status::KeyUnknown, CKR_KEY_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID),
        (Status::MechanismNotApproved, CKR_MECHANISM_INVALID, CKR_MECHANISM_INVALID),
    ] {
        let hsms = Fake { refusal: Some(status), ..Fake::default() };
        for (direction, expected) in [(Direction::Encrypt, encrypting), (Direction::Decrypt, decrypting)] {
            let mut active = Some(cipher(CKM_AES_CBC, direction));
            let data = bytes(32);
            assert_eq!(code(last(&mut active, |state| state.whole(&hsms, Ok(&data), ROOMY))), expected);
            assert!(active.is_none(), "an error ends it");
        }
    }
}

#[test]
fn a_length_that_was_asked_for_is_no_part() {
    let hsms = Fake::default();
    let mut state = cipher(CKM_AES_CBC, Direction::Encrypt);
    assert_eq!(told(state.update(&hsms, Ok(&bytes(16)), NULL)), Told::Length(16));
    assert_eq!(told(state.update(&hsms, Ok(&bytes(16)), Ok(Room::Bytes(15)))), Told::Rv(CKR_BUFFER_TOO_SMALL));
    assert_eq!(code(state.whole(&hsms, Ok(&bytes(16)), ROOMY)), CKR_OK);
    assert_eq!(code(state.update(&hsms, Ok(&bytes(16)), ROOMY)), CKR_OK);
    assert_eq!(code(state.whole(&hsms, Ok(&bytes(16)), ROOMY)), CKR_OPERATION_ACTIVE);
}
