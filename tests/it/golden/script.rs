//! A golden file as something to run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use strongroom_tests::{Ran, Shell, World, program, run, run_with_input};
use tempfile::TempDir;

use super::names::Names;
use super::pretty;

/// The password of the users that a file asks for.
const PASSWORD: &str = "golden-password";

/// What a file asks for. Each step is the golden file's own object; running it fills in what was found.
pub(super) struct Script<'a> {
    golden: &'a Value,
    users: Vec<(&'a str, &'a str)>,
    steps: Vec<&'a Map<String, Value>>,
    /// Whether the file is about the cluster as a whole.
    pub(super) own_cluster: bool,
    /// Whether that begins without a password of its first admin.
    pub(super) not_active: bool,
}

impl<'a> Script<'a> {
    pub(super) fn read(golden: &'a Value) -> Result<Script<'a>, String> {
        let file = golden.as_object().ok_or("a golden file is an object")?;
        known(file, &["about", "cluster", "clone", "up", "users", "steps"])?;
        let users = file.get("users").and_then(Value::as_object).into_iter().flatten();
        let users = users.map(|(name, role)| Some((name.as_str(), role.as_str()?)));
        let steps = file.get("steps").and_then(Value::as_array).ok_or("it has `steps`")?;
        let steps: Option<Vec<_>> = steps.iter().map(Value::as_object).collect();
        let steps = steps.ok_or("a step is an object")?;
        for step in &steps {
            known(
                step,
                &["why", "as", "run", "shell", "input", "sh", "file", "setup", "code", "prints", "says", "holds"],
            )?;
        }
        Ok(Script {
            golden,
            users: users.collect::<Option<_>>().ok_or("a user has a role")?,
            steps,
            not_active: file.get("cluster").is_some_and(|cluster| cluster == "initialized"),
            own_cluster: ["cluster", "clone", "up"].iter().any(|field| file.contains_key(*field)),
        })
    }

    /// Arguments of `strongroom up`, for a cluster of its own.
    pub(super) fn up(&self) -> Vec<&str> {
        self.golden.get("up").and_then(Value::as_str).unwrap_or_default().split_whitespace().collect()
    }

    /// Runs every step; the file as it would have to be.
    pub(super) fn run(&self, world: &World) -> Result<Value, String> {
        for (name, role) in &self.users {
            let user = ["user", "create", "--username", name, "--role", role, "--password", PASSWORD];
            world.admin_cli(&user).ok();
        }
        let clone = (self.golden["clone"] == true).then(|| {
            let clone = World::clone_of(world);
            world.add_cluster(&clone);
            clone
        });
        let mut running = Running::new(self, world, clone.as_ref());
        let steps = self.steps.iter().map(|step| running.step(step)).collect::<Result<Vec<_>, _>>()?;
        let mut found = self.golden.clone();
        found["steps"] = steps.into();
        Ok(found)
    }

    /// Leaves the cluster as it was: no keys, none of the file's users.
    pub(super) fn tidy_up(&self, world: &World) -> Result<(), String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        for (name, role) in &self.users {
            // It may be locked, or have another password by now.
            world
                .admin_cli(&["user", "change-password", "--username", name, "--role", role, "--password", PASSWORD])
                .ok();
        }
        let owners = self.users.iter().filter(|(_, role)| *role == "crypto-user").map(|(name, _)| *name);
        for owner in owners.chain(["crypto_user"]) {
            let ran = |line: &str| run(&mut self.cli(world, Some(owner), folder.path(), line)).ok().json();
            let found = ran("key list --max-items 1000 --verbose");
            for key in found["data"]["matched_keys"].as_array().into_iter().flatten() {
                if key["key-info"]["key-owners"][0]["username"] == owner {
                    let reference = key["key-reference"].as_str().unwrap_or_default();
                    ran(&format!("key delete --filter key-reference={reference}"));
                }
            }
        }
        for (name, role) in &self.users {
            world.admin_cli(&["user", "delete", "--username", name, "--role", role]).ok();
        }
        Ok(())
    }

    /// A command line as a person types it, in a shell that finds the tool, in this folder.
    fn cli(&self, world: &World, user: Option<&str>, folder: &Path, line: &str) -> Command {
        let mut command = Command::new("sh");
        let tool = program("cloudhsm-cli");
        let path = std::env::var("PATH").unwrap_or_default();
        command.arg("-c").arg(format!("cloudhsm-cli {line}")).current_dir(folder);
        command.env("PATH", format!("{}:{path}", tool.parent().expect("a folder").display()));
        command.env("CLOUDHSM_HOME", world.home()).env_remove("CLOUDHSM_ROLE").env_remove("CLOUDHSM_PIN");
        if let Some(name) = user {
            let (role, pin) = match (name, self.users.iter().find(|(known, _)| *known == name)) {
                (_, Some((_, role))) => (*role, format!("{name}:{PASSWORD}")),
                ("admin", None) => ("admin", world.admin_pin()),
                _ => ("crypto-user", world.pin()),
            };
            command.env("CLOUDHSM_ROLE", role).env("CLOUDHSM_PIN", &pin);
            command.env("DESTINATION_CLOUDHSM_ROLE", role).env("DESTINATION_CLOUDHSM_PIN", pin);
        }
        command
    }
}

