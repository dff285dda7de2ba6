use strongroom_types::{Refusal, Revision, Role, Status};

use crate::member::{Answer, Answered, Batcher, CHANGES_WAITING_MAX, Change, Next, Withdrawn};
use crate::tests::world::{World, name};
use crate::{Command, Effect, Made, Reply, Request};

type Ticket = u64;

/// A store with one batch at a time, and a member that plans on what it has applied.
struct Member {
    world: World,
    batcher: Batcher<Ticket>,
}

fn create(world: &mut World, user: &str) -> Change {
    let command = Command::CreateUser { name: name(user), role: Role::CryptoUser };
    Change { actor: world.admin(), command, made: world.made_user(), request: world.request() }
}

fn delete(world: &mut World, user: &str) -> Change {
    let command = Command::DeleteUser { name: name(user), role: Role::CryptoUser };
    Change { actor: world.admin(), command, made: Made::Nothing, request: world.request() }
}

impl Member {
    fn new() -> Member {
        Member { world: World::active(), batcher: Batcher::new() }
    }

    fn create(&mut self, ticket: Ticket, user: &str) -> Change {
        let change = create(&mut self.world, user);
        self.batcher.add(ticket, change.clone()).unwrap();
        change
    }

    fn plan(&mut self) -> Next {
        self.batcher.plan(&self.world.state, self.world.now_ms)
    }

    /// Commits what is planned.
    fn commit(&mut self) -> Vec<Answered<Ticket>> {
        match self.plan() {
            Next::Commit(batch) => self.world.commit(&batch),
            other => panic!("{other:?}"),
        }
        self.batcher.committed()
    }

    fn has(&self, user: &str) -> bool {
        self.world.state.user_named(&name(user)).is_some()
    }
}

/// Tickets and what became of them.
fn outcomes(answered: &[Answered<Ticket>]) -> Vec<(Ticket, Result<Revision, Status>)> {
    let outcome = |answered: &Answered<Ticket>| {
        let outcome = match &answered.answer {
            Answer::Durable { revision, .. } => Ok(*revision),
            Answer::Refused(refusal) => Err(refusal.status),
            Answer::DrawAgain => Err(Status::Busy),
        };
        (answered.ticket, outcome)
    };
    answered.iter().map(outcome).collect()
}

#[test]
fn everything_that_waits_shares_one_batch_and_is_answered_after_its_commit() {
    let mut member = Member::new();
    let base = member.world.state.revision();
    assert_eq!(member.plan(), Next::Rest);
    member.create(1, "alice");
    member.create(2, "bob");
    member.create(3, "alice");
    let answered = member.commit();
    assert_eq!(outcomes(&answered), [(1, Ok(base.next())), (2, Ok(base.next())), (3, Err(Status::UserExists))]);
    assert!(matches!(&answered[0].answer, Answer::Durable { reply: Reply::User { .. }, effect: Effect::Granting, .. }));
    assert!(member.batcher.is_empty() && member.plan() == Next::Rest);
    let gone = delete(&mut member.world, "bob");
    member.batcher.add(4, gone).unwrap();
    let answered = member.commit();
    assert!(matches!(&answered[0].answer, Answer::Durable { effect: Effect::Revoking, .. }));
}

#[test]
fn after_a_conflict_everything_is_planned_again_in_its_order() {
    let mut member = Member::new();
    member.create(1, "alice");
    member.create(2, "bob");
    assert!(matches!(member.plan(), Next::Commit(_)));
    // Somebody else made alice meanwhile.
    member.batcher.lost();
    member.world.create("alice", Role::CryptoUser).unwrap();
    member.create(3, "carol");
    let answered = member.commit();
    let revision = member.world.state.revision();
    assert_eq!(outcomes(&answered), [(1, Err(Status::UserExists)), (2, Ok(revision)), (3, Ok(revision))]);
    assert!(!member.batcher.should_announce());
}

