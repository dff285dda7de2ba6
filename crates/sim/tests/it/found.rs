//! Seeds that once broke a promise, each with what was wrong.

use strongroom_sim::world::run;

/// The seed, and what it found.
const FOUND: &[(u64, &str)] = &[(
    707,
    "a change that was committed with an unknown outcome was called refused, because its login had ended before the \
     committer found its receipt",
)];

#[test]
fn what_was_found_stays_mended() {
    for (seed, what) in FOUND {
        let broken = run(*seed, None, false).broken;
        assert!(broken.is_empty(), "seed {seed}, {what}: {broken:#?}");
    }
}
