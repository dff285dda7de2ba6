use strongroom_types::limits::{GENERIC_SECRET_LEN_MAX, KEY_PAGE_LEN_MAX, SHARED_USERS_MAX};
use strongroom_types::{
    AttributeName, AttributeValue, Capacity, ClusterMode, Curve, FilterTerm, Flag, HsmType, KeyClass, KeyReference,
    KeyType, PublicPart, Role, Status, Template,
};

use super::world::{P256, World, name, public_of, rsa};
use crate::{
    Actor, Batch, Cluster, Command, Key, Made, MadePair, PairAlgorithm, PlanError, Record, Reply, apply, find_keys,
    key_view, plan,
};

fn filter(terms: &[&str]) -> strongroom_types::Filter {
    strongroom_types::Filter(terms.iter().map(|term| term.parse::<FilterTerm>().unwrap()).collect())
}

fn sees(world: &World, actor: &Actor, key: KeyReference) -> bool {
    let by_view = key_view(&world.state, actor, key, world.now_ms).is_ok();
    let found = find_keys(&world.state, actor, &filter(&[&format!("key-reference={key}")]), 0, 10, world.now_ms);
    assert_eq!(found.unwrap().total() == 1, by_view);
    by_view
}

#[test]
fn a_pair_is_two_keys_with_one_check_value() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.create("bob", Role::CryptoUser).unwrap();
    for algorithm in [rsa(2048), rsa(4096), P256, PairAlgorithm::Ec(Curve::P521)] {
        let command = Command::GeneratePair {
            algorithm: algorithm.clone(),
            public_template: vec![(AttributeName::Label, AttributeValue::Text(String::from("pub")))],
            private_template: vec![(AttributeName::Label, AttributeValue::Text(String::from("priv")))],
            share_with: vec![name("bob")],
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = world.made_pair(&algorithm);
        let Ok(Reply::Pair { public, private }) = world.done(&alice, &command, &made) else { panic!("{algorithm:?}") };
        assert_eq!((public.attributes.class, private.attributes.class), (KeyClass::PublicKey, KeyClass::PrivateKey));
        assert_eq!((public.attributes.label.as_str(), private.attributes.label.as_str()), ("pub", "priv"));
        assert_eq!(public.attributes.check_value, private.attributes.check_value);
        assert_eq!(public.attributes.public, Some(public_of(&algorithm)));
        assert_eq!(private.attributes.public, public.attributes.public);
        assert_eq!((private.owner, private.shared_with), (name("alice"), vec![name("bob")]));
        assert_eq!((public.shared_with, public.revision), (Vec::new(), world.state.revision()));
        let (stored_public, stored_private) =
            (world.state.key(public.reference).unwrap(), world.state.key(private.reference).unwrap());
        assert!(stored_public.sealed.is_none() && stored_private.sealed.is_some());
    }
    assert_eq!(world.state.asymmetric_keys_len(), 8);
}

#[test]
fn algorithms_and_sizes_that_are_not_offered_are_refused() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let rsa_with =
        |public_exponent: &[u8]| PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: public_exponent.to_vec() };
    let mut check = |algorithm: PairAlgorithm, expected: Option<Status>| {
        let command = Command::GeneratePair {
            algorithm: algorithm.clone(),
            public_template: Template::new(),
            private_template: Template::new(),
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = world.made_pair(&match &algorithm {
            PairAlgorithm::Rsa { public_exponent, .. } if public_exponent.first() == Some(&0) => rsa(2048),
            other => other.clone(),
        });
        assert_eq!(world.done(&alice, &command, &made).err(), expected, "{algorithm:?}");
    };
    check(rsa(2048), None);
    check(rsa(2048 + 256), None);
    check(rsa(4096), None);
    check(rsa(2048 - 256), Some(Status::KeySizeInvalid));
    check(rsa(4096 + 256), Some(Status::KeySizeInvalid));
    check(rsa(2048 + 8), Some(Status::KeySizeInvalid));
    check(rsa_with(&[0, 1, 0, 1]), None);
    check(rsa_with(&[1, 0, 0]), Some(Status::AttributeValueInvalid));
    check(rsa_with(&[3]), Some(Status::AttributeValueInvalid));
    check(rsa_with(&[0xff, 0xff]), Some(Status::AttributeValueInvalid));
    check(rsa_with(&[]), Some(Status::AttributeValueInvalid));
    check(rsa_with(&[1; 9]), Some(Status::AttributeValueInvalid));
    for curve in [Curve::P224, Curve::P256, Curve::P384, Curve::P521, Curve::Secp256k1] {
        check(PairAlgorithm::Ec(curve), None);
    }
}

