//! Every command has a golden file (`tests/golden/README.md`), or a reason why not.

use std::path::Path;

use super::tests::leaves;
use super::*;

/// Commands without a golden file, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("login mfa-token-sign", "what it asks for is signed in between: tests/it/mfa.rs"),
    ("user change-mfa token-sign", "what it asks for is signed in between: tests/it/mfa.rs"),
];

#[test]
fn every_command_has_a_golden_file_that_shows_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let all = leaves(&Arguments::tree(), "");
    for (path, _) in &all {
        let file = folder.join(path.replace(' ', "-")).with_extension("json");
        let excuse = WITHOUT.iter().find(|(known, _)| known == path);
        let Ok(text) = std::fs::read_to_string(&file) else {
            assert!(excuse.is_some(), "{path} has no {}: see README.md there", file.display());
            continue;
        };
        assert_eq!(excuse, None, "{path} has a golden file");
        let golden: serde_json::Value = serde_json::from_str(&text).expect("a golden file is JSON");
        let steps = golden["steps"].as_array().expect("a golden file has steps");
        let shows = |step: &serde_json::Value| {
            step["run"].as_str().is_some_and(|run| run.starts_with(path.as_str())) && step.get("prints").is_some()
        };
        assert!(steps.iter().any(shows), "{} shows no `{path}`", file.display());
    }
    for (path, why) in WITHOUT {
        assert!(all.iter().any(|(known, _)| known == path) && !why.is_empty(), "{path} is no command");
    }
}
