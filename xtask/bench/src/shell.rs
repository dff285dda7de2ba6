//! How soon the shell answers over a full house: `cloudhsm-cli interactive`, from a command to the end of its answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use strongroom_tests::World;

use crate::load::Rounds;
use crate::report::{line, median, rounded};

/// From the command to its whole answer, in milliseconds.
const AIM_MS: u32 = 50;
/// Answers of each command in a round.
const ANSWERS: usize = 20;

/// The first page of `key list`, plain and verbose, and a search by label, in one login.
pub fn measure(world: &World, keys: usize, rounds: &Rounds) -> anyhow::Result<()> {
    let mut shell = Shell::open(world)?;
    let name = world.text("/crypto_user/username");
    let password = world.text("/crypto_user/password");
    shell.ask(&format!("login --username {name} --role crypto-user --password {password}"))?;
    let commands = [
        ("first page", "key list"),
        ("first page, verbose", "key list --verbose"),
        ("by class", "key list --filter attr.class=private-key"),
    ];
    for (what, command) in commands {
        let mut times = Vec::new();
        for _ in 0..rounds.count * ANSWERS {
            let begun = Instant::now();
            let answer = shell.ask(command)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            ensure!(answer["data"]["returned_key_count"] == 10, "{command}: {answer}");
        }
        let slowest = times.iter().copied().fold(0.0, f64::max);
        line(&json!({"bench": "shell", "case": format!("{keys} keys, key list, {what}"), "ms": rounded(median(times)),
                "slowest_ms": rounded(slowest), "aim_ms_max": AIM_MS}));
    }
    shell.leave()
}

/// The shell, its commands through a pipe.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn open(world: &World) -> anyhow::Result<Shell> {
        let mut command = world.bare_cli(&["interactive"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("a pipe")?;
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Shell { child, input, output })
    }

    /// One command and its answer, which ends with the brace that closes it at the line's begin.
    fn ask(&mut self, command: &str) -> anyhow::Result<Value> {
        writeln!(self.input, "{command}")?;
        let mut answer = String::new();
        while !answer.ends_with("\n}\n") {
            ensure!(self.output.read_line(&mut answer)? > 0, "the shell ended: {answer}");
        }
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["error_code"] == 0, "{answer}");
        Ok(answer)
    }

    fn leave(mut self) -> anyhow::Result<()> {
        writeln!(self.input, "quit")?;
        drop(self.input);
        ensure!(self.child.wait()?.success(), "the shell failed at its end");
        Ok(())
    }
}