#[test]
fn secrets_have_their_lengths() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut check = |key_type: KeyType, length_bytes: u32, expected: Option<Status>| {
        let command = Command::GenerateSecret {
            key_type,
            length_bytes,
            template: Template::new(),
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = world.made_secret(key_type);
        assert_eq!(world.done(&alice, &command, &made).err(), expected, "{key_type} {length_bytes}");
    };
    for (length, expected) in [(16, None), (24, None), (32, None), (15, Some(())), (33, Some(())), (0, Some(()))] {
        check(KeyType::Aes, length, expected.map(|()| Status::KeySizeInvalid));
    }
    check(KeyType::GenericSecret, 1, None);
    check(KeyType::GenericSecret, GENERIC_SECRET_LEN_MAX, None);
    check(KeyType::GenericSecret, 0, Some(Status::KeySizeInvalid));
    check(KeyType::GenericSecret, GENERIC_SECRET_LEN_MAX + 1, Some(Status::KeySizeInvalid));
    check(KeyType::Rsa, 256, Some(Status::TemplateInconsistent));
    check(KeyType::Ec, 32, Some(Status::TemplateInconsistent));
}

#[test]
fn who_sees_a_key() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob, carol) = (world.crypto_user("alice"), world.crypto_user("bob"), world.crypto_user("carol"));
    let secret = world.aes_reference(&alice, &["bob", "alice"]);
    let (public, private) = world.pair(&alice, &P256);
    let rows = [(&alice, [true, true, true]), (&bob, [true, true, false]), (&carol, [false, true, false])];
    for (actor, expected) in rows.into_iter().chain([(&admin, [true, true, true])]) {
        for (key, expected) in [secret, public, private].into_iter().zip(expected) {
            assert_eq!(sees(&world, actor, key), expected, "{actor:?} {key}");
        }
        let total = find_keys(&world.state, actor, &filter(&[]), 0, 0, world.now_ms).unwrap();
        assert_eq!(total.total(), expected.iter().filter(|seen| **seen).count());
        assert!(total.keys.is_empty());
    }
    let view = key_view(&world.state, &alice, secret, world.now_ms).unwrap();
    assert_eq!(view.shared_with, [name("bob")]);
    assert_eq!(key_view(&world.state, &Actor::Anonymous, secret, 0).unwrap_err().status, Status::NotLoggedIn);
    // A user who is gone is on nobody's list, and a new one of the same name is another.
    world.done(&admin, &Command::DeleteUser { name: name("bob"), role: Role::CryptoUser }, &Made::Nothing).unwrap();
    let new_bob = world.crypto_user("bob");
    assert!(!sees(&world, &new_bob, secret));
    assert!(key_view(&world.state, &alice, secret, world.now_ms).unwrap().shared_with.is_empty());
}

#[test]
fn share_lists_hold_crypto_users() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    assert_eq!(world.aes(&alice, Template::new(), &["nobody"]), Err(Status::UserUnknown));
    assert_eq!(world.aes(&alice, Template::new(), &["admin"]), Err(Status::UserUnknown));
    assert_eq!(world.aes(&alice, Template::new(), &["app_user"]), Err(Status::UserUnknown));
    assert!(world.aes(&alice, Template::new(), &["alice"; SHARED_USERS_MAX]).is_ok());
    assert_eq!(world.aes(&alice, Template::new(), &["alice"; SHARED_USERS_MAX + 1]), Err(Status::MalformedRequest));
}

