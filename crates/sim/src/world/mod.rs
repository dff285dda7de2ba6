//! The world: virtual time, and what happens in it, one event after the other (`docs/internals/simulation.md`).

mod changes;
mod client;
mod clocks;
mod ending;
mod member;
mod nemesis;
mod operations;
mod process;
mod recorder;
mod sealing;
mod service;
mod shape;
mod store;
mod tampering;
mod truth;
mod workload;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use strongroom_core::Request;

use crate::Mutant;
use crate::history::Violation;

use client::Client;
use process::{Hsm, ProcessId};
use recorder::Recorder;
use sealing::Sealing;
use shape::Shape;
use store::Store;
use tampering::Tampering;
use truth::Truth;

/// Virtual time, in microseconds since the world began.
pub type At = u64;

pub(crate) const MS: At = 1_000;
pub(crate) const SECOND: At = 1_000 * MS;

/// How much a run had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Operations of clients that were answered.
    pub answered: u64,
    /// Operations whose clients gave up.
    pub given_up: u64,
    /// Batches committed.
    pub commits: u64,
    /// Faults.
    pub faults: u64,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What broke a promise, in the order in which it was found.
    pub broken: Vec<Broken>,
    /// Tells two runs apart that were not the same to the last event.
    pub digest: u64,
    /// How much there was to do.
    pub counts: Counts,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When, in microseconds; the end of the run for what the history shows.
    pub at: At,
    /// Which, and by what.
    pub text: String,
}

type Action = Box<dyn FnOnce(&mut World)>;

/// In whose power an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It happens.
    World,
    /// It happens unless the process has ended, and not while the process is stopped.
    Process(ProcessId),
}

struct Event {
    at: At,
    number: u64,
    owner: Owner,
    label: &'static str,
    action: Action,
}

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        self.number == other.number
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Event) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub(crate) struct World {
    pub(crate) now: At,
    numbered: u64,
    queue: BinaryHeap<Reverse<Event>>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) shape: Shape,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) sealing: Sealing,
    pub(crate) store: Store,
    pub(crate) hsms: Vec<Hsm>,
    pub(crate) clients: Vec<Client>,
    pub(crate) recorder: Recorder,
    pub(crate) truth: Truth,
    pub(crate) tampering: Tampering,
    /// Whether faults have ended.
    pub(crate) is_quiet: bool,
    /// Whether clients begin nothing more.
    pub(crate) is_over: bool,
    /// Of a mutant: what a client used before.
    pub(crate) last_request: Option<Request>,
    broken: Vec<Broken>,
    digest: u64,
    pub(crate) counts: Counts,
    is_traced: bool,
}

/// Runs the world of one seed to its end.
pub fn run(seed: u64, mutant: Option<Mutant>, is_traced: bool) -> Run {
    let mut world = World::new(seed, mutant, is_traced);
    world.found();
    world.begin();
    world.run_until(world.shape.faults_until);
    world.end_faults();
    world.finish();
    let broken = std::mem::take(&mut world.broken);
    Run { seed, broken, digest: world.digest, counts: world.counts }
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, is_traced: bool) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = Shape::draw(&mut rng);
        let hsms = (0..shape.hsms).map(|number| Hsm::new(number, &shape, &mut rng)).collect();
        let sealing = Sealing::new(&mut rng, mutant);
        World {
            now: 0,
            numbered: 0,
            queue: BinaryHeap::new(),
            rng,
            mutant,
            sealing,
            store: Store::new(shape.deletions_kept),
            hsms,
            clients: Vec::new(),
            recorder: Recorder::default(),
            truth: Truth::default(),
            tampering: Tampering::default(),
            is_quiet: false,
            is_over: false,
            last_request: None,
            broken: Vec::new(),
            digest: seed,
            counts: Counts::default(),
            is_traced,
            shape,
        }
    }

    /// Does this after so long.
    pub(crate) fn after(
        &mut self,
        delay: At,
        owner: Owner,
        label: &'static str,
        action: impl FnOnce(&mut World) + 'static,
    ) {
        self.numbered += 1;
        let (at, number) = (self.now + delay, self.numbered);
        self.queue.push(Reverse(Event { at, number, owner, label, action: Box::new(action) }));
    }

    /// The same, in a process, after a short step of its own.
    pub(crate) fn step(&mut self, process: ProcessId, label: &'static str, action: impl FnOnce(&mut World) + 'static) {
        let delay = self.short();
        self.after(delay, Owner::Process(process), label, action);
    }

    /// What a step of a thread takes: mostly microseconds, now and then it has to wait for a processor.
    pub(crate) fn short(&mut self) -> At {
        if self.rng.u32(0..50) == 0 { self.rng.u64(1..20) * MS } else { self.rng.u64(1..200) }
    }

    /// Whether something with this chance, in thousandths, happens.
    pub(crate) fn chance(&mut self, thousandths: u32) -> bool {
        self.rng.u32(0..1_000) < thousandths
    }

    /// Lets things happen up to this moment.
    pub(crate) fn run_until(&mut self, until: At) {
        while let Some(Reverse(event)) = self.queue.pop() {
            if event.at > until {
                self.queue.push(Reverse(event));
                break;
            }
            self.now = event.at.max(self.now);
            self.happen(event);
        }
        self.now = until.max(self.now);
    }

    fn happen(&mut self, event: Event) {
        if let Owner::Process(process) = event.owner {
            let hsm = &mut self.hsms[process.hsm];
            if hsm.number_of_process() != Some(process.number) {
                return;
            }
            if hsm.is_stopped {
                hsm.stash.push((event.label, event.action));
                return;
            }
        }
        self.counts.events += 1;
        self.trace(event.label, || format!("{:?}", event.owner));
        (event.action)(self);
    }

    /// A line of the trace, and of the digest.
    pub(crate) fn trace(&mut self, label: &str, detail: impl FnOnce() -> String) {
        for word in [self.now, self.rng.get_seed()].into_iter().chain(label.bytes().map(u64::from)) {
            self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
        }
        if self.is_traced {
            println!("{:>6}.{:06} {label}: {}", self.now / SECOND, self.now % SECOND, detail());
        }
    }

    /// A promise was broken.
    pub(crate) fn broken(&mut self, text: String) {
        self.trace("BROKEN", || text.clone());
        // One cause has many effects; the first few tell what there is to know.
        if self.broken.len() < 20 {
            self.broken.push(Broken { at: self.now, text });
        }
    }

    pub(crate) fn broken_history(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            self.broken(format!("{}: {}", violation.rule, violation.text));
        }
    }
}
