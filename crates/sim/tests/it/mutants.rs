//! Planted bugs are found: here those that a few seeds show, all ten by `cargo xtask sim --mutants`.

use strongroom_sim::{Mutant, run_seeds};

/// Worlds within which each of these is found; most need two or three.
const SEEDS: u64 = 40;

fn finds(mutant: Mutant, promises: &[&str]) {
    let summary = run_seeds(0..SEEDS, Some(mutant), true, |_, _| {});
    let broken = summary.failed.iter().flat_map(|run| &run.broken).map(|broken| &broken.text).collect::<Vec<_>>();
    let is_found = broken.iter().any(|text| promises.iter().any(|promise| text.contains(promise)));
    assert!(is_found, "{mutant:?} in {} worlds: {broken:#?}", summary.runs);
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    finds(Mutant::AcknowledgeBeforeCommit, &["was acknowledged and is not committed"]);
}

#[test]
fn a_refusal_that_rests_on_old_absence_is_found() {
    finds(Mutant::SkipCatchUpOnAbsence, &["an acknowledged change was lost", "no order of the changes"]);
}

#[test]
fn a_dropped_receipt_is_found() {
    finds(Mutant::DropReceipt, &["was acknowledged and is not committed", "acted"]);
}

#[test]
fn a_request_id_used_twice_is_found() {
    finds(Mutant::ReuseRequestId, &["acted twice", "an acknowledged change was lost"]);
}

#[test]
fn a_head_that_counts_wrong_is_found() {
    finds(Mutant::CountHeadWrong, &["calls a store damaged that nobody touched"]);
}
