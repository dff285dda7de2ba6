//! The client engine and HSMs, as programs use them.

use std::net::SocketAddr;

use strongroom_client::{
    Appliance, Client, ClientError, ClientName, ClusterConfig, PairAlgorithm, Server, Setting, Settings,
};
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_hsm::connections::ConnectionLimits;
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, HashFunction, Password, Role, Secret, SignMechanism, Status, Template,
    UserName,
};

use crate::world::{PASSWORD, World};

fn open(world: &World, addresses: &[SocketAddr]) -> Client {
    let server = |address: &SocketAddr| Server { address: address.ip().to_string(), port: address.port() };
    let config = ClusterConfig {
        cluster_id: Some(world.cluster_id.clone()),
        settings: Settings::default().with(Setting::KeyAvailabilityCheck, false),
        ..ClusterConfig::new(addresses.iter().map(server).collect(), world.ca.certificate().to_pem().into_bytes())
    };
    Client::open(config, ClientName::new("a test")).unwrap()
}

fn password() -> Password {
    Password::new(Secret::from(PASSWORD.as_bytes())).unwrap()
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn template(flag: Flag) -> Template {
    vec![
        (AttributeName::Label, AttributeValue::Text("a key".into())),
        (AttributeName::Flag(flag), AttributeValue::Bool(true)),
    ]
}

#[test]
fn the_engine_signs_while_an_hsm_goes() {
    let world = World::active(ConnectionLimits::default());
    let (second, second_address) = world.second();
    let client = open(&world, &[world.address, second_address]);
    client.login(&name("admin"), Role::Admin, &password()).unwrap();
    client.user_create(&name("alice"), Role::CryptoUser, &password()).unwrap();
    client.logout().unwrap();
    client.login(&name("alice"), Role::CryptoUser, &password()).unwrap();
    let rsa = PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    let hashed = digest(HashFunction::Sha256, b"a message");
    let info = digest_info(HashFunction::Sha256, &hashed);
    let jobs = [(rsa, SignMechanism::RsaPkcs, info), (PairAlgorithm::Ec(Curve::P256), SignMechanism::Ecdsa, hashed)];
    let mut keys = Vec::new();
    for (algorithm, mechanism, data) in jobs {
        let made = client.key_generate_pair(&algorithm, &template(Flag::Verify), &template(Flag::Sign), &[]);
        let (public, private) = made.unwrap();
        keys.push((public.reference, private.reference, mechanism, data));
    }
    let all_work = || {
        for _ in 0..20 {
            for (public, private, mechanism, data) in &keys {
                let signature = client.sign(*private, *mechanism, data).unwrap();
                client.verify(*public, *mechanism, data, &signature).unwrap();
            }
        }
    };
    all_work();
    second.stop();
    all_work();
    assert_eq!(
        client.last_member().map(|id| id.to_string()),
        client.hello().unwrap().members.first().map(|m| m.hsm_id.to_string())
    );
    let (_, private, ..) = &keys[0];
    client.key_delete(*private).unwrap();
    match client.sign(*private, SignMechanism::RsaPkcs, b"x") {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.status, Status::KeyUnknown),
        other => panic!("{other:?}"),
    }
    let state = Appliance::new(&world.control_socket()).state().unwrap();
    assert!(state.serving && state.signatures > 0, "{state:?}");
}
