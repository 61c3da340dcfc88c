//! Parses the JSON of a schema by the rules of Avro 1.12.

use super::{Enum, Field, Fixed, FixedMeaning, Named, Record, Schema, Type, TypeId, logical, name};
use crate::{
    avro::path::WithPath,
    json::{Json, JsonError, Repeated},
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// Maximum nesting depth of a schema's JSON. A record within a record takes four levels.
const MAX_JSON_DEPTH: usize = 128;

/// Maximum number of types in a schema. Each mention of a primitive counts.
const MAX_TYPES: usize = 1 << 16;

/// An error in the text of a schema, with its path.
pub type SchemaError = WithPath<SchemaProblem>;

/// A reason why a text is not a valid schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaProblem {
    /// The text is not JSON.
    Json {
        /// Cause.
        error: JsonError,
        /// Line, from 1.
        line: usize,
        /// Character within the line, from 1.
        column: usize,
    },
    /// Neither a name, nor an object with a type, nor a union.
    NotASchema,
    /// A required attribute is missing or of the wrong kind.
    Attribute(&'static str),
    /// A name is not valid by the specification.
    Name(Box<str>),
    /// A type is not defined anywhere.
    UnknownType(Box<str>),
    /// A type, field, symbol or union branch occurs twice.
    Duplicate(Box<str>),
    /// A union is directly within a union.
    NestedUnion,
    /// The default of an enum is not one of its symbols.
    EnumDefault(Box<str>),
    /// The schema has more types than the maximum.
    TooManyTypes,
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { error: JsonError::Syntax { .. }, line, column } => {
                write!(f, "not json at line {line}, column {column}")
            }
            Self::Json { error: JsonError::DuplicateKey { .. }, line, column } => {
                write!(f, "a key occurs twice in the json object that ends at line {line}, column {column}")
            }
            Self::Json { error: JsonError::TooDeep, .. } => JsonError::TooDeep.fmt(f),
            Self::NotASchema => f.write_str("neither a type name, nor an object with a type, nor a union"),
            Self::Attribute(name) => write!(f, "attribute \"{name}\" is missing or of the wrong kind"),
            Self::Name(name) => write!(f, "\"{name}\" is not a legal name"),
            Self::UnknownType(name) => write!(f, "type \"{name}\" is not defined"),
            Self::Duplicate(name) => write!(f, "\"{name}\" occurs twice"),
            Self::NestedUnion => f.write_str("a union stands directly in a union"),
            Self::EnumDefault(symbol) => write!(f, "default \"{symbol}\" is not one of the symbols"),
            Self::TooManyTypes => write!(f, "more than {MAX_TYPES} types"),
        }
    }
}

impl std::error::Error for SchemaProblem {}

impl Schema {
    /// Parses `text`, in time and memory proportional to its length.
    pub(crate) fn parse(text: &str) -> Result<Self, Box<SchemaError>> {
        Self::from_json(&Self::json(text)?)
    }

    /// Parses `text` as JSON, with the limits and rules that apply to a schema.
    pub(crate) fn json(text: &str) -> Result<Json<'_>, Box<SchemaError>> {
        let json = Json::parse_with(text, MAX_JSON_DEPTH, Repeated::SameDropped);
        json.map_err(|error| {
            let before = match error {
                JsonError::Syntax { offset } | JsonError::DuplicateKey { offset } => text.as_bytes().get(..offset),
                JsonError::TooDeep => None,
            };
            let before = before.unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
            // of a character of several bytes the first one counts
            let characters = line.iter().filter(|byte| (**byte & 0b1100_0000) != 0b1000_0000).count();
            let lines = before.iter().filter(|byte| **byte == b'\n').count();
            WithPath::here(SchemaProblem::Json { error, line: lines + 1, column: characters + 1 })
        })
    }

    /// Returns the schema that `json` describes.
    pub(crate) fn from_json(json: &Json<'_>) -> Result<Self, Box<SchemaError>> {
        let mut parser = SchemaParser {
            root: json,
            types: Vec::new(),
            names: HashMap::new(),
            ahead: HashSet::new(),
            definitions: None,
        };
        let root = parser.ty(json, "")?;
        // `find_definitions` also finds definitions in places that the parser does not read, so a name may remain
        // undefined.
        if let Some(name) = parser.ahead.into_iter().min() {
            return Err(WithPath::here(SchemaProblem::UnknownType(name)));
        }
        Ok(Self { types: parser.types, root })
    }
}

