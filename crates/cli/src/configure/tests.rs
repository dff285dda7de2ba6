//! Tools on files in a folder of their own. What clients make of the files: `client::config` and the end-to-end tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::error::ErrorKind;
use serde_json::{Value, json};
use strongroom_client::{Level, LogKind, PLACEHOLDER, RetryMode, Rotation, Setting};

use super::options::TOOLS;
use super::*;
use crate::shell::words;

const ID: &str = "cluster-234567abcde";
const OTHER: &str = "cluster-765432edcba";

/// A folder of clients.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, component: Component) -> PathBuf {
        component.path_in(self.0.path())
    }

    fn write(&self, component: Component, content: &str) {
        fs::create_dir_all(self.0.path().join("etc")).expect("made");
        fs::write(self.file(component), content).expect("written");
    }

    fn text(&self, component: Component) -> String {
        fs::read_to_string(self.file(component)).expect("read")
    }

    fn json(&self, component: Component) -> Value {
        serde_json::from_str(&self.text(component)).expect("JSON")
    }

    fn run(&self, component: Component, line: &str) -> Result<Vec<String>, ConfigureError> {
        let tool = Tool::of(component);
        configure(tool, &read(component, line).expect(line), self.0.path())
    }

    #[track_caller]
    fn refused(&self, component: Component, line: &str, parts: &[&str]) {
        let before = fs::read(self.file(component)).ok();
        let text = self.run(component, line).expect_err(line).to_string();
        for part in parts {
            assert!(text.contains(part), "{line}: {part:?} is not in: {text}");
        }
        assert_eq!(fs::read(self.file(component)).ok(), before, "{line}: nothing is written");
    }
}

fn read(component: Component, line: &str) -> Result<Request, clap::Error> {
    let words = words::split(line).expect("the line is whole");
    Tool::of(component).read(std::iter::once(component.tool()).chain(words).map(OsString::from))
}

#[test]
fn a_missing_file_is_made_as_an_installation_leaves_it() {
    for component in Component::ALL {
        let home = Home::new();
        let notes = home.run(component, "-a 10.0.1.10 10.0.2.10").expect("written");
        let name = component.as_str();
        let ca = home.0.path().join("etc/customerCA.crt");
        let log = home.0.path().join(format!("run/cloudhsm-{name}.log"));
        let logging = match component {
            Component::Dyn | Component::OpensslProvider => json!({ "log_type": "term", "log_level": "info" }),
            Component::Cli | Component::Pkcs11 | Component::Jce => {
                json!({ "log_type": "file", "log_file": log, "log_level": "info", "log_interval": "daily" })
            }
        };
        let server = |host: &str| json!({ "hostname": host, "port": 2223, "enable": true });
        let expected = json!({
            "clusters": [{
                "type": "hsm1",
                "cluster": { "hsm_ca_file": ca, "servers": [server("10.0.1.10"), server("10.0.2.10")] },
            }],
            "logging": logging,
        });
        // Field order is part of it.
        assert_eq!(home.text(component), serde_json::to_string_pretty(&expected).expect("JSON") + "\n");
        assert!(notes[0].contains("customerCA.crt"), "{notes:?}");
        let logs_to_file = log.to_str().is_some_and(|log| home.text(component).contains(log));
        assert_eq!(notes.iter().any(|note| note.contains("/run, so nothing is logged")), logs_to_file, "{notes:?}");
        assert_eq!(notes.len(), 1 + usize::from(logs_to_file), "{notes:?}");
        assert_eq!(fs::metadata(home.file(component)).expect("there").permissions().mode() & 0o777, 0o644);
    }
}

