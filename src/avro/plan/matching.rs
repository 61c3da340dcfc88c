//! Which reader's type a writer's type is read as: the specification's "match", without descending.

use super::super::{
    json_encode::JsonEncodeError,
    path::WithPath,
    schema::{Decimal, FixedMeaning, Named, Schema, Time, Type, TypeId, unqualified},
};
use std::fmt;

/// Why a writer schema cannot be read by a reader schema, and at which field.
pub type Mismatch = WithPath<MismatchProblem>;

/// What keeps one type from being read as another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MismatchProblem {
    /// The kinds differ and the specification has no promotion.
    Kind {
        /// The writer's type.
        writer: Box<str>,
        /// The reader's type.
        reader: Box<str>,
    },
    /// Records, enums or fixed whose names differ, with no alias to join them.
    Name {
        /// The writer's full name.
        writer: Box<str>,
        /// The reader's full name.
        reader: Box<str>,
    },
    /// Fixed of different sizes.
    Size {
        /// The writer's, in bytes.
        writer: u32,
        /// The reader's, in bytes.
        reader: u32,
    },
    /// Decimals whose precision or scale differs.
    Decimal,
    /// Times of one kind, of which the reader's has the coarser unit.
    Unit {
        /// The writer's logical type.
        writer: Box<str>,
        /// The reader's.
        reader: Box<str>,
    },
    /// Logical types that count or hold different things.
    Logical {
        /// The writer's logical type.
        writer: Box<str>,
        /// The reader's.
        reader: Box<str>,
    },
    /// A time for a number without logical type whose unit the mapping fixes.
    UnitOfNumber {
        /// The writer's logical type.
        writer: Box<str>,
    },
    /// No branch of the reader's union takes the writer's type, or none of the branches of the writer's.
    NoBranch {
        /// The writer's type.
        writer: Box<str>,
    },
    /// The reader's field has no default and the writer lacks it.
    MissingField,
    /// None of the writer's symbols is known to the reader, and there is no default.
    NoSymbol,
    /// A record that could not be read at another place either.
    Record {
        /// Its name.
        name: Box<str>,
        /// What was wrong at the first place.
        first: Box<Mismatch>,
    },
    /// The reader's default is not a value of its type.
    Default(WithPath<JsonEncodeError>),
    /// The types are nested deeper than a plan goes.
    TooDeep,
    /// The plan would be larger than any sensible schema needs.
    TooLarge,
}

impl fmt::Display for MismatchProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { writer, reader } => write!(f, "{writer} cannot be read as {reader}"),
            Self::Name { writer, reader } => write!(f, "{writer} cannot be read as {reader}, which has no such alias"),
            Self::Size { writer, reader } => write!(f, "{writer} bytes cannot be read as {reader}"),
            Self::Decimal => f.write_str("decimals match only if precision and scale are the same"),
            Self::Unit { writer, reader } => {
                write!(f, "{writer} cannot be read as {reader}, whose unit is coarser: keep the finer unit")
            }
            Self::Logical { writer, reader } => {
                write!(f, "{writer} cannot be read as {reader}, which is another logical type: add a field for it")
            }
            Self::UnitOfNumber { writer } => write!(
                f,
                "{writer} cannot be read as a number that the mapping compares or expires by in another unit: give the field \
                 its logical type in the directory"
            ),
            Self::NoBranch { writer } => write!(f, "no branch of the union can take {writer}"),
            Self::MissingField => f.write_str("the field is new and has no default"),
            Self::NoSymbol => f.write_str("none of the symbols is known and there is no default"),
            Self::Record { name, first } => write!(f, "record {name} cannot be read: {first}"),
            Self::Default(error) => write!(f, "the default does not fit: {error}"),
            Self::TooDeep => f.write_str("types are nested too deep"),
            Self::TooLarge => f.write_str("too many fields, branches and symbols"),
        }
    }
}

impl std::error::Error for MismatchProblem {}

impl MismatchProblem {
    /// Whether the reader has the very type, but with another size, precision, scale, unit or meaning. No value can be read
    /// then.
    pub(super) fn is_changed_type(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Decimal | Self::Unit { .. } | Self::Logical { .. })
    }

    /// Whether the schemas are more than a plan can hold.
    pub(super) fn is_excess(&self) -> bool {
        matches!(self, Self::TooDeep | Self::TooLarge)
    }
}

/// The number of bytes that the names and paths of a mismatch take.
pub(super) fn text_bytes(mismatch: &Mismatch) -> usize {
    let names = match mismatch.error() {
        MismatchProblem::Kind { writer, reader }
        | MismatchProblem::Name { writer, reader }
        | MismatchProblem::Unit { writer, reader }
        | MismatchProblem::Logical { writer, reader } => writer.len() + reader.len(),
        MismatchProblem::UnitOfNumber { writer } | MismatchProblem::NoBranch { writer } => writer.len(),
        MismatchProblem::Record { name, first } => name.len() + size_of_val(&**first) + text_bytes(first),
        MismatchProblem::Default(error) => error.path().len(),
        MismatchProblem::Size { .. }
        | MismatchProblem::Decimal
        | MismatchProblem::MissingField
        | MismatchProblem::NoSymbol
        | MismatchProblem::TooDeep
        | MismatchProblem::TooLarge => 0,
    };
    mismatch.path().len() + names
}

/// How well a reader's type takes a writer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// The same kind; if it has a name, the same one.
    Same,
    /// The same kind, and an alias of the name.
    Alias,
    /// The same kind and the same name in another namespace.
    SameShortName,
    /// By a promotion of a time to the same kind of time in a finer unit.
    FinerTime,
    /// By one of the specification's promotions.
    Promoted,
}

