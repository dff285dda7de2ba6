//! Keys and users between a cluster and its clone, as clients ask for it.

use strongroom_types::Status;
use strongroom_types::limits::REPLICA_LEN_MAX;
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

use super::world::{
    ADMIN, CRYPTO_USER, Client, Member, PASSWORD, World, aes, change_password, key_delete, key_share, private, public,
    refused, session_pair, user_create, user_delete,
};

struct Two {
    world: World,
    here: Member,
    clone: World,
    there: Member,
}

fn two() -> Two {
    let (world, here) = World::active();
    let (clone, there) = World::clone_of(&world);
    Two { world, here, clone, there }
}

fn export_key(client: &mut Client<'_>, reference: u64, to: &World) -> Result<v1::Replica, strongroom_types::Refusal> {
    let destination_cluster_id = to.cluster_id.to_string();
    match client.ask(Operation::KeyExport(v1::KeyExport { reference, destination_cluster_id }))? {
        Answer::KeyExport(replica) => Ok(replica),
        _ => panic!("another answer"),
    }
}

fn take_key(client: &mut Client<'_>, replica: &v1::Replica) -> Result<v1::Key, strongroom_types::Refusal> {
    match client.change(Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica.clone()) }))? {
        Answer::KeyReplicate(key) => Ok(key),
        _ => panic!("another answer"),
    }
}

fn export_user(client: &mut Client<'_>, user: &str, to: &World) -> Result<v1::Replica, strongroom_types::Refusal> {
    let (user_name, destination_cluster_id) = (user.to_owned(), to.cluster_id.to_string());
    let message = v1::UserExport { user_name, role: CRYPTO_USER, destination_cluster_id };
    match client.ask(Operation::UserExport(message))? {
        Answer::UserExport(replica) => Ok(replica),
        _ => panic!("another answer"),
    }
}

fn take_user(client: &mut Client<'_>, replica: &v1::Replica) -> Result<v1::User, strongroom_types::Refusal> {
    match client.change(Operation::UserReplicate(v1::UserReplicate { replica: Some(replica.clone()) }))? {
        Answer::UserReplicate(user) => Ok(user),
        _ => panic!("another answer"),
    }
}

fn secret(client: &mut Client<'_>, label: &str) -> u64 {
    match client.change(aes(label)).unwrap() {
        Answer::KeyGenerateSecret(key) => key.reference,
        _ => panic!("another answer"),
    }
}

#[test]
fn a_key_that_was_replicated_signs_as_it_did() {
    let two = two();
    let (mut here, mut there) = (Client::alice(&two.here), Client::alice(&two.there));
    let pair = here.ec_pair("site");
    here.change(key_share(private(&pair), "bob")).unwrap();
    for reference in [public(&pair), private(&pair)] {
        let replica = export_key(&mut here, reference, &two.clone).unwrap();
        let taken = take_key(&mut there, &replica).unwrap();
        let revision = taken.key_revision;
        assert_eq!(take_key(&mut there, &replica).unwrap().key_revision, revision, "once more changes nothing");
        let found = here.find(v1::KeyFind { reference, limit: 1, ..v1::KeyFind::default() }).unwrap();
        assert_eq!(v1::Key { key_revision: found.keys[0].key_revision, ..taken }, found.keys[0]);
    }
    // Bob signs in the clone, and what he signs verifies in the origin.
    let mut bob = Client::logged_in(&two.there, "bob", CRYPTO_USER);
    let signature = bob.sign_ecdsa(private(&pair)).unwrap();
    let verify = v1::Verify {
        key: public(&pair),
        mechanism: v1::Mechanism::Ecdsa.into(),
        data: vec![7; 32],
        signature,
        ..v1::Verify::default()
    };
    here.ask(Operation::Verify(verify)).unwrap();
}

