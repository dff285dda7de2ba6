//! Callers that repeat one action for a while.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::report::median;

/// How often and how long to measure.
pub struct Rounds {
    /// Rounds of each kind.
    pub count: usize,
    /// Seconds of one round.
    pub seconds: f64,
}

/// What one round showed.
pub struct Round {
    /// Actions a second, all callers together.
    pub rate: f64,
    /// Median time of one action, in microseconds.
    pub median_us: f64,
    /// The longest, in microseconds.
    pub longest_us: f64,
    /// Actions that failed.
    pub failures: u64,
}

impl Rounds {
    /// One round: `callers` threads, each with an action of its own made by `prepare`, which answers whether it
    /// succeeded.
    pub fn one<A: FnMut() -> bool>(&self, callers: usize, prepare: impl Fn(usize) -> A + Sync) -> Round {
        let stop = AtomicBool::new(false);
        let ready = Barrier::new(callers + 1);
        let mut times = Vec::new();
        let mut failures = 0;
        let mut elapsed = Duration::ZERO;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..callers)
                .map(|caller| {
                    let (stop, ready, prepare) = (&stop, &ready, &prepare);
                    scope.spawn(move || {
                        let mut action = prepare(caller);
                        let mut times = Vec::with_capacity(1 << 16);
                        let mut failures = 0;
                        ready.wait();
                        while !stop.load(Ordering::Relaxed) {
                            let begun = Instant::now();
                            let succeeded = action();
                            times.push(begun.elapsed().as_secs_f64() * 1e6);
                            failures += u64::from(!succeeded);
                        }
                        (times, failures)
                    })
                })
                .collect();
            ready.wait();
            let begun = Instant::now();
            std::thread::sleep(Duration::from_secs_f64(self.seconds));
            stop.store(true, Ordering::Relaxed);
            for thread in threads {
                let (of_thread, failed) = thread.join().expect("a caller does not panic");
                times.extend(of_thread);
                failures += failed;
            }
            elapsed = begun.elapsed();
        });
        let rate = (times.len() as f64 - failures as f64) / elapsed.as_secs_f64();
        let longest_us = times.iter().copied().fold(0.0, f64::max);
        Round { rate, median_us: median(times), longest_us, failures }
    }
}

/// What came of a number of jobs.
pub struct Jobs<T> {
    /// Jobs a second that succeeded, all callers together.
    pub rate: f64,
    /// Time of each that succeeded, in milliseconds.
    pub times_ms: Vec<f64>,
    /// What they made.
    pub made: Vec<T>,
    /// Jobs that failed.
    pub failures: usize,
}

/// Does each of the jobs once, `callers` at a time; an action gets the job's number.
pub fn jobs<T: Send>(count: usize, callers: usize, action: impl Fn(usize) -> Option<T> + Sync) -> Jobs<T> {
    let begun = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let job = begun.fetch_add(1, Ordering::Relaxed);
            if job >= count {
                return done;
            }
            let at = Instant::now();
            let made = action(job);
            done.push(made.map(|made| (at.elapsed().as_secs_f64() * 1e3, made)));
        }
    };
    let at = Instant::now();
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a caller does not panic")).collect()
    });
    let elapsed = at.elapsed().as_secs_f64();
    let (times_ms, made): (Vec<f64>, Vec<T>) = done.into_iter().flatten().unzip();
    Jobs { rate: made.len() as f64 / elapsed, failures: count - made.len(), times_ms, made }
}

/// The medians of several rounds.
pub fn medians(rounds: &[Round]) -> Round {
    let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field).collect());
    Round {
        rate: of(|round| round.rate),
        median_us: of(|round| round.median_us),
        longest_us: of(|round| round.longest_us),
        failures: rounds.iter().map(|round| round.failures).sum(),
    }
}
