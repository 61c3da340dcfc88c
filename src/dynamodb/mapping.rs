//! Where a record goes: the reader schema's `dynamodb` property, parsed and checked against the schema's own fields once,
//! so that a mapping that exists can be carried out.

use crate::record::{FieldKind, Name, TrackedField, Unit};
use serde::Deserialize;
use std::fmt;
use std::ops::RangeInclusive;

/// The attribute that says when an item was written.
pub const PROCESSED_AT: &str = "processed_at";
/// The attribute that holds the record in the `document` layout.
pub const DATA: &str = "data";
/// The key attribute of a record whose schema names none, and the field it is taken from if the record has it.
pub const MESSAGE_ID: &str = "message_id";

/// The field that is the partition key.
pub(crate) const PARTITION_KEY: TrackedField = TrackedField(0);
/// The field that is the sort key.
pub(crate) const SORT_KEY: TrackedField = TrackedField(1);
/// The field that is the time to live.
pub(crate) const TTL: TrackedField = TrackedField(2);
/// The field that is the version.
pub(crate) const VERSION: TrackedField = TrackedField(3);
/// How many tracked fields there are.
pub(crate) const TRACKED_FIELDS: usize = 4;

/// The shortest and the longest name of a table.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
const TABLE_NAME_BYTES: RangeInclusive<usize> = 3..=255;

/// What is wrong with a table's name or ARN, as the end of a sentence.
pub(crate) fn table_name_problem(table: &str) -> Option<String> {
    let name = match table.strip_prefix("arn:") {
        None => table,
        Some(arn) => match arn.split(':').collect::<Vec<_>>().as_slice() {
            [partition, "dynamodb", region, account, name] if ![partition, region, account].contains(&&"") => {
                name.strip_prefix("table/").unwrap_or_default()
            }
            _ => "",
        },
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fits = TABLE_NAME_BYTES.contains(&name.len()) && name.bytes().all(is_legal);
    (!fits).then(|| {
        format!("is {table:?}, but must be a name of 3 to 255 letters, digits, '.', '-' and '_', or a table ARN")
    })
}

/// Index of a table within the function's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(usize);

impl TableId {
    /// The table at `index`.
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// How a record becomes an item. Built by [`Mapping::parse`] only.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The table's name.
    pub table: String,
    pub(crate) layout: Layout,
    pub(crate) partition_key: Key,
    pub(crate) sort_key: Option<Key>,
    pub(crate) ttl: Option<Ttl>,
    /// The path of the field that orders an item's versions.
    pub version: Option<String>,
    tracked: Vec<(TrackedField, String)>,
}

/// Whether the record is one attribute or each of its fields is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    #[default]
    Document,
    Attributes,
}

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A string.
    S,
    /// A number.
    N,
    /// Binary.
    B,
}

