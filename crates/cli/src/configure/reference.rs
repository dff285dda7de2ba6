//! The part of `docs/reference/configure.md` that is made from the options.
//! `STRONGROOM_WRITE_DOCS=1 cargo test -p strongroom-cli reference` writes it anew.

use std::fmt::Write as _;

use clap::Command;

use super::options::TOOLS;
use crate::arguments::reference;

fn tables() -> String {
    let trees: Vec<_> = TOOLS.iter().map(|tool| (tool.component.as_str(), built(tool.tree()))).collect();
    let mut text = String::from("\n| Option | Meaning |");
    trees.iter().for_each(|(name, _)| text.push_str(&format!(" {name} |")));
    text.push_str("\n| --- | --- |");
    trees.iter().for_each(|_| text.push_str(" --- |"));
    text.push('\n');
    let mut written: Vec<String> = Vec::new();
    for (_, tree) in &trees {
        for option in tree.get_arguments().filter(|option| !["help", "version"].contains(&option.get_id().as_str())) {
            let id = option.get_id().as_str();
            if written.iter().any(|known| known == id) {
                continue;
            }
            written.push(id.to_owned());
            // Logs have other defaults where OpenSSL has loaded the component: the page says which.
            let row = reference::row(tree, option);
            let own_default = ["; the default is run/cloudhsm-cli.log", "; the default is file"];
            let row = own_default.iter().fold(row, |row, default| row.replace(default, ""));
            text.push_str(row.trim_end_matches([' ', '|', '\n']));
            text.push_str(" |");
            for (_, tree) in &trees {
                let has = tree.get_arguments().any(|option| option.get_id().as_str() == id);
                text.push_str(if has { " x |" } else { " |" });
            }
            text.push('\n');
        }
    }
    let (_, tree) = trees.iter().find(|(name, _)| *name == "cli").expect("there is one");
    for command in tree.get_subcommands().filter(|command| command.get_name() != "help") {
        let _ = write!(text, "\n## `{}`\n", command.get_name());
        reference::content(&mut text, command);
    }
    text
}

fn built(mut tree: Command) -> Command {
    tree.build();
    tree
}

#[test]
fn the_reference_names_every_option_of_every_tool() {
    reference::check_page("configure.md", &tables());
}
