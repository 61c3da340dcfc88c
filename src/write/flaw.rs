//! Deliberate bugs of the scheduler. The model checker must detect each of them, which proves that its promises are strong
//! enough. Only tests can enable a flaw.

/// A deliberate bug that a test enables in the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Flaw {
    /// A key stays open after a write that may still take effect or will be redelivered.
    ClosesNoKey,
    /// A failure does not block the later items of its key.
    SpreadsNothing,
    /// A failure does not block the later messages of its FIFO group.
    GroupGoesOn,
    /// Unprocessed items count as written.
    ForgetsUnprocessed,
    /// An ambiguous write of a FIFO group is retried and acknowledged.
    RetriesAmbiguousInGroups,
    /// A later write supersedes a write that was already sent.
    SupersedesSent,
    /// Two writes to one key are in flight at the same time.
    IgnoresKeys,
    /// An item that was superseded by an invalid item is not revived.
    RevivesNothing,
    /// A message of a FIFO group does not wait for the previous message of the group.
    IgnoresGroups,
    /// An ambiguous item is not marked as ambiguous, so its message is redelivered at once.
    HidesAmbiguity,
    /// An item whose call could not be sent is never retried.
    ForgetsUnsent,
    /// A refused batch is not bisected, and all its items are marked as invalid.
    BisectsNothing,
}

#[cfg(test)]
impl Flaw {
    /// All flaws.
    pub(super) const ALL: [Self; 12] = [
        Self::ClosesNoKey,
        Self::SpreadsNothing,
        Self::GroupGoesOn,
        Self::ForgetsUnprocessed,
        Self::RetriesAmbiguousInGroups,
        Self::SupersedesSent,
        Self::IgnoresKeys,
        Self::RevivesNothing,
        Self::IgnoresGroups,
        Self::HidesAmbiguity,
        Self::ForgetsUnsent,
        Self::BisectsNothing,
    ];
}
