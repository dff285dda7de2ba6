//! What `up` and `status` print: one object in JSON, or a page for people.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::state::{ClusterFile, Credentials, StateFolder};

/// The state of a cluster none of whose HSMs runs.
pub const STATE_DOWN: &str = "DOWN";
/// The state of an active cluster some of whose HSMs do not serve; the API's word.
pub const STATE_DEGRADED: &str = "DEGRADED";

/// A cluster, in the order of fields that programs rely on.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The cluster's id.
    pub cluster_id: String,
    /// `ACTIVE` and the other states that HSMs tell, [`STATE_DEGRADED`] or [`STATE_DOWN`].
    pub state: String,
    /// What clients take as `CLOUDHSM_HOME`, absolute.
    pub home: String,
    /// The HSMs.
    pub hsms: Vec<HsmReport>,
    /// The first admin.
    pub admin: UserReport,
    /// The first crypto user; null when `credentials.json` was removed.
    pub crypto_user: Option<UserReport>,
    /// The CA's certificate, absolute.
    pub customer_ca: String,
    /// The cluster that this one began with; absent when it began empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_of: Option<String>,
}

/// One HSM.
#[derive(Debug, Serialize)]
pub struct HsmReport {
    /// Its id.
    pub hsm_id: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Its process; null when it does not run.
    pub pid: Option<u32>,
    /// Its zone.
    pub availability_zone: String,
    /// What it does now; `status` only.
    #[serde(flatten)]
    pub work: Option<HsmWork>,
}

/// What an HSM does.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HsmWork {
    /// Whether it answers clients.
    pub serving: bool,
    /// Signatures since it started.
    pub signatures: u64,
    /// Connections of clients now.
    pub connections: u32,
    /// The revision it has applied.
    pub applied_revision: u64,
    /// Why it does not serve; or if it does, what kept it from the store when it last asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One user.
#[derive(Serialize)]
pub struct UserReport {
    /// The name.
    pub username: String,
    /// `up`: the password as it was when the cluster was made, null if it is not kept. `status`: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Option<String>>,
}

impl std::fmt::Debug for UserReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserReport({})", self.username)
    }
}

impl Report {
    /// A report of this cluster; `hsms` is what was found about its HSMs, in their order.
    pub fn new(
        folder: &StateFolder,
        cluster: &ClusterFile,
        credentials: Option<&Credentials>,
        state: &str,
        hsms: Vec<(Option<u32>, Option<HsmWork>)>,
    ) -> Report {
        let user = |login: &crate::state::Login| UserReport { username: login.name.to_string(), password: None };
        Report {
            cluster_id: cluster.cluster_id.to_string(),
            state: state.to_owned(),
            home: text(&folder.home()),
            hsms: cluster
                .hsms
                .iter()
                .zip(hsms)
                .map(|(hsm, (pid, work))| HsmReport {
                    hsm_id: hsm.hsm_id.to_string(),
                    ip: hsm.ip.to_string(),
                    port: hsm.port,
                    pid,
                    availability_zone: hsm.availability_zone.clone(),
                    work,
                })
                .collect(),
            admin: credentials.map_or_else(
                || UserReport { username: crate::settings::ADMIN_NAME.to_owned(), password: None },
                |credentials| user(&credentials.admin),
            ),
            crypto_user: credentials.map(|credentials| user(&credentials.crypto_user)),
            customer_ca: text(&folder.ca().join("customerCA.crt")),
            clone_of: cluster.clone_of.as_ref().map(|origin| origin.cluster_id.to_string()),
        }
    }

    /// The same with passwords.
    pub fn with_passwords(mut self, credentials: Option<&Credentials>) -> Report {
        self.admin.password = Some(credentials.map(|kept| kept.admin.password_text().to_owned()));
        if let (Some(user), Some(kept)) = (&mut self.crypto_user, credentials) {
            user.password = Some(Some(kept.crypto_user.password_text().to_owned()));
        }
        self
    }