#[test]
fn only_the_owner_deletes_and_only_what_may_be() {
    let mut world = World::active();
    let admin = world.admin();
    let (alice, bob, carol) = (world.crypto_user("alice"), world.crypto_user("bob"), world.crypto_user("carol"));
    let secret = world.aes_reference(&alice, &["bob"]);
    let check = |world: &mut World, actor: &Actor, key: KeyReference, expected: Option<Status>| {
        assert_eq!(world.done(actor, &Command::DeleteKey(key), &Made::Nothing).err(), expected, "{actor:?}");
    };
    check(&mut world, &bob, secret, Some(Status::KeyNotOwned));
    check(&mut world, &carol, secret, Some(Status::KeyUnknown));
    check(&mut world, &admin, secret, Some(Status::RoleNotPermitted));
    check(&mut world, &Actor::Anonymous, secret, Some(Status::NotLoggedIn));
    check(&mut world, &alice, secret, None);
    check(&mut world, &alice, secret, Some(Status::KeyUnknown));
    let (public, private) = world.pair(&alice, &P256);
    check(&mut world, &carol, public, Some(Status::KeyNotOwned));
    check(&mut world, &alice, private, None);
    assert!(world.state.key(public).is_some(), "the other half stays");
    let kept = vec![(AttributeName::Flag(Flag::Destroyable), AttributeValue::Bool(false))];
    let Ok(Reply::Key(kept)) = world.aes(&alice, kept, &[]) else { panic!() };
    check(&mut world, &alice, kept.reference, Some(Status::KeyNotDestroyable));
}

#[test]
fn references_that_are_taken_are_drawn_again() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let taken = world.aes_reference(&alice, &[]);
    let command = |algorithm: &PairAlgorithm| Command::GeneratePair {
        algorithm: algorithm.clone(),
        public_template: Template::new(),
        private_template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let Made::Pair(made) = world.made_pair(&P256) else { unreachable!() };
    let request = world.request();
    let check = |made: MadePair, expected: PlanError| {
        let outcome = plan(&world.state, &alice, &command(&P256), &Made::Pair(made), &request, world.now_ms);
        assert_eq!(outcome, Err(expected));
    };
    check(MadePair { public_reference: taken, ..made.clone() }, PlanError::DrawAgain);
    check(MadePair { private_reference: taken, ..made.clone() }, PlanError::DrawAgain);
    check(MadePair { private_reference: made.public_reference, ..made.clone() }, PlanError::DrawAgain);
    let internal = |about: &str| PlanError::Refused(strongroom_types::Refusal::new(Status::Internal, about));
    check(MadePair { public: public_of(&rsa(2048)), ..made.clone() }, internal("public part"));
    check(MadePair { sealed: std::sync::Arc::from(&[][..]), ..made }, internal("sealed material"));
}

/// So many keys at once, past all rules but those of a state.
fn fill(world: &mut World, template: &Key, count: usize) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
        let revision = world.state.revision().next();
        let key = |_: &usize| {
            let creation = crate::Creation { request: world_request(world), ..template.creation };
            Record::Key(Key { reference: world.reference(), revision, creation, ..template.clone() })
        };
        let puts = chunk.iter().map(key).collect();
        apply(&mut world.state, &Batch { revision, time_ms: 0, puts, deletes: Vec::new() }).unwrap();
    }
}

fn world_request(world: &mut World) -> strongroom_types::RequestId {
    strongroom_types::RequestId::from_bytes(world.draw())
}

