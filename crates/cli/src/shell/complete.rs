//! Completion of commands, options and values, from the same tree that parses them.

use std::fs;

use clap::{Arg, Command, ValueHint};
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Result, Validator};
use strongroom_types::{AttributeName, Curve, Flag, KeyClass, KeyType, MlDsaAlgorithm};

use super::words;
use crate::arguments::Line;

/// Names of a folder that are looked at: who has more types some of the name first.
const NAMES_MAX: usize = 10_000;

/// Completes lines of the shell.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub struct Completion {
    tree: Command,
    clusters: Vec<String>,
}

/// What may stand in place of a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    text: String,
    /// Whether the word ends here; otherwise more of it is typed.
    whole: bool,
}

impl Candidate {
    fn whole(text: impl Into<String>) -> Candidate {
        Candidate { text: text.into(), whole: true }
    }

    fn part(text: impl Into<String>) -> Candidate {
        Candidate { text: text.into(), whole: false }
    }
}

impl Completion {
    pub fn new(clusters: Vec<String>) -> Completion {
        let mut tree = Line::tree();
        tree.build();
        Completion { tree, clusters }
    }

    /// What may stand in place of `word` behind `before`.
    fn candidates(&self, before: &[String], word: &str) -> Vec<Candidate> {
        let mut here = &self.tree;
        let mut option = None;
        let mut values = 0;
        for known in before {
            if let Some(named) = option_of(here, known) {
                (option, values) = (Some(named), 0);
            } else if let Some(next) = here.find_subcommand(known) {
                (here, option) = (next, None);
            } else {
                values += 1;
            }
        }
        // An option and its value in one word.
        if let Some((name, value)) = word.split_once('=')
            && let Some(option) = option_of(here, name)
        {
            let fitting = self.values(option, value).into_iter().filter(|candidate| candidate.text.starts_with(value));
            let in_one = |candidate: Candidate| Candidate { text: format!("{name}={}", candidate.text), ..candidate };
            return fitting.map(in_one).collect();
        }
        let takes_more = |option: &&Arg| {
            let count = option.get_num_args().map_or(0, |range| range.max_values());
            option.get_action().takes_values() && values < count
        };
        let mut found = option.filter(takes_more).map_or_else(Vec::new, |option| self.values(option, word));
        // A value is wanted and nothing else, unless there may be none.
        let wants_value = option
            .filter(takes_more)
            .is_some_and(|option| values < option.get_num_args().map_or(0, |range| range.min_values()));
        if !wants_value {
            let commands = here.get_subcommands().filter(|command| !command.is_hide_set());
            found.extend(commands.map(|command| Candidate::whole(command.get_name())));
            // Options only where somebody begins one: what there is beside them comes first.
            if word.starts_with('-') || found.is_empty() {
                let options = here.get_arguments().filter(|option| !option.is_hide_set());
                found.extend(options.filter_map(Arg::get_long).map(|name| Candidate::whole(format!("--{name}"))));
            }
        }
        found.retain(|candidate| candidate.text.starts_with(word));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Values of an option that begin with `word`.
    fn values(&self, option: &Arg, word: &str) -> Vec<Candidate> {
        let name = option.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        match name {
            "CLUSTER_ID" => self.clusters.iter().map(Candidate::whole).collect(),
            "FILTER" => filters(word),
            "NAME=VALUE" => attributes("", word),
            _ if matches!(option.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath) => files(word),
            _ => option.get_possible_values().iter().map(|value| Candidate::whole(value.get_name())).collect(),
        }
    }
}

fn option_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let named = |option: &&Arg| match word.strip_prefix("--") {
        Some(name) => option.get_long() == Some(name),
        None => option.get_short().is_some_and(|short| word.strip_prefix('-') == Some(short.to_string().as_str())),
    };
    command.get_arguments().find(named)
}

fn filters(word: &str) -> Vec<Candidate> {
    let mut found = attributes("attr.", word);
    found.push(Candidate::part("key-reference="));
    found
}

/// Names of attributes, and values behind a name.
fn attributes(prefix: &str, word: &str) -> Vec<Candidate> {
    let Some((name, _)) = word.split_once('=') else {
        let flags = Flag::ALL.iter().map(|flag| AttributeName::Flag(*flag));
        let names = AttributeName::OTHERS.into_iter().chain(flags);
        return names.map(|name| Candidate::part(format!("{prefix}{name}="))).collect();
    };
    let attribute = name.strip_prefix(prefix).and_then(|name| name.parse().ok());
    values_of(attribute).into_iter().map(|value| Candidate::whole(format!("{name}={value}"))).collect()
}

fn values_of(attribute: Option<AttributeName>) -> Vec<&'static str> {
    match attribute {
        Some(AttributeName::Flag(_)) => vec!["true", "false"],
        Some(AttributeName::Class) => KeyClass::ALL.iter().map(|class| class.as_str()).collect(),
        Some(AttributeName::KeyType) => KeyType::ALL.iter().map(|key_type| key_type.as_str()).collect(),
        Some(AttributeName::Curve) => Curve::ALL.iter().map(|curve| curve.as_str()).collect(),
        Some(AttributeName::MlDsaAlgorithm) => MlDsaAlgorithm::ALL.iter().map(|set| set.as_str()).collect(),
        Some(
            AttributeName::Label
            | AttributeName::Id
            | AttributeName::CheckValue
            | AttributeName::KeyLengthBytes
            | AttributeName::Modulus
            | AttributeName::ModulusSizeBits
            | AttributeName::PublicExponent
            | AttributeName::EcPoint
            | AttributeName::WrapTemplate
            | AttributeName::UnwrapTemplate,
        )
        | None => Vec::new(),
    }
}

