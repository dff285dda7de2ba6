//! A database that keeps its master key in the HSMs, as Oracle's TDE does it: `tests/programs/c/tde.c`.

use std::fs;
use std::path::Path;

use strongroom_tests::run;

use super::{Cluster, Story};

const MASTER_KEY: &str = "attr.label=ORACLE.TDE.HSM.MK.06C0FFEE00112233445566778899AABBCC";

#[test]
fn a_database_keeps_its_master_key_in_the_hsms_and_shares_it() {
    let Some(story) = Story::new("tde", Cluster::Fips, &["gcc"]) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the root");
    let root = root.to_str().expect("the tree's path is text");
    let include = format!("-I '{root}/sdk/pkcs11/include' '{root}/tests/programs/c/tde.c'");
    story.sh(&format!("gcc -std=gnu11 -Wall -Wextra -Werror -O1 -g {include} -o tde -ldl"));
    let said = story.sh("./tde \"$MODULE\" set-key .").stdout;
    assert_eq!(said, "data object: refused\nset-key: encrypted 32 bytes, wrapped a key into 40\n");
    for (file, len) in [("tablespace.sealed", 48), ("wrapped", 40)] {
        assert_eq!(fs::metadata(story.file(file)).expect("it was written").len(), len, "{file}");
    }
    let open = "./tde \"$MODULE\" open .";
    let opened = "open: decrypted in both processes, unwrapped\n";
    assert_eq!(story.sh(open).stdout, opened);

    let standby = story.as_user("tde-standby");
    story.create_user("tde-standby");
    let refused = |script: &str| {
        let ran = run(&mut standby.shell(script));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    let nothing = refused(open);
    assert!(nothing.starts_with("0 objects are called ORACLE.TDE.HSM.MK."), "{nothing}");
    let share = |word: &str| {
        let who = ["--username", "tde-standby", "--role", "crypto-user"];
        let words = [&["key", word][..], &who, &["--filter", MASTER_KEY]].concat();
        let mut cli = story.world.bare_cli(&words);
        run(cli.env("CLOUDHSM_ROLE", "crypto-user").env("CLOUDHSM_PIN", story.pin())).ok();
    };
    share("share");
    assert_eq!(standby.sh(open).stdout, opened);
    // It may use the key, and no more.
    let kept = refused("./tde \"$MODULE\" drop .");
    assert!(kept.starts_with("C_DestroyObject: 0x"), "{kept}");
    share("unshare");
    assert!(refused(open).starts_with("0 objects are called"));

    assert_eq!(story.sh("./tde \"$MODULE\" drop .").stdout, "drop: the master key is gone\n");
    let gone = run(&mut story.shell(open));
    assert!(gone.code == Some(1) && gone.stderr.starts_with("0 objects are called"), "{gone:?}");
}
