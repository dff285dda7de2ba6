//! Connections are few, and everybody gets one in turn.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use strongroom_types::limits::POOL_LEN_MAX;

use crate::world::{World, sign};

#[test]
fn forty_callers_share_sixteen_connections_and_none_starves() {
    let world = World::new(1);
    let client = world.user();
    let (least, all) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
    let begin = Barrier::new(40);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                begin.wait();
                let mut mine = 0;
                while all.fetch_add(1, Ordering::Relaxed) < 4_000 {
                    sign(&client).unwrap();
                    mine += 1;
                }
                least.fetch_min(mine, Ordering::Relaxed);
            });
        }
    });
    let open_max = world.hsms[0].open_max();
    assert!((2..=POOL_LEN_MAX).contains(&open_max), "{open_max}");
    assert!(least.into_inner() >= 20, "somebody starved");
}

#[test]
fn connections_of_two_members_are_counted_apart() {
    let world = World::new(2);
    let client = world.user();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| (0..20).for_each(|_| drop(sign(&client).unwrap())));
        }
    });
    for hsm in &world.hsms {
        assert!((1..=POOL_LEN_MAX).contains(&hsm.open_max()), "{}", hsm.open_max());
    }
}