#[test]
fn nobody_but_a_clone_opens_what_was_sealed() {
    let two = two();
    let mut alice = Client::alice(&two.here);
    let key = secret(&mut alice, "k");
    let replica = export_key(&mut alice, key, &two.clone).unwrap();
    // Another cluster, which was named.
    let (stranger, elsewhere) = World::active();
    let for_stranger = export_key(&mut alice, key, &stranger).unwrap();
    let mut other = Client::alice(&elsewhere);
    refused(take_key(&mut other, &for_stranger), Status::NotClones);
    // A second clone, which was not.
    let (third, member) = World::clone_of(&two.world);
    let mut at_third = Client::alice(&member);
    let about = refused(take_key(&mut at_third, &replica), Status::NotClones);
    assert!(
        about.contains(&two.clone.cluster_id.to_string()) && about.contains(&third.cluster_id.to_string()),
        "{about}"
    );
    // Where it came from.
    refused(take_key(&mut alice, &replica), Status::NotClones);
    let mut there = Client::alice(&two.there);
    for at in 0..replica.sealed.len() {
        let mut altered = replica.clone();
        altered.sealed[at] ^= 1 << (at % 8);
        refused(take_key(&mut there, &altered), Status::NotClones);
    }
    for at in 0..replica.header.len() {
        let mut altered = replica.clone();
        altered.header[at] ^= 1;
        let outcome = take_key(&mut there, &altered).map(drop).map_err(|refusal| refusal.status);
        assert!(matches!(outcome, Err(Status::NotClones | Status::MalformedRequest)), "{at}: {outcome:?}");
    }
    // Material and record of two keys do not mix.
    let other = secret(&mut alice, "other");
    let other = export_key(&mut alice, other, &two.clone).unwrap();
    refused(take_key(&mut there, &v1::Replica { header: other.header, ..replica.clone() }), Status::NotClones);
    take_key(&mut there, &replica).unwrap();
}

#[test]
fn what_is_no_replica_is_refused_before_it_is_opened() {
    let two = two();
    let (mut here, mut there) = (Client::alice(&two.here), Client::alice(&two.there));
    let key = secret(&mut here, "k");
    let replica = export_key(&mut here, key, &two.clone).unwrap();
    let of_len = |len: usize| v1::Replica { sealed: vec![1; len - replica.header.len()], ..replica.clone() };
    let about = refused(take_key(&mut there, &of_len(REPLICA_LEN_MAX + 1)), Status::MalformedRequest);
    assert!(about.contains("too long"), "{about}");
    for len in [REPLICA_LEN_MAX, REPLICA_LEN_MAX - 1] {
        refused(take_key(&mut there, &of_len(len)), Status::NotClones);
    }
    for header in [Vec::new(), vec![1], vec![0xff; 4_000]] {
        refused(take_key(&mut there, &v1::Replica { header, ..replica.clone() }), Status::MalformedRequest);
    }
    refused(there.change(Operation::KeyReplicate(v1::KeyReplicate { replica: None })), Status::MalformedRequest);
    let take = || Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica.clone()) });
    refused(there.ask(take()), Status::MalformedRequest);
    refused(Client::of(&two.there).change(take()), Status::NotLoggedIn);
    let mut admin = Client::admin(&two.there);
    let as_user = Operation::UserReplicate(v1::UserReplicate { replica: Some(replica.clone()) });
    refused(admin.change(as_user), Status::MalformedRequest);
    let destination_cluster_id = String::from("cluster-1");
    let wrong = Operation::KeyExport(v1::KeyExport { reference: key, destination_cluster_id });
    refused(here.ask(wrong), Status::MalformedRequest);
}

