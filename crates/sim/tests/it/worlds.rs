use strongroom_sim::run_seeds;
use strongroom_sim::world::run;

#[test]
fn worlds_keep_the_promises() {
    let summary = run_seeds(0..24, None, true, |_, _| {});
    let failed = summary.failed.iter().map(|run| (run.seed, &run.broken)).collect::<Vec<_>>();
    assert!(failed.is_empty(), "{failed:#?}");
    // Else nothing was tried.
    let counts = summary.counts;
    assert!(counts.answered > 1_000 && counts.commits > 1_000 && counts.faults > 100, "{counts:?}");
    assert!(counts.given_up > 0, "{counts:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 4] {
        let (one, other) = (run(seed, None, false), run(seed, None, false));
        assert_eq!((one.digest, one.counts), (other.digest, other.counts), "seed {seed}");
    }
    assert_ne!(run(3, None, false).digest, run(4, None, false).digest);
}
