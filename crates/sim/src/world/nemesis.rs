//! Faults, one after another, each with its end.

use strongroom_core::member::LeaseKind;

use super::process::RESTART;
use super::{At, MS, Owner, SECOND, World};

/// How far a clock may get from the world's, in milliseconds: less than receipts last.
const CLOCK_MAX_MS: i64 = 25 * 60 * 1_000;

impl World {
    /// The next fault, and so on.
    pub(crate) fn next_fault(&mut self) {
        let Some(every) = self.shape.fault_every else { return };
        let pause = self.rng.u64(1..=2 * every);
        self.after(pause, Owner::World, "fault", |w| {
            if !w.is_quiet {
                w.fault();
                w.next_fault();
            }
        });
    }

    fn fault(&mut self) {
        let is_pure = self.shape.is_pure;
        if is_pure && self.hsms.iter().any(|hsm| hsm.is_stopped || hsm.number_of_process().is_none()) {
            return;
        }
        self.counts.faults += 1;
        let hsm = self.rng.usize(..self.hsms.len());
        let drawn = self.rng.u32(0..100);
        let favourite = self.shape.favourite.filter(|_| is_pure || self.rng.u32(0..3) > 0);
        match favourite.unwrap_or(drawn) {
            0..30 => {
                let pause = self.rng.u64(RESTART);
                self.end_process(hsm, pause);
            }
            30..55 => self.pause(hsm),
            55..65 => {
                self.trace("store is out of reach", || hsm.to_string());
                self.hsms[hsm].store_fails = true;
                self.later("store is in reach", 3 * SECOND, move |w| w.hsms[hsm].store_fails = false);
            }
            65..75 => self.fill_disks(hsm),
            75..90 => {
                let client = self.rng.usize(..self.clients.len());
                self.trace("way is cut", || format!("client {client} to {hsm}"));
                self.hsms[hsm].cut_off.insert(client);
                self.later("way is open", 4 * SECOND, move |w| {
                    w.hsms[hsm].cut_off.remove(&client);
                });
            }
            _ => self.move_clocks(hsm),
        }
    }

    /// From moments to several leases.
    fn pause(&mut self, hsm: usize) {
        let lease = self.shape.lease_ms * MS;
        let about = *self.rng.choice(&[20 * MS, lease / 2, 2 * lease, 3 * lease]).expect("some");
        let pause = self.rng.u64(about / 2..=about * 3 / 2);
        self.stop_process(hsm);
        self.after(pause, Owner::World, "process goes on", move |w| w.continue_process(hsm));
    }

    fn fill_disks(&mut self, hsm: usize) {
        let hsms = match self.shape.lease {
            LeaseKind::Held => 0..self.hsms.len(),
            LeaseKind::Timed => hsm..hsm + 1,
        };
        self.trace("disk is full", || format!("{hsms:?}"));
        for of in hsms.clone() {
            self.hsms[of].disk_is_full = true;
        }
        self.later("disk has room", 3 * SECOND, move |w| {
            for of in hsms {
                w.hsms[of].disk_is_full = false;
            }
        });
    }

    fn move_clocks(&mut self, hsm: usize) {
        let far = *self.rng.choice(&[2_000, 30_000, 20 * 60 * 1_000]).expect("some");
        let by = self.rng.i64(-far..=far);
        let hsms = match self.shape.lease {
            LeaseKind::Held => 0..self.hsms.len(),
            LeaseKind::Timed => hsm..hsm + 1,
        };
        self.trace("clock jumps", || format!("{hsms:?} by {by} ms"));
        for of in hsms.clone() {
            let clocks = &mut self.hsms[of].clocks;
            clocks.ahead_ms = (clocks.ahead_ms + by).clamp(-CLOCK_MAX_MS, CLOCK_MAX_MS);
        }
        self.later("clock is set right", 2 * SECOND, move |w| {
            for of in hsms {
                w.hsms[of].clocks.ahead_ms = 0;
            }
        });
    }

    fn later(&mut self, label: &'static str, longest: At, action: impl FnOnce(&mut World) + 'static) {
        let pause = self.rng.u64(1..=longest);
        self.after(pause, Owner::World, label, action);
    }

    /// Faults end: what was broken is whole again. One HSM may stay as it is, stopped for good.
    pub(crate) fn end_faults(&mut self) {
        self.is_quiet = true;
        self.trace("faults end", String::new);
        self.put_right();
        let frozen = self.shape.has_frozen.then(|| self.rng.usize(..self.hsms.len()));
        for hsm in 0..self.hsms.len() {
            let of = &mut self.hsms[hsm];
            (of.store_fails, of.disk_is_full) = (false, false);
            of.cut_off.clear();
            of.clocks.ahead_ms = of.clocks.ahead_ms.clamp(-500, 500);
            if frozen == Some(hsm) {
                self.stop_process(hsm);
            } else {
                self.continue_process(hsm);
                self.start(hsm);
            }
        }
    }
}
