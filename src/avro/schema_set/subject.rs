//! One subject: its versions, and what its reader schema says.

use super::{
    super::{
        json_encode::{self, Bounds, JsonEncodeError, JsonEncoding},
        limits::Limits,
        path::WithPath,
        plan::Mismatch,
        schema::{Field, Fixed, FixedMeaning, Schema, Time, Type, TypeId},
    },
    SchemaFile, SchemaId, SetProblem,
};
use crate::json::{Json, JsonError};
use crate::record::{FieldKind, Quantity, SubjectId};
use std::collections::HashMap;
use std::fmt;

/// A schema under the number of its version.
#[derive(Debug, Clone)]
pub struct SchemaVersion {
    number: u32,
    schema: Schema,
    fingerprint: u64,
    ids: Vec<SchemaId>,
    dynamodb: Option<serde_json::Value>,
    text: Box<str>,
    path: Box<str>,
}

impl SchemaVersion {
    pub(super) fn parse(file: SchemaFile) -> Result<Self, SetProblem> {
        let path: Box<str> = file.path.into();
        let number = file.version.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == file.version);
        let Some(number) = number else { return Err(SetProblem::Version { path }) };
        let text = file.text.trim_start_matches('\u{feff}');
        let parsed = Schema::json(text).and_then(|json| Ok((Schema::from_json(&json)?, json)));
        let (schema, json) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return Err(SetProblem::Schema { path, error }),
        };
        if schema.record().is_none() {
            return Err(SetProblem::NotARecord { path });
        }
        let Some(ids) = schema_ids(&json) else { return Err(SetProblem::Ids { path }) };
        let dynamodb = json.get("dynamodb").map(serde_json::Value::from).filter(|property| !property.is_null());
        Ok(Self { number, fingerprint: schema.fingerprint(), schema, ids, dynamodb, text: text.into(), path })
    }

    /// The version, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The CRC-64-AVRO of the schema's Parsing Canonical Form, by which single-object encoding knows it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Its names in registries.
    pub fn ids(&self) -> &[SchemaId] {
        &self.ids
    }

    /// The schema as its file has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file it is from.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A record, as JSON in `encoding`, as a datum of this version. Its JSON is that of the wire format `json`.
    ///
    /// # Errors
    /// If it is no JSON, no record of this schema, or over the default [`Limits`].
    pub fn datum(&self, record: &str, encoding: JsonEncoding) -> Result<Vec<u8>, RecordJsonError> {
        let Limits { max_depth: depth, max_values: values, max_inflated_bytes: bytes, .. } = Limits::default();
        let json = Json::parse(record, 2 * depth).map_err(RecordJsonError::Json)?;
        let mut datum = Vec::new();
        json_encode::record_datum(&self.schema, (&json, encoding), Bounds { depth, values, bytes }, &mut datum)
            .map_err(|error| RecordJsonError::Record(*error))?;
        Ok(datum)
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// The `schemaIds` of a schema; none if one of them is not an id.
fn schema_ids(json: &Json<'_>) -> Option<Vec<SchemaId>> {
    match json.get("schemaIds") {
        None => Some(Vec::new()),
        Some(ids) => ids.as_array()?.iter().map(SchemaId::from_json).collect(),
    }
}

/// A name under which versions of one schema are kept.
#[derive(Debug)]
pub struct Subject {
    id: SubjectId,
    name: Box<str>,
    older: Vec<SchemaVersion>,
    newest: SchemaVersion,
}

impl Subject {
    /// A subject of `versions`, which are in order; none if there are none.
    pub(super) fn new(
        id: SubjectId,
        name: String,
        mut versions: Vec<SchemaVersion>,
        problems: &mut Vec<SetProblem>,
    ) -> Option<Self> {
        for pair in versions.windows(2) {
            if let [one, other] = pair
                && one.number == other.number
            {
                problems.push(SetProblem::DuplicateVersion { first: one.path.clone(), second: other.path.clone() });
            }
        }
        let newest = versions.pop()?;
        Some(Self { id, name: name.into(), older: versions, newest })
    }

    /// Its number within the set.
    pub fn id(&self) -> SubjectId {
        self.id
    }

    /// The name of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &SchemaVersion> {
        self.older.iter().chain([&self.newest])
    }

    /// All but the newest, oldest first.
    pub(super) fn older(&self) -> &[SchemaVersion] {
        &self.older
    }

    /// The version that is the reader schema.
    pub fn newest(&self) -> &SchemaVersion {
        &self.newest
    }

    /// The version of this number.
    pub fn version(&self, number: u32) -> Option<&SchemaVersion> {
        self.versions().find(|version| version.number == number)
    }

    /// What keeps the newest version from reading version `writer`, as problems of the set.
    pub(crate) fn incompatible(&self, writer: u32, mismatches: Vec<Mismatch>) -> impl Iterator<Item = SetProblem> {
        mismatches.into_iter().map(move |mismatch| SetProblem::Incompatible {
            subject: self.name.clone(),
            writer,
            reader: self.newest.number,
            mismatch,
        })
    }

    /// The reader schema's `dynamodb` property.
    pub fn dynamodb(&self) -> Option<&serde_json::Value> {
        self.newest.dynamodb.as_ref()
    }

    /// The names of the reader schema's fields, in its order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.newest.schema.record().map(|record| &*record.fields).unwrap_or_default();
        fields.iter().map(|field| &*field.name)
    }

    /// The names that the outermost fields go by in an item, those left out not among them.
    pub fn item_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.newest.schema.record().map(|record| &*record.fields).unwrap_or_default();
        fields.iter().filter_map(Field::item_name)
    }

    /// The names on the way to the field at `path` in an item. `None` if it or what holds it is left out.
    pub fn item_path(&self, path: &str) -> Option<Vec<&str>> {
        let schema = &self.newest.schema;
        let mut ty = schema.root();
        let mut names = Vec::new();
        for name in path.split('.') {
            let Type::Record(record) = schema.get(without_null(schema, ty)) else { return None };
            let field = record.fields.iter().find(|field| *field.name == *name)?;
            names.push(field.item_name()?);
            ty = field.ty;
        }
        Some(names)
    }

    /// What is wrong with the names that fields go by in an item.
    pub fn item_name_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for ty in self.newest.schema.types() {
            let Type::Record(record) = ty else { continue };
            let mut names = HashMap::new();
            for field in &record.fields {
                let (record, field_name) = (&record.named.name, &field.name);
                if !field.has_valid_item_name() {
                    problems.push(format!(
                        "field {field_name} of {record}: its dynamodb must be {{\"attribute\": a name}} or {{\"omit\": true}}"
                    ));
                }
                if let Some(name) = field.item_name()
                    && let Some(other) = names.insert(name, field_name)
                {
                    problems.push(format!("fields {other} and {field_name} of {record} are both attribute {name}"));
                }
            }
        }
        problems
    }

    /// What the reader schema's field at `path` holds, where the names of records' fields are joined by dots. A field
    /// that may also be null, on the way or at the end, is what it is otherwise.
    ///
    /// # Errors
    /// If a name on the path is not a field, or leads through something that is not a record.
    pub fn field(&self, path: &str) -> Result<FieldKind, FieldError> {
        let schema = &self.newest.schema;
        let mut ty = schema.root();
        for name in path.split('.') {
            let Type::Record(record) = schema.get(without_null(schema, ty)) else {
                return Err(FieldError::NotInARecord { name: name.into() });
            };
            let field = record.fields.iter().find(|field| *field.name == *name);
            ty = field.ok_or_else(|| FieldError::Unknown { name: name.into() })?.ty;
        }
        Ok(kind_of(schema.get(without_null(schema, ty))))
    }

    /// The bytes of the reader schema's field at `path`, if it is a fixed that becomes binary.
    pub fn fixed_size(&self, path: &str) -> Option<usize> {
        let schema = &self.newest.schema;
        let ty = path.split('.').try_fold(schema.root(), |ty, name| {
            let Type::Record(record) = schema.get(without_null(schema, ty)) else { return None };
            record.fields.iter().find(|field| *field.name == *name).map(|field| field.ty)
        })?;
        match schema.get(without_null(schema, ty)) {
            Type::Fixed(Fixed { size, meaning: FixedMeaning::Plain | FixedMeaning::Duration, .. }) => {
                usize::try_from(*size).ok()
            }
            _ => None,
        }
    }

    /// The names that fields at any depth go by in an item, each with its record and field.
    pub fn all_item_names(&self) -> impl Iterator<Item = (String, &str)> {
        let records = self.newest.schema.types().iter().filter_map(|ty| match ty {
            Type::Record(record) => Some(record),
            _ => None,
        });
        records.flat_map(|record| {
            let named = record.fields.iter().filter_map(|field| Some((field, field.item_name()?)));
            named.map(|(field, name)| (format!("{}.{}", record.named.name, field.name), name))
        })
    }

    /// Whether the reader schema's field at `path` may be null, or a record on the way to it.
    pub fn may_be_null(&self, path: &str) -> bool {
        let schema = &self.newest.schema;
        let mut ty = schema.root();
        path.split('.').any(|name| {
            let Type::Record(record) = schema.get(without_null(schema, ty)) else { return false };
            let Some(field) = record.fields.iter().find(|field| *field.name == *name) else { return false };
            ty = field.ty;
            match schema.get(ty) {
                Type::Null => true,
                Type::Union(branches) => branches.iter().any(|branch| matches!(schema.get(*branch), Type::Null)),
                _ => false,
            }
        })
    }
}