#[test]
fn session_keys_stay_where_they_are() {
    let two = two();
    let mut alice = Client::alice(&two.here);
    let pair = match alice.ask(Operation::KeyGeneratePair(session_pair())).unwrap() {
        Answer::KeyGeneratePair(pair) => pair.private_key.unwrap(),
        _ => panic!("another answer"),
    };
    let destination_cluster_id = two.clone.cluster_id.to_string();
    let export = || {
        let destination_cluster_id = destination_cluster_id.clone();
        Operation::KeyExport(v1::KeyExport { reference: pair.reference, destination_cluster_id })
    };
    refused(alice.ask_naming(&pair, &pair.sealed_session_key, export()), Status::SessionKeyFixed);
    refused(alice.ask(export()), Status::KeyUnknown);
}

#[test]
fn a_user_logs_in_to_the_clone_with_the_same_password_and_by_no_old_ticket() {
    let two = two();
    let mut admin = Client::admin(&two.here);
    admin.change(user_create("carol", PASSWORD)).unwrap();
    refused(Client::of(&two.there).login("carol", CRYPTO_USER, PASSWORD), Status::LoginFailed);
    let replica = export_user(&mut admin, "carol", &two.clone).unwrap();
    let mut at_clone = Client::admin(&two.there);
    assert_eq!(take_user(&mut at_clone, &replica).unwrap().user_name, "carol");
    take_user(&mut at_clone, &replica).unwrap();
    Client::logged_in(&two.there, "carol", CRYPTO_USER);
    // Deleted in the origin, and brought back from the clone.
    let mut before = Client::logged_in(&two.here, "carol", CRYPTO_USER);
    let ticket = before.ticket.clone();
    let mut alice = Client::alice(&two.here);
    let shared: Vec<u64> = (0..3).map(|number| secret(&mut alice, &format!("k{number}"))).collect();
    for key in &shared {
        alice.change(key_share(*key, "carol")).unwrap();
    }
    admin.change(user_delete("carol")).unwrap();
    let replica = export_user(&mut at_clone, "carol", &two.world).unwrap();
    take_user(&mut admin, &replica).unwrap();
    let mut carol = Client::logged_in(&two.here, "carol", CRYPTO_USER);
    assert_eq!(carol.find(v1::KeyFind { limit: 10, ..v1::KeyFind::default() }).unwrap().total, 0);
    refused(Client::of(&two.here).attach(&ticket), Status::LoginEnded);
    refused(before.change(aes("of before")), Status::LoginEnded);
    // Another password is another user's business to settle.
    admin.change(change_password("carol", CRYPTO_USER, "another-password")).unwrap();
    let replica = export_user(&mut admin, "carol", &two.clone).unwrap();
    refused(take_user(&mut at_clone, &replica), Status::UserReplicaConflict);
}

#[test]
fn crypto_users_take_no_users_and_a_deleted_key_is_answered_as_one() {
    let two = two();
    let (mut here, mut there) = (Client::alice(&two.here), Client::alice(&two.there));
    refused(export_user(&mut here, "bob", &two.clone), Status::RoleNotPermitted);
    let mut admin = Client::admin(&two.here);
    let replica = export_user(&mut admin, "bob", &two.clone).unwrap();
    refused(take_user(&mut there, &replica), Status::RoleNotPermitted);
    refused(
        Client::of(&two.there).change(Operation::UserReplicate(v1::UserReplicate { replica: Some(replica) })),
        Status::NotLoggedIn,
    );
    let message = v1::UserExport {
        user_name: "admin".into(),
        role: ADMIN,
        destination_cluster_id: two.clone.cluster_id.to_string(),
    };
    admin.ask(Operation::UserExport(message)).unwrap();
    let key = secret(&mut here, "k");
    let replica = export_key(&mut here, key, &two.clone).unwrap();
    let take = Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica) });
    there.change_as(&[7; 16], take.clone()).unwrap();
    there.change(key_delete(key)).unwrap();
    refused(there.change_as(&[7; 16], take.clone()), Status::KeyUnknown);
    refused(there.change_as(&[7; 16], key_delete(key)), Status::RequestIdReused);
    // A replicate of its own is another request.
    there.change_as(&[8; 16], take).unwrap();
}
