//! States on a cluster that is none: orders of calls, lengths, parts.

mod ciphers;
mod signing;

use std::sync::Arc;

use cryptoki_sys::*;
use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{GcmTag, HashFunction, KeyType, Status};

use super::cipher::Direction;
use super::fake::{Fake, IV, key_for, run};
use super::*;
use crate::entry::IvBuffer;
use crate::mechanism::{GcmParameter, Mechanism, Parameter, row};
use crate::objects::Key;
use crate::vendor::{CKM_CLOUDHSM_AES_GCM, CKM_CLOUDHSM_EXT_MU_ML_DSA, CKM_CLOUDHSM_ML_DSA};

fn mechanism(number: CK_MECHANISM_TYPE, parameter: Parameter) -> Mechanism {
    Mechanism { row: row(number).unwrap(), parameter }
}

fn plain(number: CK_MECHANISM_TYPE) -> Mechanism {
    mechanism(number, Parameter::None)
}

fn a_key(key_type: KeyType) -> Arc<Key> {
    Key::new(1, key_for(key_type), None)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

/// What a call answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Bytes(Vec<u8>),
    BytesWithIv(Vec<u8>, Vec<u8>),
    Length(usize),
    Rv(CK_RV),
}

fn told(outcome: Result<Output, Failure>) -> Told {
    match outcome {
        Ok(Output::Bytes(bytes)) => Told::Bytes(bytes.expose().to_vec()),
        Ok(Output::BytesWithIv(bytes, iv, _)) => Told::BytesWithIv(bytes.expose().to_vec(), iv),
        Ok(Output::Length(len)) => Told::Length(len),
        Ok(Output::TooSmall(_)) => Told::Rv(CKR_BUFFER_TOO_SMALL),
        Err(failure) => Told::Rv(failure.rv()),
    }
}

fn rv<T>(outcome: Result<T, Failure>) -> CK_RV {
    outcome.map_or_else(|failure| failure.rv(), |_| CKR_OK)
}

const ROOMY: FromCaller<Room> = Ok(Room::Bytes(usize::MAX));
const NULL: FromCaller<Room> = Ok(Room::Length);

fn code(outcome: Result<Output, Failure>) -> CK_RV {
    match told(outcome) {
        Told::Bytes(_) | Told::BytesWithIv(..) | Told::Length(_) => CKR_OK,
        Told::Rv(rv) => rv,
    }
}

fn gcm(buffer: Option<IvBuffer>, iv: Vec<u8>, tag_bits: u32) -> GcmParameter {
    GcmParameter { iv, buffer, aad: b"header".to_vec(), tag: GcmTag::of_bits(tag_bits).unwrap() }
}

/// One call in an order of calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Init,
    Whole,
    WholeLength,
    WholeTight,
    WholeNull,
    Update,
    UpdateNull,
    Finish,
    FinishLength,
    FinishTight,
    FinishNull,
}

/// An operation as the calls in an order see it.
trait Calls: Sized {
    fn init() -> Result<Self, Failure>;
    fn whole(&mut self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure>;
    fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure>;
    fn finish(&mut self, room: FromCaller<Room>) -> Result<Output, Failure>;
}

impl Calls for Digesting {
    fn init() -> Result<Digesting, Failure> {
        Digesting::new(&plain(CKM_SHA256))
    }

    fn whole(&mut self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        Digesting::whole(self, data, room)
    }

    fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        Digesting::update(self, part)
    }

    fn finish(&mut self, room: FromCaller<Room>) -> Result<Output, Failure> {
        Digesting::finish(self, room)
    }
}

impl Calls for Signing {
    fn init() -> Result<Signing, Failure> {
        Signing::new(&plain(CKM_SHA256_HMAC), a_key(KeyType::GenericSecret))
    }

    fn whole(&mut self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        Signing::whole(self, &Fake::default(), data, room)
    }

    fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        Signing::update(self, part)
    }

    fn finish(&mut self, room: FromCaller<Room>) -> Result<Output, Failure> {
        Signing::finish(self, &Fake::default(), room)
    }
}

impl Calls for Ciphering {
    fn init() -> Result<Ciphering, Failure> {
        let mechanism = mechanism(CKM_CLOUDHSM_AES_GCM, Parameter::Gcm(gcm(None, Vec::new(), 128)));
        Ciphering::new(mechanism, a_key(KeyType::Aes), Direction::Encrypt)
    }

    fn whole(&mut self, data: FromCaller<&[u8]>, room: FromCaller<Room>) -> Result<Output, Failure> {
        Ciphering::whole(self, &Fake::default(), data, room)
    }

    fn update(&mut self, part: FromCaller<&[u8]>) -> Result<(), Failure> {
        Ciphering::update(self, &Fake::default(), part, ROOMY).map(drop)
    }

    fn finish(&mut self, room: FromCaller<Room>) -> Result<Output, Failure> {
        Ciphering::finish(self, &Fake::default(), room)
    }
}