/// How `reader`, which is not a union, takes `writer`, which is not one either.
pub(super) fn fit(writer: &Type, reader: &Type) -> Result<Fit, MismatchProblem> {
    match (writer, reader) {
        (Type::Null, Type::Null)
        | (Type::Boolean, Type::Boolean)
        | (Type::Float, Type::Float)
        | (Type::Double, Type::Double)
        | (Type::String, Type::String)
        | (Type::Array(_), Type::Array(_))
        | (Type::Map(_), Type::Map(_)) => Ok(Fit::Same),
        (Type::Int(writer), Type::Int(reader)) | (Type::Long(writer), Type::Long(reader)) => {
            conversion(*writer, *reader).map(|_| Fit::Same)
        }
        (Type::Int(writer), Type::Long(reader)) => {
            conversion(*writer, *reader)?;
            Ok(if writer.and(*reader).is_some() { Fit::FinerTime } else { Fit::Promoted })
        }
        (Type::Bytes(writer), Type::Bytes(reader)) => same_decimal(*writer, *reader).map(|()| Fit::Same),
        (Type::Fixed(writer), Type::Fixed(reader)) => {
            let fit = same_name(&writer.named, &reader.named)?;
            if writer.size != reader.size {
                return Err(MismatchProblem::Size { writer: writer.size, reader: reader.size });
            }
            same_meaning(writer.meaning, reader.meaning).map(|()| fit)
        }
        (Type::Enum(writer), Type::Enum(reader)) => same_name(&writer.named, &reader.named),
        (Type::Record(writer), Type::Record(reader)) => same_name(&writer.named, &reader.named),
        (Type::Int(_) | Type::Long(_), Type::Float | Type::Double)
        | (Type::Float, Type::Double)
        // a decimal is a number, whose bytes are not text
        | (Type::String, Type::Bytes(None))
        | (Type::Bytes(None), Type::String) => Ok(Fit::Promoted),
        _ => Err(MismatchProblem::Kind { writer: describe(writer), reader: describe(reader) }),
    }
}

/// The branch of the reader's union that takes `writer`: the first of the best fit.
///
/// The specification says "the first schema in the reader's union that matches", by which a union of string and bytes
/// could not read its own bytes back, and an int would go through a float that stands before it. So a branch of the
/// writer's own kind goes before one that takes it by promotion, as it does in the reference implementation.
///
/// If the branch of the writer's own kind has another unit or meaning, no branch takes the value by a promotion that forgets
/// what it counts.
pub(super) fn branch_for(writer: &Type, reader: &Schema, branches: &[TypeId]) -> Result<TypeId, MismatchProblem> {
    let mut best: Option<(Fit, TypeId)> = None;
    let mut changed = None;
    for id in branches {
        match fit(writer, reader.get(*id)) {
            Ok(fit) if best.is_none_or(|(known, _)| fit < known) => best = Some((fit, *id)),
            Ok(_) => {}
            Err(problem) if problem.is_changed_type() => changed = Some(problem),
            Err(_) => {}
        }
    }
    match (best, changed) {
        (Some((Fit::Promoted, _)) | None, Some(problem)) => Err(problem),
        (Some((_, id)), _) => Ok(id),
        (None, None) => Err(MismatchProblem::NoBranch { writer: describe(writer) }),
    }
}

/// The number by which a writer's integer is multiplied to be one of the reader's. A number without logical type fits any and
/// keeps its value.
pub(super) fn conversion(writer: Option<Time>, reader: Option<Time>) -> Result<u32, MismatchProblem> {
    let (Some(from), Some(to)) = (writer, reader) else { return Ok(1) };
    from.conversion_to(to).ok_or_else(|| {
        let (writer, reader) = (from.to_string().into(), to.to_string().into());
        if from.is_of_the_kind_of(to) {
            MismatchProblem::Unit { writer, reader }
        } else {
            MismatchProblem::Logical { writer, reader }
        }
    })
}

fn same_name(writer: &Named, reader: &Named) -> Result<Fit, MismatchProblem> {
    if writer.name == reader.name {
        Ok(Fit::Same)
    } else if reader.aliases.contains(&writer.name) {
        Ok(Fit::Alias)
    } else if unqualified(&writer.name) == unqualified(&reader.name) {
        Ok(Fit::SameShortName)
    } else {
        Err(MismatchProblem::Name { writer: writer.name.clone(), reader: reader.name.clone() })
    }
}

/// Bytes without logical type fit any, and what the reader says they mean holds.
fn same_meaning(writer: FixedMeaning, reader: FixedMeaning) -> Result<(), MismatchProblem> {
    match (writer, reader) {
        (FixedMeaning::Decimal(writer), FixedMeaning::Decimal(reader)) => same_decimal(Some(writer), Some(reader)),
        (writer, reader) => match (writer.logical_type(), reader.logical_type()) {
            (Some(writer), Some(reader)) if writer != reader => {
                Err(MismatchProblem::Logical { writer: writer.into(), reader: reader.into() })
            }
            _ => Ok(()),
        },
    }
}

/// The one rule of the specification about logical types: two decimals match if their precision and scale do.
fn same_decimal(writer: Option<Decimal>, reader: Option<Decimal>) -> Result<(), MismatchProblem> {
    match (writer, reader) {
        (Some(writer), Some(reader)) if writer != reader => Err(MismatchProblem::Decimal),
        _ => Ok(()),
    }
}

/// The kind of a type, with its name if it has one.
pub(super) fn describe(ty: &Type) -> Box<str> {
    ty.named().map_or_else(|| ty.kind().into(), |named| format!("{} {}", ty.kind(), named.name).into())
}
