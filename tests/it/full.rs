//! A cluster that holds as much as its type allows: it says so, nothing is half made, and there is room again after a
//! deletion.

use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom_client::Client;
use strongroom_tests::World;
use strongroom_types::limits::{HSM1_KEYS_MAX, HSM1_USERS_MAX};
use strongroom_types::{Filter, KeyType, Password, Role, Secret, Template, UserName};

use crate::crash::login;

/// Callers that fill it.
const CALLERS: usize = 32;

/// So many calls, by many callers at once, each with its number.
fn many(count: usize, call: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count) {
                    call(number);
                }
            });
        }
    });
}

fn keys(client: &Client) -> u32 {
    client.key_find(&Filter(Vec::new()), 0, 0).expect("the number of keys").total
}

#[test]
fn a_full_cluster_says_so_and_nothing_is_half_made() {
    let world = World::quick(&["--hsm-type", "hsm1.medium"]);
    let user = login(&world, "crypto_user", Role::CryptoUser);
    many(HSM1_KEYS_MAX - 1, |_| {
        user.key_generate_secret(KeyType::Aes, 16, &Template::new(), &[]).expect("room for a key");
    });
    let most = u32::try_from(HSM1_KEYS_MAX).expect("a few thousand");
    assert_eq!(keys(&user), most - 1);
    let pair = ["ec", "--curve", "prime256v1", "--public-label", "late", "--private-label", "late"];
    let full = "the cluster holds as many keys as its type allows: 3300 keys";
    let said = |arguments: &[&str]| world.cli(&[&["key"], arguments].concat()).failed().json()["data"].clone();
    assert_eq!(said(&[&["generate-asymmetric-pair"], &pair[..]].concat()), full);
    assert_eq!(keys(&user), most - 1, "no half of a pair");
    let secret = ["generate-symmetric", "aes", "--label", "late", "--key-length-bytes", "16"];
    let last = world.data(&[&["key"], &secret[..]].concat())["key"]["key-reference"].clone();
    assert_eq!(said(&secret), full);
    assert_eq!(keys(&user), most);
    let last = format!("key-reference={}", last.as_str().expect("a reference"));
    world.cli(&["key", "delete", "--filter", &last]).ok();
    world.cli(&[&["key"], &secret[..]].concat()).ok();

    let admin = login(&world, "admin", Role::Admin);
    let password = Password::new(Secret::from(&b"long-enough"[..])).expect("a good password");
    let there = admin.user_list().expect("the users").iter().filter(|user| user.role != Role::ApplianceUser).count();
    many(HSM1_USERS_MAX - there, |number| {
        let name: UserName = format!("user-{number}").parse().expect("a name");
        admin.user_create(&name, Role::CryptoUser, &password).expect("room for a user");
    });
    let create = ["user", "create", "--username", "late", "--role", "crypto-user", "--password", "long-enough"];
    let refused = world.admin_cli(&create).failed().json();
    assert_eq!(refused["data"], "the cluster holds as many users as its type allows: 250 users");
    world.admin_cli(&["user", "delete", "--username", "user-7", "--role", "crypto-user"]).ok();
    world.admin_cli(&create).ok();
}
