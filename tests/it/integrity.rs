//! A store or an anchor that is not the one the HSMs have seen: noticed, named, and mended by putting the right one back.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom_tests::{World, run};

/// The files of a folder, and those of folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Everything in the store's folder, as it is now.
fn kept(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(&world.state().join("store")).into_iter();
    files.map(|path| (path.clone(), fs::read(&path).expect("read"))).collect()
}

/// Makes the store's folder what it was, file by file, so that modes stay.
fn put_back(world: &World, kept: &[(PathBuf, Vec<u8>)]) {
    for path in files(&world.state().join("store")) {
        if !kept.iter().any(|(known, _)| *known == path) {
            fs::remove_file(path).expect("removed");
        }
    }
    for (path, bytes) in kept {
        fs::write(path, bytes).expect("written");
    }
}

/// What `up` says when no HSM starts.
#[track_caller]
fn refused(world: &World) -> String {
    let ran = run(&mut world.up_command()).failed();
    ran.stdout + &ran.stderr
}

#[test]
fn a_store_of_last_week_or_a_lost_anchor_is_refused_until_the_right_one_is_back() {
    let mut world = World::quick(&["--hsms", "1"]);
    world.stop();
    let older = kept(&world);
    world.start();
    world
        .admin_cli(&["user", "create", "--role", "crypto-user", "--username", "leaver", "--password", "long-enough"])
        .ok();
    world.admin_cli(&["user", "delete", "--role", "crypto-user", "--username", "leaver"]).ok();
    world.stop();
    let newest = kept(&world);

    put_back(&world, &older);
    let said = refused(&world);
    assert!(
        said.contains("an older copy was put in its place") && said.contains("this HSM has seen revision"),
        "{said}"
    );
    world.stop();
    put_back(&world, &newest);

    let anchor = files(&world.state().join("hsms")).into_iter().find(|path| path.ends_with("anchor")).expect("one");
    let seen = fs::read(&anchor).expect("read");
    fs::remove_file(&anchor).expect("removed");
    let said = refused(&world);
    assert!(said.contains("its anchor file is missing"), "{said}");
    world.stop();
    let mut altered = seen.clone();
    altered.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&anchor, altered).expect("written");
    let said = refused(&world);
    assert!(said.contains("is damaged or another cluster's") && said.contains("anchor"), "{said}");
    world.stop();

    fs::write(&anchor, seen).expect("written");
    world.start();
    assert!(!world.admin_cli(&["user", "list"]).ok().stdout.contains("leaver"));
}