#[test]
fn a_cluster_holds_as_many_keys_as_its_type_allows() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let (public, _) = world.pair(&alice, &P256);
    let most = HsmType::Hsm2mMedium.capacity();
    let asymmetric = world.state.key(public).unwrap().as_ref().clone();
    // One short of a pair.
    fill(&mut world, &asymmetric, most.asymmetric_keys_max - 2 - 1);
    let pair = Command::GeneratePair {
        algorithm: P256,
        public_template: Template::new(),
        private_template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let generate = |world: &World, command: &Command, made: Made| {
        let request = strongroom_types::RequestId::from_bytes([0xee; 16]);
        let request = crate::Request::new(request, [1; 32]);
        match plan(&world.state, &alice, command, &made, &request, world.now_ms) {
            Ok(_) => None,
            Err(PlanError::Refused(refusal)) => Some(refusal.status),
            Err(other) => panic!("{other}"),
        }
    };
    let made = world.made_pair(&P256);
    assert_eq!(generate(&world, &pair, made.clone()), Some(Status::KeysFull));
    let secret = Command::GenerateSecret {
        key_type: KeyType::Aes,
        length_bytes: 32,
        template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let made_secret = world.made_secret(KeyType::Aes);
    assert_eq!(generate(&world, &secret, made_secret.clone()), None);
    let symmetric = world.aes_key(&alice);
    let left = most.keys_max - world.state.keys_len();
    fill(&mut world, &symmetric, left - 1);
    assert_eq!(generate(&world, &secret, made_secret.clone()), None);
    fill(&mut world, &symmetric, 1);
    assert_eq!(world.state.keys_len(), most.keys_max);
    assert_eq!(generate(&world, &secret, made_secret), Some(Status::KeysFull));
}

/// What the cluster's record says counts, not what its type gives to new ones; and a pair for which there is half the room
/// leaves nothing.
#[test]
fn a_full_cluster_refuses_and_nothing_is_half_made() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let capacity = Capacity { keys_max: 4, asymmetric_keys_max: 3, users_max: 2 };
    let cluster = Cluster { capacity: Some(capacity), ..world.state.cluster().unwrap().as_ref().clone() };
    let revision = world.state.revision().next();
    let (time_ms, puts) = (world.now_ms, vec![Record::Cluster(cluster)]);
    world.commit(&Batch { revision, time_ms, puts, deletes: Vec::new() });
    world.pair(&alice, &P256);
    let pair = Command::GeneratePair {
        algorithm: P256,
        public_template: Template::new(),
        private_template: Template::new(),
        share_with: Vec::new(),
        quorum: strongroom_types::KeyQuorum::NONE,
    };
    let before = world.state.clone();
    let made = world.made_pair(&P256);
    assert_eq!(world.done(&alice, &pair, &made), Err(Status::KeysFull), "three asymmetric keys, not four");
    assert_eq!(world.create("bob", Role::CryptoUser), Err(Status::UsersFull));
    assert_eq!(world.state, before);
    world.aes_reference(&alice, &[]);
    let one_left = world.state.clone();
    world.aes_reference(&alice, &[]);
    assert_eq!(world.aes(&alice, Template::new(), &[]), Err(Status::KeysFull));
    world.state = one_left;
    let made = world.made_pair(&P256);
    assert_eq!(world.state.keys_len(), 3);
    let request = world.request();
    assert_eq!(world.again(&alice, &pair, &made, &request), Err(Status::KeysFull), "room for one half");
    assert_eq!(world.state.keys_len(), 3);
}