fn known(object: &Map<String, Value>, names: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("`{name}` is unknown; there are {}", names.join(", "))),
        None => Ok(()),
    }
}

/// A script that runs.
struct Running<'a> {
    script: &'a Script<'a>,
    world: &'a World,
    folder: TempDir,
    names: Names,
    shells: BTreeMap<&'a str, Shell>,
}

impl<'a> Running<'a> {
    fn new(script: &'a Script<'a>, world: &'a World, clone: Option<&World>) -> Running<'a> {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let path = folder.path().canonicalize().expect("it exists").display().to_string();
        let mut given = vec![
            ("<folder>".to_owned(), path),
            ("<home>".to_owned(), world.home().display().to_string()),
            ("<cluster-id>".to_owned(), world.text("/cluster_id")),
        ];
        given.extend(clone.map(|clone| ("<clone cluster-id>".to_owned(), clone.text("/cluster_id"))));
        for (number, (address, id)) in world.hsm_ips().into_iter().zip(world.hsm_ids()).enumerate() {
            given.push((format!("<hsm address {}>", number + 1), address));
            given.push((format!("<hsm id {}>", number + 1), id));
        }
        let given = given.into_iter().chain([
            ("<admin password>".to_owned(), world.text("/admin/password")),
            ("<crypto_user password>".to_owned(), world.text("/crypto_user/password")),
        ]);
        Running { script, world, folder, names: Names::new(given.collect()), shells: BTreeMap::new() }
    }

    /// The step with what was found in place of what was expected.
    fn step(&mut self, step: &'a Map<String, Value>) -> Result<Value, String> {
        let text = |name: &str| step.get(name).and_then(Value::as_str);
        let setup = step.get("setup").is_some_and(|setup| setup == true);
        let mut found = step.clone();
        for name in ["code", "prints", "says", "holds"] {
            found.shift_remove(name);
        }
        if let Some(line) = text("sh") {
            let line = self.names.filled_in(line);
            run(Command::new("sh").arg("-ec").arg(line).current_dir(self.folder.path())).ok();
        } else if let Some(file) = text("file") {
            let content = std::fs::read_to_string(self.folder.path().join(file));
            let content = content.map_err(|error| format!("{file}: {error}"))?;
            found.insert("holds".to_owned(), self.answer(&content, step.get("holds")));
        } else if let (Some(name), Some(line)) = (text("shell"), text("run")) {
            let answer = self.asked_in_shell(name, line, text("input"), text("as"));
            found.insert("prints".to_owned(), self.answer(&answer, step.get("prints")));
        } else if let Some(line) = text("run") {
            let ran = self.ran(line, text("input"), text("as"));
            if setup {
                ran.ok();
                return Ok(found.into());
            }
            found.insert("code".to_owned(), json!(ran.code));
            found.insert("prints".to_owned(), self.answer(&ran.stdout, step.get("prints")));
            if !ran.stderr.is_empty() {
                found.insert("says".to_owned(), self.names.in_text(&ran.stderr).into());
            }
        } else {
            return Err(format!("a step runs something: {}", pretty(&json!(step))));
        }
        Ok(found.into())
    }

    fn ran(&self, line: &str, input: Option<&str>, user: Option<&str>) -> Ran {
        let line = self.names.filled_in(line);
        let mut command = self.script.cli(self.world, user, self.folder.path(), &line);
        run_with_input(&mut command, &self.names.filled_in(input.unwrap_or_default()))
    }

    fn asked_in_shell(&mut self, name: &'a str, line: &str, input: Option<&str>, user: Option<&str>) -> String {
        let lines = self.names.filled_in(&format!("{line}\n{}", input.unwrap_or_default()));
        let (script, world, folder) = (self.script, self.world, self.folder.path());
        let start = || Shell::start(&mut script.cli(world, user, folder, "interactive"));
        self.shells.entry(name).or_insert_with(start).ask(&lines)
    }

    /// What was printed: one object, a list of several, or a text that is no JSON of our form.
    fn answer(&mut self, text: &str, golden: Option<&Value>) -> Value {
        let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        let values = values.unwrap_or_default();
        let rendered: String = values.iter().map(pretty).collect();
        // Other blanks, a field twice: then it is the bytes that count.
        if values.is_empty() || rendered != text {
            return self.names.in_text(text).into();
        }
        let mut values: Vec<_> = match golden {
            Some(Value::Array(golden)) => {
                values.iter().enumerate().map(|(at, value)| self.named(value, golden.get(at))).collect()
            }
            golden => values.iter().map(|value| self.named(value, golden)).collect(),
        };
        if values.len() == 1 { values.remove(0) } else { values.into() }
    }

    /// Keys are listed in the order of their references, which are random: here they stand in the order of their names.
    fn named(&mut self, found: &Value, golden: Option<&Value>) -> Value {
        let mut found = found.clone();
        let list = found.pointer_mut("/data/matched_keys").and_then(Value::as_array_mut);
        let Some(list) = list else { return self.names.in_value(&found, golden) };
        list.sort_by_key(|key| key["attributes"].to_string());
        let mut named = self.names.in_value(&found, golden);
        let list = named.pointer_mut("/data/matched_keys").and_then(Value::as_array_mut).expect("it is there");
        list.sort_by_key(|key| key["key-reference"].to_string());
        named
    }
}
