//! HSMs: what outlives a process, and what ends with it; and how a process reaches the store.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_core::member::{Acknowledgements, Anchor, Batcher, LeaseKind, Life};
use strongroom_core::{Hsm as HsmRecord, Reply};
use strongroom_hsm::cluster::ChangeError;
use strongroom_hsm::cluster::sealing::anchor_of;
use strongroom_hsm::cluster::view::View;
use strongroom_types::{HsmId, Incarnation, Revision};

use super::clocks::Clocks;
use super::store::Store;
use super::tampering::Hands;
use super::{Action, At, MS, Owner, SECOND, Shape, World};

/// One life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId {
    /// Which HSM, from 0.
    pub(crate) hsm: usize,
    /// Which of its lives.
    pub(crate) number: u64,
}

/// One HSM.
pub(crate) struct Hsm {
    pub(crate) record: HsmRecord,
    pub(crate) clocks: Clocks,
    number: Option<u64>,
    processes: u64,
    pub(crate) is_stopped: bool,
    /// What a stopped process will do when it goes on.
    pub(crate) stash: Vec<(&'static str, Action)>,
    /// There once the store was loaded.
    pub(crate) process: Option<Process>,
    /// On its disk.
    pub(crate) anchor: Option<Anchor>,
    /// Whether the store cannot be reached.
    pub(crate) store_fails: bool,
    /// Whether nothing can be written.
    pub(crate) disk_is_full: bool,
    /// Clients that have no way to it.
    pub(crate) cut_off: BTreeSet<usize>,
}

/// What is in a process' memory.
pub(crate) struct Process {
    pub(crate) view: View,
    pub(crate) view_is_locked: bool,
    pub(crate) view_waiters: Vec<(&'static str, Action)>,
    pub(crate) batcher: Batcher<u64>,
    pub(crate) acknowledgements: Acknowledgements<u64>,
    pub(crate) callers: BTreeMap<u64, Caller>,
    pub(crate) tickets: u64,
    pub(crate) life: Life,
    /// The others' clocks.
    pub(crate) clocks: strongroom_core::member::Clocks,
    /// The life that serves, and until when.
    pub(crate) serving: Option<(u64, Option<u64>)>,
    pub(crate) damaged: bool,
    /// What the anchor is known to hold.
    pub(crate) anchored: Revision,
    pub(crate) committer_is_busy: bool,
    /// While the member thread waits for the store: what it has seen, and which wait it is.
    pub(crate) resting: Option<(u64, u64)>,
    pub(crate) rests: u64,
    /// What the last look at the store saw.
    pub(crate) moment: u64,
    pub(crate) clock_shown_ms: u64,
    /// Entries that stand in the way, as a joining process has seen them, and since when.
    pub(crate) stale: Option<(Incarnation, u64, u64)>,
    /// Of a mutant: members that it takes for fenced.
    pub(crate) taken_for_gone: BTreeSet<Incarnation>,
    /// Of a mutant: the last life that served.
    pub(crate) last_life: Option<u64>,
}

/// Who waits for a change.
pub(crate) struct Caller {
    pub(crate) then: Then<Result<(Reply, Revision), ChangeError>>,
    /// What to answer once every member has applied the change.
    pub(crate) reply: Option<Reply>,
}

/// What happens with a result.
pub(crate) type Then<T> = Box<dyn FnOnce(&mut World, T)>;

impl Hsm {
    pub(crate) fn new(number: usize, shape: &Shape, rng: &mut fastrand::Rng) -> Hsm {
        let last = u8::try_from(number + 1).expect("few HSMs");
        let record = HsmRecord {
            id: HsmId::from_random([last; 7]),
            ip: format!("127.0.1.{last}"),
            port: 2223,
            zone: String::from("a"),
            serial: format!("serial-{last}"),
        };
        Hsm {
            record,
            clocks: Clocks::new(shape, rng),
            number: None,
            processes: 0,
            is_stopped: false,
            stash: Vec::new(),
            process: None,
            anchor: None,
            store_fails: false,
            disk_is_full: false,
            cut_off: BTreeSet::new(),
        }
    }

