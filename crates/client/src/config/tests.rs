use std::fs;

use strongroom_crypto::certificates::CustomerCa;

use super::*;
use crate::logging::{Level, LogKind, Rotation};

/// A folder with a configuration of this content and a CA beside it.
fn folder(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloudhsm-pkcs11.cfg");
    fs::write(&path, content).unwrap();
    let ca = CustomerCa::generate(1_700_000_000);
    fs::write(folder.path().join("customerCA.crt"), ca.certificate().to_pem()).unwrap();
    (folder, path)
}

fn cluster(inside: &str) -> String {
    format!(r#"{{"cluster": {{"hsm_ca_file": "customerCA.crt", "servers": [{{"hostname": "10.0.0.1"}}]{inside}}}}}"#)
}

fn with_clusters(clusters: &[String]) -> String {
    format!(r#"{{"clusters": [{}]}}"#, clusters.join(","))
}

fn read(content: &str) -> Result<Config, ConfigError> {
    let (_folder, path) = folder(content);
    Config::read(&path)
}

#[test]
fn the_file_that_the_original_tools_write_is_understood() {
    let (folder, path) = folder("");
    let ca = folder.path().join("customerCA.crt");
    let content = r#"{
      "clusters": [{
        "type": "hsm1",
        "cluster": {
          "cluster_id": "cluster-2345abcdefg",
          "hsm_ca_file": "CA",
          "servers": [
            { "hostname": "10.0.1.10", "port": 2223, "enable": true },
            { "hostname": "10.0.2.10", "port": 2224, "enable": true },
            { "hostname": "hsm.example", "port": 1, "enable": false }
          ],
          "options": { "disable_key_availability_check": true, "something_new": 1 }
        }
      }],
      "logging": { "log_type": "file", "log_file": "/run/x.log", "log_level": "debug", "log_interval": "never" },
      "something_else": {}
    }"#;
    fs::write(&path, content.replace("\"CA\"", &format!("{:?}", ca.display().to_string()))).unwrap();
    let config = Config::read(&path).unwrap();
    let server = |address: &str, port| Server { address: address.into(), port };
    let expected = ClusterConfig {
        cluster_id: Some("cluster-2345abcdefg".parse().unwrap()),
        servers: vec![server("10.0.1.10", 2223), server("10.0.2.10", 2224)],
        ca_pem: fs::read(&ca).unwrap(),
        ca_path: Some(ca),
        certificate: None,
        settings: Settings::default().with(Setting::KeyAvailabilityCheck, false),
        retry: RetryMode::Standard,
    };
    assert_eq!(config.clusters, [expected]);
    let logging = Logging {
        kind: LogKind::File,
        file: Some("/run/x.log".into()),
        level: Level::Debug,
        interval: Rotation::Never,
    };
    assert_eq!(config.logging, logging);
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let config = read(&with_clusters(&[cluster("")])).unwrap();
    let only = ClusterConfig::select(&config, None).unwrap();
    assert_eq!((only.cluster_id.clone(), only.settings, only.retry), (None, Settings::default(), RetryMode::Standard));
    assert_eq!(only.servers, [Server { address: "10.0.0.1".into(), port: 2223 }]);
    assert_eq!(
        (config.logging.kind, config.logging.file),
        (LogKind::File, Some(home().join("run/cloudhsm-pkcs11.log")))
    );
    assert_eq!((config.logging.level, config.logging.interval), (Level::Info, Rotation::Daily));
    let off = read(&with_clusters(&[cluster(r#", "options": {"retry_mode": "off"}"#)])).unwrap();
    assert_eq!(off.clusters[0].retry, RetryMode::Off);
}

#[test]
fn only_what_openssl_loads_logs_to_the_terminal_unless_told() {
    let (folder, path) = folder(&with_clusters(&[cluster("")]));
    for component in ["cli", "dyn", "jce", "openssl-provider"] {
        let own = folder.path().join(format!("cloudhsm-{component}.cfg"));
        fs::copy(&path, &own).unwrap();
        let expected = if matches!(component, "cli" | "jce") { LogKind::File } else { LogKind::Term };
        let logging = Config::read(&own).unwrap().logging;
        assert_eq!((logging.kind, logging.file.is_some()), (expected, expected == LogKind::File), "{component}");
    }
    let told = format!(r#"{{"clusters": [{}], "logging": {{"log_file": "/x.log"}}}}"#, cluster(""));
    fs::write(folder.path().join("cloudhsm-dyn.cfg"), told).unwrap();
    let logging = Config::read(&folder.path().join("cloudhsm-dyn.cfg")).unwrap().logging;
    assert_eq!((logging.kind, logging.file), (LogKind::File, Some("/x.log".into())));
}

#[test]
fn every_fault_names_its_place_and_its_remedy() {
    let check = |content: &str, parts: &[&str]| {
        let text = read(content).unwrap_err().to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    };
    let here = "cloudhsm-pkcs11.cfg";
    let tool = "configure-pkcs11";
    check("", &[here, tool]);
    check("{ \"clusters\": [", &[here, tool, "line 1"]);
    check("[]", &[here, tool]);
    check("{}", &[here, "names no HSM", tool]);
    check(&with_clusters(&["{}".into()]), &[here, "cluster"]);
    check(&with_clusters(&[cluster(r#", "servers": []"#)]), &["duplicate"]);
    let servers = |servers: &str| with_clusters(&[format!(r#"{{"cluster": {{"servers": [{servers}]}}}}"#)]);
    check(&servers(""), &[here, "names no HSM"]);
    check(&servers(r#"{"hostname": "10.0.0.1", "enable": false}"#), &[here, "names no HSM"]);
    check(&servers(r#"{"hostname": "10.0.0.1", "port": 70000}"#), &[here, "70000"]);
    for bad in ["%%HSM_IP_ADDRESS%%", "", "10.0.0.1 ", "a b", "-a", "10.0.0.1:2223", "a/b", "hsm\\n"] {
        check(&servers(&format!(r#"{{"hostname": "{bad}"}}"#)), &["Config key hostname has invalid value", tool]);
    }
    check(&with_clusters(&[cluster(r#", "cluster_id": "cluster-1""#)]), &["cluster_id", "cluster-"]);
    check(&with_clusters(&[cluster(r#", "options": {"retry_mode": "sometimes"}"#)]), &[here, "sometimes"]);
}

#[test]
fn a_configuration_at_and_above_its_limit() {
    let written = with_clusters(&[cluster("")]);
    let max = usize::try_from(CONFIG_LEN_MAX).unwrap();
    let of = |len: usize| format!("{written}{}", " ".repeat(len - written.len()));
    assert!(read(&of(max - 1)).is_ok() && read(&of(max)).is_ok());
    assert!(matches!(read(&of(max + 1)), Err(ConfigError::TooLong { max: CONFIG_LEN_MAX, .. })));
}

#[test]
fn missing_files_are_named() {
    let (folder, path) = folder(&with_clusters(&[cluster("")]));
    fs::remove_file(folder.path().join("customerCA.crt")).unwrap();
    let text = Config::read(&path).unwrap_err().to_string();
    assert!(text.contains(&folder.path().join("customerCA.crt").display().to_string()), "{text}");
    let nowhere = folder.path().join("etc/cloudhsm-dyn.cfg");
    let text = Config::read(&nowhere).unwrap_err().to_string();
    assert!(text.contains(&nowhere.display().to_string()) && text.contains("configure-dyn -a"), "{text}");
    assert!(Config::read(folder.path()).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn a_cluster_is_chosen_by_its_id_or_by_being_the_only_one() {
    let named = |tail: char| cluster(&format!(r#", "cluster_id": "cluster-aaaaaaaaaa{tail}""#));
    let id = |tail: char| format!("cluster-aaaaaaaaaa{tail}").parse::<ClusterId>().unwrap();
    let two = read(&with_clusters(&[named('a'), named('b')])).unwrap();
    let chosen = |config: &Config, wanted: Option<char>| {
        let wanted = wanted.map(id);
        ClusterConfig::select(config, wanted.as_ref()).map(|cluster| cluster.cluster_id.clone())
    };
    assert_eq!(chosen(&two, Some('b')).unwrap(), Some(id('b')));
    let several = chosen(&two, None).unwrap_err().to_string();
    assert!(several.contains("--cluster-id") && several.contains(id('a').as_str()), "{several}");
    let unknown = chosen(&two, Some('c')).unwrap_err().to_string();
    assert!(unknown.contains(id('c').as_str()) && unknown.contains(id('b').as_str()), "{unknown}");
    let one = read(&with_clusters(&[named('a')])).unwrap();
    assert_eq!(chosen(&one, None).unwrap(), Some(id('a')));
    assert!(chosen(&one, Some('b')).is_err());
    let nameless = read(&with_clusters(&[cluster("")])).unwrap();
    assert_eq!(chosen(&nameless, Some('b')).unwrap(), None);
}

#[test]
fn the_home_is_moved_by_its_variable_unless_the_program_has_anothers_rights() {
    let check = |variable: Option<&str>, secure_mode, expected: &str| {
        assert_eq!(home_of(variable.map(Into::into), secure_mode), PathBuf::from(expected));
    };
    check(None, false, "/opt/cloudhsm");
    check(Some("/srv/x"), false, "/srv/x");
    check(Some(""), false, "/opt/cloudhsm");
    check(Some("/srv/x"), true, "/opt/cloudhsm");
}

#[test]
fn a_client_certificate_comes_with_its_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let pair = r#", "client_cert_path": "c.pem", "client_key_path": "k.pem""#;
    let (folder, path) = folder(&with_clusters(&[cluster(pair)]));
    let file = |name: &str| folder.path().join(name);
    let mode = |mode| fs::set_permissions(file("k.pem"), fs::Permissions::from_mode(mode)).unwrap();
    let text = Config::read(&path).unwrap_err().to_string();
    assert!(text.contains(&file("c.pem").display().to_string()) && text.contains("mutual TLS"), "{text}");
    fs::write(file("c.pem"), "a certificate").unwrap();
    let text = Config::read(&path).unwrap_err().to_string();
    assert!(text.contains(&file("k.pem").display().to_string()), "{text}");
    fs::write(file("k.pem"), "a key").unwrap();
    for (bits, is_key_exposed) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o611, false)] {
        mode(bits);
        let expected = ClientCertificate {
            chain_pem: b"a certificate".to_vec(),
            chain_path: file("c.pem"),
            key_pem: Secret::from(&b"a key"[..]),
            key_path: file("k.pem"),
            is_key_exposed,
        };
        assert_eq!(Config::read(&path).unwrap().clusters[0].certificate, Some(expected), "{bits:o}");
    }
    let max = usize::try_from(CLIENT_FILE_LEN_MAX).unwrap();
    for name in ["c.pem", "k.pem"] {
        for (len, fits) in [(max - 1, true), (max, true), (max + 1, false)] {
            fs::write(file(name), vec![b'x'; len]).unwrap();
            assert_eq!(Config::read(&path).is_ok(), fits, "{name} of {len}");
        }
        fs::write(file(name), "short").unwrap();
    }
    for one in [r#", "client_cert_path": "c.pem""#, r#", "client_key_path": "k.pem""#] {
        let text = read(&with_clusters(&[cluster(one)])).unwrap_err().to_string();
        assert!(text.contains("needs both or none") && text.contains("configure-pkcs11"), "{text}");
    }
}