struct SchemaParser<'j> {
    root: &'j Json<'j>,
    types: Vec<Type>,
    names: HashMap<Box<str>, TypeId>,
    /// The entries of `names` that are not defined yet.
    ahead: HashSet<Box<str>>,
    /// Full names of all types that the schema defines. They are collected when a type is first used before its
    /// definition.
    definitions: Option<HashSet<Box<str>>>,
}

type Parsed<T> = Result<T, Box<SchemaError>>;

impl SchemaParser<'_> {
    fn ty(&mut self, json: &Json<'_>, namespace: &str) -> Parsed<TypeId> {
        match json {
            Json::Text(name) => self.by_name(name, namespace),
            Json::Array(branches) => self.union(branches, namespace),
            Json::Object(_) => self.definition(json, namespace),
            _ => Err(WithPath::here(SchemaProblem::NotASchema)),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Parsed<TypeId> {
        match primitive(name) {
            Some(primitive) => self.push(primitive),
            None => self.reference(name, namespace),
        }
    }

    /// Resolves a reference to a type that is defined before or after it. A short name that does not exist in its
    /// namespace may refer to a type without a namespace, because the Java implementation writes such references that
    /// way.
    fn reference(&mut self, name: &str, namespace: &str) -> Parsed<TypeId> {
        let full = name::full(name, namespace);
        if let Some(found) = self.names.get(&full).or_else(|| self.names.get(name)) {
            return Ok(*found);
        }
        let root = self.root;
        let definitions = self.definitions.get_or_insert_with(|| {
            let mut definitions = HashSet::new();
            find_definitions(root, "", &mut definitions);
            definitions
        });
        let full = [full, name.into()].into_iter().find(|name| definitions.contains(name));
        let full = full.ok_or_else(|| WithPath::here(SchemaProblem::UnknownType(name.into())))?;
        // A placeholder until the definition is reached.
        let named = Named { name: full.clone(), aliases: Box::default() };
        let id = self.push(Type::Record(Record { named, fields: Box::default() }))?;
        self.names.insert(full.clone(), id);
        self.ahead.insert(full);
        Ok(id)
    }

    fn definition(&mut self, json: &Json<'_>, namespace: &str) -> Parsed<TypeId> {
        match json.get("type") {
            Some(Json::Text(kind)) => match kind.as_ref() {
                RECORD | ERROR => self.record(json, namespace),
                ENUM => self.enumeration(json, namespace),
                FIXED => self.fixed(json, namespace),
                "array" => {
                    let items =
                        self.ty(attribute(json, "items")?, namespace).map_err(|error| error.in_field("items"))?;
                    self.push(Type::Array(items))
                }
                "map" => {
                    let values =
                        self.ty(attribute(json, "values")?, namespace).map_err(|error| error.in_field("values"))?;
                    self.push(Type::Map(values))
                }
                name => match primitive(name) {
                    Some(primitive) => self.push(logical::annotated(primitive, json)),
                    None => self.reference(name, namespace),
                },
            },
            Some(nested @ (Json::Object(_) | Json::Array(_))) => self.ty(nested, namespace),
            _ => Err(WithPath::here(SchemaProblem::Attribute("type"))),
        }
    }

    fn union(&mut self, branches: &[Json<'_>], namespace: &str) -> Parsed<TypeId> {
        let mut seen = HashSet::new();
        let mut ids = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let id = self.ty(branch, namespace).map_err(|error| error.in_item(index))?;
            let ty = self.get(id);
            if matches!(ty, Type::Union(_)) {
                return Err(WithPath::here(SchemaProblem::NestedUnion).in_item(index));
            }
            let identity: Box<str> = ty.named().map_or(ty.kind(), |named| &named.name).into();
            if !seen.insert((ty.named().is_some(), identity.clone())) {
                return Err(WithPath::here(SchemaProblem::Duplicate(identity)).in_item(index));
            }
            ids.push(id);
        }
        self.push(Type::Union(ids.into()))
    }

    fn record(&mut self, json: &Json<'_>, namespace: &str) -> Parsed<TypeId> {
        let named = named(json, namespace)?;
        let fields = attribute(json, "fields")?.as_array();
        let fields = fields.ok_or_else(|| WithPath::here(SchemaProblem::Attribute("fields")))?;
        // The name is defined before the fields are read, because they may refer to the record itself.
        let id = self.define(Type::Record(Record { named: named.clone(), fields: Box::default() }))?;
        let mut parsed = Vec::with_capacity(fields.len());
        let mut seen = HashSet::new();
        for (index, field) in fields.iter().enumerate() {
            let name = field.get("name").and_then(Json::as_text);
            let name = name.ok_or_else(|| WithPath::here(SchemaProblem::Attribute("name")).in_item(index))?;
            let field = self.field(name, field, name::namespace(&named.name)).map_err(|error| error.in_field(name))?;
            if !seen.insert(field.name.clone()) {
                return Err(WithPath::here(SchemaProblem::Duplicate(field.name)));
            }
            parsed.push(field);
        }
        self.set(id, Type::Record(Record { named, fields: parsed.into() }));
        Ok(id)
    }

    fn field(&mut self, name: &str, json: &Json<'_>, namespace: &str) -> Parsed<Field> {
        if !name::is_name(name) {
            return Err(WithPath::here(SchemaProblem::Name(name.into())));
        }
        let ty = self.ty(attribute(json, "type")?, namespace)?;
        let default = json.get("default").cloned().map(Json::into_owned);
        let dynamodb = json.get("dynamodb").cloned().map(Json::into_owned);
        Ok(Field { name: name.into(), aliases: texts(json, "aliases")?, ty, default, dynamodb })
    }

    fn enumeration(&mut self, json: &Json<'_>, namespace: &str) -> Parsed<TypeId> {
        let named = named(json, namespace)?;
        attribute(json, "symbols")?;
        let symbols = texts(json, "symbols")?;
        let mut seen = HashSet::new();
        for symbol in &symbols {
            if !name::is_name(symbol) {
                return Err(WithPath::here(SchemaProblem::Name(symbol.clone())));
            }
            if !seen.insert(symbol) {
                return Err(WithPath::here(SchemaProblem::Duplicate(symbol.clone())));
            }
        }
        let default = match json.get("default") {
            None | Some(Json::Null) => None,
            Some(Json::Text(symbol)) if seen.contains(&Box::from(symbol.as_ref())) => Some(symbol.as_ref().into()),
            Some(Json::Text(symbol)) => return Err(WithPath::here(SchemaProblem::EnumDefault(symbol.as_ref().into()))),
            Some(_) => return Err(WithPath::here(SchemaProblem::Attribute("default"))),
        };
        self.define(Type::Enum(Enum { named, symbols, default }))
    }

    fn fixed(&mut self, json: &Json<'_>, namespace: &str) -> Parsed<TypeId> {
        let named = named(json, namespace)?;
        let size = attribute(json, "size")?.as_integer().filter(|size| i32::try_from(*size).is_ok());
        let size = size.ok_or_else(|| WithPath::here(SchemaProblem::Attribute("size")))?;
        let plain = Type::Fixed(Fixed { named, size, meaning: FixedMeaning::Plain });
        self.define(logical::annotated(plain, json))
    }

    fn define(&mut self, ty: Type) -> Parsed<TypeId> {
        let name = ty.named().map_or_else(Box::default, |named| named.name.clone());
        if self.ahead.remove(&name)
            && let Some(id) = self.names.get(&name).copied()
        {
            self.set(id, ty);
            return Ok(id);
        }
        let id = self.push(ty)?;
        match self.names.insert(name.clone(), id) {
            None => Ok(id),
            Some(_) => Err(WithPath::here(SchemaProblem::Duplicate(name))),
        }
    }

    fn push(&mut self, ty: Type) -> Parsed<TypeId> {
        let id = u32::try_from(self.types.len()).ok().filter(|_| self.types.len() < MAX_TYPES);
        self.types.push(ty);
        id.map(TypeId).ok_or_else(|| WithPath::here(SchemaProblem::TooManyTypes))
    }

    #[expect(clippy::indexing_slicing, reason = "a TypeId is made where its type is pushed")]
    fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "a TypeId is made where its type is pushed")]
    fn set(&mut self, id: TypeId, ty: Type) {
        self.types[id.0 as usize] = ty;
    }
}