    pub(crate) fn number_of_process(&self) -> Option<u64> {
        self.number
    }
}

impl World {
    pub(crate) fn boottime_ms(&self, hsm: usize) -> u64 {
        self.hsms[hsm].clocks.boottime_ms(self.now)
    }

    pub(crate) fn wall_ms(&self, hsm: usize) -> u64 {
        self.hsms[hsm].clocks.wall_ms(self.now)
    }

    /// The process, which runs: its own events are the only ones that ask.
    pub(crate) fn process(&mut self, id: ProcessId) -> &mut Process {
        let process = self.hsms[id.hsm].process.as_mut();
        process.expect("a process' events are dropped when it ends")
    }

    /// Starts a process: it loads the store and checks it against its anchor.
    pub(crate) fn start(&mut self, hsm: usize) {
        if self.hsms[hsm].number.is_some() {
            return;
        }
        let of = &mut self.hsms[hsm];
        of.processes += 1;
        let id = ProcessId { hsm, number: of.processes };
        of.number = Some(id.number);
        self.trace("process starts", || format!("{id:?}"));
        self.read(
            id,
            false,
            "load",
            |store| (store.hands, store.load()),
            move |w, loaded| match loaded {
                None => w.exit(id, 200 * MS),
                Some((hands, loaded)) => w.loaded(id, hands, &loaded),
            },
        );
    }

    fn loaded(&mut self, id: ProcessId, hands: Option<Hands>, loaded: &strongroom_store::Loaded) {
        let view = View::load(&self.sealing, super::sealing::EPOCH, loaded);
        let view = match view {
            Ok(view) => view,
            Err(error) => return self.refuses_to_start(id, hands, &error),
        };
        self.check_view(id, &view);
        let newest = anchor_of(view.head());
        let own = &self.hsms[id.hsm];
        let was_member = view.state().hsm(&own.record.id).is_some();
        if let Err(conflict) = Anchor::check(own.anchor.as_ref(), &newest, was_member) {
            return self.refuses_to_start(id, hands, &conflict.into());
        }
        self.check_started(id, hands);
        if self.hsms[id.hsm].anchor == Some(newest) {
            return self.begin_life(id, view, newest.revision);
        }
        self.write_anchor(id, newest, move |w, written| match written {
            true => w.begin_life(id, view, newest.revision),
            false => w.exit(id, 200 * MS),
        });
    }

    fn begin_life(&mut self, id: ProcessId, view: View, anchored: Revision) {
        let Shape { lease, lease_ms, .. } = self.shape;
        let life = Life::new(lease, lease_ms, view.state().revision());
        self.hsms[id.hsm].process = Some(Process {
            view,
            view_is_locked: false,
            view_waiters: Vec::new(),
            batcher: Batcher::new(),
            acknowledgements: Acknowledgements::new(lease, lease_ms),
            callers: BTreeMap::new(),
            tickets: 0,
            life,
            clocks: strongroom_core::member::Clocks::new(lease, lease_ms),
            serving: None,
            damaged: false,
            anchored,
            committer_is_busy: false,
            resting: None,
            rests: 0,
            moment: 0,
            clock_shown_ms: 0,
            stale: None,
            taken_for_gone: BTreeSet::new(),
            last_life: None,
        });
        self.step(id, "member begins", move |w| w.member_turn(id));
    }

    /// A process ends by itself; its supervisor starts another.
    pub(crate) fn exit(&mut self, id: ProcessId, pause: At) {
        if self.hsms[id.hsm].number == Some(id.number) {
            self.end_process(id.hsm, pause);
        }
    }

    /// A process ends, at once and wherever it is; another is started later.
    pub(crate) fn end_process(&mut self, hsm: usize, pause: At) {
        let of = &mut self.hsms[hsm];
        let Some(number) = of.number.take() else { return };
        let id = ProcessId { hsm, number };
        of.process = None;
        of.is_stopped = false;
        of.stash.clear();
        self.trace("process ends", || format!("{id:?}"));
        match self.shape.lease {
            LeaseKind::Held => self.store.leave(id),
            // Its entry stands until somebody removes it.
            LeaseKind::Timed => {}
        }
        self.wake_members();
        self.connections_lost(hsm);
        self.after(pause, Owner::World, "supervisor", move |w| {
            if !w.tampering.keeps_down(hsm) {
                w.start(hsm);
            }
        });
    }

