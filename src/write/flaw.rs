//! Deliberate mistakes of the scheduler. The model checker must catch each of them, or its promises prove nothing. A release has
//! none: only a test sets one.

/// A mistake that a test gives the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Flaw {
    /// A key stays open after a write that may still take effect, or will be delivered again.
    ClosesNoKey,
    /// A failure blocks nothing behind it in its key.
    SpreadsNothing,
    /// A failure blocks nothing behind it in its FIFO group.
    GroupGoesOn,
    /// Items that are handed back unprocessed count as written.
    ForgetsUnprocessed,
    /// An ambiguous write of a FIFO group is sent again and acknowledged.
    RetriesAmbiguousInGroups,
    /// A later write supersedes one that was sent.
    SupersedesSent,
    /// Two writes of one key are in flight at once.
    IgnoresKeys,
    /// What an invalid item superseded stays superseded.
    RevivesNothing,
    /// A message of a FIFO group does not wait for the one before it.
    IgnoresGroups,
    /// An ambiguous item does not say so: it comes back at once.
    HidesAmbiguity,
    /// An item whose call could not be sent is forgotten.
    ForgetsUnsent,
    /// A refused batch is not bisected: all its items are invalid.
    BisectsNothing,
}

#[cfg(test)]
impl Flaw {
    /// Every mistake.
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