const RECORD: &str = "record";
/// Kind of a record that a protocol's message returns as an error.
const ERROR: &str = "error";
const ENUM: &str = "enum";
const FIXED: &str = "fixed";

/// Adds the full names of all types that `json` defines. `json` is a schema within `namespace`.
fn find_definitions(json: &Json<'_>, namespace: &str, found: &mut HashSet<Box<str>>) {
    if let Some(branches) = json.as_array() {
        branches.iter().for_each(|branch| find_definitions(branch, namespace, found));
    }
    match json.get("type") {
        Some(Json::Text(kind)) => match kind.as_ref() {
            RECORD | ERROR | ENUM | FIXED => {
                let Ok(named) = named(json, namespace) else { return };
                for field in json.get("fields").and_then(Json::as_array).unwrap_or_default() {
                    if let Some(ty) = field.get("type") {
                        find_definitions(ty, name::namespace(&named.name), found);
                    }
                }
                found.insert(named.name);
            }
            _ => {
                for nested in ["items", "values"].iter().filter_map(|name| json.get(name)) {
                    find_definitions(nested, namespace, found);
                }
            }
        },
        Some(nested @ (Json::Object(_) | Json::Array(_))) => find_definitions(nested, namespace, found),
        _ => {}
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(None),
        "long" => Type::Long(None),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(None),
        "string" => Type::String,
        _ => return None,
    })
}