#[test]
fn without_an_address_the_placeholder_stays() {
    let home = Home::new();
    home.run(Component::Cli, "--log-level debug").expect("written");
    let found = home.json(Component::Cli);
    assert_eq!(found["clusters"][0]["cluster"]["servers"][0]["hostname"], PLACEHOLDER);
    home.run(Component::Cli, "-a hsm.example").expect("written");
    let found = home.json(Component::Cli);
    assert_eq!(found["clusters"][0]["cluster"]["servers"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["clusters"][0]["cluster"]["servers"][0]["hostname"], "hsm.example");
    assert_eq!(found["logging"]["log_level"], "debug");
}

#[test]
fn a_run_changes_what_it_names_and_nothing_else() {
    let home = Home::new();
    let before = format!(
        "{{\"later\":[1,{{\"b\":2,\"a\":null}}],\"logging\":{{\"own\":true,\"log_level\":\"warn\"}},\n\"clusters\":\
         [{{\"zone\":1.5,\"cluster\":{{\"servers\":[{{\"hostname\":\"{PLACEHOLDER}\",\"own\":7}}],\"options\":\
         {{\"retry_mode\":\"off\",\"own\":\"x\"}},\"more\":{{}}}},\"type\":\"hsm2m\"}}]}}"
    );
    let check = |line: &str, change: &dyn Fn(&mut Value)| {
        home.write(Component::Jce, &before);
        home.run(Component::Jce, line).expect(line);
        let mut expected: Value = serde_json::from_str(&before).expect("JSON");
        change(&mut expected);
        assert_eq!(home.text(Component::Jce), serde_json::to_string_pretty(&expected).expect("JSON") + "\n", "{line}");
    };
    let option = |key: &'static str, value: Value| {
        move |root: &mut Value| root["clusters"][0]["cluster"]["options"][key] = value.clone()
    };
    let logging = |key: &'static str, value: &'static str| move |root: &mut Value| root["logging"][key] = json!(value);
    check("--disable-key-availability-check", &option("disable_key_availability_check", json!(true)));
    check("--enable-key-availability-check", &option("disable_key_availability_check", json!(false)));
    check("--disable-validate-key-at-init", &option("disable_validate_key_at_init", json!(true)));
    check("--enable-validate-key-at-init", &option("disable_validate_key_at_init", json!(false)));
    check("--enable-ecdh-without-kdf", &option("enable_ecdh_without_kdf", json!(true)));
    check("--disable-ecdh-without-kdf", &option("enable_ecdh_without_kdf", json!(false)));
    let extraction = "enable_clear_key_extraction_in_software";
    check("--enable-clear-key-extraction-in-software", &option(extraction, json!(true)));
    check("--disable-clear-key-extraction-in-software", &option(extraction, json!(false)));
    check("--default-retry-mode standard", &option("retry_mode", json!("standard")));
    check("--log-type term", &logging("log_type", "term"));
    check("--log-file /var/log/x.log", &logging("log_file", "/var/log/x.log"));
    check("--log-level trace", &logging("log_level", "trace"));
    check("--log-rotation hourly", &logging("log_interval", "hourly"));
    check("--hsm-ca-cert /srv/ca.crt", &|root| root["clusters"][0]["cluster"]["hsm_ca_file"] = json!("/srv/ca.crt"));
    check("--server-client-cert-file /srv/c.pem --server-client-key-file /srv/k.pem", &|root| {
        root["clusters"][0]["cluster"]["client_cert_path"] = json!("/srv/c.pem");
        root["clusters"][0]["cluster"]["client_key_path"] = json!("/srv/k.pem");
    });
    check("-a fd00::1 -a hsm.example fd00::1", &|root| {
        let server = |host: &str| json!({ "hostname": host, "port": 2223, "enable": true });
        root["clusters"][0]["cluster"]["servers"] = json!([server("fd00::1"), server("hsm.example")]);
    });
    let with_id = format!("-a 10.0.0.1 --cluster-id {ID} --region eu-west-1 --endpoint https://localhost:8443");
    home.write(Component::Jce, &before);
    home.run(Component::Jce, &with_id).expect("written");
    let cluster = home.json(Component::Jce)["clusters"][0]["cluster"].clone();
    let names: Vec<_> = cluster.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["cluster_id", "servers", "options", "more", "region", "endpoint"]);
    assert_eq!(
        (&cluster["cluster_id"], &cluster["region"], &cluster["endpoint"]),
        (&json!(ID), &json!("eu-west-1"), &json!("https://localhost:8443"))
    );
}

