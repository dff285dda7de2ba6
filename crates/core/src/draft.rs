//! Several plans in one batch: each sees what those before it do.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_types::limits::{BATCH_LEN_MAX, RECEIPT_SECONDS_MIN, RECEIPTS_LASTING_EACH_MAX, RECEIPTS_LASTING_MAX};
use strongroom_types::{ChallengeId, CredentialId, LoginId, RecordKind, RecordPath, RequestId, TokenId, UserId};

use crate::apply::change;
use crate::plan::internal;
use crate::receipts::RECEIPT_MS;
use crate::records::{Certificate, EndedLogin, QuorumToken, Receipt, SpentChallenge, TrustAnchor};
use crate::{Actor, Batch, Command, Key, Made, Plan, PlanError, Planned, Record, Request, State, plan};

/// Records that plans may fill. The rest of a batch is for removing what is over. Each record that a plan writes or removes
/// leaves at most one that will be over some day (a receipt, an ended login), and a plan may write nothing else: so the rest
/// must be as much again for removing to keep pace.
pub const PLANNED_RECORDS_MAX: usize = BATCH_LEN_MAX / 2;

/// How long a receipt is kept at least, in milliseconds.
const RECEIPT_MS_MIN: u64 = RECEIPT_SECONDS_MIN * 1_000;

/// A batch in the making, on top of one state.
///
/// Plan each waiting command here; then [`finish`](Draft::finish) and commit the batch as the revision that follows
/// the state's. If the commit meets a conflict, start a new draft from the newer state: plans are pure.
#[derive(Clone, Debug)]
pub struct Draft {
    base: State,
    /// The base with this draft's changes, at the base's revision.
    state: State,
    puts: BTreeMap<RecordPath, Record>,
    deletes: BTreeSet<RecordPath>,
}

impl Draft {
    /// An empty batch on top of a state.
    pub fn new(base: State) -> Draft {
        Draft { state: base.clone(), base, puts: BTreeMap::new(), deletes: BTreeSet::new() }
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records written and removed so far.
    pub fn len(&self) -> usize {
        self.puts.len() + self.deletes.len()
    }

    /// Plans a command after those already in the draft, and adds what it writes.
    ///
    /// A [`Plan::Replayed`] here may repeat a command of this very draft: answer it when the batch is committed.
    pub fn plan(
        &mut self,
        actor: &Actor,
        command: &Command,
        made: &Made,
        request: &Request,
        now_ms: u64,
    ) -> Result<Plan, PlanError> {
        let plan = plan(&self.state, actor, command, made, request, now_ms)?;
        if let Plan::Change(planned) = &plan {
            self.add(planned)?;
            self.state.time_ms = self.state.cluster_time(now_ms);
        }
        Ok(plan)
    }

    fn add(&mut self, planned: &Planned) -> Result<(), PlanError> {
        let len = planned.puts.len() + planned.deletes.len();
        if !self.is_empty() && self.len() + len > PLANNED_RECORDS_MAX {
            return Err(PlanError::BatchFull);
        }
        let mut state = self.state.clone();
        change(&mut state, &planned.puts, &planned.deletes).map_err(|_| internal("plan"))?;
        self.state = state;
        for path in &planned.deletes {
            self.puts.remove(path);
            if self.base.holds(*path) {
                self.deletes.insert(*path);
            }
        }
        for record in &planned.puts {
            self.deletes.remove(&record.path());
            self.puts.insert(record.path(), record.clone());
        }
        Ok(())
    }

    /// The batch, with what is over removed as far as there is room. Nothing is removed for its own sake: an empty
    /// draft gives an empty batch.
    pub fn finish(mut self) -> Batch {
        if !self.is_empty() {
            let room = BATCH_LEN_MAX.saturating_sub(self.len());
            let mut over = BTreeSet::new();
            for path in self.over().filter(|path| !self.puts.contains_key(path) && !self.deletes.contains(path)) {
                if over.len() >= room {
                    break;
                }
                over.insert(path);
            }
            self.deletes.extend(over);
        }
        Batch {
            revision: self.base.revision().next(),
            time_ms: self.state.time_ms,
            puts: self.puts.into_values().collect(),
            deletes: self.deletes.into_iter().collect(),
        }
    }

    /// What may go, some of it twice: quorum tokens and used challenges that ran out, receipts older than an hour and ended
    /// logins whose tickets ran out, oldest first; then what is there in excess.
    fn over(&self) -> impl Iterator<Item = RecordPath> + '_ {
        let (base, now_ms) = (&self.base, self.state.time_ms);
        let receipts = base.receipt_ages.oldest();
        let receipts = receipts.take_while(move |(time_ms, _)| time_ms.saturating_add(RECEIPT_MS) <= now_ms);
        let logins = base.ended_login_ages.oldest().take_while(move |(until_ms, _)| *until_ms <= now_ms);
        let logins = logins.map(|(_, login)| login).chain(base.needless_ended_logins());
        let receipts = receipts.map(|(_, request)| request).chain(base.crowding_receipts(now_ms));
        let tokens = base.token_ages.oldest().take_while(move |(expires_ms, _)| *expires_ms <= now_ms);
        let spent = base.spent_challenge_ages.oldest().take_while(move |(until_ms, _)| *until_ms <= now_ms);
        let tokens = tokens.map(|(_, token)| QuorumToken::path_of(token));
        let spent = spent.map(|(_, challenge)| SpentChallenge::path_of(challenge));
        tokens.chain(spent).chain(receipts.map(Receipt::path_of)).chain(logins.map(EndedLogin::path_of))
    }
}