/// Files and folders; hidden ones where somebody begins with a dot.
fn files(word: &str) -> Vec<Candidate> {
    let (folder, begun) = word.rfind('/').map_or(("", word), |at| word.split_at(at + 1));
    let Ok(entries) = fs::read_dir(if folder.is_empty() { "." } else { folder }) else { return Vec::new() };
    let named = entries.take(NAMES_MAX).flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let shown = name.starts_with(begun) && (begun.starts_with('.') || !name.starts_with('.'));
        // A name that a terminal would take for commands is no name to show.
        if !shown || name.chars().any(char::is_control) {
            return None;
        }
        let is_folder = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
        let text = format!("{folder}{name}");
        Some(if is_folder { Candidate::part(text + "/") } else { Candidate::whole(text) })
    });
    named.collect()
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let line = line.get(..position).unwrap_or(line);
        let (start, word) = words::last(line);
        let before = words::split(line.get(..start).unwrap_or_default()).unwrap_or_default();
        let pair = |candidate: Candidate| {
            let blank = if candidate.whole { " " } else { "" };
            Pair { replacement: words::escaped(&candidate.text) + blank, display: candidate.text }
        };
        Ok((start, self.candidates(&before, &word).into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use rustyline::history::MemHistory;

    use super::*;

    fn completion() -> Completion {
        Completion::new(vec!["cluster-234567abcde".to_owned(), "cluster-765432edcba".to_owned()])
    }

    /// What a line may become, each with what is to be typed in place of its last word.
    fn completed(line: &str) -> Vec<String> {
        let history = MemHistory::new();
        let (start, pairs) = completion().complete(line, line.len(), &Context::new(&history)).expect("it completes");
        pairs.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
    }

    #[test]
    fn commands_options_and_values_are_completed() {
        let check = |line: &str, expected: &[&str]| assert_eq!(completed(line), expected, "{line}");
        check("k", &["key "]);
        check("lo", &["login ", "logout "]);
        check("key generate-s", &["key generate-symmetric "]);
        check("key list --m", &["key list --max-items "]);
        check("key generate-symmetric aes --lab", &["key generate-symmetric aes --label "]);
        check("crypto sign ecdsa --hash-function sha5", &["crypto sign ecdsa --hash-function sha512 "]);
        check("crypto sign ecdsa --hash-function=sha5", &["crypto sign ecdsa --hash-function=sha512 "]);
        check("user create --role c", &["user create --role crypto-user "]);
        check("key share --role c", &["key share --role crypto-user "]);
        check("key set-attribute --name si", &["key set-attribute --name sign "]);
        check("key set-attribute --name sign --va", &["key set-attribute --name sign --value "]);
        check("help key generate-s", &["help key generate-symmetric "]);
        check("key help generate-s", &["key help generate-symmetric "]);
        check("nonsense zz", &[]);
        check("login --username ke", &[]);
        assert!(completed("").contains(&"quit ".to_owned()));
        let both = ["user list --cluster-id cluster-234567abcde ", "user list --cluster-id cluster-765432edcba "];
        check("user list --cluster-id c", &both);
        check("user list --cluster-id cluster-7", &both[1..]);
    }

    #[test]
    fn filters_and_attributes_are_completed() {
        let check = |line: &str, expected: &[&str]| assert_eq!(completed(line), expected, "{line}");
        check("key list --filter k", &["key list --filter key-reference="]);
        check("key list --filter attr.cl", &["key list --filter attr.class="]);
        check("key list --filter attr.class=pu", &["key list --filter attr.class=public-key "]);
        check(
            "key list --filter attr.class=public-key attr.verify=",
            &[
                "key list --filter attr.class=public-key attr.verify=false ",
                "key list --filter attr.class=public-key attr.verify=true ",
            ],
        );
        check(
            "crypto sign ecdsa --key-filter attr.curve=secp5",
            &["crypto sign ecdsa --key-filter attr.curve=secp521r1 "],
        );
        check("key list --filter attr.label=", &[]);
        check("key list --filter attr.nonsense=", &[]);
        let aes = "key generate-symmetric aes --attributes";
        check(&format!("{aes} enc"), &[&format!("{aes} encrypt=")]);
        check(&format!("{aes} encrypt=t"), &[&format!("{aes} encrypt=true ")]);
        check(&format!("{aes} encrypt=true --lab"), &[&format!("{aes} encrypt=true --label ")]);
        // What the tool does not know cannot be offered.
        assert!(completed("key list --filter ").iter().all(|line| line.ends_with('=')));
    }

    #[test]
    fn names_of_files_are_completed_where_a_file_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["site.key", "site two.key", ".hidden", "bad\u{1b}name"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        fs::create_dir(folder.path().join("sub")).expect("made");
        let root = folder.path().display().to_string();
        let generate = format!("key generate-file --path {root}");
        let check = |rest: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|rest| format!("{generate}{rest}")).collect();
            assert_eq!(completed(&format!("{generate}{rest}")), expected, "{rest}");
        };
        check("/s", &["/site\\ two.key ", "/site.key ", "/sub/"]);
        check("/site\\ t", &["/site\\ two.key "]);
        check("/su", &["/sub/"]);
        check("/.h", &["/.hidden "]);
        check("/no/such", &[]);
        check("/b", &[]);
        // Within a quote the word is typed anew.
        let quoted = completed(&format!("key generate-file --path \"{root}/site t"));
        assert_eq!(quoted, [format!("{generate}/site\\ two.key ")]);
        assert_eq!(completed(&format!("key generate-file --encoding {root}/s")), Vec::<String>::new());
        assert_eq!(
            completed(&format!("crypto sign ecdsa --data-path={root}/su")),
            [format!("crypto sign ecdsa --data-path={root}/sub/")]
        );
    }
}