    /// One JSON object and a line's end.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a struct of texts and numbers is JSON") + "\n"
    }

    /// What `up` says to a person.
    pub fn ready_text(&self, folder: &StateFolder, cluster: &ClusterFile) -> String {
        let mut text = format!("The cluster is ready.\n\n{}", self.overview(folder, cluster));
        let home = quoted(&self.home);
        let pin = self.crypto_user.as_ref().map(|user| {
            let password = user.password.clone().flatten().unwrap_or_default();
            quoted(&format!("{}:{password}", user.username))
        });
        let pin = pin.unwrap_or_else(|| "USER:PASSWORD".to_owned());
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "
Use it:
  export CLOUDHSM_HOME={home}
  export CLOUDHSM_PIN={pin} CLOUDHSM_ROLE=crypto-user
  export OPENSSL_ENGINES=$CLOUDHSM_HOME/engines-3
  $CLOUDHSM_HOME/bin/cloudhsm-cli interactive
  openssl genrsa -engine cloudhsm -out web-server.pem 2048
  pkcs11-tool --module $CLOUDHSM_HOME/lib/libcloudhsm_pkcs11.so --login --pin \"$CLOUDHSM_PIN\" --list-objects

What runs:     strongroom status --state {state}
Stop:          strongroom down --state {state}
Start again:   strongroom up --state {state}

Everything here runs as one user, who can read the root key: made for development and tests.
",
            state = quoted(&self::text(folder.root())),
        );
        text
    }

    /// What `status` says to a person.
    pub fn status_text(&self, folder: &StateFolder, cluster: &ClusterFile) -> String {
        self.overview(folder, cluster)
    }

    fn overview(&self, folder: &StateFolder, cluster: &ClusterFile) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<13} {value}");
        };
        line("cluster", &format!("{}  {}  {}  {}", self.cluster_id, self.state, cluster.hsm_type, cluster.mode));
        if let Some(origin) = &self.clone_of {
            line("clone of", origin);
        }
        for hsm in &self.hsms {
            line("HSM", &hsm.line());
        }
        let user = |user: &UserReport| match &user.password {
            Some(Some(password)) => format!("{}  {password}", user.username),
            Some(None) => format!("{}  (password not kept here)", user.username),
            None => user.username.clone(),
        };
        line("admin", &user(&self.admin));
        if let Some(found) = &self.crypto_user {
            line("crypto user", &user(found));
        }
        line("client folder", &self.home);
        line("customer CA", &self.customer_ca);
        line("state folder", &self::text(folder.root()));
        text
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl HsmReport {
    fn line(&self) -> String {
        let address = format!("{}:{}", self.ip, self.port);
        let pid = self.pid.map_or("not running".to_owned(), |pid| format!("process {pid}"));
        let mut line = format!("{}  {address:<20}  {}  {pid}", self.hsm_id, self.availability_zone);
        if let Some(work) = &self.work
            && self.pid.is_some()
        {
            let serving = match (work.serving, work.reason.as_str()) {
                (true, "") => "serves".to_owned(),
                (true, reason) => format!("serves; when it last asked: {reason}"),
                (false, "") => "does not serve".to_owned(),
                (false, reason) => format!("does not serve: {reason}"),
            };
            let _ = write!(
                line,
                ", {serving}, {}, {}, revision {}",
                count(work.signatures, "signature"),
                count(work.connections.into(), "connection"),
                work.applied_revision
            );
        }
        line
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// For a POSIX shell: as it is where that is safe, otherwise in single quotes.
pub fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType, Password, Secret};

    use super::*;
    use crate::state::{HsmEntry, Login, NewCluster};

    fn sample() -> (tempfile::TempDir, StateFolder, ClusterFile, Credentials) {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let hsm = HsmEntry {
            hsm_id: HsmId::from_random([1; 7]),
            ip: Ipv4Addr::new(127, 9, 9, 1),
            port: 2223,
            availability_zone: "lo-central-1a".to_owned(),
        };
        let new = NewCluster {
            cluster_id: ClusterId::from_random([7; 7]),
            hsm_type: HsmType::Hsm2mMedium,
            mode: ClusterMode::Fips,
            lease_ms: 10_000,
            password_iterations: 210_000,
        };
        let login = |name: &str, password: &str| Login {
            name: name.parse().expect("a name"),
            password: Password::new(Secret::from(password.as_bytes())).expect("a password"),
        };
        let credentials = Credentials { admin: login("admin", "hunter22"), crypto_user: login("alice", "hunter'33") };
        (place, folder, ClusterFile::new(new, vec![hsm]), credentials)
    }

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn up_prints_exactly_these_fields() {
        let (_place, folder, cluster, credentials) = sample();
        let report = Report::new(&folder, &cluster, Some(&credentials), "ACTIVE", vec![(Some(7), None)])
            .with_passwords(Some(&credentials));
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(keys(&json), ["cluster_id", "state", "home", "hsms", "admin", "crypto_user", "customer_ca"]);
        assert_eq!(keys(&json["hsms"][0]), ["hsm_id", "ip", "port", "pid", "availability_zone"]);
        assert_eq!(keys(&json["admin"]), ["username", "password"]);
        assert_eq!(json["crypto_user"], serde_json::json!({ "username": "alice", "password": "hunter'33" }));
        assert!(!format!("{report:?}").contains("hunter"));
        assert!(report.ready_text(&folder, &cluster).contains(r"export CLOUDHSM_PIN='alice:hunter'\''33'"));
    }

    #[test]
    fn status_prints_no_password_and_what_each_hsm_does() {
        let (_place, folder, cluster, credentials) = sample();
        let work =
            HsmWork { serving: true, signatures: 41, connections: 1, applied_revision: 9, reason: String::new() };
        let report = Report::new(&folder, &cluster, Some(&credentials), "ACTIVE", vec![(Some(7), Some(work))]);
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        let expected = ["hsm_id", "ip", "port", "pid", "availability_zone", "serving", "signatures", "connections"];
        assert_eq!(keys(&json["hsms"][0])[..8], expected);
        assert_eq!(json["hsms"][0]["applied_revision"], 9);
        assert_eq!(keys(&json["admin"]), ["username"]);
        let text = report.status_text(&folder, &cluster);
        assert!(text.contains("process 7, serves, 41 signatures, 1 connection, revision 9"), "{text}");
        assert!(!report.json().contains("hunter") && !text.contains("hunter"));
    }

    #[test]
    fn passwords_that_are_not_kept_are_null() {
        let (_place, folder, cluster, _) = sample();
        let report = Report::new(&folder, &cluster, None, "ACTIVE", vec![(Some(7), None)]).with_passwords(None);
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(json["admin"], serde_json::json!({ "username": "admin", "password": null }));
        assert_eq!(json["crypto_user"], serde_json::Value::Null);
        assert!(report.ready_text(&folder, &cluster).contains("password not kept here"));
    }

    #[test]
    fn shells_read_back_what_is_quoted() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("/home/a/.strongroom", "/home/a/.strongroom");
        check("", "''");
        check("a b", "'a b'");
        check("$x", "'$x'");
        check("it's", r"'it'\''s'");
    }
}
