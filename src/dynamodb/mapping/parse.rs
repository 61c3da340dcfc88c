//! Parsing of the `dynamodb` property into a mapping. All problems are reported together.

use super::{
    DATA, FIRST_OF_TEMPLATES, Fields, Key, KeySource, KeyType, Layout, MAX_TRACKED_FIELDS, MESSAGE_ID, Mapping,
    MessageOrder, Nulls, PARTITION_KEY, PROCESSED_AT, SORT_KEY, TTL, TableName, Template, Ttl, TtlSource, VERSION,
    Version, Write,
};
use crate::record::{FieldKind, Name, Quantity, TrackedField};
use serde::Deserialize;
use std::fmt;

/// All problems of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError(Vec<String>);

impl MappingError {
    /// Returns the problems, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for MappingError {}

/// The `dynamodb` property as written in the schema.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Property {
    table: Option<String>,
    partition_key: Option<KeyProperty>,
    sort_key: Option<KeyProperty>,
    #[serde(default)]
    layout: Layout,
    #[serde(default)]
    nulls: Nulls,
    #[serde(default)]
    write: Write,
    ttl: Option<TtlProperty>,
    version: Option<VersionProperty>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a field name, or an object of `attribute` and `field` or `template`")]
enum KeyProperty {
    Both(String),
    Field(FieldKey),
    Template(TemplateKey),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldKey {
    attribute: String,
    field: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateKey {
    attribute: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TtlProperty {
    attribute: String,
    field: Option<String>,
    days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a field name, or an object of `attribute` and `from`")]
enum VersionProperty {
    Field(String),
    Message(MessageVersion),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageVersion {
    attribute: String,
    from: MessageOrder,
}

impl Mapping {
    /// Parses the `dynamodb` property of a reader schema with the given fields.
    pub fn parse(
        property: Option<&serde_json::Value>,
        default_table: &str,
        fields: &impl Fields,
    ) -> Result<Self, MappingError> {
        let property = match property {
            None => Property::default(),
            Some(value) => Property::deserialize(value).map_err(|error| MappingError(shape_problems(value, &error)))?,
        };
        let Property { table, partition_key, sort_key, layout, nulls, write, ttl, version } = property;
        let mut parser = Parser { fields, layout, tracked: Vec::new(), taken: Vec::new(), problems: fields.problems() };
        parser.take(PROCESSED_AT, false);
        if layout == Layout::Document {
            parser.take(DATA, false);
        }
        let partition_key = match partition_key {
            Some(key) => parser.key("partitionKey", PARTITION_KEY, key),
            None => parser.message_id(),
        };
        let sort_key = sort_key.map(|key| parser.key("sortKey", SORT_KEY, key));
        let ttl = ttl.and_then(|ttl| parser.ttl(ttl));
        let version = version.map(|version| parser.version(version));
        if let Some(ttl) = &ttl {
            parser.converted_in_place(ttl);
        }
        if version.is_some() && write == Write::Create {
            parser.problems.push("write: create never overwrites an item, so that no version is compared".into());
        }
        let table = TableName::parse(table.as_deref().unwrap_or(default_table));
        let table = table.map_err(|problem| parser.problems.push(format!("table {problem}")));
        let Parser { tracked, problems, .. } = parser;
        match table {
            Ok(table) if problems.is_empty() => {
                Ok(Self { table, layout, nulls, write, partition_key, sort_key, ttl, version, tracked })
            }
            _ => Err(MappingError(problems)),
        }
    }
}

/// Returns what is wrong with the shape of the `dynamodb` property, each with the name of its own property. `error` is about the whole.
fn shape_problems(property: &serde_json::Value, error: &serde_json::Error) -> Vec<String> {
    let problem = |(name, value): (&String, &serde_json::Value)| {
        let alone = serde_json::Value::Object([(name.clone(), value.clone())].into_iter().collect());
        let error = Property::deserialize(alone).err()?.to_string();
        let is_known = !error.starts_with(&format!("unknown field `{name}`"));
        Some(if is_known { format!("dynamodb.{name}: {error}") } else { format!("dynamodb: {error}") })
    };
    let problems: Vec<String> = property.as_object().into_iter().flatten().filter_map(problem).collect();
    if problems.is_empty() { vec![format!("dynamodb: {error}")] } else { problems }
}

struct Parser<'a, F> {
    fields: &'a F,
    layout: Layout,
    tracked: Vec<(TrackedField, String)>,
    /// The attributes that the item has so far in addition to the fields of the record.
    taken: Vec<String>,
    problems: Vec<String>,
}

impl<F: Fields> Parser<'_, F> {
    /// Reserves an attribute name. Returns whether a field of the record has that name, which is an error unless `in_place`
    /// is set.
    fn take(&mut self, attribute: &str, in_place: bool) -> bool {
        if attribute.is_empty() {
            self.problems.push("an attribute name is empty".into());
        }
        if self.taken.iter().any(|taken| taken == attribute) {
            self.problems.push(format!("attribute {attribute} is used twice"));
        }
        self.taken.push(attribute.to_owned());
        let is_field = self.layout == Layout::Attributes && self.fields.names().contains(&attribute);
        if is_field && !in_place {
            self.problems
                .push(format!("attribute {attribute} is also a field of the record, which is another attribute"));
        }
        is_field
    }

    /// Returns whether the field at `path` is stored as the item's top-level attribute `attribute`.
    fn is_at(&self, path: &str, attribute: &str) -> bool {
        self.fields.attributes(path).is_some_and(|path| path == [attribute])
    }

    fn kind(&mut self, role: &str, path: &str, fits: fn(FieldKind) -> bool, wanted: &str) -> Option<FieldKind> {
        match self.fields.kind(path) {
            Ok(kind) if fits(kind) => return Some(kind),
            Ok(_) => self.problems.push(format!("{role}: field {path} must be {wanted}")),
            Err(problem) => self.problems.push(format!("{role}: {problem}")),
        }
        None
    }

    fn key(&mut self, role: &str, tracked: TrackedField, property: KeyProperty) -> Key {
        let (attribute, field) = match property {
            KeyProperty::Both(name) => {
                let attribute = self.fields.attributes(&name).and_then(|mut path| path.pop());
                (attribute.unwrap_or_else(|| name.clone()), name)
            }
            KeyProperty::Field(FieldKey { attribute, field }) => (attribute, field),
            KeyProperty::Template(key) => return self.template(role, &key),
        };
        let kind = self.kind(role, &field, |kind| kind != FieldKind::Other, "a string, a number or binary");
        let key_type = match kind {
            Some(FieldKind::Number(_)) => KeyType::N,
            Some(FieldKind::Binary) => KeyType::B,
            _ => KeyType::S,
        };
        let in_place = self.take(&attribute, self.is_at(&field, &attribute));
        self.tracked.push((tracked, field));
        Key { attribute: Name::new(&attribute), key_type, source: KeySource::Field { in_place } }
    }

    fn template(&mut self, role: &str, TemplateKey { attribute, template }: &TemplateKey) -> Key {
        self.take(attribute, false);
        let parsed = Template::parse(template, |path| {
            let fits = |kind| matches!(kind, FieldKind::Text | FieldKind::Number(_));
            self.kind(role, path, fits, "a string or a number");
            self.track_for_template(role, path)
        });
        let constant = |template: &Template| role == "partitionKey" && template.is_constant();
        let problem = match &parsed {
            Err(problem) => Some(*problem),
            Ok(template) if constant(template) => Some("names no field, so that all records would be one item"),
            Ok(_) => None,
        };
        self.problems.extend(problem.map(|problem| format!("{role}: the template {problem}")));
        let template = parsed.unwrap_or_default();
        Key { attribute: Name::new(attribute), key_type: KeyType::S, source: KeySource::Template(template) }
    }

    /// Returns the tracked field for a field of a template.
    fn track_for_template(&mut self, role: &str, path: &str) -> Option<TrackedField> {
        let next = self.tracked.iter().map(|(field, _)| field.0 + 1).max().unwrap_or_default().max(FIRST_OF_TEMPLATES);
        if next >= MAX_TRACKED_FIELDS {
            self.problems.push(format!("{role}: the templates name too many fields"));
            return None;
        }
        self.tracked.push((TrackedField(next), path.to_owned()));
        Some(TrackedField(next))
    }

    /// Returns the key for a schema without a `partitionKey`: the record's own string field `message_id` if it exists, or
    /// else the SQS message id.
    fn message_id(&mut self) -> Key {
        let from_field = matches!(self.fields.kind(MESSAGE_ID), Ok(FieldKind::Text));
        if from_field {
            self.tracked.push((PARTITION_KEY, MESSAGE_ID.to_owned()));
        }
        let in_place = self.take(MESSAGE_ID, from_field && self.is_at(MESSAGE_ID, MESSAGE_ID));
        let source = if from_field { KeySource::Field { in_place } } else { KeySource::MessageId };
        Key { attribute: Name::new(MESSAGE_ID), key_type: KeyType::S, source }
    }

    fn ttl(&mut self, property: TtlProperty) -> Option<Ttl> {
        let TtlProperty { attribute, field, days } = property;
        let is_field = field.as_ref().is_some_and(|field| self.is_at(field, &attribute));
        let in_place = self.take(&attribute, is_field);
        let source = match (field, days) {
            (Some(field), None) => {
                let instant = |kind| matches!(kind, FieldKind::Number(Quantity::Plain | Quantity::Timestamp(_)));
                let kind = self.kind("ttl", &field, instant, "a number: epoch seconds or a timestamp")?;
                self.tracked.push((TTL, field));
                let per_second = match kind {
                    FieldKind::Number(Quantity::Timestamp(unit)) => unit.per_second(),
                    _ => 1,
                };
                TtlSource::Field { per_second: per_second.into() }
            }
            (None, Some(days)) => TtlSource::Days(days),
            _ => {
                self.problems.push("ttl: one of field and days is needed, not both".into());
                return None;
            }
        };
        Some(Ttl { attribute: Name::new(&attribute), in_place, source })
    }

    /// Reports an error if a time to live is converted to seconds in place and its field is also part of a key or the
    /// version. The conversion would change the value of that key or version.
    fn converted_in_place(&mut self, ttl: &Ttl) {
        let TtlSource::Field { per_second: 2.. } = ttl.source else { return };
        let Some((_, converted)) = self.tracked.iter().find(|(field, _)| *field == TTL) else { return };
        let others = self.tracked.iter().filter(|(field, path)| *field != TTL && path == converted);
        if let Some((field, _)) = others.min()
            && ttl.in_place
        {
            let role = match *field {
                PARTITION_KEY => "the partitionKey",
                SORT_KEY => "the sortKey",
                VERSION => "the version",
                _ => "in a key template",
            };
            self.problems.push(format!(
                "ttl: field {converted} is also {role}, and would be converted to seconds; give the ttl an attribute of its own"
            ));
        }
    }

    fn version(&mut self, property: VersionProperty) -> Version {
        match property {
            VersionProperty::Field(path) => {
                self.kind("version", &path, |kind| kind != FieldKind::Other, "a string, a number or binary");
                self.tracked.push((VERSION, path.clone()));
                let attributes = self.fields.attributes(&path);
                if attributes.is_none() && self.fields.kind(&path).is_ok() {
                    self.problems.push(format!("version: field {path} is left out of the item"));
                }
                Version::Field { path, attributes: attributes.unwrap_or_default() }
            }
            VersionProperty::Message(MessageVersion { attribute, from }) => {
                self.take(&attribute, false);
                Version::Message { attribute: Name::new(&attribute), order: from }
            }
        }
    }
}
