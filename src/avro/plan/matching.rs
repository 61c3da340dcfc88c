//! Decides whether a writer's type matches a reader's type by the specification's rules, without comparing their parts.

use super::super::{
    json_encode::JsonEncodeError,
    path::WithPath,
    schema::{Decimal, FixedMeaning, Named, Schema, Time, Type, TypeId, unqualified},
};
use std::fmt;

/// A reason why a reader schema cannot read a writer schema, with the path of the field.
pub type Mismatch = WithPath<MismatchProblem>;

/// A reason why one type cannot be read as another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MismatchProblem {
    /// The kinds differ, and the specification defines no promotion between them.
    Kind {
        /// The writer's type.
        writer: Box<str>,
        /// The reader's type.
        reader: Box<str>,
    },
    /// The names of two records, enums or `fixed` types differ, and no alias of the reader's is the writer's name.
    Name {
        /// The writer's full name.
        writer: Box<str>,
        /// The reader's full name.
        reader: Box<str>,
    },
    /// The sizes of two `fixed` types differ.
    Size {
        /// The writer's size, in bytes.
        writer: u32,
        /// The reader's size, in bytes.
        reader: u32,
    },
    /// The precision or scale of two decimals differs.
    Decimal,
    /// Both are times of one kind, but the reader's unit is coarser.
    Unit {
        /// The writer's logical type.
        writer: Box<str>,
        /// The reader's logical type.
        reader: Box<str>,
    },
    /// The logical types have different meanings.
    Logical {
        /// The writer's logical type.
        writer: Box<str>,
        /// The reader's logical type.
        reader: Box<str>,
    },
    /// The writer has a time, and the reader has a number without a logical type whose unit is fixed by the item
    /// mapping.
    UnitOfNumber {
        /// The writer's logical type.
        writer: Box<str>,
    },
    /// No branch of the reader's union matches the writer's type.
    NoBranch {
        /// The writer's type.
        writer: Box<str>,
    },
    /// The reader's field has no default, and the writer does not have the field.
    MissingField,
    /// The reader has none of the writer's symbols, and no default.
    NoSymbol,
    /// The record was already found to be unreadable at another path.
    Record {
        /// Name of the record.
        name: Box<str>,
        /// The mismatch at the first path.
        first: Box<Mismatch>,
    },
    /// The reader's default is not a valid value of the field's type.
    Default(WithPath<JsonEncodeError>),
    /// The types are nested deeper than a plan supports.
    TooDeep,
    /// The plan would exceed the maximum size, which no sensible schema needs.
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
    /// Returns whether the reader has the same type with another size, precision, scale, unit or meaning. No value can
    /// be read in this case.
    pub(super) fn is_changed_type(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Decimal | Self::Unit { .. } | Self::Logical { .. })
    }

    /// Returns whether the schemas exceed the maximum size or depth of a plan.
    pub(super) fn is_excess(&self) -> bool {
        matches!(self, Self::TooDeep | Self::TooLarge)
    }
}

/// Returns the total size of the names and paths in a mismatch, in bytes.
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

/// Quality of a match between a writer's and a reader's type. The best is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Both types have the same kind. Named types also have the same name.
    Same,
    /// Both types have the same kind, and the writer's name is one of the reader's aliases.
    Alias,
    /// Both types have the same kind and the same name, but in different namespaces.
    SameShortName,
    /// The writer's time is promoted to the same kind of time in a finer unit.
    FinerTime,
    /// The writer's type is promoted by a rule of the specification.
    Promoted,
}

/// Returns how well `reader` matches `writer`. Neither is a union.
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
        // A decimal's bytes are a number and cannot be read as a string.
        | (Type::String, Type::Bytes(None))
        | (Type::Bytes(None), Type::String) => Ok(Fit::Promoted),
        _ => Err(MismatchProblem::Kind { writer: describe(writer), reader: describe(reader) }),
    }
}

/// Returns the branch of the reader's union that reads `writer`: the first of those with the best match.
///
/// The specification says "the first schema in the reader's union that matches". By that rule a union of string and
/// bytes could not read its own bytes, and an int would be read as a float if the float comes first. Therefore a branch
/// of the writer's own kind has priority over a promotion, as in the reference implementation.
///
/// If the branch of the writer's own kind has another unit or meaning, the result is an error. A promotion to another
/// branch would lose the unit or meaning of the value.
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

/// Returns the factor that converts a writer's integer to the reader's unit. A number without a logical type matches
/// any other, and its value stays the same.
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

/// Returns an error if both have a logical type and these differ. If only one has a logical type, the reader's meaning
/// applies.
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

/// Applies the only rule of the specification for logical types: decimals match if their precision and scale are the
/// same.
fn same_decimal(writer: Option<Decimal>, reader: Option<Decimal>) -> Result<(), MismatchProblem> {
    match (writer, reader) {
        (Some(writer), Some(reader)) if writer != reader => Err(MismatchProblem::Decimal),
        _ => Ok(()),
    }
}

/// Returns the kind of a type, followed by its name if it has one.
pub(super) fn describe(ty: &Type) -> Box<str> {
    ty.named().map_or_else(|| ty.kind().into(), |named| format!("{} {}", ty.kind(), named.name).into())
}
