//! A subject: its versions, and the properties of its reader schema.

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

/// A schema with its version number.
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

    /// Returns the version number, which is at least 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns the CRC-64-AVRO of the schema's Parsing Canonical Form, by which single-object encoding identifies it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns the schema's identifiers in registries.
    pub fn ids(&self) -> &[SchemaId] {
        &self.ids
    }

    /// Returns the text of the schema's file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the path of the schema's file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Encodes a record as a datum of this version. `record` is JSON in `encoding`, by the rules of the wire format
    /// `json`.
    ///
    /// # Errors
    /// Returns an error if `record` is not JSON, does not match the schema, or exceeds the default [`Limits`].
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

/// Returns the `schemaIds` of a schema, or `None` if one of them is not a valid id.
fn schema_ids(json: &Json<'_>) -> Option<Vec<SchemaId>> {
    match json.get("schemaIds") {
        None => Some(Vec::new()),
        Some(ids) => ids.as_array()?.iter().map(SchemaId::from_json).collect(),
    }
}

/// A named series of versions of one schema.
#[derive(Debug)]
pub struct Subject {
    id: SubjectId,
    name: Box<str>,
    older: Vec<SchemaVersion>,
    newest: SchemaVersion,
}

impl Subject {
    /// Returns a subject with `versions`, which are sorted, or `None` if `versions` is empty.
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

    /// Returns the subject's number within the set.
    pub fn id(&self) -> SubjectId {
        self.id
    }

    /// Returns the name of the subject, which is the name of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &SchemaVersion> {
        self.older.iter().chain([&self.newest])
    }

    /// Returns all versions but the newest, oldest first.
    pub(super) fn older(&self) -> &[SchemaVersion] {
        &self.older
    }

    /// Returns the newest version, which is the reader schema.
    pub fn newest(&self) -> &SchemaVersion {
        &self.newest
    }

    /// Returns the version with this number.
    pub fn version(&self, number: u32) -> Option<&SchemaVersion> {
        self.versions().find(|version| version.number == number)
    }

    /// Returns each mismatch between version `writer` and the newest version as a problem of the set.
    pub(crate) fn incompatible(&self, writer: u32, mismatches: Vec<Mismatch>) -> impl Iterator<Item = SetProblem> {
        mismatches.into_iter().map(move |mismatch| SetProblem::Incompatible {
            subject: self.name.clone(),
            writer,
            reader: self.newest.number,
            mismatch,
        })
    }

    /// Returns the `dynamodb` property of the reader schema.
    pub fn dynamodb(&self) -> Option<&serde_json::Value> {
        self.newest.dynamodb.as_ref()
    }

    /// Returns the names of the reader schema's fields, in the order of the schema.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.newest.schema.record().map(|record| &*record.fields).unwrap_or_default();
        fields.iter().map(|field| &*field.name)
    }

    /// Returns the attribute names that the top-level fields have in an item. Omitted fields are not included.
    pub fn item_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.newest.schema.record().map(|record| &*record.fields).unwrap_or_default();
        fields.iter().filter_map(Field::item_name)
    }

    /// Returns the attribute names that lead to the field at `path` in an item, or `None` if the field or a record that
    /// contains it is omitted.
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

    /// Returns a description of each invalid or duplicate attribute name in the reader schema.
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

    /// Returns the kind of the reader schema's field at `path`, which consists of field names joined by dots. For a
    /// union of null and one other type, the other type counts.
    ///
    /// # Errors
    /// Returns an error if a name in the path is not a field, or is looked up in something that is not a record.
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

    /// Returns the size in bytes of the reader schema's field at `path`, if it is a fixed that is stored as binary.
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

    /// Returns the attribute names of the fields at any depth, each with its record and field.
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

    /// Returns whether the reader schema's field at `path`, or a record that contains it, may be null.
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

/// Returns the other branch of a union of null and one other type, and `ty` itself for anything else.
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

/// An error in the JSON of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordJsonError {
    /// The text is not JSON.
    Json(JsonError),
    /// A value does not match the type of its field.
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

/// The reason why a path does not lead to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldError {
    /// The record has no field of this name.
    Unknown {
        /// The name that was looked up.
        name: Box<str>,
    },
    /// The name is looked up in something that is neither a record nor a union of null and a record.
    NotInARecord {
        /// The name that was looked up.
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
