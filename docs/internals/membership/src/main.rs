//! The runs that take longer: `cargo run --release -p strongroom-membership-model [-- NAME]`. Each walks through every
//! state of three members, or of two that may do more, and tells how many there are.

use std::process::ExitCode;
use std::time::Instant;

use stateright::{Checker, Model};
use strongroom_membership_model::Protocol;

/// Name, what is followed.
fn runs() -> [(&'static str, Protocol); 7] {
    [
        ("held", Protocol { changes: 1, askers: 1, requests: true, ..Protocol::held() }),
        ("held-changes", Protocol { askers: 1, slow_reads: false, ..Protocol::held() }),
        ("held-askers", Protocol { changes: 1, slow_reads: false, ..Protocol::held() }),
        ("timed", Protocol { crashes: false, ..Protocol::timed() }),
        ("timed-others", Protocol { crashes: false, askers_live: false, ..Protocol::timed() }),
        ("timed-requests", Protocol { members: 2, requests: true, ..Protocol::timed() }),
        ("timed-lost", Protocol { members: 2, lost_renewals: true, ..Protocol::timed() }),
    ]
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let chosen = runs().into_iter().filter(|(name, _)| wanted.as_deref().is_none_or(|wanted| wanted == *name));
    let mut count = 0;
    for (name, protocol) in chosen {
        println!("{name}: {protocol:?}");
        let began = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let checker = protocol.checker().threads(threads).spawn_bfs().join();
        println!("{name}: {} states in {} s", checker.unique_state_count(), began.elapsed().as_secs());
        checker.assert_properties();
        count += 1;
    }
    if count == 0 {
        let names = runs().map(|(name, _)| name).join(", ");
        eprintln!("error: no run has this name; the names are {names}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
