//! What answers at an address, and what a person is told about it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use strongroom_client::{Cause, Client, ClientError, ConnectError, Server};
use strongroom_crypto::certificates::CustomerCa;
use strongroom_types::{ClusterId, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;

use crate::world::{Reaction, World, now_s, open, server_config, sign};

fn causes(client: &Client) -> Vec<Cause> {
    match sign(client).unwrap_err() {
        ClientError::Unavailable { tried } => tried.into_iter().map(|attempt| attempt.cause).collect(),
        other => panic!("{other}"),
    }
}

/// The one cause of a client's only HSM, which must be told without a long wait, because no wait helps.
#[track_caller]
fn lasting(client: &Client) -> Cause {
    let began = Instant::now();
    let causes = causes(client);
    assert!(began.elapsed() < Duration::from_secs(5), "{causes:?} took {:?}", began.elapsed());
    let [cause] = causes.try_into().unwrap();
    cause
}

#[test]
fn one_connection_serves_call_after_call_with_as_few_requests_as_there_can_be() {
    let world = World::new(1);
    let client = world.user();
    for _ in 0..10 {
        assert_eq!(sign(&client).unwrap(), [7; 32]);
    }
    let heard = world.hsms[0].heard();
    let kinds: Vec<_> = heard.iter().map(|heard| heard.request.operation.clone().unwrap()).collect();
    assert!(matches!(&kinds[0], Operation::Hello(v1::Hello { client }) if client.starts_with("a-test ")));
    assert!(matches!(kinds[1], Operation::Login(_)));
    assert!(kinds[2..].iter().all(|kind| matches!(kind, Operation::Sign(_))));
    assert_eq!((kinds.len(), world.hsms[0].connections()), (12, 1));
    assert_eq!(client.last_member(), Some(world.hsms[0].id.clone()));
    // Each request carries what the answers before it said, has its own number and a deadline.
    assert_eq!(heard[0].request.seen_revision, 0);
    assert!(heard[2..].iter().all(|heard| heard.request.seen_revision == 41));
    assert!(heard.windows(2).all(|pair| pair[0].request.id < pair[1].request.id));
    assert!(heard[2..].iter().all(|heard| (1..=1000).contains(&heard.request.deadline_ms)));
    assert!(heard.iter().all(|heard| heard.request.request_id.is_empty()));
}

#[test]
fn the_other_members_are_learned_from_one() {
    let world = World::new(3);
    let config = world.config();
    let client = open(strongroom_client::ClusterConfig { servers: config.servers[..1].to_vec(), ..config });
    crate::world::give_credentials(&client);
    for _ in 0..9 {
        sign(&client).unwrap();
    }
    assert!(world.hsms.iter().all(|hsm| hsm.count(|kind| matches!(kind, Operation::Sign(_))) >= 2));
    assert_eq!(world.count(|kind| matches!(kind, Operation::Hello(_))), 1);
    let hello = client.hello().unwrap();
    assert_eq!(hello.members.len(), 3);
    assert_eq!(
        (hello.members[2].hsm_id.clone(), hello.members[2].address),
        (world.hsms[2].id.clone(), world.hsms[2].address)
    );
}

#[test]
fn a_member_that_left_the_cluster_is_asked_no_more() {
    let world = World::new(2);
    let client = world.user();
    for _ in 0..4 {
        sign(&client).unwrap();
    }
    world.tell_members(|members| drop(members.remove(0)));
    client.hello().unwrap();
    let before = world.hsms[0].heard().len();
    for _ in 0..10 {
        sign(&client).unwrap();
    }
    assert_eq!(world.hsms[0].heard().len(), before);
    // As a last resort it is.
    world.hsms[1].kill();
    sign(&client).unwrap();
}

#[test]
fn another_ca_is_named_with_its_file() {
    let world = World::new(1);
    world.hsms[0].serve_with(server_config(&CustomerCa::generate(now_s()), &world.cluster));
    let cause = lasting(&world.user());
    assert_eq!(cause, Cause::Connect(ConnectError::Ca("/etc/customerCA.crt".into())));
    assert!(cause.to_string().contains("give the customerCA.crt of this cluster"), "{cause}");
}

#[test]
fn another_clusters_hsm_is_not_spoken_to() {
    let world = World::new(1);
    let other: ClusterId = "cluster-bbbbbbbbbbb".parse().unwrap();
    world.hsms[0].serve_with(server_config(&world.ca, &other));
    let wanted = world.cluster.clone();
    assert_eq!(lasting(&world.user()), Cause::Connect(ConnectError::AnotherCluster { found: other.clone(), wanted }));
    assert!(world.hsms[0].heard().is_empty());
    // Without an id in the configuration the first certificate says which cluster it is.
    let config = strongroom_client::ClusterConfig { cluster_id: None, ..world.config() };
    let client = open(config);
    crate::world::give_credentials(&client);
    sign(&client).unwrap();
    world.hsms[0].serve_with(server_config(&world.ca, &world.cluster));
    world.hsms[0].close_connections();
    assert_eq!(
        lasting(&client),
        Cause::Connect(ConnectError::AnotherCluster { found: world.cluster.clone(), wanted: other })
    );
}

#[test]
fn tls_without_our_protocol_is_no_hsm() {
    let world = World::new(1);
    for protocols in [Vec::new(), vec![b"h2".to_vec()]] {
        let mut config = ServerConfig::clone(&server_config(&world.ca, &world.cluster));
        config.alpn_protocols = protocols;
        world.hsms[0].serve_with(Arc::new(config));
        assert_eq!(lasting(&world.user()), Cause::Connect(ConnectError::NoHsm));
    }
}

/// A listener that sends `answer` to whoever comes, and ends the connection if it is told to.
fn listener(answer: &'static [u8], and_ends: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer);
            if !and_ends {
                kept.push(connection);
            }
        }
    });
    Server { address: "127.0.0.1".into(), port }
}

