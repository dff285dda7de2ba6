//! What a run of the tool keeps: the configuration, and a client for each cluster that was used.

use std::env;
use std::ffi::OsString;

use strongroom_client::{Client, ClientError, ClientName, ClusterConfig, Component, Config, Log};
use strongroom_types::{ClusterId, Password, Role, Secret, UserName};

use crate::arguments::Between;
use crate::error::ExpectedError;

/// Whether a command needs somebody to be logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does.
    Login,
    /// It does not.
    Nothing,
}

/// One run.
pub struct Session {
    /// The cluster that was named when the tool was started.
    default: Option<ClusterId>,
    config: Option<Config>,
    /// The one used last stands last.
    clients: Vec<(Option<ClusterId>, Client)>,
    environment: bool,
}

impl Session {
    /// Nothing is read yet.
    pub fn new(default: Option<ClusterId>) -> Session {
        Session { default, config: None, clients: Vec::new(), environment: false }
    }

    /// Commands that need a login make it from the environment: single-command mode.
    pub fn use_environment(&mut self) {
        self.environment = true;
    }

    /// Reads the configuration, and looks whether it has the cluster that was named at the start.
    pub fn check(&mut self) -> Result<(), ExpectedError> {
        let default = self.default.clone();
        let config = self.config()?;
        if default.is_some() {
            ClusterConfig::select(config, default.as_ref())?;
        }
        Ok(())
    }

    fn config(&mut self) -> Result<&Config, ExpectedError> {
        let config = match self.config.take() {
            Some(config) => config,
            None => Config::load(Component::Cli)?,
        };
        Ok(self.config.insert(config))
    }

    /// The client of a cluster: the one named, the one named at the start, or the only one.
    pub fn client(&mut self, named: Option<&ClusterId>, need: Need) -> Result<Client, ExpectedError> {
        let wanted = named.or(self.default.as_ref()).cloned();
        let client = self.opened(wanted.as_ref())?;
        match need {
            Need::Nothing => {}
            Need::Login if self.environment => {
                let variable = |name| (name, env::var_os(name));
                let (user, role, password) = credentials(variable("CLOUDHSM_ROLE"), variable("CLOUDHSM_PIN"))?;
                client.set_credentials(user, role, password);
            }
            // Said before anybody is asked for a new password.
            Need::Login if client.logged_in().is_none() => return Err(ClientError::NoCredentials.into()),
            Need::Login => {}
        }
        Ok(client)
    }

    /// Refuses to go from a cluster to the same one.
    pub fn check_between(&self, between: &Between) -> Result<(), ExpectedError> {
        let is_one = between.source_cluster_id == between.destination_cluster_id;
        if is_one { Err(ExpectedError::SameCluster) } else { Ok(()) }
    }

    /// The client of the cluster that something is copied to, with its own login.
    pub fn destination(&mut self, between: &Between) -> Result<Client, ExpectedError> {
        let cluster = &between.destination_cluster_id;
        let client = self.opened(Some(cluster))?;
        if self.environment {
            let variable = |name| (name, env::var_os(name));
            let (role, pin) = (variable("DESTINATION_CLOUDHSM_ROLE"), variable("DESTINATION_CLOUDHSM_PIN"));
            let (user, role, password) = credentials(role, pin)?;
            client.set_credentials(user, role, password);
        } else if client.logged_in().is_none() {
            return Err(ExpectedError::NobodyAt(cluster.clone()));
        }
        Ok(client)
    }

    /// The client of a cluster, which is then the last in the list.
    fn opened(&mut self, wanted: Option<&ClusterId>) -> Result<Client, ExpectedError> {
        let config = self.config()?;
        let cluster = ClusterConfig::select(config, wanted)?.clone();
        let logging = config.logging.clone();
        let key = cluster.cluster_id.clone();
        let client = match self.clients.iter().position(|(of, _)| *of == key) {
            Some(known) => self.clients.remove(known).1,
            None => Client::open_with_log(cluster, ClientName::new("cloudhsm-cli"), Log::new(&logging))?,
        };
        self.clients.push((key, client.clone()));
        Ok(client)
    }

    /// The clusters of the configuration that have an id, as far as it was read.
    pub fn cluster_ids(&self) -> Vec<String> {
        let clusters = self.config.iter().flat_map(|config| &config.clusters);
        clusters.filter_map(|cluster| cluster.cluster_id.as_ref().map(ToString::to_string)).collect()
    }

    /// What stands before a line of the shell: with several clusters, who is logged in on the one that the next command
    /// means, or on the one that was used last.
    pub fn prompt(&self) -> String {
        let several = self.config.as_ref().is_some_and(|config| config.clusters.len() > 1);
        let meant = |of: &Option<ClusterId>| several && (self.default.is_none() || *of == self.default);
        let mut latest_first = self.clients.iter().rev().filter(|(of, _)| meant(of));
        let login = latest_first.find_map(|(of, client)| Some((of.as_ref()?, client.logged_in()?.user_name)));
        prompt_text(login)
    }
}

fn prompt_text(login: Option<(&ClusterId, UserName)>) -> String {
    match login {
        Some((cluster, user)) => format!("{user}@{cluster} > "),
        None => "aws-cloudhsm > ".to_owned(),
    }
}

/// A variable of the environment: its name and its value.
type Variable = (&'static str, Option<OsString>);

/// Who the environment says.
fn credentials(role: Variable, pin: Variable) -> Result<(UserName, Role, Password), ExpectedError> {
    let ((variable, role), (pin_variable, pin)) = (role, pin);
    let role = role.ok_or(ExpectedError::EnvironmentMissing { variable })?;
    let role = role.to_str().and_then(|text| text.parse().ok()).ok_or(ExpectedError::EnvironmentRole { variable })?;
    let variable = pin_variable;
    let pin = pin.ok_or(ExpectedError::EnvironmentMissing { variable })?;
    let (user, password) =
        pin.to_str().and_then(|text| text.split_once(':')).ok_or(ExpectedError::EnvironmentPin { variable })?;
    Ok((user.parse()?, role, Password::for_login(Secret::from(password.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_the_guides() {
        let cluster: ClusterId = "cluster-234567abcde".parse().unwrap();
        assert_eq!(prompt_text(None), "aws-cloudhsm > ");
        let user = "crypto-user-1".parse().unwrap();
        assert_eq!(prompt_text(Some((&cluster, user))), "crypto-user-1@cluster-234567abcde > ");
    }

    #[test]
    fn the_environment_names_role_user_and_password() {
        let check = |role: Option<&str>, pin: Option<&str>, expected: &str| {
            let variable = |name, value: Option<&str>| (name, value.map(OsString::from));
            let outcome = credentials(variable("CLOUDHSM_ROLE", role), variable("CLOUDHSM_PIN", pin));
            let said = match outcome {
                Ok((user, role, password)) => format!("{user} {role} {}", String::from_utf8_lossy(password.expose())),
                Err(error) => error.to_string(),
            };
            assert!(said.starts_with(expected), "{said}");
        };
        check(Some("crypto-user"), Some("Alice:pass:word"), "alice crypto-user pass:word");
        check(Some("admin"), Some("admin:"), "admin admin ");
        check(None, Some("a:b"), "CLOUDHSM_ROLE is not set");
        check(Some("admin"), None, "CLOUDHSM_PIN is not set");
        check(Some("operator"), Some("a:b"), "CLOUDHSM_ROLE must be");
        check(Some("admin"), Some("secret-without-colon"), "CLOUDHSM_PIN must be");
        check(Some("admin"), Some("a b:secret-1"), "a user name has letters");
    }
}
