//! Which reader's type a writer's type is read as: the specification's "match", without descending.

use super::super::{
    json_encode::JsonEncodeError,
    path::WithPath,
    schema::{Decimal, FixedMeaning, Named, Schema, Type, TypeId, unqualified},
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
    /// Whether the reader has the very type, but with another size, precision or scale. No value can be read then.
    pub(super) fn is_changed_type(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Decimal)
    }

    /// Whether the schemas are more than a plan can hold.
    pub(super) fn is_excess(&self) -> bool {
        matches!(self, Self::TooDeep | Self::TooLarge)
    }
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
    /// By one of the specification's promotions.
    Promoted,
}

/// How `reader`, which is not a union, takes `writer`, which is not one either.
pub(super) fn fit(writer: &Type, reader: &Type) -> Result<Fit, MismatchProblem> {
    match (writer, reader) {
        (Type::Null, Type::Null)
        | (Type::Boolean, Type::Boolean)
        | (Type::Int(_), Type::Int(_))
        | (Type::Long(_), Type::Long(_))
        | (Type::Float, Type::Float)
        | (Type::Double, Type::Double)
        | (Type::String, Type::String)
        | (Type::Array(_), Type::Array(_))
        | (Type::Map(_), Type::Map(_)) => Ok(Fit::Same),
        (Type::Bytes(writer), Type::Bytes(reader)) => same_decimal(*writer, *reader).map(|()| Fit::Same),
        (Type::Fixed(writer), Type::Fixed(reader)) => {
            let fit = same_name(&writer.named, &reader.named)?;
            if writer.size != reader.size {
                return Err(MismatchProblem::Size { writer: writer.size, reader: reader.size });
            }
            same_decimal(decimal(writer.meaning), decimal(reader.meaning)).map(|()| fit)
        }
        (Type::Enum(writer), Type::Enum(reader)) => same_name(&writer.named, &reader.named),
        (Type::Record(writer), Type::Record(reader)) => same_name(&writer.named, &reader.named),
        (Type::Int(_), Type::Long(_) | Type::Float | Type::Double)
        | (Type::Long(_), Type::Float | Type::Double)
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
    let problem = || changed.unwrap_or_else(|| MismatchProblem::NoBranch { writer: describe(writer) });
    best.map(|(_, id)| id).ok_or_else(problem)
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

fn decimal(meaning: FixedMeaning) -> Option<Decimal> {
    match meaning {
        FixedMeaning::Decimal(decimal) => Some(decimal),
        FixedMeaning::Plain | FixedMeaning::Uuid => None,
    }
}

/// The one rule of the specification about logical types: two decimals match if their precision and scale do. Any other
/// pair is matched by its underlying types, and what the reader says they mean holds.
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
