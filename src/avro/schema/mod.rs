//! Represents a schema as a graph: all types are in one array, and refer to each other by index.
//!
//! Schemas are parsed here and not by apache-avro, which only serves as the oracle in tests. A container brings its own
//! schema, so a schema can be hostile: a crafted one of 100 KB makes apache-avro 0.22 allocate gigabytes (it copies a
//! type with many aliases once for each alias) or spin for minutes (nested defaults). Its canonical form also keeps
//! what the specification strips (`order`, `precision`, `scale`, the object around an annotated primitive), so that its
//! fingerprints differ from those of every other implementation. Parsing a schema here takes time and memory
//! proportional to its text.

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
    /// Returns the position of the type in [`Schema::types`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One schema: its types, and the index of the outermost one.
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

    /// Returns the outermost type if it is a record.
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

/// A type with its logical type, if that is valid and changes how a value is stored.
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
    /// Returns the name of the type's kind, as schemas spell it.
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

    /// Returns the type's name and aliases, if it is a fixed, an enum or a record.
    pub(crate) fn named(&self) -> Option<&Named> {
        match self {
            Self::Fixed(Fixed { named, .. }) | Self::Enum(Enum { named, .. }) | Self::Record(Record { named, .. }) => {
                Some(named)
            }
            _ => None,
        }
    }
}

/// Full name of a type, and the full names that it had before.
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

/// Meaning of the bytes of a `fixed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FixedMeaning {
    Plain,
    Decimal(Decimal),
    Uuid,
    /// Months, days and milliseconds. The bytes are stored unchanged.
    Duration,
}

impl FixedMeaning {
    /// Returns the name of the logical type, or `None` for `Plain`.
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
    /// The symbol of this enum that replaces a symbol it does not have.
    pub(crate) default: Option<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) named: Named,
    pub(crate) fields: Box<[Field]>,
}

impl Record {
    /// Returns, for each field, the entry that it is read from: a field of the writer, or a member of a JSON object.
    /// `entry_of` finds an entry by its name.
    ///
    /// An entry with the field's own name has priority. Otherwise the field is read from the first entry that one of
    /// its aliases names and that no other field uses.
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
    /// The attribute `dynamodb`, which is an extension of this project. Only that of a reader schema has an effect.
    pub(crate) dynamodb: Option<Json<'static>>,
}

impl Field {
    /// Returns the attribute name that the field has in an item, or `None` if the field is omitted from the item.
    pub(crate) fn item_name(&self) -> Option<&str> {
        match &self.dynamodb {
            Some(property) if property.get("omit") == Some(&Json::Boolean(true)) => None,
            Some(property) => Some(property.get("attribute").and_then(Json::as_text).unwrap_or(&self.name)),
            None => Some(&self.name),
        }
    }

    /// Returns whether the attribute `dynamodb` is absent, `{"attribute": name}` or `{"omit": true}`.
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