#[test]
fn a_run_that_changes_nothing_writes_nothing() {
    let home = Home::new();
    home.run(Component::Dyn, "-a 10.0.0.1").expect("written");
    let indented = home.text(Component::Dyn).replace('\n', " ");
    home.write(Component::Dyn, &indented);
    home.run(Component::Dyn, "-a 10.0.0.1").expect("done");
    assert_eq!(home.text(Component::Dyn), indented);
}

#[test]
fn a_file_keeps_mode_and_links() {
    let home = Home::new();
    home.write(Component::Cli, "{}");
    let (real, link) = (home.0.path().join("real.cfg"), home.file(Component::Cli));
    fs::rename(&link, &real).expect("moved");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    home.run(Component::Cli, "-a 10.0.0.1").expect("written");
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(fs::metadata(&real).expect("there").permissions().mode() & 0o777, 0o640);
    assert!(home.text(Component::Cli).contains("10.0.0.1"));
    assert_eq!(fs::read_dir(home.0.path()).expect("listed").count(), 2, "nothing else is left");
}

#[test]
fn clusters_are_added_and_removed() {
    for component in [Component::Cli, Component::Pkcs11] {
        let home = Home::new();
        let ids = || -> Vec<Value> {
            let found = home.json(component);
            let clusters = found["clusters"].as_array().expect("a list").clone();
            clusters.iter().map(|entry| entry["cluster"]["cluster_id"].clone()).collect()
        };
        // Over the placeholder of an installation.
        home.run(component, "--log-level warn --disable-key-availability-check").expect("made");
        let add = |id: &str, more: &str| home.run(component, &format!("add-cluster --cluster-id {id} {more}"));
        add(ID, "-a 10.0.0.1 --hsm-ca-cert /srv/a.crt").expect("added");
        assert_eq!(ids(), [ID]);
        add(OTHER, "-a 10.0.0.2 10.0.0.3 --region eu-west-1").expect("added");
        assert_eq!(ids(), [ID, OTHER]);
        let found = home.json(component);
        let options = |at: usize| found["clusters"][at]["cluster"].get("options").cloned();
        assert_eq!((options(0), options(1)), (Some(json!({ "disable_key_availability_check": true })), None));
        assert_eq!(found["clusters"][0]["cluster"]["hsm_ca_file"], "/srv/a.crt");
        let ca = home.0.path().join("etc/customerCA.crt");
        assert_eq!(found["clusters"][1]["cluster"]["hsm_ca_file"], json!(ca));
        assert_eq!(found["clusters"][1]["cluster"]["servers"][1]["hostname"], "10.0.0.3");
        assert_eq!(found["logging"]["log_level"], "warn");
        let again = format!("add-cluster --cluster-id {ID} -a 10.0.0.9");
        home.refused(component, &again, &["already", "remove-cluster", ID]);
        let tool = component.tool();
        home.refused(component, "-a 10.0.0.9", &[&tool, ID, OTHER, "add-cluster"]);
        home.refused(component, "--log-level debug", &["of one cluster"]);
        home.refused(component, &format!("-a 10.0.0.9 --cluster-id {ID}"), &["of one cluster"]);
        let remove = |id: &str| home.run(component, &format!("remove-cluster --cluster-id {id}"));
        remove(ID).expect("removed");
        assert_eq!(ids(), [OTHER]);
        home.refused(component, &format!("remove-cluster --cluster-id {ID}"), &[ID, OTHER, "does not name"]);
        home.run(component, "-a 10.0.0.4").expect("there is one again");
        remove(OTHER).expect("removed");
        assert_eq!(ids(), Vec::<Value>::new());
        home.run(component, "-a 10.0.0.5").expect("made anew");
        assert_eq!(ids(), [Value::Null]);
        let nameless = format!("add-cluster --cluster-id {ID} -a 10.0.0.9");
        home.refused(component, &nameless, &["has no id", "--cluster-id ITS_ID"]);
        home.run(component, &format!("-a 10.0.0.5 --cluster-id {OTHER}")).expect("named");
        add(ID, "-a 10.0.0.1").expect("added");
        assert_eq!(ids(), [OTHER, ID]);
    }
}