#[test]
fn who_loses_three_times_in_a_row_should_announce_its_turn() {
    let mut member = Member::new();
    member.create(1, "alice");
    for losses in 1..=3 {
        assert!(matches!(member.plan(), Next::Commit(_)));
        member.batcher.lost();
        assert_eq!(member.batcher.should_announce(), losses == 3);
    }
    member.commit();
    assert!(!member.batcher.should_announce());
    // What was not tried is not lost.
    for _ in 0..5 {
        member.create(2, "bob");
        member.plan();
        member.batcher.overtaken();
        assert!(!member.batcher.should_announce());
        assert_eq!(member.batcher.withdraw(&2), Withdrawn::Untried);
    }
}

#[test]
fn an_unknown_commit_that_was_written_is_answered_by_its_receipt() {
    let mut member = Member::new();
    member.create(1, "alice");
    let Next::Commit(batch) = member.plan() else { panic!() };
    member.batcher.unknown();
    member.world.commit(&batch);
    assert_eq!(member.plan(), Next::Confirm);
    let newest = member.world.state.revision();
    let answered = member.batcher.confirmed(newest);
    assert_eq!(outcomes(&answered), [(1, Ok(newest))]);
    assert!(
        matches!(&answered[0].answer, Answer::Durable { reply: Reply::User { user, .. }, .. } if user.name == name("alice"))
    );
}

#[test]
fn a_change_that_was_made_is_not_called_refused_when_its_login_has_ended_since() {
    let mut member = Member::new();
    member.create(1, "alice");
    member.commit();
    let gone = delete(&mut member.world, "alice");
    let admin = gone.actor;
    member.batcher.add(2, gone).unwrap();
    let Next::Commit(batch) = member.plan() else { panic!() };
    member.world.commit(&batch);
    // Nobody knows yet whether it was written, and the login it came with ends by another member's batch.
    member.batcher.unknown();
    assert_eq!(member.world.done(&admin, &Command::Logout, &Made::Nothing), Ok(Reply::Done));
    let base = member.world.state.revision();
    assert_eq!(member.plan(), Next::Confirm);
    assert_eq!(outcomes(&member.batcher.confirmed(base)), [(2, Ok(base))]);
    // What was not made is refused, whatever its outcome was.
    let create = create(&mut member.world, "bob");
    assert_eq!(member.world.done(&create.actor, &Command::Logout, &Made::Nothing), Ok(Reply::Done));
    member.batcher.add(3, create).unwrap();
    let base = member.world.state.revision();
    assert_eq!(member.plan(), Next::Confirm);
    member.batcher.unknown();
    assert_eq!(member.plan(), Next::Confirm);
    assert_eq!(outcomes(&member.batcher.confirmed(base)), [(3, Err(Status::LoginEnded))]);
}

#[test]
fn an_unknown_commit_that_was_not_written_is_made_again() {
    let mut member = Member::new();
    member.create(1, "alice");
    assert!(matches!(member.plan(), Next::Commit(_)));
    member.batcher.unknown();
    assert_eq!(outcomes(&member.commit()), [(1, Ok(member.world.state.revision()))]);
    assert!(member.has("alice"));
}

#[test]
fn refusals_hold_on_the_newest_state_only() {
    let mut member = Member::new();
    let gone = delete(&mut member.world, "alice");
    member.batcher.add(1, gone).unwrap();
    assert_eq!(member.plan(), Next::Confirm);
    // The store has a revision that this member has not applied.
    assert!(member.batcher.confirmed(member.world.state.revision().next()).is_empty());
    member.world.create("alice", Role::CryptoUser).unwrap();
    assert_eq!(outcomes(&member.commit()), [(1, Ok(member.world.state.revision()))]);
    let gone = delete(&mut member.world, "alice");
    member.batcher.add(2, gone).unwrap();
    assert_eq!(member.plan(), Next::Confirm);
    let answered = member.batcher.confirmed(member.world.state.revision());
    assert_eq!(outcomes(&answered), [(2, Err(Status::UserUnknown))]);
}

#[test]
fn without_the_store_refusals_are_unavailable_and_what_is_known_stands() {
    let mut member = Member::new();
    let known = member.create(1, "alice");
    member.commit();
    let gone = delete(&mut member.world, "nobody");
    member.batcher.add(2, gone).unwrap();
    member.batcher.add(3, known).unwrap();
    assert_eq!(member.plan(), Next::Confirm);
    let answered = member.batcher.unconfirmed(&Status::StoreUnavailable.into());
    let revision = member.world.state.revision();
    assert_eq!(outcomes(&answered), [(2, Err(Status::StoreUnavailable)), (3, Ok(revision))]);
}

