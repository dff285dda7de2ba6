//! Completion of commands and options, from the same tree that parses them.

use clap::Command;
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Result, Validator};

use crate::arguments::Line;

/// Completes lines of the shell.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub struct Completion {
    tree: Command,
}

impl Completion {
    pub fn new() -> Completion {
        let mut tree = Line::tree();
        tree.build();
        Completion { tree }
    }

    /// What may stand in place of `word` behind `before`.
    fn candidates(&self, before: &[&str], word: &str) -> Vec<String> {
        let mut here = &self.tree;
        let mut option = None;
        for known in before {
            if let Some(name) = known.strip_prefix("--") {
                option = here.get_arguments().find(|argument| argument.get_long() == Some(name));
            } else if let Some(next) = here.find_subcommand(known) {
                (here, option) = (next, None);
            }
        }
        let values = option.into_iter().flat_map(|argument| {
            argument.get_possible_values().into_iter().map(|value| value.get_name().to_owned()).collect::<Vec<_>>()
        });
        let commands = here.get_subcommands().map(|command| command.get_name().to_owned());
        let options = here.get_arguments().filter_map(|argument| argument.get_long()).map(|name| format!("--{name}"));
        let mut found: Vec<String> =
            values.chain(commands).chain(options).filter(|candidate| candidate.starts_with(word)).collect();
        found.sort_unstable();
        found.dedup();
        // Options only where somebody begins one: commands come first.
        if word.is_empty() && found.iter().any(|candidate| !candidate.starts_with('-')) {
            found.retain(|candidate| !candidate.starts_with('-'));
        }
        found
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let line = line.get(..position).unwrap_or(line);
        let start = line.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (before, word) = line.split_at(start);
        let before: Vec<&str> = before.split_whitespace().collect();
        let pairs = self.candidates(&before, word).into_iter();
        Ok((start, pairs.map(|text| Pair { display: text.clone(), replacement: format!("{text} ") }).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_options_and_values_are_completed() {
        let completion = Completion::new();
        let check = |before: &str, word: &str, expected: &[&str]| {
            let before: Vec<&str> = before.split_whitespace().collect();
            assert_eq!(completion.candidates(&before, word), expected, "{before:?} {word}");
        };
        check("", "k", &["key"]);
        check("", "lo", &["login", "logout"]);
        check("key", "generate-s", &["generate-symmetric"]);
        check("key list", "--m", &["--max-items"]);
        check("key generate-symmetric aes", "--lab", &["--label"]);
        check("crypto sign ecdsa --hash-function", "sha5", &["sha512"]);
        check("user create --role", "c", &["crypto-user"]);
        check("key", "s", &["set-attribute", "share"]);
        check("key share --role", "c", &["crypto-user"]);
        check("key set-attribute --name", "si", &["sign"]);
        check("nonsense", "zz", &[]);
        assert!(completion.candidates(&[], "").contains(&"quit".to_owned()));
    }
}