#[test]
fn nobody_is_asked_for_addresses_and_that_is_said() {
    let home = Home::new();
    let goes_on = |line: &str, next: &str| home.refused(Component::Pkcs11, line, &["no control plane", ID, next]);
    let next = format!("configure-pkcs11 -a ADDRESS --cluster-id {ID}");
    goes_on(&format!("--cluster-id {ID}"), &next);
    goes_on(&format!("--cluster-id {ID} --region us-east-1 --endpoint http://localhost:1"), &next);
    let next = format!("configure-pkcs11 add-cluster -a ADDRESS --cluster-id {ID}");
    goes_on(&format!("add-cluster --cluster-id {ID}"), &next);
    assert!(!home.file(Component::Pkcs11).exists(), "nothing is made");
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let home = Home::new();
    for content in ["", "{", "[]", "{\"clusters\": 3}", "{\"clusters\": [{}]}", "{\"logging\": []}"] {
        home.write(Component::Dyn, content);
        home.refused(Component::Dyn, "-a 10.0.0.1", &["cloudhsm-dyn.cfg", "cannot be understood"]);
    }
    home.write(Component::Dyn, r#"{"clusters": [{"cluster": {"options": {"retry_mode": 1}}}]}"#);
    home.refused(Component::Dyn, "-a 10.0.0.1", &["retry_mode"]);
    home.write(Component::Dyn, &" ".repeat((1 << 20) + 1));
    home.refused(Component::Dyn, "-a 10.0.0.1", &["longer than"]);
    // What fills it to the last byte has no room for more.
    let filled = |len: usize| format!("{{\n  \"own\": \"{}\"\n}}\n", "x".repeat(len - 16));
    home.write(Component::Dyn, &filled(1 << 20));
    home.refused(Component::Dyn, "-a 10.0.0.1", &["longer than clients read"]);
    home.write(Component::Dyn, r#"{"clusters": [{"cluster": {}}, {"cluster": {}}]}"#);
    home.refused(Component::Dyn, "-a 10.0.0.1", &["of one cluster", "edit the file"]);
    let nowhere = home.0.path().join("nowhere");
    let request = read(Component::Cli, "-a 10.0.0.1").expect("a line");
    let text = configure(Tool::of(Component::Cli), &request, &nowhere).expect_err("there is no folder").to_string();
    assert!(text.contains("CLOUDHSM_HOME") && text.contains("nowhere"), "{text}");
    assert!(!nowhere.exists());
    fs::write(&nowhere, "").expect("written");
    fs::create_dir_all(home.0.path().join("file")).expect("made");
    fs::write(home.0.path().join("file/etc"), "").expect("written");
    let text = configure(Tool::of(Component::Cli), &request, &home.0.path().join("file")).expect_err("no folder");
    assert!(text.to_string().starts_with("cannot write"), "{text}");
}

#[test]
fn files_that_are_not_there_yet_and_keys_that_others_can_read_are_told() {
    let home = Home::new();
    let file = |name: &str| home.0.path().join(name);
    let line = format!(
        "-a 10.0.0.1 --hsm-ca-cert {} --client-cert-hsm-tls-file {} --client-key-hsm-tls-file {}",
        file("ca.crt").display(),
        file("client.pem").display(),
        file("client.key").display()
    );
    let told = || home.run(Component::Cli, &line).expect("written");
    assert_eq!(told().len(), 4);
    assert_eq!(told().len(), 3, "the log is as it was");
    assert_eq!(home.run(Component::Cli, "--log-type term").expect("written"), Vec::<String>::new());
    assert_eq!(home.run(Component::Cli, "--log-type file").expect("written").len(), 1);
    fs::create_dir(file("run")).expect("made");
    assert_eq!(home.run(Component::Cli, "--log-type term").expect("written"), Vec::<String>::new());
    assert_eq!(home.run(Component::Cli, "--log-type file").expect("written"), Vec::<String>::new());
    for name in ["ca.crt", "client.pem", "client.key"] {
        fs::write(file(name), "").expect("written");
        fs::set_permissions(file(name), fs::Permissions::from_mode(0o644)).expect("set");
    }
    let notes = told();
    assert!(notes.len() == 1 && notes[0].contains("chmod 600"), "{notes:?}");
    fs::set_permissions(file("client.key"), fs::Permissions::from_mode(0o600)).expect("set");
    assert_eq!(told(), Vec::<String>::new());
    assert_eq!(home.run(Component::Cli, "--log-level info").expect("written"), Vec::<String>::new());
}

#[test]
fn command_lines_are_checked() {
    let check = |component: Component, line: &str, kind: ErrorKind| {
        let error = read(component, line).map(|_| ()).expect_err(line);
        assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{component:?} {line}: {error}");
    };
    let all = |line: &str, kind: ErrorKind| Component::ALL.iter().for_each(|component| check(*component, line, kind));
    all("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    all("-a", ErrorKind::InvalidValue);
    for address in [PLACEHOLDER, "10.0.0.1:2223", "", "a/b", "hsm,other", "a b"] {
        all(&format!("-a '{address}'"), ErrorKind::ValueValidation);
    }
    all("--nonsense", ErrorKind::UnknownArgument);
    all("--region us-east-1", ErrorKind::MissingRequiredArgument);
    all("--endpoint https://localhost", ErrorKind::MissingRequiredArgument);
    all("--cluster-id nonsense", ErrorKind::ValueValidation);
    all(&format!("--cluster-id {ID} --region US"), ErrorKind::ValueValidation);
    all(&format!("--cluster-id {ID} --endpoint localhost"), ErrorKind::ValueValidation);
    all("--client-cert-hsm-tls-file f", ErrorKind::MissingRequiredArgument);
    all("--client-key-hsm-tls-file f", ErrorKind::MissingRequiredArgument);
    all("--disable-key-availability-check --enable-key-availability-check", ErrorKind::ArgumentConflict);
    all("--default-retry-mode sometimes", ErrorKind::InvalidValue);
    all("--log-type syslog", ErrorKind::InvalidValue);
    all("--log-level fatal", ErrorKind::InvalidValue);
    all("--log-rotation weekly", ErrorKind::InvalidValue);
    all("--hsm-ca-cert ''", ErrorKind::InvalidValue);
    check(Component::Cli, "add-cluster", ErrorKind::MissingRequiredArgument);
    check(Component::Cli, "remove-cluster -a 10.0.0.1", ErrorKind::UnknownArgument);
    check(Component::Cli, &format!("-a 10.0.0.1 add-cluster --cluster-id {ID}"), ErrorKind::ArgumentConflict);
    check(
        Component::OpensslProvider,
        "--server-client-cert-file f --server-client-key-file f",
        ErrorKind::UnknownArgument,
    );
}

#[test]
fn options_belong_to_tools() {
    let taken = |component: Component, line: &str| read(component, line).is_ok();
    let check = |line: &str, of: &[Component]| {
        for component in Component::ALL {
            assert_eq!(taken(component, line), of.contains(&component), "{component:?} {line}");
        }
    };
    check("-a 10.0.0.1", &Component::ALL);
    check("--enable-certificate-storage", &[Component::Pkcs11]);
    check("--disable-clear-key-extraction-in-software", &[Component::Jce]);
    check("--enable-ecdh-without-kdf", &[Component::Pkcs11, Component::Jce]);
    check(&format!("add-cluster --cluster-id {ID}"), &[Component::Cli, Component::Pkcs11]);
    check(&format!("remove-cluster --cluster-id {ID}"), &[Component::Cli, Component::Pkcs11]);
    let older = "--server-client-cert-file c --server-client-key-file k";
    check(older, &[Component::Cli, Component::Pkcs11, Component::Dyn, Component::Jce]);
}

/// What is written means to clients what the command line said.
#[test]
fn clients_read_what_is_written() {
    let home = Home::new();
    let ca = strongroom_crypto::certificates::CustomerCa::generate(1_700_000_000);
    fs::create_dir(home.0.path().join("etc")).expect("made");
    fs::write(home.0.path().join("etc/customerCA.crt"), ca.certificate().to_pem()).expect("written");
    let read = || strongroom_client::Config::read(&home.file(Component::Pkcs11));
    home.run(Component::Pkcs11, "--log-level debug").expect("made");
    let text = read().expect_err("nobody said where the HSMs are").to_string();
    assert!(text.contains("Config key hostname has invalid value") && text.contains("configure-pkcs11 -a"), "{text}");
    home.run(Component::Pkcs11, "-a 10.0.0.1 fd00::1").expect("written");
    let config = read().expect("a configuration");
    assert_eq!(config.clusters[0].servers, ["10.0.0.1", "fd00::1"].map(strongroom_client::Server::new));
    assert_eq!(config.clusters[0].settings, strongroom_client::Settings::default());
    assert_eq!((config.logging.kind, config.logging.level), (LogKind::File, Level::Debug));
    let line = format!(
        "-a 10.0.0.2 --cluster-id {ID} --disable-key-availability-check --disable-validate-key-at-init \
         --enable-certificate-storage --enable-ecdh-without-kdf --default-retry-mode off --log-type term \
         --log-rotation never"
    );
    home.run(Component::Pkcs11, &line).expect("written");
    let config = read().expect("a configuration");
    let cluster = &config.clusters[0];
    assert_eq!(cluster.cluster_id.as_ref().map(ToString::to_string).as_deref(), Some(ID));
    for setting in Setting::ALL {
        let changed = setting != Setting::ClearKeyExtraction;
        assert_eq!(cluster.settings.is_on(setting), setting.by_default() != changed, "{setting:?}");
    }
    assert_eq!((cluster.retry, config.logging.kind), (RetryMode::Off, LogKind::Term));
    assert_eq!(config.logging.interval, Rotation::Never);
}

#[test]
fn every_screen_teaches() {
    for tool in TOOLS {
        let mut tree = tool.tree();
        tree.clone().debug_assert();
        tree.build();
        let program = tool.component.tool();
        let mut commands: Vec<_> = tree.get_subcommands().filter(|command| command.get_name() != "help").collect();
        commands.push(&tree);
        for command in commands {
            for option in command.get_arguments() {
                assert!(option.get_help().is_some_and(|help| !help.to_string().is_empty()), "{}", option.get_id());
            }
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.lines().filter(|line| line.starts_with("  ")).all(|line| line.len() <= 80), "{help}");
            let joined = help.replace("\\\n", "");
            let examples = joined.lines().filter_map(|line| {
                let line = line.trim();
                line.strip_prefix("sudo ").unwrap_or(line).strip_prefix(&format!("{program} "))
            });
            let read =
                examples.map(|line| read(tool.component, line).unwrap_or_else(|error| panic!("{line}: {error}")));
            assert!(read.count() > 0, "{program} {} has no example", command.get_name());
        }
        let shows = |line: &str, part: &str| {
            let error = super::tests::read(tool.component, line).map(|_| ()).expect_err("help is no request");
            assert_eq!(error.exit_code(), 0, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        };
        shows("--help", "--hsm-ca-cert <FILE>");
        shows("-h", "-a <ADDRESS>...");
        shows("--version", &program);
        shows("-V", &program);
    }
}
