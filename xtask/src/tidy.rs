//! `cargo xtask tidy`: the rules of the tree that no compiler checks.
//!
//! * Each room opens with its card, and uses rooms of lower layers only.
//! * Nothing that lives in other people's processes, and nothing of the control plane, reaches `core` or
//!   `crypto-keys`.
//! * `unsafe` stands where the design allows it and nowhere else.
//! * Files stay short, dependencies have a reason, a crate has one integration-test binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::run::{Step, root};

/// A file longer than this many lines is two files.
const FILE_LINES_MAX: usize = 900;

/// Packages that hold the rules and the keys.
const INNER: [&str; 2] = ["strongroom-core", "strongroom-crypto-keys"];

/// Packages that must never reach [`INNER`], beside everything under `sdk/`.
const OUTER: [&str; 6] = [
    "strongroom-client",
    "strongroom-store",
    "strongroom-store-etcd",
    "strongroom-control",
    "strongroom-aws-api",
    "strongroom-cli",
];

/// Where `unsafe` may stand: the beginning of a path, from the root.
const UNSAFE_ALLOWED: [&str; 9] = [
    "crates/ffi/src/",
    "sdk/openssl-engine/src/entry",
    "sdk/pkcs11/src/entry",
    "crates/crypto/src/sys",
    "crates/crypto-keys/src/sys",
    "crates/crypto-keys/src/locked",
    "crates/hsm/src/os/",
    "crates/store/src/table/",
    "xtask/src/tidy.rs",
];

/// Runs every check and reports everything that is wrong.
pub fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().current_dir(root()).exec().context("cannot read the workspace")?;
    let mut wrong = Vec::new();
    layers(&metadata, &mut wrong)?;
    absences(&metadata, &mut wrong)?;
    test_binaries(&metadata, &mut wrong);
    let files = tracked_files()?;
    sources(&files, &mut wrong)?;
    dependency_reasons(&mut wrong)?;
    documents(&files, &mut wrong)?;
    limits(&mut wrong)?;
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the tree is not tidy:\n{}", wrong.join("\n"));
}

fn tracked_files() -> anyhow::Result<Vec<PathBuf>> {
    let names = Step::new("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    let files = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

/// The layer that a room's card names: `# Room: types (layer 0)`.
fn layer_of(card: &str) -> Option<u8> {
    let heading = card.lines().next()?.strip_prefix("//! # Room: ")?;
    heading.split_once("(layer ")?.1.strip_suffix(')')?.parse().ok()
}

fn layers(metadata: &Metadata, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let mut rooms = BTreeMap::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let relative = folder.strip_prefix(root()).unwrap_or(folder);
        if !relative.starts_with("crates") && !relative.starts_with("sdk") {
            continue;
        }
        let card = std::fs::read_to_string(folder.join("src/lib.rs"))
            .with_context(|| format!("{relative} has no src/lib.rs"))?;
        match layer_of(&card) {
            Some(layer) => {
                rooms.insert(package.name.to_string(), (layer, package));
            }
            None => wrong.push(format!("{relative}/src/lib.rs does not open with `//! # Room: NAME (layer N)`")),
        }
        for heading in ["Never:", "May use:"] {
            if !card.contains(heading) {
                wrong.push(format!("{relative}/src/lib.rs: the card has no `{heading}`"));
            }
        }
    }
    for (name, (layer, package)) in &rooms {
        let used = package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development);
        for (below, used) in used.filter_map(|used| Some((rooms.get(&used.name)?.0, &used.name))) {
            if below >= *layer {
                wrong.push(format!("{name} (layer {layer}) uses {used} (layer {below})"));
            }
        }
    }
    Ok(())
}

/// The two absences that carry the security argument (design: rooms).
fn absences(metadata: &Metadata, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata has no dependency graph")?;
    let uses: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let used = node
                .deps
                .iter()
                .filter(|used| used.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
            (&node.id, used.map(|used| &used.pkg).collect())
        })
        .collect();
    for package in metadata.workspace_packages() {
        let sdk = package.manifest_path.as_str().contains("/sdk/");
        if !sdk && !OUTER.contains(&package.name.as_str()) {
            continue;
        }
        let mut reached = BTreeSet::new();
        let mut open = vec![&package.id];
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(uses.get(id).into_iter().flatten());
            }
        }
        for inner in metadata.workspace_packages().into_iter().filter(|inner| INNER.contains(&inner.name.as_str())) {
            if reached.contains(&inner.id) {
                wrong.push(format!("{} reaches {}, which only the HSM may hold", package.name, inner.name));
            }
        }
    }
    Ok(())
}

