//! One C program on two modules: what SoftHSM2 and Strongroom's library answer to the same calls is the same, line for line,
//! but for what stands in [`DIFFERENCES`]. And what checkers of memory say of the program and our library.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use strongroom_tests::{Ran, World, program, run};

use crate::c::{checked, compiled, library};

/// What the module is asked, SoftHSM2's answer, ours. Where they differ ours is the standard's, PKCS #11 v2.40.
const DIFFERENCES: [(&str, &str, &str); 6] = [
    // §5.6.
    ("C_Logout before a login", "CKR_OK", "CKR_USER_NOT_LOGGED_IN"),
    // §5.8: what is wrong is the mechanism's parameter.
    ("C_EncryptInit without an IV", "CKR_ARGUMENTS_BAD", "CKR_MECHANISM_PARAM_INVALID"),
    ("C_DecryptInit with a tag of 129 bits", "CKR_ARGUMENTS_BAD", "CKR_MECHANISM_PARAM_INVALID"),
    // §5.8: a key's handle.
    ("C_EncryptInit with no key", "CKR_OBJECT_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID"),
    // §5.2: operations of different kinds go side by side.
    ("C_DecryptInit beside it", "CKR_OPERATION_ACTIVE", "CKR_OK"),
    // §2.1.6: data are longer than k - 11.
    ("C_Sign of too much with CKM_RSA_PKCS", "CKR_GENERAL_ERROR", "CKR_DATA_LEN_RANGE"),
];
const SOFT_MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const SOFT_PIN: &str = "12345678";

#[test]
fn a_program_sees_what_it_sees_of_softhsm2() {
    let world = World::quick(&["--mode", "NON_FIPS"]);
    let compat = compiled("compat");
    let soft = of_soft_hsm(&world, &compat);
    let ours = of_ours(&world, &mut Command::new(&compat)).ok().stdout;
    assert_eq!(faults(&soft), Vec::<&str>::new());
    assert_eq!(faults(&ours), Vec::<&str>::new());

    let mut expected = BTreeMap::from(DIFFERENCES.map(|(what, soft, ours)| (what, (soft, ours))));
    assert_eq!(soft.lines().count(), ours.lines().count(), "SoftHSM2:\n{soft}\nours:\n{ours}");
    let unexpected: Vec<_> = soft
        .lines()
        .zip(ours.lines())
        .filter(|(soft, ours)| {
            let what = soft.split_once(": ").map_or(*soft, |(what, _)| what);
            match expected.remove(what) {
                None => soft != ours,
                Some(answers) => answers != (&soft[what.len() + 2..], ours.get(what.len() + 2..).unwrap_or_default()),
            }
        })
        .collect();
    assert!(unexpected.is_empty(), "SoftHSM2's line, ours:\n{unexpected:#?}");
    assert!(expected.is_empty(), "nobody asks this any more: {expected:?}");
}

#[test]
fn a_checker_of_memory_finds_nothing() {
    let Some(mut compat) = checked("compat") else { return };
    let world = World::quick(&["--mode", "NON_FIPS"]);
    let ran = of_ours(&world, &mut compat);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(faults(&ran.stdout), Vec::<&str>::new());
}

/// Were the checker not at work, its silence in other tests would say nothing.
#[test]
fn a_checker_of_memory_finds_what_is_wrong() {
    let world = World::shared();
    for (fault, words) in [
        ("overflow", ["Invalid write of size 8", "AddressSanitizer: heap-buffer-overflow"]),
        ("leak", ["definitely lost", "LeakSanitizer: detected memory leaks"]),
    ] {
        let Some(mut faults) = checked("faults") else { return };
        let said = run(faults.arg(library()).arg(fault).env("CLOUDHSM_HOME", world.home())).failed().stderr;
        assert!(words.iter().any(|words| said.contains(words)) && said.contains("faults.c:"), "{said}");
    }
}

fn faults(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.starts_with('!')).collect()
}

#[track_caller]
fn of_ours(world: &World, command: &mut Command) -> Ran {
    run(command.arg(library()).arg(world.pin()).env("CLOUDHSM_HOME", world.home()))
}

#[track_caller]
fn of_soft_hsm(world: &World, compat: &Path) -> String {
    let (tokens, configuration) = (world.file("tokens"), world.file("softhsm2.conf"));
    std::fs::create_dir(&tokens).expect("a folder can be made");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).expect("a file can be written");
    let mut token = Command::new(program("softhsm2-util"));
    token.args(["--init-token", "--free", "--label", "compat", "--pin", SOFT_PIN, "--so-pin", SOFT_PIN]);
    run(token.env("SOFTHSM2_CONF", &configuration)).ok();
    let mut soft = Command::new(compat);
    run(soft.args([SOFT_MODULE, SOFT_PIN]).env("SOFTHSM2_CONF", &configuration)).ok().stdout
}
