//! A user's work over TLS, with keys that take most of a thread's stack.

use strongroom_hsm::connections::ConnectionLimits;
use strongroom_wire::v1;
use strongroom_wire::v1::key_generate_pair::Algorithm;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use crate::world::{PASSWORD, World};

fn template(flag: &str) -> Vec<v1::Attribute> {
    let attribute = |name: &str, value| v1::Attribute { name: name.into(), value: Some(value) };
    let label = v1::attribute::Value::Text("a key".into());
    vec![attribute("label", label), attribute(flag, v1::attribute::Value::Boolean(true))]
}

#[test]
fn keys_of_every_kind_are_made_and_used() {
    let world = World::active(ConnectionLimits::default());
    let mut admin = world.connect();
    admin.login_admin();
    let role: i32 = v1::Role::CryptoUser.into();
    let create = v1::UserCreate { user_name: "alice".into(), role, password: PASSWORD.into() };
    admin.change(Operation::UserCreate(create)).unwrap();
    let mut alice = world.connect();
    alice
        .ask(Operation::Login(v1::Login {
            user_name: "alice".into(),
            role,
            password: PASSWORD.into(),
            ..v1::Login::default()
        }))
        .unwrap();
    let rsa = |modulus_bits| Algorithm::Rsa(v1::RsaParameters { modulus_bits, public_exponent: vec![1, 0, 1] });
    let curves = [v1::Curve::P224, v1::Curve::P256, v1::Curve::P384, v1::Curve::P521, v1::Curve::Secp256k1];
    let curves = curves.map(|curve| Algorithm::Curve(curve.into()));
    for algorithm in curves.into_iter().chain([rsa(2048), rsa(4096)]) {
        let is_rsa = matches!(algorithm, Algorithm::Rsa(_));
        let message = v1::KeyGeneratePair {
            algorithm: Some(algorithm),
            public_template: template("verify"),
            private_template: template("sign"),
            share_with: Vec::new(),
            ..v1::KeyGeneratePair::default()
        };
        let Answer::KeyGeneratePair(pair) = alice.change(Operation::KeyGeneratePair(message)).unwrap() else {
            panic!("another answer")
        };
        let mechanism = if is_rsa { v1::Mechanism::RsaPkcs } else { v1::Mechanism::Ecdsa };
        let key = pair.private_key.unwrap().reference;
        let mechanism = mechanism.into();
        let sign = v1::Sign { key, mechanism, data: vec![7; 32], ..v1::Sign::default() };
        let Answer::Sign(signed) = alice.ask(Operation::Sign(sign)).unwrap() else { panic!("another answer") };
        let verify = v1::Verify {
            key: pair.public_key.unwrap().reference,
            mechanism,
            data: vec![7; 32],
            signature: signed.signature,
            ..v1::Verify::default()
        };
        assert!(matches!(alice.ask(Operation::Verify(verify)), Ok(Answer::Verify(_))));
    }
}