fn attribute<'a>(json: &'a Json<'a>, name: &'static str) -> Parsed<&'a Json<'a>> {
    json.get(name).ok_or_else(|| WithPath::here(SchemaProblem::Attribute(name)))
}

/// Returns an attribute that is a list of strings, or an empty list if it is absent.
fn texts(json: &Json<'_>, name: &'static str) -> Parsed<Box<[Box<str>]>> {
    let Some(list) = json.get(name) else { return Ok(Box::default()) };
    let wrong = || WithPath::here(SchemaProblem::Attribute(name));
    list.as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|item| item.as_text().map(Box::from).ok_or_else(wrong))
        .collect::<Result<_, _>>()
}

/// Returns the full name and the aliases of a definition within the namespace `enclosing`.
fn named(json: &Json<'_>, enclosing: &str) -> Parsed<Named> {
    let short = attribute(json, "name")?.as_text().ok_or_else(|| WithPath::here(SchemaProblem::Attribute("name")))?;
    let namespace = match json.get("namespace") {
        None | Some(Json::Null) => enclosing,
        Some(namespace) => namespace.as_text().ok_or_else(|| WithPath::here(SchemaProblem::Attribute("namespace")))?,
    };
    let name = name::full(short, namespace);
    if !name::is_full_name(&name) {
        return Err(WithPath::here(SchemaProblem::Name(name)));
    }
    let aliases = texts(json, "aliases")?;
    let aliases = aliases.iter().map(|alias| name::full(alias, name::namespace(&name))).collect();
    Ok(Named { name, aliases })
}
