//! Bugs planted on purpose: a test of the checkers.

use clap::ValueEnum;

/// A bug that somebody could write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// A change is answered before its batch is committed.
    AcknowledgeBeforeCommit,
    /// A lease that ran out is renewed, and an entry that was removed is put back.
    RenewExpired,
    /// A refusal for what is not there is given without asking the store.
    SkipCatchUpOnAbsence,
    /// What was read from the store is applied although something newer was applied meanwhile.
    ApplyOutOfOrder,
    /// Receipts are not committed with their changes.
    DropReceipt,
    /// A client uses a request id for two changes.
    ReuseRequestId,
    /// A member answers after its lease ran out, or after it was fenced.
    AnswerAfterExpiry,
    /// A member that keeps a change waiting is taken for gone, and not fenced.
    ForgetToFence,
    /// A record is sealed for any path.
    SealWithoutPath,
    /// The head counts a record too many.
    CountHeadWrong,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Mutant] = &[
        Mutant::AcknowledgeBeforeCommit,
        Mutant::RenewExpired,
        Mutant::SkipCatchUpOnAbsence,
        Mutant::ApplyOutOfOrder,
        Mutant::DropReceipt,
        Mutant::ReuseRequestId,
        Mutant::AnswerAfterExpiry,
        Mutant::ForgetToFence,
        Mutant::SealWithoutPath,
        Mutant::CountHeadWrong,
    ];
}
