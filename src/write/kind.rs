//! The kinds of writes. Pure: no I/O, clock or randomness.

/// The effect of a write on the item with its key. The kind is chosen once, when the record is decoded. It depends on the
/// message's `operation`, on the mapping's `write` property, and on whether the record has a version.
///
/// Every kind is idempotent: sending a write twice has the same effect as sending it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriteKind {
    /// Writes the item unconditionally.
    Put,
    /// Writes the item unless the table has a newer version of it.
    PutIfNewer,
    /// Writes the item unless the table already has an item with its key.
    Create,
    /// Deletes the item unconditionally.
    Delete,
    /// Deletes the item unless the table has a newer version of it.
    DeleteIfNewer,
}

impl WriteKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Put, Self::PutIfNewer, Self::Create, Self::Delete, Self::DeleteIfNewer];

    /// Returns whether the write has a condition. BatchWriteItem supports no conditions, so each conditional write needs a
    /// call of its own.
    pub(crate) fn is_conditional(self) -> bool {
        match self {
            Self::Put | Self::Delete => false,
            Self::PutIfNewer | Self::Create | Self::DeleteIfNewer => true,
        }
    }

    /// Returns whether the condition of the write compares versions.
    pub(crate) fn has_version(self) -> bool {
        match self {
            Self::PutIfNewer | Self::DeleteIfNewer => true,
            Self::Put | Self::Create | Self::Delete => false,
        }
    }

    /// Returns whether the write consists of a key without other attributes.
    pub(crate) fn is_deletion(self) -> bool {
        match self {
            Self::Delete | Self::DeleteIfNewer => true,
            Self::Put | Self::PutIfNewer | Self::Create => false,
        }
    }
}
