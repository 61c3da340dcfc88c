//! What a write does to the item of its key. Pure.

/// The kind of a write. It is chosen once, when a record is decoded: from the message's `operation`, the mapping's `write`
/// property, and whether the record has a version.
///
/// Every kind is idempotent: a write that is sent twice leaves what one would have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriteKind {
    /// Writes the item, whatever the table has.
    Put,
    /// Writes the item unless the table has one of a newer version.
    PutIfNewer,
    /// Writes the item unless the table has one with its key.
    Create,
    /// Deletes the item, whatever the table has.
    Delete,
    /// Deletes the item unless the table has one of a newer version.
    DeleteIfNewer,
}

impl WriteKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Put, Self::PutIfNewer, Self::Create, Self::Delete, Self::DeleteIfNewer];

    /// Returns whether a condition decides about the write. BatchWriteItem has no conditions, so such a write is a call of its
    /// own.
    pub(crate) fn is_conditional(self) -> bool {
        match self {
            Self::Put | Self::Delete => false,
            Self::PutIfNewer | Self::Create | Self::DeleteIfNewer => true,
        }
    }

    /// Returns whether the write compares versions.
    pub(crate) fn has_version(self) -> bool {
        match self {
            Self::PutIfNewer | Self::DeleteIfNewer => true,
            Self::Put | Self::Create | Self::Delete => false,
        }
    }

    /// Returns whether the write carries a key and no other attribute.
    pub(crate) fn is_deletion(self) -> bool {
        match self {
            Self::Delete | Self::DeleteIfNewer => true,
            Self::Put | Self::PutIfNewer | Self::Create => false,
        }
    }
}