/// The one other branch of a union with null; anything else as it is.
pub(super) fn without_null(schema: &Schema, ty: TypeId) -> TypeId {
    let Type::Union(branches) = schema.get(ty) else { return ty };
    let mut others = branches.iter().filter(|branch| !matches!(schema.get(**branch), Type::Null));
    match (others.next(), others.next()) {
        (Some(only), None) => *only,
        _ => ty,
    }
}

fn kind_of(ty: &Type) -> FieldKind {
    match ty {
        Type::String | Type::Enum(_) => FieldKind::Text,
        Type::Int(time) | Type::Long(time) => match time {
            None => FieldKind::Number(Quantity::Plain),
            Some(Time::Date) => FieldKind::Text,
            Some(Time::OfDay(_)) => FieldKind::Number(Quantity::TimeOfDay),
            Some(Time::Timestamp(unit) | Time::LocalTimestamp(unit)) => FieldKind::Number(Quantity::Timestamp(*unit)),
        },
        Type::Float | Type::Double | Type::Bytes(Some(_)) => FieldKind::Number(Quantity::Plain),
        Type::Bytes(None) => FieldKind::Binary,
        Type::Fixed(fixed) => match fixed.meaning {
            FixedMeaning::Plain | FixedMeaning::Duration => FieldKind::Binary,
            FixedMeaning::Decimal(_) => FieldKind::Number(Quantity::Plain),
            FixedMeaning::Uuid => FieldKind::Text,
        },
        Type::Null | Type::Boolean | Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_) => {
            FieldKind::Other
        }
    }
}

/// Why a text is not a record of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordJsonError {
    /// It is not JSON.
    Json(JsonError),
    /// A value does not fit its field.
    Record(WithPath<JsonEncodeError>),
}

impl fmt::Display for RecordJsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordJsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Record(error) => Some(error),
        }
    }
}

/// Why a path leads to no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldError {
    /// The record there has no such field.
    Unknown {
        /// The name that is looked for.
        name: Box<str>,
    },
    /// What is there is not a record, or a union with more than null and a record.
    NotInARecord {
        /// The name that is looked for.
        name: Box<str>,
    },
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "the schema has no field {name}"),
            Self::NotInARecord { name } => write!(f, "{name} is looked for in something that is not a record"),
        }
    }
}

impl std::error::Error for FieldError {}