/// What the last of these calls answers.
fn answer<T: Calls>(steps: &[Step]) -> CK_RV {
    let (null, tight) = (PointerError::Null, Ok(Room::Bytes(4)));
    let mut active: Option<T> = None;
    let mut last_rv = CKR_OK;
    for step in steps {
        last_rv = match step {
            Step::Init => rv(begin(&mut active, T::init)),
            Step::Whole => code(last(&mut active, |state| state.whole(Ok(b"m"), ROOMY))),
            Step::WholeLength => code(last(&mut active, |state| state.whole(Ok(b"m"), NULL))),
            Step::WholeTight => code(last(&mut active, |state| state.whole(Ok(b"m"), tight))),
            Step::WholeNull => code(last(&mut active, |state| state.whole(Err(null), ROOMY))),
            Step::Update => rv(next(&mut active, |state| state.update(Ok(b"m")))),
            Step::UpdateNull => rv(next(&mut active, |state| state.update(Err(null)))),
            Step::Finish => code(last(&mut active, |state| state.finish(ROOMY))),
            Step::FinishLength => code(last(&mut active, |state| state.finish(NULL))),
            Step::FinishTight => code(last(&mut active, |state| state.finish(tight))),
            Step::FinishNull => code(last(&mut active, |state| state.finish(Err(null)))),
        };
    }
    last_rv
}

/// Each order of calls, and the answer to the last.
#[test]
fn orders_of_calls_are_answered_as_the_standard_says() {
    use Step::*;
    let check = |steps: &[Step], expected: CK_RV| {
        let answers = [answer::<Digesting>(steps), answer::<Signing>(steps), answer::<Ciphering>(steps)];
        assert_eq!(answers, [expected; 3], "digest, sign, encrypt: {steps:?}");
    };
    for step in [Whole, WholeLength, WholeTight, Update, Finish, FinishLength] {
        check(&[step], CKR_OPERATION_NOT_INITIALIZED);
        check(&[Init, step, Init], if matches!(step, Whole | Finish) { CKR_OK } else { CKR_OPERATION_ACTIVE });
    }
    check(&[Init, Init], CKR_OPERATION_ACTIVE);
    check(&[Init, Init, Whole], CKR_OK);
    check(&[Init, Whole], CKR_OK);
    check(&[Init, Whole, Whole], CKR_OPERATION_NOT_INITIALIZED);
    check(&[Init, Finish], CKR_OK);
    check(&[Init, Update, Update, Finish], CKR_OK);
    check(&[Init, Update, Finish, Finish], CKR_OPERATION_NOT_INITIALIZED);
    // Lengths and short buffers end nothing.
    check(&[Init, WholeLength, WholeTight, WholeLength, Whole], CKR_OK);
    check(&[Init, WholeTight], CKR_BUFFER_TOO_SMALL);
    check(&[Init, Update, FinishLength, FinishTight, FinishLength, Finish], CKR_OK);
    check(&[Init, FinishTight], CKR_BUFFER_TOO_SMALL);
    // A length that was asked for is no part.
    check(&[Init, WholeLength, Update, Finish], CKR_OK);
    // One part does not end what has several.
    check(&[Init, Update, Whole], CKR_OPERATION_ACTIVE);
    check(&[Init, Update, WholeLength], CKR_OPERATION_ACTIVE);
    check(&[Init, Update, Whole, Finish], CKR_OPERATION_NOT_INITIALIZED);
    // A pointer that can't be used ends it too.
    for (bad, good) in [(WholeNull, Whole), (UpdateNull, Finish), (FinishNull, Finish)] {
        check(&[Init, bad], CKR_ARGUMENTS_BAD);
        check(&[Init, bad, good], CKR_OPERATION_NOT_INITIALIZED);
        check(&[Init, bad, Init, good], CKR_OK);
    }
}

#[test]
fn lengths_cost_no_round_trip_and_short_buffers_none_where_the_length_is_known() {
    let hsms = Fake::default();
    let mut sign = Signing::new(&plain(CKM_SHA256_RSA_PKCS), a_key(KeyType::Rsa)).unwrap();
    assert_eq!(told(sign.whole(&hsms, Ok(b"m"), NULL)), Told::Length(256));
    assert_eq!(told(sign.whole(&hsms, Ok(b"m"), Ok(Room::Bytes(255)))), Told::Rv(CKR_BUFFER_TOO_SMALL));
    assert_eq!(hsms.requests(), 0);
    assert!(matches!(told(sign.whole(&hsms, Ok(b"m"), Ok(Room::Bytes(256)))), Told::Bytes(_)));
    assert_eq!(hsms.requests(), 1);
}

#[test]
fn what_is_named_is_cancelled_and_the_rest_goes_on() {
    let mut active = crate::session::Active {
        digest: Some(Digesting::init().unwrap()),
        sign: Some(Signing::init().unwrap()),
        ..Default::default()
    };
    assert!(!active.cancel_operations(CKF_ENCRYPT | CKF_DECRYPT | CKF_VERIFY));
    assert!(active.cancel_operations(CKF_SIGN));
    assert!(active.sign.is_none() && active.digest.is_some());
    assert!(!active.cancel_operations(CKF_SIGN));
    assert!(active.cancel_operations(CKF_SIGN | CKF_DIGEST));
}

#[test]
fn what_was_begun_ends_with_the_login_and_digests_go_on() {
    let begun = |login| {
        let mut active = crate::session::Active { login, find: Some(Default::default()), ..Default::default() };
        active.digest = Some(Digesting::init().unwrap());
        active
    };
    for (before, after, goes_on) in [(0, 0, true), (0, 3, true), (3, 3, true), (3, 0, false), (3, 4, false)] {
        let mut active = begun(before);
        active.enter(after);
        assert_eq!((active.find.is_some(), active.digest.is_some()), (goes_on, true), "{before} {after}");
        assert_eq!(active.login, after);
    }
}