/// A key attribute. Without a field it is the message's id.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) attribute: Name,
    key_type: KeyType,
    pub(crate) from_field: bool,
    /// The record's own field is the attribute already.
    pub(crate) in_place: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Ttl {
    pub(crate) attribute: Name,
    pub(crate) in_place: bool,
    pub(crate) source: TtlSource,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TtlSource {
    /// A field that counts seconds or, by its logical type, fractions of one.
    Field { per_second: i64 },
    /// Days after the item is written.
    Days(u32),
}

/// What a schema says of its fields: the answer to a path such as `customer.id`.
pub trait Fields {
    /// What the field at `path` holds, or why there is none.
    fn kind(&self, path: &str) -> Result<FieldKind, String>;
    /// The names of the outermost fields.
    fn names(&self) -> Vec<&str>;
}

/// Everything wrong with a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError(Vec<String>);

impl MappingError {
    /// One sentence a problem.
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

/// The property as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Property {
    table: Option<String>,
    partition_key: Option<KeyProperty>,
    sort_key: Option<KeyProperty>,
    #[serde(default)]
    layout: Layout,
    ttl: Option<TtlProperty>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a field name, or an object of `attribute` and `field`")]
enum KeyProperty {
    Both(String),
    Named(NamedKey),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    attribute: String,
    field: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TtlProperty {
    attribute: String,
    field: Option<String>,
    days: Option<u32>,
}

impl Mapping {
    /// Reads the `dynamodb` property of a reader schema whose fields are `fields`.
    pub fn parse(
        property: Option<&serde_json::Value>,
        default_table: &str,
        fields: &impl Fields,
    ) -> Result<Self, MappingError> {
        let property = match property {
            None => Property::default(),
            Some(value) => Property::deserialize(value).map_err(|error| MappingError(vec![error.to_string()]))?,
        };
        let mut parser =
            Parser { fields, layout: property.layout, tracked: Vec::new(), taken: Vec::new(), problems: Vec::new() };
        parser.take(PROCESSED_AT, false);
        if property.layout == Layout::Document {
            parser.take(DATA, false);
        }
        let partition_key = match property.partition_key {
            Some(key) => parser.key("partitionKey", PARTITION_KEY, key),
            None => parser.message_id(),
        };
        let sort_key = property.sort_key.map(|key| parser.key("sortKey", SORT_KEY, key));
        let ttl = property.ttl.and_then(|ttl| parser.ttl(ttl));
        if let Some(path) = &property.version {
            parser.version(path);
        }
        if let Some(ttl) = &ttl {
            parser.converted_in_place(ttl);
        }
        let table = property.table.unwrap_or_else(|| default_table.to_owned());
        if let Some(problem) = table_name_problem(&table) {
            parser.problems.push(format!("table {problem}"));
        }
        let Parser { tracked, problems, .. } = parser;
        if !problems.is_empty() {
            return Err(MappingError(problems));
        }
        Ok(Self { table, layout: property.layout, partition_key, sort_key, ttl, version: property.version, tracked })
    }

    /// The fields the encoder must be told of, by path.
    pub fn tracked_fields(&self) -> &[(TrackedField, String)] {
        &self.tracked
    }

    /// The name and type of the partition key and, if there is one, the sort key: what the table must be keyed by.
    pub fn key_schema(&self) -> impl Iterator<Item = (&str, KeyType)> {
        [Some(&self.partition_key), self.sort_key.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| (key.attribute.text(), key.key_type))
    }

    /// The path of the version's value within the item, and the names that stand for its segments.
    pub(crate) fn version_path(&self) -> Option<impl Iterator<Item = &str>> {
        let document = (self.layout == Layout::Document).then_some(DATA);
        Some(document.into_iter().chain(self.version.as_deref()?.split('.')))
    }
}

struct Parser<'a, F> {
    fields: &'a F,
    layout: Layout,
    tracked: Vec<(TrackedField, String)>,
    /// The attributes the item has so far besides the record's own.
    taken: Vec<String>,
    problems: Vec<String>,
}

impl<F: Fields> Parser<'_, F> {
    /// Reserves an attribute and says whether the record's own field is it already, which only `in_place` allows.
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
            KeyProperty::Both(name) => (name.clone(), name),
            KeyProperty::Named(NamedKey { attribute, field }) => (attribute, field),
        };
        let kind = self.kind(role, &field, |kind| kind != FieldKind::Other, "a string, a number or binary");
        let key_type = match kind {
            Some(FieldKind::Number(_)) => KeyType::N,
            Some(FieldKind::Binary) => KeyType::B,
            _ => KeyType::S,
        };
        let in_place = self.take(&attribute, attribute == field);
        self.tracked.push((tracked, field));
        Key { attribute: Name::new(&attribute), key_type, from_field: true, in_place }
    }

    /// The key of a record whose schema names none: its own string `message_id`, or else the message's.
    fn message_id(&mut self) -> Key {
        let from_field = matches!(self.fields.kind(MESSAGE_ID), Ok(FieldKind::Text));
        if from_field {
            self.tracked.push((PARTITION_KEY, MESSAGE_ID.to_owned()));
        }
        let in_place = self.take(MESSAGE_ID, from_field);
        Key { attribute: Name::new(MESSAGE_ID), key_type: KeyType::S, from_field, in_place }
    }

    fn ttl(&mut self, property: TtlProperty) -> Option<Ttl> {
        let TtlProperty { attribute, field, days } = property;
        let in_place = self.take(&attribute, field.as_ref() == Some(&attribute));
        let source = match (field, days) {
            (Some(field), None) => {
                let number = |kind| matches!(kind, FieldKind::Number(_));
                let kind = self.kind("ttl", &field, number, "a number: epoch seconds or a timestamp")?;
                self.tracked.push((TTL, field));
                TtlSource::Field {
                    per_second: match kind {
                        FieldKind::Number(Unit::Milliseconds) => 1_000,
                        FieldKind::Number(Unit::Microseconds) => 1_000_000,
                        FieldKind::Number(Unit::Nanoseconds) => 1_000_000_000,
                        _ => 1,
                    },
                }
            }
            (None, Some(days)) => TtlSource::Days(days),
            _ => {
                self.problems.push("ttl: one of field and days is needed, not both".into());
                return None;
            }
        };
        Some(Ttl { attribute: Name::new(&attribute), in_place, source })
    }

    /// A time to live that is converted to seconds where its field stands is no longer what a key or a version means.
    fn converted_in_place(&mut self, ttl: &Ttl) {
        let TtlSource::Field { per_second: 2.. } = ttl.source else { return };
        let attribute = ttl.attribute.text();
        if !ttl.in_place {
            return;
        }
        for (role, field) in [("partitionKey", PARTITION_KEY), ("sortKey", SORT_KEY), ("version", VERSION)] {
            if self.is_tracked(field, attribute) {
                self.problems.push(format!(
                    "ttl: field {attribute} is also the {role}, and would be converted to seconds; give the ttl an attribute of its own"
                ));
            }
        }
    }

    fn is_tracked(&self, field: TrackedField, path: &str) -> bool {
        self.tracked.iter().any(|(known, tracked)| *known == field && tracked == path)
    }

    fn version(&mut self, path: &str) {
        self.kind("version", path, |kind| kind != FieldKind::Other, "a string, a number or binary");
        self.tracked.push((VERSION, path.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Order;

    impl Fields for Order {
        fn kind(&self, path: &str) -> Result<FieldKind, String> {
            match path {
                "order_id" | "customer.id" => Ok(FieldKind::Text),
                "at" => Ok(FieldKind::Number(Unit::Milliseconds)),
                "seconds" => Ok(FieldKind::Number(Unit::Plain)),
                "items" => Ok(FieldKind::Other),
                _ => Err(format!("there is no field {path}")),
            }
        }

        fn names(&self) -> Vec<&str> {
            vec!["order_id", "customer", "at", "seconds", "items"]
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the many calls")]
    fn parse(property: serde_json::Value) -> Result<Mapping, MappingError> {
        Mapping::parse(Some(&property), "orders", &Order)
    }

    #[test]
    fn without_a_property_the_key_is_the_messages_id_and_the_table_the_default() {
        let mapping = Mapping::parse(None, "orders", &Order).unwrap();
        assert_eq!((mapping.table.as_str(), mapping.layout), ("orders", Layout::Document));
        assert_eq!(mapping.partition_key.attribute.text(), "message_id");
        assert!(!mapping.partition_key.from_field && mapping.tracked_fields().is_empty());
    }

    #[test]
    fn a_key_may_be_a_path_and_have_a_name_of_its_own() {
        let mapping = parse(json!({
            "table": "other", "partitionKey": {"attribute": "pk", "field": "customer.id"}, "sortKey": "order_id"
        }))
        .unwrap();
        assert_eq!(mapping.table, "other");
        assert_eq!(mapping.tracked_fields(), [(PARTITION_KEY, "customer.id".into()), (SORT_KEY, "order_id".into())]);
        assert_eq!(mapping.key_schema().collect::<Vec<_>>(), [("pk", KeyType::S), ("order_id", KeyType::S)]);
    }

    #[test]
    fn in_the_attributes_layout_a_field_of_the_same_name_is_the_attribute() {
        let property =
            json!({"layout": "attributes", "partitionKey": "order_id", "ttl": {"attribute": "at", "field": "at"}});
        let mapping = parse(property).unwrap();
        assert!(mapping.partition_key.in_place);
        assert!(mapping.ttl.unwrap().in_place);
    }

    #[test]
    fn a_time_to_live_converted_in_place_is_neither_key_nor_version() {
        let ttl = json!({"attribute": "at", "field": "at"});
        let property = |role: &str, ttl: &serde_json::Value| {
            let mut property = json!({"layout": "attributes", "partitionKey": "order_id", "ttl": ttl});
            property[role] = if role == "version" { json!("at") } else { json!({"attribute": "key", "field": "at"}) };
            property
        };
        for role in ["partitionKey", "sortKey", "version"] {
            let error = parse(property(role, &ttl)).unwrap_err().to_string();
            assert!(error.contains(&format!("ttl: field at is also the {role}")), "{error}");
            parse(property(role, &json!({"attribute": "expires", "field": "at"}))).unwrap();
        }
        // seconds stay what they are
        let property =
            json!({"layout": "attributes", "ttl": {"attribute": "seconds", "field": "seconds"}, "version": "seconds"});
        parse(property).unwrap();
    }

    #[test]
    fn a_table_that_aws_refuses_is_an_error() {
        let long = "t".repeat(255);
        let arn = |name: &str| format!("arn:aws:dynamodb:eu-central-1:123456789012:{name}");
        let cases = [
            ("ab", false),
            ("abc", true),
            (&long, true),
            (&format!("{long}t"), false),
            ("my table", false),
            ("", false),
            (&arn("table/abc"), true),
            (&arn("table/ab"), false),
            (&arn("index/abc"), false),
            (&arn("table/abc/index/i"), false),
            ("arn:aws:s3:::bucket", false),
            ("arn:aws:dynamodb:eu-central-1::table/abc", false),
        ];
        for (table, fits) in cases {
            assert_eq!(parse(json!({"table": table})).is_ok(), fits, "{table}");
        }
    }

    #[test]
    fn a_versions_path_starts_where_the_layout_puts_the_record() {
        let path = |layout| {
            let mapping = parse(json!({"layout": layout, "version": "at"})).unwrap();
            mapping.version_path().unwrap().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(path("document"), ["data", "at"]);
        assert_eq!(path("attributes"), ["at"]);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let property = json!({
            "partitionKey": "nowhere", "sortKey": "items", "ttl": {"attribute": "processed_at", "field": "order_id"}, "version": "x"
        });
        let error = parse(property).unwrap_err();
        assert_eq!(
            error.problems(),
            [
                "partitionKey: there is no field nowhere",
                "sortKey: field items must be a string, a number or binary",
                "attribute processed_at is used twice",
                "ttl: field order_id must be a number: epoch seconds or a timestamp",
                "version: there is no field x",
            ]
        );
    }

    #[test]
    fn a_property_nobody_knows_is_an_error() {
        for property in [
            json!({"tabel": "orders"}),
            json!({"layout": "rows"}),
            json!({"partitionKey": {"attribute": "a"}}),
            json!({"partitionKey": 7}),
            json!({"ttl": {"attribute": "a"}}),
            json!({"ttl": {"attribute": "a", "field": "at", "days": 3}}),
            json!({"ttl": {"attribute": "a", "days": -1}}),
            json!({"partitionKey": {"attribute": "", "field": "order_id"}}),
            json!("orders"),
        ] {
            assert!(parse(property.clone()).is_err(), "{property}");
        }
    }

    #[test]
    fn an_attribute_that_hides_another_field_is_an_error() {
        let property = json!({"layout": "attributes", "partitionKey": {"attribute": "at", "field": "order_id"}});
        assert!(parse(property).is_err());
    }
}