impl State {
    /// Of logins that have ended without them: the user is gone, or has another password.
    fn needless_ended_logins(&self) -> impl Iterator<Item = LoginId> + '_ {
        let is_needless = |(user, credential): &(UserId, CredentialId)| {
            let current = self.user(*user).and_then(|user| user.credential.as_ref());
            current.is_none_or(|current| current.id != *credential)
        };
        let owners = self.ended_login_ages.owners().map(|(owner, _)| owner).filter(move |owner| is_needless(owner));
        owners.flat_map(|owner| self.ended_login_ages.oldest_of(owner)).map(|(_, login)| login)
    }

    /// The oldest receipts of whoever has too many, and of everybody when all together are too many; none so young that a
    /// client may still repeat its request.
    fn crowding_receipts(&self, now_ms: u64) -> impl Iterator<Item = RequestId> + '_ {
        let is_old = move |(time_ms, _): &(u64, RequestId)| time_ms.saturating_add(RECEIPT_MS_MIN) <= now_ms;
        let ages = &self.receipt_ages;
        let excess = ages.len().saturating_sub(RECEIPTS_LASTING_MAX);
        let each = ages.owners().filter(|(_, len)| *len > RECEIPTS_LASTING_EACH_MAX);
        let each = each.flat_map(move |(owner, len)| {
            ages.oldest_of(owner).take(len - RECEIPTS_LASTING_EACH_MAX).take_while(is_old)
        });
        each.chain(ages.oldest().take(excess).take_while(is_old)).map(|(_, request)| request)
    }

    /// Whether there is a record at `path`. The cluster key and the head are none of the state's.
    pub fn holds(&self, path: RecordPath) -> bool {
        match path.kind {
            RecordKind::ClusterKey | RecordKind::Head => false,
            RecordKind::Cluster => path == RecordPath::CLUSTER && self.cluster().is_some(),
            RecordKind::Hsm => self.hsms().any(|hsm| hsm.path() == path),
            RecordKind::User => self.user(UserId::from_bytes(path.id)).is_some(),
            RecordKind::Key => Key::reference_of(path).is_some_and(|reference| self.key(reference).is_some()),
            RecordKind::Receipt => self.receipt(RequestId::from_bytes(path.id)).is_some(),
            RecordKind::EndedLogin => self.is_login_ended(LoginId::from_bytes(path.id)),
            RecordKind::Rollback => self.rollbacks().any(|rollback| rollback.path() == path),
            RecordKind::TrustAnchor => {
                TrustAnchor::reference_of(path).is_some_and(|reference| self.trust_anchor(reference).is_some())
            }
            RecordKind::Certificate => {
                Certificate::reference_of(path).is_some_and(|reference| self.certificate(reference).is_some())
            }
            RecordKind::HistoryKey => path == RecordPath::HISTORY_KEY && self.history_key().is_some(),
            RecordKind::QuorumToken => self.quorum_token(TokenId::from_bytes(path.id)).is_some(),
            RecordKind::QuorumValues => path == RecordPath::QUORUM_VALUES && self.quorum_values.is_some(),
            RecordKind::SpentChallenge => self.is_challenge_spent(ChallengeId::from_bytes(path.id)),
        }
    }
}
