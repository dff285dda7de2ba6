//! Planted bugs are found: each by a seed that `cargo xtask sim --mutants` found it with.

use strongroom_sim::Mutant;
use strongroom_sim::world::run;

/// Each bug, a seed that shows it, and words of the promise that it breaks.
const FOUND: &[(Mutant, u64, &str)] = &[];

#[test]
fn every_planted_bug_is_found() {
    for mutant in Mutant::ALL {
        assert!(FOUND.iter().any(|(found, ..)| found == mutant), "{mutant:?} has no seed");
    }
    for (mutant, seed, promise) in FOUND {
        let broken = run(*seed, Some(*mutant), false).broken;
        assert!(broken.iter().any(|broken| broken.text.contains(promise)), "{mutant:?}, seed {seed}: {broken:#?}");
        let sound = run(*seed, None, false).broken;
        assert!(sound.is_empty(), "seed {seed} fails without {mutant:?}: {sound:#?}");
    }
}