#[test]
fn a_batch_not_written_is_refused_and_later_ones_go_on() {
    let mut member = Member::new();
    member.create(1, "alice");
    assert!(matches!(member.plan(), Next::Commit(_)));
    member.create(2, "bob");
    let answered = member.batcher.not_written(&Status::StoreUnavailable.into());
    assert_eq!(outcomes(&answered), [(1, Err(Status::StoreUnavailable))]);
    assert_eq!(outcomes(&member.commit()), [(2, Ok(member.world.state.revision()))]);
    assert!(member.has("bob") && !member.has("alice"));
    member.create(3, "carol");
    member.plan();
    member.create(4, "dave");
    let answered = member.batcher.refuse_all(&Status::StateDamaged.into());
    assert_eq!(outcomes(&answered), [(3, Err(Status::StateDamaged)), (4, Err(Status::StateDamaged))]);
    assert_eq!(member.plan(), Next::Rest);
}

#[test]
fn a_change_given_up_is_told_by_how_far_it_had_come() {
    let mut member = Member::new();
    member.create(1, "alice");
    assert_eq!(member.batcher.withdraw(&1), Withdrawn::Untried);
    assert_eq!(member.batcher.withdraw(&1), Withdrawn::Absent);
    assert_eq!(member.plan(), Next::Rest);
    // In a batch that is being committed: not answered, and not planned again.
    member.create(2, "bob");
    member.create(3, "carol");
    let Next::Commit(batch) = member.plan() else { panic!() };
    assert_eq!(member.batcher.withdraw(&2), Withdrawn::MaybeMade);
    member.world.commit(&batch);
    assert_eq!(outcomes(&member.batcher.committed()), [(3, Ok(member.world.state.revision()))]);
    member.create(4, "dave");
    member.plan();
    assert_eq!(member.batcher.withdraw(&4), Withdrawn::MaybeMade);
    member.batcher.lost();
    assert_eq!(member.plan(), Next::Rest);
    // After an unknown outcome it may have been made, though it waits.
    member.create(5, "erin");
    member.plan();
    member.batcher.unknown();
    member.create(6, "frank");
    assert_eq!(member.batcher.withdraw(&5), Withdrawn::MaybeMade);
    assert_eq!(member.batcher.withdraw(&6), Withdrawn::Untried);
}

#[test]
fn a_taken_id_is_given_back_to_be_drawn_again() {
    let mut member = Member::new();
    let first = member.create(1, "alice");
    let Made::User { id, .. } = &first.made else { panic!() };
    let mut second = create(&mut member.world, "bob");
    second.made = Made::User { id: *id, credential: member.world.credential() };
    member.batcher.add(2, second).unwrap();
    let answered = member.commit();
    assert_eq!(answered[1], Answered { ticket: 2, answer: Answer::DrawAgain });
}

#[test]
fn what_does_not_fit_waits_for_the_next_batch() {
    let mut member = Member::new();
    for ticket in 0..100 {
        member.create(ticket, &format!("user-{ticket}"));
    }
    let first = member.commit();
    assert_eq!(first.len(), crate::PLANNED_RECORDS_MAX);
    let second = member.commit();
    assert_eq!(first.len() + second.len(), 100);
    assert!(first.iter().chain(&second).map(|answered| answered.ticket).is_sorted());
}

#[test]
fn too_many_changes_wait_at_the_door() {
    let mut member = Member::new();
    let change = create(&mut member.world, "alice");
    for ticket in 0..CHANGES_WAITING_MAX {
        let request = Request { digest: [1; 32], ..change.request.clone() };
        member.batcher.add(ticket as Ticket, Change { request, ..change.clone() }).unwrap();
    }
    let refusal: Refusal = member.batcher.add(u64::MAX, change).unwrap_err();
    assert_eq!(refusal.status, Status::Busy);
}
