use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use super::{Folder, ROOT_KEY_FILE};
use crate::seal::root_key::check_access;
use crate::seal::{RootKey, RootKeyError};
use crate::tests::unhex;

#[test]
fn a_root_key_is_made_once_for_its_owner_alone() {
    let folder = Folder::new();
    let path = folder.path();
    RootKey::create(&path).unwrap();
    let made = fs::read(&path).unwrap();
    assert_eq!(made.len(), 76);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(matches!(RootKey::create(&path), Err(RootKeyError::Exists { path: named }) if named == path));
    assert_eq!(fs::read(&path).unwrap(), made);
    // Not through a link either, be it one that leads nowhere.
    let (link, target) = (folder.0.join("link"), folder.0.join("target"));
    symlink(&target, &link).unwrap();
    assert!(matches!(RootKey::create(&link), Err(RootKeyError::Exists { .. })));
    assert!(!target.exists());
    let nowhere = folder.0.join("no such folder/root.key");
    assert!(matches!(RootKey::create(&nowhere), Err(RootKeyError::Io { action: "make", .. })));
}

#[test]
fn only_the_whole_file_is_a_root_key() {
    let folder = Folder::new();
    let right = unhex(ROOT_KEY_FILE);
    let read = |bytes: &[u8]| RootKey::read(&folder.write(bytes, 0o600)).unwrap_err();
    for len in 0..right.len() {
        let error = read(&right[..len]);
        let fits = if len < 8 {
            matches!(error, RootKeyError::Magic { .. })
        } else {
            matches!(error, RootKeyError::Length { .. })
        };
        assert!(fits, "cut to {len}: {error}");
    }
    for more in [1, 100, 100_000] {
        assert!(matches!(read(&[&right[..], &vec![0; more]].concat()), RootKeyError::Length { .. }), "{more}");
    }
    for at in 0..right.len() {
        for bit in 0..8 {
            let mut other = right.clone();
            other[at] ^= 1 << bit;
            let error = read(&other);
            let fits = match at {
                0..8 => matches!(error, RootKeyError::Magic { .. }),
                8..12 => matches!(error, RootKeyError::Version { version, .. } if version != 1),
                _ => matches!(error, RootKeyError::Checksum { .. }),
            };
            assert!(fits, "bit {bit} of byte {at}: {error}");
        }
    }
    // A newer format may be longer or shorter: it is named, not called damaged.
    let newer = [&right[..11], &[2], &[0; 200]].concat();
    assert!(matches!(read(&newer), RootKeyError::Version { version: 2, .. }));
    assert!(matches!(read(&newer[..12]), RootKeyError::Version { version: 2, .. }));
}

#[test]
fn a_root_key_that_others_may_use_is_refused() {
    let folder = Folder::new();
    let bytes = unhex(ROOT_KEY_FILE);
    for mode in [0o600, 0o400, 0o700] {
        RootKey::read(&folder.write(&bytes, mode)).unwrap();
    }
    for bit in [0o001, 0o002, 0o004, 0o010, 0o020, 0o040] {
        let error = RootKey::read(&folder.write(&bytes, 0o600 | bit)).unwrap_err();
        assert!(matches!(error, RootKeyError::Permissions { mode, .. } if mode == 0o600 | bit), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("mode {:04o}", 0o600 | bit)), "{text}");
        assert!(text.ends_with(&format!("chmod 600 {}", folder.path().display())), "{text}");
    }
}

#[test]
fn another_users_root_key_is_refused() {
    let folder = Folder::new();
    let path = folder.write(&unhex(ROOT_KEY_FILE), 0o600);
    let owner = fs::metadata(&path).unwrap().uid();
    check_access(&path, owner, 0o100_600, owner).unwrap();
    // Root too would read it, and trust a key that another user has.
    let error = check_access(&path, owner + 1, 0o100_600, owner).unwrap_err();
    assert!(matches!(error, RootKeyError::Owner { owner: found, user, .. } if (found, user) == (owner + 1, owner)));
    let text = error.to_string();
    assert!(text.ends_with(&format!("chown {owner} {}", path.display())), "{text}");
    if owner == 0 {
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert!(matches!(RootKey::read(&path), Err(RootKeyError::Owner { owner: 1, user: 0, .. })));
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = Folder::new();
    assert!(matches!(RootKey::read(&folder.path()), Err(RootKeyError::Missing { .. })));
    assert!(matches!(RootKey::read(&folder.0), Err(RootKeyError::NotAFile { .. })));
    assert!(matches!(RootKey::read(Path::new("/dev/null")), Err(RootKeyError::NotAFile { .. })));
    let under_a_file = folder.write(b"", 0o600).join("root.key");
    assert!(matches!(RootKey::read(&under_a_file), Err(RootKeyError::Io { action: "read", .. })));
    let pipe = folder.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(matches!(RootKey::read(&pipe), Err(RootKeyError::NotAFile { .. })));
    // A link to a key is good: operators keep such files elsewhere.
    let target = folder.0.join("elsewhere");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).unwrap();
    std::io::Write::write_all(&mut file, &unhex(ROOT_KEY_FILE)).unwrap();
    let link = folder.0.join("link");
    symlink(&target, &link).unwrap();
    RootKey::read(&link).unwrap();
}
