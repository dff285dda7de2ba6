//! The part of `docs/reference/cli.md` that is made from the tree: each command, its options, notes and examples.
//! `STRONGROOM_WRITE_DOCS=1 cargo test -p strongroom-cli reference` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgGroup};

use super::*;

const BEGIN: &str = "<!-- made from the command tree: begin -->\n";
const END: &str = "<!-- made from the command tree: end -->\n";

fn commands() -> String {
    let mut tree = Arguments::tree();
    tree.build();
    let mut text = String::new();
    section(&mut text, &tree, "");
    text
}

fn section(text: &mut String, tree: &Tree, path: &str) {
    for command in tree.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        // A command that has commands and goes without them, too, is one itself.
        if !command.is_subcommand_required_set() {
            leaf(text, command, &path);
        }
        section(text, command, &path);
    }
}

fn leaf(text: &mut String, command: &Tree, path: &str) {
    let _ = write!(text, "\n### `{path}`\n");
    content(text, command);
}

/// What is said of a command: what it does, its options, notes and examples.
pub(crate) fn content(text: &mut String, command: &Tree) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n{}.\n", about.trim_end_matches('.'));
    let mut own = command
        .get_arguments()
        .filter(|argument| !["help", "version", "cluster_id"].contains(&argument.get_id().as_str()));
    let rows: Vec<String> = own.by_ref().map(|argument| row(command, argument)).collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n| Option | Meaning |\n| --- | --- |\n{}", rows.concat());
    }
    let notes = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let blocks = notes.split("\n\n").map(|block| match block.split_once('\n') {
        Some(("Example:" | "Examples:", lines)) => {
            lines.lines().fold(String::new(), |all, line| all + "    " + line.strip_prefix("  ").unwrap_or(line) + "\n")
        }
        _ => block.to_owned() + "\n",
    });
    blocks.filter(|block| block.trim() != "").for_each(|block| {
        let _ = write!(text, "\n{block}");
    });
}

/// An option as a row: how it is written, what it means.
pub(crate) fn row(command: &Tree, argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let others = argument.get_visible_aliases().into_iter().flatten().map(|name| format!("--{name}"));
    let names = short.into_iter().chain(long).chain(others).collect::<Vec<_>>().join("`, `");
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if !argument.get_action().takes_values() {
        return format!("| `{names}` | {meaning} |\n");
    }
    let value = argument.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let many = if argument.get_num_args().is_some_and(|count| count.max_values() > 1) { " …" } else { "" };
    let values: Vec<_> = argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !values.is_empty() && !argument.is_hide_possible_values_set() {
        let _ = write!(meaning, ": {}", values.join(", "));
    }
    // Of data and a signature one form must be given.
    let alternatives = |group: &&ArgGroup| {
        group.is_required_set() && group.get_args().count() > 1 && group.get_args().any(|id| id == argument.get_id())
    };
    if let Some(default) = argument.get_default_values().first().and_then(|value| value.to_str()) {
        let _ = write!(meaning, ". Default: `{default}`");
    } else if argument.is_required_set() {
        meaning.push_str(". Required");
    } else if let Some(group) = command.get_groups().find(alternatives) {
        let others: Vec<_> = group.get_args().map(|id| format!("`--{}`", id.as_str().replace('_', "-"))).collect();
        let _ = write!(meaning, ". One of {} is required", others.join(" and "));
    }
    format!("| `{names} {value}{many}` | {meaning} |\n")
}

#[test]
fn the_reference_names_every_command_and_option() {
    check_page("cli.md", &commands());
}

/// Compares the part of a page of `docs/reference` that is made from options, or writes it.
pub(crate) fn check_page(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    let document = std::fs::read_to_string(&path).expect("the page is read");
    let (before, rest) = document.split_once(BEGIN).expect("the begin is marked");
    let (_, after) = rest.split_once(END).expect("the end is marked");
    let wanted = format!("{before}{BEGIN}{made}\n{END}{after}");
    if std::env::var_os("STRONGROOM_WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).expect("written");
        return;
    }
    assert!(
        document == wanted,
        "docs/reference/{name} is old; STRONGROOM_WRITE_DOCS=1 cargo test -p strongroom-cli reference"
    );
}
