//! Errors of a datum.

use crate::{
    avro::{path::WithPath, plan::MismatchProblem},
    outcome::Reason,
    record::{Interruption, ItemError},
};
use std::fmt;

/// A reason why a datum is not a valid record of its schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatumError {
    Truncated,
    /// The datum has this number of bytes after its record.
    Trailing(usize),
    Boolean,
    Varint,
    Int,
    Length,
    Utf8,
    Symbol,
    Branch,
    /// A block of items does not have the size that its header states.
    Block,
    DuplicateKey,
    UnknownSymbol,
    UnknownBranch,
    /// The reader schema cannot read an item, value or branch of the schema of a container.
    Incompatible(MismatchProblem),
    /// A time needs more than 64 bits in the reader's unit.
    Unit,
    Depth(usize),
    Values(usize),
    /// Inflated and with its defaults, the message exceeds this number of bytes.
    Expansion(usize),
    Item(ItemError),
}

impl DatumError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Truncated => Reason::Truncated,
            Self::Trailing(_) => Reason::TrailingBytes,
            Self::Boolean
            | Self::Varint
            | Self::Int
            | Self::Length
            | Self::Utf8
            | Self::Symbol
            | Self::Branch
            | Self::Block
            | Self::DuplicateKey => Reason::MalformedDatum,
            Self::UnknownSymbol | Self::UnknownBranch => Reason::Unresolvable,
            Self::Incompatible(_) => Reason::IncompatibleSchema,
            Self::Unit => Reason::NumberOutOfRange,
            Self::Depth(_) | Self::Values(_) | Self::Expansion(_) => Reason::LimitExceeded,
            Self::Item(error) => match error {
                ItemError::Number(_) => Reason::NumberOutOfRange,
                ItemError::Key { .. } => Reason::InvalidKey,
                ItemError::TooLarge { .. } => Reason::ItemTooLarge,
                ItemError::TooDeep { .. } | ItemError::Name(_) | ItemError::Mapping { .. } => Reason::InvalidItem,
                // This is unreachable, because the decoder reports an interruption separately and not as a rejection.
                ItemError::Interrupted(_) => Reason::LimitExceeded,
            },
        }
    }
}

impl DatumError {
    /// Returns the interruption if the datum is valid so far and reading it was only interrupted.
    pub(crate) fn interruption(&self) -> Option<Interruption> {
        match self {
            Self::Item(ItemError::Interrupted(interruption)) => Some(*interruption),
            _ => None,
        }
    }
}

impl fmt::Display for DatumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the datum ends before the value does"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes follow the record"),
            Self::Boolean => f.write_str("a boolean is neither 0 nor 1"),
            Self::Varint => f.write_str("an integer has more than 64 bits"),
            Self::Int => f.write_str("an int has more than 32 bits"),
            Self::Length => f.write_str("a length is negative"),
            Self::Utf8 => f.write_str("a string is not utf-8"),
            Self::Symbol => f.write_str("an enum has no symbol of this number"),
            Self::Branch => f.write_str("a union has no branch of this number"),
            Self::Block => f.write_str("a block does not have the size it says"),
            Self::DuplicateKey => f.write_str("a map has a key twice"),
            Self::UnknownSymbol => f.write_str("the reader schema does not know the enum's symbol"),
            Self::UnknownBranch => f.write_str("the reader schema has no place for the union's branch"),
            Self::Incompatible(problem) => problem.fmt(f),
            Self::Unit => f.write_str("the time does not fit 64 bits in the reader schema's unit, which is finer"),
            Self::Depth(limit) => write!(f, "nested deeper than {limit} levels"),
            Self::Values(limit) => write!(f, "more than {limit} values"),
            Self::Expansion(limit) => {
                write!(f, "inflated and with its defaults the message has more than {limit} bytes")
            }
            Self::Item(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DatumError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Item(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ItemError> for Box<WithPath<DatumError>> {
    #[cold]
    fn from(error: ItemError) -> Self {
        WithPath::here(DatumError::Item(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_visitor_cannot_store_keeps_its_reason_and_its_words() {
        let (attribute, problem) = (Box::from("a"), "p");
        for (error, reason) in [
            (ItemError::Number("nan"), Reason::NumberOutOfRange),
            (ItemError::Key { attribute: "k".into(), problem }, Reason::InvalidKey),
            (ItemError::TooLarge { bytes: 2, limit: 1 }, Reason::ItemTooLarge),
            (ItemError::TooDeep { limit: 1 }, Reason::InvalidItem),
            (ItemError::Name("n"), Reason::InvalidItem),
            (ItemError::Mapping { attribute, problem }, Reason::InvalidItem),
        ] {
            let text = error.to_string();
            let at = Box::<WithPath<DatumError>>::from(error).in_field("f");
            assert_eq!(at.error().reason(), reason);
            assert_eq!(at.to_string(), format!("f: {text}"));
            assert_eq!(std::error::Error::source(&*at).unwrap().to_string(), text);
        }
    }
}