impl World {
    /// An AES key as the state holds it, made past the check that a reload gives the same state.
    fn aes_key(&mut self, actor: &Actor) -> Key {
        let (made, request) = (self.made_secret(KeyType::Aes), self.request());
        let command = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template: Template::new(),
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        match self.again(actor, &command, &made, &request).unwrap() {
            Reply::Key(view) => self.state.key(view.reference).unwrap().as_ref().clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn keys_are_found_by_what_they_are() {
    let mut world = World::of(HsmType::Hsm2mMedium, ClusterMode::Fips);
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let labelled = |label: &str, id: &[u8]| {
        vec![
            (AttributeName::Label, AttributeValue::Text(label.to_owned())),
            (AttributeName::Id, AttributeValue::Bytes(id.to_vec())),
        ]
    };
    for number in 0..5 {
        world.aes(&alice, labelled(&format!("key-{}", number % 2), &[number]), &[]).unwrap();
    }
    world.aes(&bob, labelled("key-0", &[0]), &["alice"]).unwrap();
    world.aes(&bob, labelled("key-0", &[0]), &[]).unwrap();
    world.pair(&alice, &P256);
    world.pair(&bob, &rsa(2048));
    let total = |actor: &Actor, terms: &[&str]| {
        find_keys(&world.state, actor, &filter(terms), 0, 100, world.now_ms).map(|found| found.total())
    };
    let check = |terms: &[&str], alices: usize, bobs: usize| {
        assert_eq!((total(&alice, terms), total(&bob, terms)), (Ok(alices), Ok(bobs)), "{terms:?}");
    };
    check(&[], 9, 5);
    check(&["attr.label=key-0"], 4, 2);
    check(&["attr.label=key-0", "attr.id=0x00"], 2, 2);
    check(&["attr.label=key-1", "attr.id=0x00"], 0, 0);
    check(&["attr.label=absent"], 0, 0);
    check(&["attr.class=secret-key"], 6, 2);
    check(&["attr.class=public-key"], 2, 2);
    check(&["attr.key-type=rsa"], 1, 2);
    check(&["attr.key-type=aes", "attr.encrypt=true"], 0, 0);
    check(&["attr.sign=true", "attr.class=private-key"], 1, 1);
    check(&["attr.check-value=0x070707"], 6, 2);
    check(&["attr.check-value=0x0707"], 0, 0);
    check(&["attr.key-length-bytes=32"], 6, 2);
    check(&["attr.modulus-size-bits=2048"], 1, 2);
    check(&["attr.public-exponent=0x010001"], 1, 2);
    check(&["attr.public-exponent=0x00010001"], 1, 2);
    let PublicPart::Ec { point, .. } = public_of(&P256) else { unreachable!() };
    let hex: String = point.iter().map(|byte| format!("{byte:02x}")).collect();
    check(&[&format!("attr.ec-point=0x{hex}")], 2, 1);
    check(&[&format!("attr.ec-point=0x0441{hex}")], 2, 1);
    let wrong_kind =
        strongroom_types::Filter(vec![FilterTerm::Attribute(AttributeName::Label, AttributeValue::Bool(true))]);
    let refusal = find_keys(&world.state, &alice, &wrong_kind, 0, 1, world.now_ms).unwrap_err();
    assert_eq!(refusal.status, Status::AttributeValueInvalid);
    let refusal = find_keys(&world.state, &alice, &filter(&["attr.sign=true"; 65]), 0, 1, world.now_ms).unwrap_err();
    assert_eq!(refusal.status, Status::MalformedRequest);
}

#[test]
fn a_page_at_below_and_above_its_limit() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    for _ in 0..=KEY_PAGE_LEN_MAX {
        world.aes_reference(&alice, &[]);
    }
    let check = |limit, expected: u32| {
        let found = find_keys(&world.state, &alice, &filter(&[]), 0, limit, world.now_ms).unwrap();
        let len = u32::try_from(found.keys.len()).unwrap();
        assert_eq!((found.total(), len), (KEY_PAGE_LEN_MAX as usize + 1, expected));
    };
    check(KEY_PAGE_LEN_MAX - 1, KEY_PAGE_LEN_MAX - 1);
    check(KEY_PAGE_LEN_MAX, KEY_PAGE_LEN_MAX);
    check(KEY_PAGE_LEN_MAX + 1, KEY_PAGE_LEN_MAX);
}

#[test]
fn pages_are_whole_and_in_order() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    for _ in 0..7 {
        world.aes_reference(&alice, &[]);
    }
    let page = |offset, limit| {
        let found = find_keys(&world.state, &alice, &filter(&[]), offset, limit, world.now_ms).unwrap();
        assert_eq!(found.total(), 7);
        found.keys.into_iter().map(|key| key.reference).collect::<Vec<_>>()
    };
    let all = page(0, 1_000);
    assert!(all.is_sorted() && all.len() == 7);
    let pages: Vec<_> = (0..4).flat_map(|number| page(number * 2, 2)).collect();
    assert_eq!(pages, all);
    assert!(page(7, 2).is_empty() && page(u32::MAX, u32::MAX).is_empty() && page(0, 0).is_empty());
}