    pub(crate) fn stop_process(&mut self, hsm: usize) {
        if self.hsms[hsm].number.is_some() {
            self.trace("process is stopped", || hsm.to_string());
            self.hsms[hsm].is_stopped = true;
        }
    }

    pub(crate) fn continue_process(&mut self, hsm: usize) {
        let of = &mut self.hsms[hsm];
        let (Some(number), true) = (of.number, of.is_stopped) else { return };
        of.is_stopped = false;
        let stash = std::mem::take(&mut of.stash);
        self.trace("process goes on", || hsm.to_string());
        for (label, action) in stash {
            let delay = self.short();
            self.after(delay, Owner::Process(ProcessId { hsm, number }), label, action);
        }
    }

    /// One way to the store or back.
    fn store_way(&mut self) -> At {
        let usual = self.rng.u64(1..=self.shape.store_max);
        if self.rng.u32(0..100) == 0 { usual * 10 } else { usual }
    }

    /// On one host a process reaches into files itself; over a network what was sent happens without it.
    fn reach(&self, id: ProcessId) -> Owner {
        match self.shape.lease {
            LeaseKind::Held => Owner::Process(id),
            LeaseKind::Timed => Owner::World,
        }
    }

    /// Asks the store, or the member table; nothing when it cannot be reached.
    pub(crate) fn read<T: 'static>(
        &mut self,
        id: ProcessId,
        of_table: bool,
        label: &'static str,
        what: impl FnOnce(&mut Store) -> T + 'static,
        then: impl FnOnce(&mut World, Option<T>) + 'static,
    ) {
        let (there, reach) = (self.store_way(), self.reach(id));
        self.after(there, reach, label, move |w| {
            let on_disk = of_table && w.shape.lease == LeaseKind::Held;
            let is_reached = on_disk || !w.hsms[id.hsm].store_fails;
            let moments = w.store.moments;
            let result = is_reached.then(|| what(&mut w.store));
            if w.store.moments != moments {
                w.wake_members();
            }
            let back = w.store_way();
            w.after(back, Owner::Process(id), label, move |w| then(w, result));
        });
    }

    /// Writes this HSM's anchor: all of it or nothing, also when the process ends meanwhile.
    pub(crate) fn write_anchor(
        &mut self,
        id: ProcessId,
        anchor: Anchor,
        then: impl FnOnce(&mut World, bool) + 'static,
    ) {
        let (write, sync) = (self.rng.u64(20..2_000), self.rng.u64(20..2_000));
        self.after(write, Owner::Process(id), "anchor is written", move |w| {
            let own = &mut w.hsms[id.hsm];
            let is_written = !own.disk_is_full;
            if is_written {
                own.anchor = Some(anchor);
            }
            w.after(sync, Owner::Process(id), "anchor is durable", move |w| then(w, is_written));
        });
    }

    /// A commit or a changed entry wakes the members that wait for the store.
    pub(crate) fn wake_members(&mut self) {
        let moments = self.store.moments;
        for hsm in 0..self.hsms.len() {
            let of = &self.hsms[hsm];
            let (Some(number), Some(process)) = (of.number, of.process.as_ref()) else { continue };
            let Some((seen, rest)) = process.resting else { continue };
            if seen != moments {
                let delay = match self.rng.u32(0..200) {
                    0 => 100 * MS,
                    _ => self.rng.u64(1..500),
                };
                let id = ProcessId { hsm, number };
                self.after(delay, Owner::Process(id), "member is woken", move |w| w.member_woken(id, rest));
            }
        }
    }
}

/// How long a supervisor waits before it starts an HSM again.
pub(crate) const RESTART: std::ops::Range<At> = 10 * MS..2 * SECOND;
