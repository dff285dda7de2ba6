//! What the shared library shows to the world, and what it does without a cluster that answers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::host::{Host, include, library, run};

#[test]
fn it_exports_the_functions_of_the_standard_and_nothing_else() {
    let said = run(Command::new("nm").args(["--dynamic", "--defined-only"]).arg(library())).ok();
    let mut names: Vec<_> = said.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    names.sort_unstable();
    let header = fs::read_to_string(include().join("pkcs11f.h")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("CK_PKCS11_FUNCTION_INFO(")?.strip_suffix(')')?.to_owned());
    let mut functions: Vec<_> = header.lines().filter_map(name).collect();
    functions.sort_unstable();
    assert_eq!(functions.len(), 92);
    assert_eq!(names, functions);
    let needed = run(Command::new("objdump").arg("-p").arg(library())).ok();
    let needed: Vec<_> = needed.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim).collect();
    let known = ["libc.so.", "libgcc_s.so.", "ld-linux"];
    assert!(needed.iter().all(|name| known.iter().any(|known| name.starts_with(known))), "{needed:?}");
    let dynamic = run(Command::new("readelf").arg("-d").arg(library())).ok();
    assert!(dynamic.contains("NODELETE") && dynamic.contains("NOW"), "{dynamic}");
    // A process that ends, which may be a forked child, runs nothing of the library's.
    assert!(!dynamic.contains("FINI_ARRAY"), "{dynamic}");
    assert!(dynamic.contains("Library soname: [libcloudhsm_pkcs11.so]"), "{dynamic}");
}

/// A program of `tests/c`.
fn compiled(host: &Host, name: &str) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name).with_extension("c");
    host.compile(&["cc", "-std=c99"], &source, name)
}

#[test]
fn the_library_without_a_cluster() {
    let host = Host::configured(1);
    let said = run(host.command(&compiled(&host, "frame")).arg("1")).ok();
    assert_eq!(said, format!("{:64}\ndone\n", "CloudHSM cluster as token hsm1"));
    let log = host.log();
    for line in [
        "DEBUG C_Initialize: CKR_OK",
        "WARN  C_OpenSession: CKR_SESSION_COUNT: the application has as many sessions as allowed; close some",
        "WARN  C_Login: CKR_PIN_INCORRECT: the PIN is not of the form <user>:<password>",
        "DEBUG C_CloseAllSessions: CKR_OK",
        "DEBUG C_Finalize: CKR_OK",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    assert!(log.contains("ERROR no HSM of the cluster answered: 127.0.0.1:9: cannot connect"), "{log}");
    assert!(!log.contains("1234") && !log.contains("hunter22"));
}

#[test]
fn each_cluster_of_the_configuration_is_a_slot() {
    let host = Host::configured(3);
    let said = run(host.command(&compiled(&host, "frame")).arg("3")).ok();
    let slot = |label: &str| format!("{:64}\n", format!("CloudHSM cluster as token {label}"));
    let expected = [slot("hsm1"), slot("cluster-2345672345b"), slot("cluster-2345672345c"), "done\n".to_owned()];
    assert_eq!(said, expected.concat());
}

#[test]
fn a_log_on_standard_error_ends_no_program_and_is_written_nowhere_else() {
    let host = Host::configured(1);
    let cfg = fs::read_to_string(host.path("home/etc/cloudhsm-pkcs11.cfg")).unwrap();
    host.write(
        "home/etc/cloudhsm-pkcs11.cfg",
        &cfg.replace(r#""log_interval""#, r#""log_type": "term", "log_interval""#),
    );
    assert_eq!(run(&mut host.command(&compiled(&host, "standard_error"))).ok(), "done\n");
    assert_eq!(host.log(), "");
}

/// A program that initialises the library and says what that answered.
fn initialize(host: &Host) -> std::path::PathBuf {
    host.write(
        "initialize.c",
        "#include \"check.h\"\nint main(int argc, char **argv) { load(argv[argc - 1]);\n\
         printf(\"%lx\\n\", p11->C_Initialize(NULL)); return 0; }\n",
    );
    let checks = format!("-I{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").display());
    host.compile(&["cc", "-std=c99", &checks], &host.path("initialize.c"), "initialize")
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_cause_and_fix() {
    let host = Host::configured(1);
    let program = initialize(&host);
    let check = |expected: &str, complained: bool| {
        let ran = run(&mut host.command(&program));
        assert_eq!((ran.ok, ran.said.as_str()), (true, "6\n"));
        let told = if complained { ran.complained.clone() } else { host.log() };
        assert!(told.contains("C_Initialize: CKR_FUNCTION_FAILED: ") && told.contains(expected), "{told}");
        assert_eq!(ran.complained.is_empty(), !complained);
    };
    let (cfg, ca) = (host.path("home/etc/cloudhsm-pkcs11.cfg"), host.path("home/etc/customerCA.crt"));
    let (good, good_ca) = (fs::read_to_string(&cfg).unwrap(), fs::read_to_string(&ca).unwrap());
    host.write("home/etc/customerCA.crt", "no certificate");
    check("the CA's certificate", false);
    // Where the log can't be written it is told on standard error.
    fs::remove_dir_all(host.path("home/run")).unwrap();
    check("the CA's certificate", true);
    host.write("home/etc/customerCA.crt", &good_ca);
    host.write("home/etc/cloudhsm-pkcs11.cfg", "{ \"clusters\": [");
    check("write it anew with `configure-pkcs11`", true);
    fs::remove_file(&cfg).unwrap();
    check("make the file with `configure-pkcs11 -a <address of an HSM>`", true);
    host.write("home/etc/cloudhsm-pkcs11.cfg", &good);
    assert_eq!(run(&mut host.command(&program)).ok(), "0\n");
}

#[test]
fn a_program_with_foreign_rights_does_not_hear_the_environment() {
    let host = Host::configured(1);
    let program = initialize(&host);
    // Set-group-id to a group that the test is not of, which root alone can give.
    if let Err(error) = std::os::unix::fs::chown(&program, None, Some(12_345)) {
        eprintln!("skipped: a file can't be given to another group: {error}");
        return;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o2755)).unwrap();
    let ran = run(&mut host.command(&program));
    assert!(ran.complained.contains("/opt/cloudhsm/etc/cloudhsm-pkcs11.cfg"), "{}", ran.complained);
    assert_eq!(ran.said, "6\n");
}
