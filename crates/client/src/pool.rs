//! Connections to every member, borrowed by calls. The one lock that a call takes, twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use strongroom_types::HsmId;

use crate::answers::Member;
use crate::config::Server;
use crate::connection::Connection;
use crate::routing::{Address, Call, Decision, MemberNumber, Members, Outcome, Turn};

/// The connections of one client in one process.
pub(crate) struct Pool(Mutex<State>);

struct State {
    members: Members,
    /// Connections that nobody uses, the last used one at the end.
    #[expect(clippy::vec_box, reason = "a connection has over a kilobyte and is moved twice a call")]
    idle: Vec<(MemberNumber, Vec<Box<Connection>>)>,
    /// Calls that wait for a member to have room, first come, first served.
    queue: VecDeque<Waiting>,
    /// How many have ever waited.
    waited: u64,
}

struct Waiting {
    ticket: u64,
    thread: Thread,
}

/// What a call gets.
pub(crate) enum Taken<'a> {
    /// A place at a member, and a connection if one was idle.
    Seat(Seat<'a>, Option<Box<Connection>>),
    /// No more tries.
    GiveUp,
}

impl Pool {
    pub(crate) fn new(servers: &[Server]) -> Pool {
        let members = Members::new(servers);
        Pool(Mutex::new(State { members, idle: Vec::new(), queue: VecDeque::new(), waited: 0 }))
    }

    /// A panic of another thread leaves the state whole: nothing in it is changed in two steps that could be torn.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the call may try a member, or must give up.
    pub(crate) fn take(&self, call: &mut Call) -> Taken<'_> {
        let mut ticket = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let decision = match state.queue.front() {
                // Those who came first go first.
                Some(first) if Some(first.ticket) != ticket && now < call.deadline() => Decision::Queue,
                _ => call.decide(&mut state.members, now),
            };
            if decision != Decision::Queue
                && let Some(ticket) = ticket.take()
            {
                state.leave_queue(ticket);
            }
            match decision {
                Decision::Try(member) => {
                    state.members.begin(member);
                    let address = state.members.address(member).cloned();
                    let connection = state.idle_of(member).pop();
                    return Taken::Seat(Seat { pool: self, member, address, began: now, ended: false }, connection);
                }
                Decision::GiveUp => return Taken::GiveUp,
                Decision::Wait(until) => {
                    drop(state);
                    thread::sleep(until.saturating_duration_since(now));
                }
                Decision::Queue => {
                    if ticket.is_none() {
                        ticket = Some(state.join_queue());
                    }
                    drop(state);
                    thread::park_timeout(call.deadline().saturating_duration_since(now));
                }
            }
            state = self.lock();
        }
    }

    /// Takes over what the cluster says of its members.
    pub(crate) fn refresh(&self, members: &[Member]) {
        let mut state = self.lock();
        state.members.refresh(members);
        state.wake_first();
    }

    /// Where a member listens. It was a member once, and none is ever forgotten.
    pub(crate) fn address(&self, member: MemberNumber) -> Option<Arc<Address>> {
        self.lock().members.address(member).cloned()
    }

    /// Which HSM answered last.
    pub(crate) fn last(&self) -> Option<HsmId> {
        self.lock().members.last()
    }
}

impl State {
    #[expect(clippy::vec_box, reason = "as above")]
    fn idle_of(&mut self, member: MemberNumber) -> &mut Vec<Box<Connection>> {
        let index = match self.idle.iter().position(|(number, _)| *number == member) {
            Some(index) => index,
            None => {
                self.idle.push((member, Vec::new()));
                self.idle.len() - 1
            }
        };
        &mut self.idle[index].1
    }

    fn join_queue(&mut self) -> u64 {
        self.waited += 1;
        self.queue.push_back(Waiting { ticket: self.waited, thread: thread::current() });
        self.waited
    }

    /// Whoever is first then may have room beside the one who leaves.
    fn leave_queue(&mut self, ticket: u64) {
        self.queue.retain(|waiting| waiting.ticket != ticket);
        self.wake_first();
    }

    fn wake_first(&self) {
        if let Some(first) = self.queue.front() {
            first.thread.unpark();
        }
    }
}

/// A place at a member. Dropped without [`Seat::end`], by a panic, it is free again and says nothing of the member.
pub(crate) struct Seat<'a> {
    pool: &'a Pool,
    pub(crate) member: MemberNumber,
    /// Where the member listens, for whoever tries it.
    pub(crate) address: Option<Arc<Address>>,
    pub(crate) began: Instant,
    ended: bool,
}

impl Seat<'_> {
    /// Gives the place back, with the connection if it is still of use.
    pub(crate) fn end(mut self, outcome: Outcome, connection: Option<Box<Connection>>) -> Option<Turn> {
        self.give_back(outcome, connection)
    }

    fn give_back(&mut self, outcome: Outcome, connection: Option<Box<Connection>>) -> Option<Turn> {
        self.ended = true;
        let lost = connection.is_none();
        let mut state = self.pool.lock();
        let turn = state.members.end(self.member, self.began, outcome, Instant::now());
        let idle = state.idle_of(self.member);
        // When one connection broke, those that lie idle are as old, and most probably broken too.
        let broken = if lost { std::mem::take(idle) } else { Vec::new() };
        idle.extend(connection);
        state.wake_first();
        drop(state);
        drop(broken);
        turn
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.give_back(Outcome::Unknown, None);
        }
    }
}
