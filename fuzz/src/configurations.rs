//! Clients' configuration files as the `configure-*` tools rewrite them: a command line, and behind its line's end the file.

use serde_json::{Map, Value};
use strongroom_cli::configure::{Component, rewrite};
use strongroom_client::{Document, config_of};

/// The target.
pub fn run(data: &[u8]) {
    let Some((line, content)) = halves(data) else { return };
    let path = std::path::Path::new("cloudhsm-cli.cfg");
    let Ok(before) = Document::parse(content, path) else {
        assert!(config_of(content).is_err(), "clients read what the tools cannot");
        return;
    };
    let mut words = line.split_whitespace().map(str::to_owned);
    let tool = words.next().unwrap_or_default();
    let component = Component::ALL.into_iter().find(|component| component.tool() == tool).unwrap_or(Component::Cli);
    let arguments: Vec<String> = words.collect();
    let Some(after) = rewrite(component, &arguments, content) else { return };
    let Some(text) = after.to_text() else { return };
    assert_eq!(Document::parse(text.as_bytes(), path).ok().as_ref(), Some(&after), "it reads back");
    let (old, new) = (root(content), root(text.as_bytes()));
    unknown_stay(&old, &new, &["clusters", "logging"]);
    let removes = arguments.first().is_some_and(|first| first == "remove-cluster");
    if !removes && config_of(content).is_ok() {
        assert!(config_of(text.as_bytes()).is_ok(), "clients no longer read it: {text}");
    }
    // The same again changes nothing, unless it is refused the second time.
    if let Some(again) = rewrite(component, &arguments, text.as_bytes()) {
        assert_eq!(again, after);
    }
    if arguments.is_empty() {
        assert_eq!(before, after);
    }
    if let (Some(old), Some(new)) = (only(&old), only(&new)) {
        unknown_stay(old, new, &["cluster"]);
        let known = [
            "cluster_id",
            "hsm_ca_file",
            "servers",
            "options",
            "client_cert_path",
            "client_key_path",
            "region",
            "endpoint",
        ];
        if let (Some(old), Some(new)) = (inside(old), inside(new))
            && !removes
            && arguments.first().is_none_or(|first| first != "add-cluster")
        {
            unknown_stay(old, new, &known);
        }
    }
}

/// The command line, and the file behind its end.
fn halves(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}

fn root(content: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(content).expect("a configuration is an object")
}

fn only(root: &Map<String, Value>) -> Option<&Map<String, Value>> {
    match root.get("clusters")?.as_array()?.as_slice() {
        [only] => only.as_object(),
        _ => None,
    }
}

fn inside(entry: &Map<String, Value>) -> Option<&Map<String, Value>> {
    entry.get("cluster")?.as_object()
}

/// Every other key has its value, and all that were there have their order.
fn unknown_stay(old: &Map<String, Value>, new: &Map<String, Value>, known: &[&str]) {
    for (name, value) in old.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        assert_eq!(new.get(name), Some(value), "{name}");
    }
    let kept: Vec<_> = new.keys().filter(|name| old.contains_key(*name)).collect();
    let expected: Vec<_> = old.keys().filter(|name| new.contains_key(*name)).collect();
    assert_eq!(kept, expected);
}

/// To begin with: each tool, each kind of option, files of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "configure-cli -a 10.0.0.1 hsm.example",
        "configure-cli -a fd00::1 --cluster-id cluster-2345abcdefg --region eu-west-1 --endpoint https://localhost:1",
        "configure-cli add-cluster --cluster-id cluster-765432edcba -a 10.0.0.2 --hsm-ca-cert /b.crt",
        "configure-pkcs11 remove-cluster --cluster-id cluster-2345abcdefg",
        "configure-pkcs11 --enable-certificate-storage --disable-key-availability-check --default-retry-mode off",
        "configure-dyn --client-cert-hsm-tls-file /c.pem --client-key-hsm-tls-file /k.pem --hsm-ca-cert /ca.crt",
        "configure-jce --enable-clear-key-extraction-in-software --log-type term --log-file /x --log-level warn",
        "configure-openssl-provider --disable-validate-key-at-init --log-rotation hourly",
    ];
    let files = [
        "{}",
        r#"{"clusters": [], "own": 1}"#,
        r#"{"clusters": [{"type": "hsm1", "cluster": {"servers": [{"hostname": "%%HSM_IP_ADDRESS%%"}]}}]}"#,
        r#"{"a": {"b": [1.5, null]}, "clusters": [{"own": true, "cluster": {"own": [], "cluster_id": "cluster-2345abcdefg",
            "hsm_ca_file": "/ca.crt", "servers": [{"hostname": "10.0.0.9", "port": 2224, "enable": true, "own": 1}],
            "options": {"disable_key_availability_check": "True", "retry_mode": "standard", "own": {}}}, "type": "hsm2m"}],
            "logging": {"own": 1, "log_type": "file", "log_level": "info", "log_interval": "daily"}}"#,
        r#"{"clusters": [{"cluster": {"cluster_id": "cluster-2345abcdefg", "servers": [{"hostname": "a"}]}},
            {"cluster": {"cluster_id": "cluster-abcdefghijk", "servers": [{"hostname": "b"}]}}]}"#,
    ];
    let pairs = lines.iter().flat_map(|line| files.iter().map(move |file| format!("{line}\n{file}").into_bytes()));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_rewritten() {
        let rewritten = seeds().into_iter().filter(|seed| {
            let (line, content) = halves(seed).unwrap();
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let component = Component::ALL.into_iter().find(|component| component.tool() == words[0]).unwrap();
            rewrite(component, &words[1..], content).is_some()
        });
        assert!(rewritten.count() >= 25);
    }
}