fn test_binaries(metadata: &Metadata, wrong: &mut Vec<String>) {
    for package in metadata.workspace_packages() {
        let tests: Vec<_> = package.targets.iter().filter(|target| target.is_test()).collect();
        if tests.len() > 1 || tests.iter().any(|test| test.name != "it") {
            wrong.push(format!("{}: integration tests are modules of one tests/it/main.rs", package.name));
        }
    }
}

fn sources(files: &[PathBuf], wrong: &mut Vec<String>) -> anyhow::Result<()> {
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file:?}"))?;
        let shown = file.display();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{shown} has {lines} lines, over {FILE_LINES_MAX}"));
        }
        let allowed =
            UNSAFE_ALLOWED.iter().any(|place| file.starts_with(place) || shown.to_string().starts_with(place));
        // A test's own world may need a system call; what ships may not.
        let shipped = file.starts_with("crates") || file.starts_with("sdk");
        let in_tests = file.components().any(|part| part.as_os_str() == "tests");
        if shipped && !in_tests && !allowed {
            wrong.extend(unsafe_lines(&text).map(|line| format!("{shown}:{line}: `unsafe` may not stand here")));
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if !file.starts_with("xtask")
                && ["todo!(", "unimplemented!(", "#[ignore"].iter().any(|word| line.contains(word))
            {
                wrong.push(format!("{shown}:{}: unfinished or ignored", number + 1));
            }
        }
    }
    Ok(())
}

fn unsafe_lines(text: &str) -> impl Iterator<Item = usize> {
    let code = text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()));
    code.filter(|(_, code)| {
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "#[unsafe("].iter().any(|word| code.contains(word))
    })
    .map(|(number, _)| number)
}

/// Every dependency of the workspace has a comment in its paragraph of the root manifest.
fn dependency_reasons(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let table = manifest.split("[workspace.dependencies]").nth(1).context("no [workspace.dependencies]")?;
    let table = table.split("\n[").next().unwrap_or(table);
    let mut explained = false;
    for line in table.lines() {
        match line.trim() {
            "" => explained = false,
            comment if comment.starts_with('#') => explained = true,
            entry if !explained => wrong.push(format!("Cargo.toml: no reason stands above `{entry}`")),
            _ => {}
        }
    }
    Ok(())
}

/// Links between documents lead somewhere.
fn documents(files: &[PathBuf], wrong: &mut Vec<String>) -> anyhow::Result<()> {
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let text = std::fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file:?}"))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !root().join(folder).join(target).exists() {
                wrong.push(format!("{}: the link to {target} leads nowhere", file.display()));
            }
        }
    }
    Ok(())
}

/// Every limit has a line that names its tests, and they exist.
fn limits(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"));
    let (code, page) = (read("crates/types/src/limits.rs")?, read("docs/internals/limits.md")?);
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let Some((name, tests)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) else { continue };
        rows.insert(name, tests);
        for test in tests.split('`').filter(|part| part.contains("::")) {
            let (path, function) = test.split_once("::").unwrap_or_default();
            let is_there = read(path).is_ok_and(|text| text.contains(&format!("fn {function}(")));
            if !is_there {
                wrong.push(format!("docs/internals/limits.md: {name}: there is no {test}"));
            }
        }
    }
    let names: Vec<&str> = code
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split_once(':').map(|(name, _)| name))
        .collect();
    for name in names.iter().filter(|name| !rows.contains_key(*name)) {
        wrong.push(format!("docs/internals/limits.md: {name} has no line"));
    }
    for name in rows.keys().filter(|name| !names.contains(name)) {
        wrong.push(format!("docs/internals/limits.md: there is no limit {name}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_tell_the_layer() {
        assert_eq!(layer_of("//! # Room: types (layer 0)\n//!"), Some(0));
        assert_eq!(layer_of("//! # Room: sim (layer 5)"), Some(5));
        assert_eq!(layer_of("//! Types."), None);
        assert_eq!(layer_of(""), None);
    }

    #[test]
    fn unsafe_code_is_found_and_words_about_it_are_not() {
        let check = |text: &str, expected: &[usize]| assert_eq!(unsafe_lines(text).collect::<Vec<_>>(), expected);
        check("fn f() {\n    unsafe { g() }\n}", &[2]);
        check("unsafe impl Send for X {}", &[1]);
        check("// unsafe { no }\n#![forbid(unsafe_code)]", &[]);
    }

    #[test]
    fn the_tree_is_tidy() {
        run().expect("cargo xtask tidy names what is wrong");
    }
}
