//! A schema as a graph: types in one array, named types referred to by index.
//!
//! Schemas are read here and not by apache-avro, which is the oracle in tests instead, because a container brings its own
//! schema: a crafted one of 100 KB makes apache-avro 0.22 allocate gigabytes (a type with many aliases is copied once for
//! each) or spin for minutes (nested defaults), and its canonical form keeps what the specification strips (`order`,
//! `precision`, `scale`, the object around an annotated primitive), so that fingerprints differ from every other
//! implementation's. Reading one here costs time and memory proportional to its text.

mod canonical;
mod logical;
mod name;
mod parse;

pub use parse::{SchemaError, SchemaProblem};

pub(crate) use logical::{Decimal, Time, digits_of};
pub(crate) use name::unqualified;

use crate::json::Json;

/// Index of a type within its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TypeId(u32);

impl TypeId {
    /// The position of the type among [`Schema::types`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One schema: its types, and which of them is the whole.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

impl Schema {
    pub(crate) fn root(&self) -> TypeId {
        self.root
    }

    #[expect(clippy::indexing_slicing, reason = "a TypeId is made by the parser that pushed its type")]
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The record that the whole schema is, if it is one.
    pub(crate) fn record(&self) -> Option<&Record> {
        match self.get(self.root) {
            Type::Record(record) => Some(record),
            _ => None,
        }
    }

    pub(crate) fn types(&self) -> &[Type] {
        &self.types
    }
}

/// A type with its logical type, where that is valid and changes what a value means to us.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int(Option<Time>),
    Long(Option<Time>),
    Float,
    Double,
    Bytes(Option<Decimal>),
    String,
    Fixed(Fixed),
    Enum(Enum),
    Array(TypeId),
    Map(TypeId),
    Union(Box<[TypeId]>),
    Record(Record),
}

impl Type {
    /// The name of its kind, as schemas spell it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int(_) => "int",
            Self::Long(_) => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes(_) => "bytes",
            Self::String => "string",
            Self::Fixed(_) => "fixed",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }

    /// Its name and aliases, if it is of a named kind.
    pub(crate) fn named(&self) -> Option<&Named> {
        match self {
            Self::Fixed(Fixed { named, .. }) | Self::Enum(Enum { named, .. }) | Self::Record(Record { named, .. }) => {
                Some(named)
            }
            _ => None,
        }
    }
}

/// The full name of a type and those it had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: Box<str>,
    pub(crate) aliases: Box<[Box<str>]>,
}

#[derive(Debug, Clone)]
pub(crate) struct Fixed {
    pub(crate) named: Named,
    pub(crate) size: u32,
    pub(crate) meaning: FixedMeaning,
}

/// What the bytes of a `fixed` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FixedMeaning {
    Plain,
    Decimal(Decimal),
    Uuid,
    /// Months, days and milliseconds. Its bytes stay as they are.
    Duration,
}

impl FixedMeaning {
    /// The name of the logical type. `Plain` has no logical type.
    pub(crate) fn logical_type(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Decimal(_) => Some("decimal"),
            Self::Uuid => Some("uuid"),
            Self::Duration => Some("duration"),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Enum {
    pub(crate) named: Named,
    pub(crate) symbols: Box<[Box<str>]>,
    /// What a symbol that this enum lacks is read as: one of its own.
    pub(crate) default: Option<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) named: Named,
    pub(crate) fields: Box<[Field]>,
}

impl Record {
    /// For each field, the entry it is read from, where `entry_of` finds an entry by its name: the one of its own name,
    /// else the first that one of its aliases names and that no other field is read from.
    pub(crate) fn sources(&self, entry_of: impl Fn(&str) -> Option<usize>) -> Vec<Option<usize>> {
        let mut sources: Vec<_> = self.fields.iter().map(|field| entry_of(&field.name)).collect();
        for (position, field) in self.fields.iter().enumerate() {
            if sources.get(position) == Some(&None) {
                let mut renamed = field.aliases.iter().filter_map(|alias| entry_of(alias));
                let source = renamed.find(|entry| !sources.contains(&Some(*entry)));
                if let Some(slot) = sources.get_mut(position) {
                    *slot = source;
                }
            }
        }
        sources
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) aliases: Box<[Box<str>]>,
    pub(crate) ty: TypeId,
    pub(crate) default: Option<Json<'static>>,
    /// Its attribute `dynamodb`, which is ours. Only that of a reader schema counts.
    pub(crate) dynamodb: Option<Json<'static>>,
}

impl Field {
    /// The name that it goes by in an item; none if it is left out.
    pub(crate) fn item_name(&self) -> Option<&str> {
        match &self.dynamodb {
            Some(property) if property.get("omit") == Some(&Json::Boolean(true)) => None,
            Some(property) => Some(property.get("attribute").and_then(Json::as_text).unwrap_or(&self.name)),
            None => Some(&self.name),
        }
    }

    /// Whether its attribute `dynamodb`, if it has one, is `{"attribute": name}` or `{"omit": true}`.
    pub(crate) fn has_valid_item_name(&self) -> bool {
        match &self.dynamodb {
            None => true,
            Some(Json::Object(members)) => match members.as_slice() {
                [(name, Json::Text(text))] => name == "attribute" && !text.is_empty(),
                [(name, value)] => name == "omit" && *value == Json::Boolean(true),
                _ => false,
            },
            Some(_) => false,
        }
    }
}