fn client_of(server: Server) -> Client {
    let config = World::new(0).config();
    let client = open(strongroom_client::ClusterConfig { servers: vec![server], ..config });
    crate::world::give_credentials(&client);
    client
}

#[test]
fn what_is_no_tls_is_named() {
    let server = listener(b"HTTP/1.1 400 Bad Request\r\n\r\n", true);
    let address = format!("127.0.0.1:{}", server.port);
    let client = client_of(server);
    assert_eq!(lasting(&client), Cause::Connect(ConnectError::NoTls));
    let text = sign(&client).unwrap_err().to_string();
    assert!(text.contains(&address) && text.contains("does not speak TLS"), "{text}");
}

#[test]
fn whoever_says_nothing_or_hangs_up_is_given_up_at_the_deadline() {
    let began = Instant::now();
    let silent = client_of(listener(b"", false));
    let hangs_up = client_of(listener(b"", true));
    let [silent, hangs_up] =
        [silent, hangs_up].map(|client| thread::spawn(move || causes(&client))).map(|thread| thread.join().unwrap());
    assert!(matches!(silent[..], [Cause::Connect(ConnectError::Mute(1..=1000))]), "{silent:?}");
    assert!(matches!(hangs_up[..], [Cause::Connect(ConnectError::Lost(_))]), "{hangs_up:?}");
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

#[test]
fn a_host_name_works_as_well_as_an_address() {
    let world = World::new(1);
    let mut config = world.config();
    config.servers[0].address = "localhost".into();
    let client = open(config);
    crate::world::give_credentials(&client);
    assert_eq!(sign(&client).unwrap(), [7; 32]);
}

#[test]
fn answers_that_break_the_protocol_are_told_and_their_connection_is_not_used_again() {
    let world = World::new(1);
    let hsm = &world.hsms[0];
    let check = |reaction: fn() -> Reaction, expected: &str| {
        hsm.script(move |request| match request.operation {
            Some(Operation::Sign(_)) => reaction(),
            _ => Reaction::Usual,
        });
        let cause = lasting(&world.user());
        assert!(matches!(cause, Cause::Protocol(what) if what == expected), "{cause:?} where {expected} is meant");
        hsm.script(|_| Reaction::Usual);
        wait_for_no_connection(hsm);
    };
    check(|| Reaction::Raw(vec![0xff; 4]), "an answer longer than a frame may be");
    check(|| Reaction::Raw(vec![0, 0x10, 0, 1, 0]), "an answer longer than a frame may be");
    check(|| Reaction::Raw(vec![0; 4]), "an empty answer");
    check(|| Reaction::Raw(b"\0\0\0\x04\xff\xff\xff\xff".to_vec()), "an answer that cannot be decoded");
    check(|| Reaction::Changed(|answer| answer.id += 1), "an answer to another request");
    check(|| Reaction::Raw(b"\0\0\0\x02\x08\x01\0".to_vec()), "more than one answer");
    check(|| Reaction::Changed(|answer| answer.status = 65_000), "a status that this version does not know");
}

fn wait_for_no_connection(hsm: &crate::world::Hsm) {
    crate::world::wait_for("the client to leave", || hsm.open() == 0);
}

#[test]
fn a_right_answer_to_another_question_is_told() {
    let world = World::new(1);
    world.hsms[0].script(|request| match request.operation {
        Some(Operation::Sign(_)) => Reaction::Changed(|answer| answer.result = None),
        _ => Reaction::Usual,
    });
    let error = sign(&world.user()).unwrap_err();
    assert!(matches!(&error, ClientError::Protocol { address, .. } if *address == world.hsms[0].address.to_string()));
}

#[test]
fn a_request_that_was_not_understood_is_refused_without_its_id() {
    let world = World::new(1);
    world.hsms[0].script(|request| match request.operation {
        Some(Operation::Sign(_)) => Reaction::Changed(|answer| {
            *answer = v1::Response { status: Status::MalformedRequest.number().into(), ..v1::Response::default() };
        }),
        _ => Reaction::Usual,
    });
    let client = world.user();
    let error = sign(&client).unwrap_err();
    assert!(matches!(error, ClientError::Refused(refusal) if refusal.status == Status::MalformedRequest));
    world.hsms[0].script(|_| Reaction::Usual);
    sign(&client).unwrap();
    assert_eq!(world.hsms[0].connections(), 2, "the HSM has closed the first");
}

#[test]
fn a_request_too_long_for_a_frame_is_not_sent() {
    let world = World::new(1);
    let client = world.user();
    sign(&client).unwrap();
    let key = strongroom_types::KeyReference::from_u64(7).unwrap();
    let error = client.sign(key, strongroom_types::SignMechanism::Ecdsa, &vec![0; 1 << 20]).unwrap_err();
    assert!(matches!(error, ClientError::TooLong(_)), "{error}");
    sign(&client).unwrap();
    assert_eq!(world.hsms[0].connections(), 1);
    let long = vec![9; (1 << 20) - 100];
    assert_eq!(client.sign(key, strongroom_types::SignMechanism::Ecdsa, &long).unwrap(), long);
}
