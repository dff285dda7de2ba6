use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_types::HsmId;

use super::{BUSY_MAX, BUSY_MIN, PAUSE_MAX, PAUSE_MIN, PAUSE_MIN_SILENT, doubled};
use crate::answers::Member;
use crate::config::Server;

/// A member as long as this process knows it. Identity is the address: an HSM made anew at an old address is the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberNumber(u32);

/// Host and port, ready to be printed.
#[derive(Clone, Debug)]
pub struct Address {
    pub(crate) server: Server,
    pub(crate) text: Arc<str>,
}

impl Address {
    fn new(server: Server) -> Address {
        let Server { address, port } = &server;
        let text = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        Address { text: text.into(), server }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a try says about its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever the answer.
    Answered,
    /// It asks to be spared for a while.
    Busy(Duration),
    /// It can't serve, or can't be reached. At least the given pause.
    Failed(Duration),
    /// Nothing came within the try's time.
    Silent,
    /// Nothing: a connection that had been idle was closed meanwhile, or the try was broken off.
    Unknown,
}

/// A change in a member's standing, worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was fine and is left.
    Left,
    /// It was left and answers again.
    Back,
}

/// One member.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: MemberNumber,
    address: Arc<Address>,
    hsm_id: Option<HsmId>,
    /// Whether the cluster counts it among its members; before the cluster was asked, whether the configuration does.
    pub(super) listed: bool,
    pub(super) in_flight: usize,
    /// In a row.
    failures: u32,
    failed_at: Option<Instant>,
    pub(super) down_until: Option<Instant>,
    pub(super) busy_until: Option<Instant>,
}

impl Entry {
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// Whether a call may go there without being short of others. One that failed takes one call at a time.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        let rested = self.down_until.is_none_or(|until| now >= until && self.in_flight == 0);
        rested && !self.is_busy(now)
    }
}

/// All that a process knows about the members of a cluster.
#[derive(Debug)]
pub struct Members {
    pub(super) list: Vec<Entry>,
    numbered: u32,
    /// Where the search for the least busy one begins.
    pub(super) turn: usize,
    last: Option<MemberNumber>,
}

impl Members {
    /// Those of a configuration.
    pub fn new(servers: &[Server]) -> Members {
        let mut members = Members { list: Vec::new(), numbered: 0, turn: 0, last: None };
        for server in servers {
            if !members.list.iter().any(|entry| entry.address.server == *server) {
                members.add(server.clone(), None);
            }
        }
        members
    }

    fn add(&mut self, server: Server, hsm_id: Option<HsmId>) {
        let number = MemberNumber(self.numbered);
        self.numbered += 1;
        let address = Arc::new(Address::new(server));
        self.list.push(Entry {
            number,
            address,
            hsm_id,
            listed: true,
            in_flight: 0,
            failures: 0,
            failed_at: None,
            down_until: None,
            busy_until: None,
        });
    }

    /// Takes over what the cluster says of its members. Those that it does not name stay as a last resort: they may be
    /// other addresses of the same HSMs.
    pub fn refresh(&mut self, told: &[Member]) {
        if told.is_empty() {
            return;
        }
        for entry in &mut self.list {
            entry.listed = false;
        }
        for member in told {
            let server = Server { address: member.address.ip().to_string(), port: member.address.port() };
            match self.list.iter_mut().find(|entry| entry.address.server == server) {
                Some(entry) => {
                    entry.listed = true;
                    entry.hsm_id = Some(member.hsm_id.clone());
                }
                None => self.add(server, Some(member.hsm_id.clone())),
            }
        }
    }

    fn entry(&mut self, number: MemberNumber) -> Option<&mut Entry> {
        self.list.iter_mut().find(|entry| entry.number == number)
    }

    /// A call begins a try on this member.
    pub fn begin(&mut self, number: MemberNumber) {
        if let Some(entry) = self.entry(number) {
            entry.in_flight += 1;
        }
    }

    /// The try that began at `began` has ended.
    pub fn end(&mut self, number: MemberNumber, began: Instant, outcome: Outcome, now: Instant) -> Option<Turn> {
        let entry = self.entry(number)?;
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let at_least = match outcome {
            Outcome::Answered => {
                let was_left = entry.failures > 0;
                (entry.failures, entry.down_until) = (0, None);
                self.last = Some(number);
                return was_left.then_some(Turn::Back);
            }
            Outcome::Busy(wanted) => {
                entry.busy_until = Some(now + wanted.clamp(BUSY_MIN, BUSY_MAX));
                return None;
            }
            Outcome::Unknown => return None,
            Outcome::Failed(wanted) => wanted.clamp(PAUSE_MIN, PAUSE_MAX),
            Outcome::Silent => PAUSE_MIN_SILENT,
        };
        if entry.failed_at.is_some_and(|failed_at| began < failed_at) {
            return None;
        }
        let pause = doubled(PAUSE_MIN, entry.failures, PAUSE_MAX).max(at_least);
        entry.failures = entry.failures.saturating_add(1);
        (entry.failed_at, entry.down_until) = (Some(now), Some(now + pause));
        (entry.failures == 1).then_some(Turn::Left)
    }

    /// Where a member listens.
    pub fn address(&self, number: MemberNumber) -> Option<&Arc<Address>> {
        self.list.iter().find(|entry| entry.number == number).map(|entry| &entry.address)
    }

    /// Which HSM answered last, if the cluster has told which it is.
    pub fn last(&self) -> Option<HsmId> {
        self.list.iter().find(|entry| Some(entry.number) == self.last)?.hsm_id.clone()
    }
}
