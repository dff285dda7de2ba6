//! The library inside of a process of its own: a process has one, with one configuration, and tests share theirs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use strongroom_tests::{Ran, World, program, run};

/// Where the process finds the crypto user's PIN.
const PIN: &str = "STRONGROOM_TEST_PIN";
/// Where it puts files.
const FOLDER: &str = "STRONGROOM_TEST_FOLDER";

/// Tells a test's story in a process of its own, which is the same test of this program again.
#[track_caller]
pub(super) fn inside(world: impl FnOnce() -> Arc<World>, test: &str, story: fn()) {
    if std::env::var_os(PIN).is_some() {
        return story();
    }
    let world = world();
    let folder = world.file(&test.replace("::", "-"));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    command.args(["--exact", &format!("pkcs11::{test}"), "--nocapture"]);
    command.env("CLOUDHSM_HOME", world.home()).env(PIN, world.pin()).env(FOLDER, folder);
    let ran = run(&mut command).ok();
    assert!(ran.stdout.contains("1 passed"), "{ran:?}");
}

/// The library, loaded and initialised.
pub(super) struct Loaded {
    pub(super) module: Pkcs11,
    pub(super) slot: Slot,
}

impl Loaded {
    pub(super) fn new() -> Loaded {
        let module = Pkcs11::new(program("libcloudhsm_pkcs11.so")).expect("the library is loaded");
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("C_Initialize");
        let slot = module.get_slots_with_token().expect("C_GetSlotList")[0];
        Loaded { module, slot }
    }

    /// A session without a login, unless another one has it.
    pub(super) fn session(&self) -> Session {
        self.module.open_rw_session(self.slot).expect("C_OpenSession")
    }

    /// A session with one.
    pub(super) fn logged_in(&self) -> Session {
        let session = self.session();
        session.login(UserType::User, Some(&AuthPin::new(pin().into()))).expect("C_Login");
        session
    }
}

fn pin() -> String {
    std::env::var(PIN).expect("the process was started with a PIN")
}

/// A file of the process.
pub(super) fn file(name: &str) -> PathBuf {
    PathBuf::from(std::env::var(FOLDER).expect("the process was started with a folder")).join(name)
}

/// Writes a file for `openssl`; its path.
pub(super) fn write(name: &str, bytes: &[u8]) -> String {
    let path = file(name);
    std::fs::write(&path, bytes).expect("a file can be written");
    path.to_str().expect("temporary paths are text").to_owned()
}

/// The `openssl` command, which knows nothing of HSMs.
#[track_caller]
pub(super) fn openssl(arguments: &[&str]) -> Ran {
    let mut command = Command::new("openssl");
    command.args(arguments);
    run(&mut command)
}

/// What a command of `openssl` writes to a file.
#[track_caller]
pub(super) fn openssl_out(arguments: &[&str]) -> Vec<u8> {
    let out = file("out");
    let (command, rest) = arguments.split_at(1);
    openssl(&[command, &["-out", out.to_str().expect("temporary paths are text")], rest].concat()).ok();
    std::fs::read(out).expect("openssl wrote it")
}

/// `cloudhsm-cli` as the crypto user.
#[track_caller]
pub(super) fn cli(arguments: &[&str]) {
    let mut command = Command::new(program("cloudhsm-cli"));
    command.args(arguments).env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", pin());
    run(&mut command).ok();
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A mechanism by its number, without a parameter.
pub(super) fn vendor(number: u64) -> Mechanism<'static> {
    let number = MechanismType::new_vendor_defined(number).expect("a vendor's number");
    Mechanism::VendorDefined(VendorDefinedMechanism::new::<u8>(number, None))
}

/// What a call of the library failed with.
#[track_caller]
pub(super) fn failure<T>(outcome: cryptoki::error::Result<T>) -> RvError {
    match outcome {
        Err(Error::Pkcs11(rv, _)) => rv,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it succeeded"),
    }
}

/// Brings in a secret key that may do everything.
#[track_caller]
pub(super) fn secret(session: &Session, key_type: KeyType, value: &[u8]) -> ObjectHandle {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Value(value.to_vec()),
        Attribute::Sign(true),
        Attribute::Verify(true),
    ];
    if key_type != KeyType::GENERIC_SECRET {
        template.extend([Attribute::Encrypt(true), Attribute::Decrypt(true)]);
    }
    session.create_object(&template).expect("C_CreateObject")
}

/// A pair of session keys: the public key, then the private one.
#[track_caller]
pub(super) fn pair(session: &Session, mechanism: &Mechanism, public: &[Attribute]) -> (ObjectHandle, ObjectHandle) {
    let public = [&[Attribute::Verify(true)], public].concat();
    session.generate_key_pair(mechanism, &public, &[Attribute::Sign(true)]).expect("C_GenerateKeyPair")
}

/// A pair of RSA-2048.
#[track_caller]
pub(super) fn rsa_pair(session: &Session) -> (ObjectHandle, ObjectHandle) {
    let size = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    let public = [&[Attribute::Verify(true), Attribute::Encrypt(true)][..], &size].concat();
    let private = [Attribute::Sign(true), Attribute::Decrypt(true)];
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).expect("C_GenerateKeyPair")
}

/// The bytes of an attribute.
#[track_caller]
pub(super) fn bytes_of(session: &Session, key: ObjectHandle, attribute: AttributeType) -> Vec<u8> {
    let found = session.get_attributes(key, &[attribute]).expect("C_GetAttributeValue").remove(0);
    match found {
        Attribute::Modulus(bytes)
        | Attribute::PublicExponent(bytes)
        | Attribute::EcPoint(bytes)
        | Attribute::Value(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}
