//! Seeds that once broke a promise, each with what was wrong.

use strongroom_sim::world::run;

/// The seed, and what it found.
const FOUND: &[(u64, &str)] = &[
    (
        707,
        "a change that was committed with an unknown outcome was called refused, because its login had ended before the \
         committer found its receipt",
    ),
    (
        6_497,
        "the entry of a member that had stopped for good, with a wrong clock, outvoted the only one that lived: it \
         refused all changes for its clock, and with none committed nobody was fenced",
    ),
];

#[test]
fn what_was_found_stays_mended() {
    for (seed, what) in FOUND {
        let broken = run(*seed, None, false).broken;
        assert!(broken.is_empty(), "seed {seed}, {what}: {broken:#?}");
    }
}
