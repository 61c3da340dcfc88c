//! Transcodes a message's body into items, with the decoder and the item mappings of one schema directory.

mod units;

use crate::avro::{self, Decoded, Decoder, SchemaErrors, SchemaFile, Schemas, Scratch, Undecoded, WireFormat};
use crate::dynamodb::item::{ItemEncoder, Operation};
use crate::dynamodb::mapping::{Fields, Mapping, TableId, TableName, TableScope};
use crate::outcome::Rejection;
use crate::record::{FieldKind, SubjectId};
use crate::settings::Settings;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Converts messages to items. It is immutable and shared by all invocations.
pub struct Transcoder {
    decoder: Decoder,
    mappings: Arc<[(TableId, Mapping)]>,
    /// The table of records whose schema does not name one, if a mapping writes to it.
    default_table: Option<TableId>,
}

/// All problems of a schema directory, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblems(Vec<String>);

impl fmt::Display for SchemaProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid schemas: {}", self.0.join("; "))
    }
}

impl std::error::Error for SchemaProblems {}

impl SchemaProblems {
    /// Returns the problems.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Fields for avro::Subject {
    fn kind(&self, path: &str) -> Result<FieldKind, String> {
        self.field(path).map_err(|error| error.to_string())
    }

    fn names(&self) -> Vec<&str> {
        self.item_names().collect()
    }

    fn attributes(&self, path: &str) -> Option<Vec<String>> {
        Some(self.item_path(path)?.into_iter().map(str::to_owned).collect())
    }

    fn problems(&self) -> Vec<String> {
        self.item_name_problems()
    }
}

impl Transcoder {
    /// Compiles `files` for `settings`.
    ///
    /// # Errors
    /// All problems of all schemas and item mappings.
    pub fn new(settings: &Settings, files: Vec<SchemaFile>) -> Result<Self, SchemaProblems> {
        let schemas = Schemas::parse(files).map_err(|errors| schema_problems(&errors))?;
        let (mut tracked, mut units, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let scope = TableScope { region: settings.region.as_deref(), account: settings.account_id.as_deref() };
        let mut tables = Tables { scope, mappings: Vec::new() };
        for subject in schemas.subjects() {
            match Mapping::parse(subject.dynamodb(), &settings.table_name, subject) {
                Ok(mapping) => {
                    problems.extend(
                        units::problems(subject, &mapping)
                            .map(|problem| format!("subject {}: {problem}", subject.name())),
                    );
                    units.extend(units::fixed(subject, &mapping).map(|unit| (subject.id(), unit)));
                    tracked.extend(
                        mapping.tracked_fields().iter().map(|(field, path)| (subject.id(), *field, path.clone())),
                    );
                    problems.extend(tables.add(subject.name(), mapping));
                }
                Err(error) => {
                    let (name, path) = (subject.name(), subject.newest().path());
                    problems.push(format!("subject {name}: {path}: {error}"));
                }
            }
        }
        let default_table = TableName::parse(&settings.table_name).ok().and_then(|table| tables.id_of(&table));
        let mappings = tables.mappings.into_iter().map(|(table, _, mapping)| (table, mapping)).collect();
        if !problems.is_empty() {
            return Err(SchemaProblems(problems));
        }
        let options = avro::Options {
            formats: settings.wire_formats.clone().unwrap_or_else(|| schemas.wire_formats()),
            default_schema: settings.default_schema.clone(),
            json_encoding: settings.json_encoding,
            limits: avro::Limits {
                max_depth: settings.max_depth,
                max_records: settings.max_records,
                max_inflated_bytes: settings.max_inflated_bytes,
                ..avro::Limits::default()
            },
            tracked,
            units,
        };
        let decoder = schemas.compile(options).map_err(|errors| schema_problems(&errors))?;
        Ok(Self { decoder, mappings, default_table })
    }

    /// Returns the item mapping of each subject, with the id of its table.
    pub fn mappings(&self) -> &Arc<[(TableId, Mapping)]> {
        &self.mappings
    }

    /// Returns whether the records of `subject` are written to the table of `TABLE_NAME`. The schema may name it or use
    /// its ARN.
    pub fn writes_default_table(&self, subject: &avro::Subject) -> bool {
        let mapping = self.mappings.get(usize::from(subject.id().0));
        mapping.is_some_and(|(table, _)| self.default_table == Some(*table))
    }

    /// Returns the subjects with their item mappings.
    pub fn subjects(&self) -> impl Iterator<Item = (&avro::Subject, &Mapping)> {
        self.decoder.subjects().zip(self.mappings.iter().map(|(_, mapping)| mapping))
    }

    /// Returns the wire formats that a message may have, in the order in which they are tried.
    pub fn wire_formats(&self) -> &[WireFormat] {
        self.decoder.wire_formats()
    }

    /// Returns the name of a subject.
    pub fn subject(&self, id: SubjectId) -> &str {
        self.decoder.subject(id).map_or("", avro::Subject::name)
    }

    /// Creates an encoder for these mappings. `now` is the time since the Unix epoch, and `capacity` the expected size
    /// of all items in bytes.
    pub fn encoder(&self, now: Duration, capacity: usize) -> ItemEncoder<'_> {
        ItemEncoder::new(&self.mappings, now, capacity)
    }

    /// Decodes the records of a message into `encoder`: all of them, or none if one is not valid or decoding is
    /// interrupted. `position` is that of the message in its event, and `id` is its message id.
    ///
    /// # Errors
    /// The reason why the message is rejected, or why decoding was interrupted.
    pub fn transcode<'m>(
        &'m self,
        input: &avro::Input<'_>,
        (position, id): (usize, &'m str),
        encoder: &mut ItemEncoder<'m>,
        scratch: &mut Scratch,
    ) -> Result<Decoded, Undecoded<Rejection>> {
        let operation = if input.keys_only { Operation::Delete } else { Operation::Put };
        encoder.start_message(position, id, operation);
        self.decoder.decode(input, scratch, encoder).map_err(|undecoded| {
            encoder.discard_message(position);
            undecoded.map_rejected(|error| Rejection::new(error.reason(), &error))
        })
    }
}

fn schema_problems(errors: &SchemaErrors) -> SchemaProblems {
    SchemaProblems(errors.problems().iter().map(ToString::to_string).collect())
}

/// The item mappings added so far, each with its table and the name of its subject. A table has one id even if mappings
/// use its name and its ARN, because each id has its own concurrency limit, its own write queue and its own set of
/// keys.
struct Tables<'s> {
    scope: TableScope<'s>,
    mappings: Vec<(TableId, &'s str, Mapping)>,
}

impl<'s> Tables<'s> {
    /// Returns the id of a table, which other mappings may name in another way.
    fn id_of(&self, table: &TableName) -> Option<TableId> {
        let is_it = |(_, _, other): &&(_, _, Mapping)| self.scope.is_one_table(&other.table, table) == Some(true);
        self.mappings.iter().find(is_it).map(|(id, _, _)| *id)
    }

    /// Adds the mapping of `subject`. Returns a problem if it conflicts with an earlier mapping, or if it is unclear
    /// whether both have the same table.
    fn add(&mut self, subject: &'s str, mapping: Mapping) -> Option<String> {
        let known = self.id_of(&mapping.table);
        let id = known.unwrap_or_else(|| {
            TableId::new(self.mappings.iter().map(|(id, _, _)| id.index() + 1).max().unwrap_or_default())
        });
        let problem = self.unclear(subject, &mapping).or_else(|| self.contradiction(id, subject, &mapping));
        self.mappings.push((id, subject, mapping));
        problem
    }

    fn unclear(&self, subject: &str, mapping: &Mapping) -> Option<String> {
        let is_unclear =
            |(_, _, other): &&(_, _, Mapping)| self.scope.is_one_table(&other.table, &mapping.table).is_none();
        let (_, other_subject, other) = self.mappings.iter().find(is_unclear)?;
        let unset = match self.scope {
            TableScope { region: None, account: None } => "AWS_REGION and ACCOUNT_ID",
            TableScope { region: None, .. } => "AWS_REGION",
            _ => "ACCOUNT_ID",
        };
        Some(format!(
            "subject {subject}: its table {} may be the table {} of subject {other_subject}; set {unset} to those of the function, \
             or name the table alike in both",
            mapping.table, other.table
        ))
    }

    fn contradiction(&self, id: TableId, subject: &str, mapping: &Mapping) -> Option<String> {
        let (_, other_subject, other) = self.mappings.iter().find(|(of, _, _)| *of == id)?;
        let same =
            if other.table == mapping.table { String::new() } else { format!(", called {} there,", other.table) };
        (!other.key_schema().eq(mapping.key_schema())).then(|| {
            format!(
                "subject {subject}: its key is {}, but that of subject {other_subject} in the same table {}{same} is {}",
                key_text(mapping),
                mapping.table,
                key_text(other)
            )
        })
    }
}

/// Returns the key of a mapping, such as `pk (S), sk (N)`.
fn key_text(mapping: &Mapping) -> String {
    let attributes: Vec<_> = mapping.key_schema().map(|(name, key_type)| format!("{name} ({key_type:?})")).collect();
    attributes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::tests::model::{Model, model, schema};
    use crate::avro::tests::model_values::{Dice, tree, value};
    use crate::avro::tests::tree::Tree;
    use crate::dynamodb::push_canonical_number;
    use crate::outcome::Reason;
    use apache_avro::writer::datum::GenericDatumWriter;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_dynamodb::primitives::Blob;
    use aws_sdk_dynamodb::types::AttributeValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::sync::Mutex;

    /// Converts an apache-avro value to an attribute value by the documented rules, without using the encoder's code.
    fn attribute(tree: Tree) -> AttributeValue {
        let map = |entries: Vec<(String, Tree)>| {
            AttributeValue::M(entries.into_iter().map(|(name, value)| (name, attribute(value))).collect())
        };
        match tree {
            Tree::Null => AttributeValue::Null(true),
            Tree::Boolean(value) => AttributeValue::Bool(value),
            Tree::Long(value) => AttributeValue::N(value.to_string()),
            // serde_json chooses the same text as the encoder if a number has two shortest texts.
            Tree::Float(value) => AttributeValue::N(serde_json::to_string(&value).unwrap()),
            Tree::Double(value) => AttributeValue::N(json!(value).to_string()),
            Tree::Decimal(unscaled, scale) => {
                let filler = if unscaled.first().is_some_and(|byte| byte & 0x80 != 0) { 0xFF } else { 0 };
                let mut wide = [filler; 16];
                wide[16 - unscaled.len()..].copy_from_slice(&unscaled);
                AttributeValue::N(format!("{}e-{scale}", i128::from_be_bytes(wide)))
            }
            Tree::Date(days) => AttributeValue::S(date(days)),
            Tree::String(text) => AttributeValue::S(text),
            Tree::Uuid(bytes) => AttributeValue::S(apache_avro::Uuid::from_bytes(bytes).to_string()),
            Tree::Bytes(bytes) => AttributeValue::B(Blob::new(bytes)),
            Tree::Array(items) => AttributeValue::L(items.into_iter().map(attribute).collect()),
            Tree::Map(entries) | Tree::Record(entries) => map(entries),
        }
    }

    /// Counts days year by year and month by month, unlike the encoder.
    fn date(days: i32) -> String {
        // The calendar repeats every 400 years.
        let (eras, mut rest) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let leap = |year: i32| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut year = 1970 + 400 * eras;
        while rest >= 365 + i32::from(leap(year)) {
            rest -= 365 + i32::from(leap(year));
            year += 1;
        }
        let lengths = [31, 28 + i32::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 0;
        while rest >= lengths[month] {
            rest -= lengths[month];
            month += 1;
        }
        let sign = if (0..=9999).contains(&year) {
            ""
        } else if year < 0 {
            "-"
        } else {
            "+"
        };
        format!("{sign}{:04}-{:02}-{:02}", year.abs(), month + 1, rest + 1)
    }

    /// Returns the item as the SDK serialises it in a request.
    fn serialised(data: AttributeValue) -> Value {
        static BODY: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
            .endpoint_url("http://127.0.0.1:9")
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .build();
        let call = aws_sdk_dynamodb::Client::from_conf(config).put_item().table_name("t").item("data", data);
        let sent = call.customize().mutate_request(|request| {
            *BODY.lock().unwrap() = request.body().bytes().unwrap_or_default().to_vec();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // No server listens there, because only the request is needed.
        assert!(runtime.block_on(sent.send()).is_err());
        let request: Value = serde_json::from_slice(&BODY.lock().unwrap()).unwrap();
        request["Item"]["data"].clone()
    }

    /// Converts numbers to their canonical form, so that equal numbers compare as equal.
    fn canonical(value: Value) -> Value {
        match value {
            Value::Object(map) => match map.get("N").and_then(Value::as_str) {
                Some(number) if map.len() == 1 => {
                    let mut canonical = Vec::new();
                    push_canonical_number(&mut canonical, number);
                    json!({"N": String::from_utf8(canonical).unwrap()})
                }
                _ => map.into_iter().map(|(name, value)| (name, canonical(value))).collect(),
            },
            Value::Array(list) => list.into_iter().map(canonical).collect(),
            other => other,
        }
    }

    fn transcoder(schema: String) -> Transcoder {
        let lookup = |name: &str| match name {
            "TABLE_NAME" => Some("table".to_owned()),
            "WIRE_FORMATS" => Some("datum".to_owned()),
            "DEFAULT_SCHEMA" => Some("s".to_owned()),
            _ => None,
        };
        let file = SchemaFile { subject: "s".into(), version: "1".into(), text: schema, path: "s/1.avsc".into() };
        Transcoder::new(&Settings::parse(lookup).unwrap(), vec![file]).unwrap()
    }

    fn data(model: &Model, body: &[u8]) -> Result<Value, Undecoded<Rejection>> {
        let transcoder = transcoder(schema(model));
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        let input =
            avro::Input { body: avro::Body::Binary(body), schema: None, value_schema_id: None, keys_only: false };
        transcoder.transcode(&input, (0, "m"), &mut encoder, &mut Scratch::default())?;
        let items = encoder.finish_event();
        let item: Value = serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap();
        Ok(item["data"].clone())
    }

    /// Returns the mapping, or the problems, of a schema with this `dynamodb` property and these fields.
    fn mapped(dynamodb: &Value, fields: &Value) -> Result<Mapping, String> {
        let schema = json!({"type": "record", "name": "r", "dynamodb": dynamodb, "fields": fields});
        let file =
            SchemaFile { subject: "s".into(), version: "1".into(), text: schema.to_string(), path: "s/1.avsc".into() };
        let settings = Settings::parse(|name| (name == "TABLE_NAME").then(|| "table".to_owned())).unwrap();
        let transcoder = Transcoder::new(&settings, vec![file]).map_err(|problems| problems.to_string())?;
        Ok(transcoder.mappings()[0].1.clone())
    }

    fn field(name: &str, dynamodb: &Value) -> Value {
        json!({"name": name, "type": "long", "dynamodb": dynamodb})
    }

    #[test]
    fn a_field_goes_by_its_own_attribute_in_keys_and_conditions() {
        let (id, at) = (field("id", &json!({"attribute": "pk"})), field("at", &json!({"attribute": "when"})));
        for (layout, path) in [("document", vec!["data", "when"]), ("attributes", vec!["when"])] {
            let property = json!({"layout": layout, "partitionKey": "id", "version": "at"});
            let mapping = mapped(&property, &json!([id, at])).unwrap();
            assert_eq!(mapping.key_schema().next().unwrap().0, "pk");
            assert_eq!(mapping.version_path().unwrap().collect::<Vec<_>>(), path);
        }
    }

    #[test]
    fn attribute_names_that_cannot_work_are_errors() {
        let (id, omit) = (field("id", &json!({})), json!({"omit": true}));
        let plain = json!({"name": "id", "type": "long"});
        for (dynamodb, fields, problem) in [
            (json!({}), json!([id]), "field id of r: its dynamodb must be"),
            (json!({}), json!([field("id", &json!({"attribute": ""}))]), "its dynamodb must be"),
            (json!({}), json!([field("id", &json!({"omit": false}))]), "its dynamodb must be"),
            (json!({}), json!([field("id", &json!({"omit": true, "attribute": "a"}))]), "its dynamodb must be"),
            (
                json!({}),
                json!([plain, field("b", &json!({"attribute": "id"}))]),
                "fields id and b of r are both attribute id",
            ),
            (json!({"version": "v"}), json!([plain, field("v", &omit)]), "version: field v is left out"),
            (
                json!({"layout": "attributes"}),
                json!([field("id", &json!({"attribute": "processed_at"}))]),
                "attribute processed_at is also a field",
            ),
        ] {
            let problems = mapped(&dynamodb, &fields).unwrap_err();
            assert!(problems.contains(problem) && problems.contains("subject s: s/1.avsc: "), "{problems}");
        }
    }

    #[test]
    fn what_is_left_out_is_not_read() {
        let fields = json!([field("id", &json!({"attribute": "key"})),
            {"name": "ratio", "type": "double", "dynamodb": {"omit": true}}]);
        let schema = json!({"type": "record", "name": "r", "fields": fields}).to_string();
        let transcoder = transcoder(schema);
        let mut encoder = transcoder.encoder(Duration::ZERO, 0);
        let body = [&[2][..], &f64::NAN.to_le_bytes()].concat();
        let input =
            avro::Input { body: avro::Body::Binary(&body), schema: None, value_schema_id: None, keys_only: false };
        transcoder.transcode(&input, (0, "m"), &mut encoder, &mut Scratch::default()).unwrap();
        let items = encoder.finish_event();
        let item: Value = serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap();
        assert_eq!(item["data"], json!({"M": {"key": {"N": "1"}}}));
    }

    #[test]
    fn subjects_of_one_table_have_one_key() {
        let transcoder = |table: &str| {
            let file = |subject: &str, dynamodb: &str| SchemaFile {
                subject: subject.into(),
                version: "1".into(),
                text: format!(
                    r#"{{"type": "record", "name": "{subject}", {dynamodb}, "fields": [{{"name": "id", "type": "long"}}]}}"#
                ),
                path: format!("{subject}/1.avsc"),
            };
            let files = vec![
                file("one", r#""dynamodb": {"partitionKey": "id"}"#),
                file("two", &format!(r#""dynamodb": {{"table": "{table}"}}"#)),
            ];
            let settings = Settings::parse(|name| (name == "TABLE_NAME").then(|| "shared".to_owned())).unwrap();
            Transcoder::new(&settings, files)
        };
        assert!(transcoder("another").is_ok());
        let error = transcoder("shared").err().unwrap().to_string();
        let expected =
            "subject two: its key is message_id (S), but that of subject one in the same table shared is id (N)";
        assert!(error.contains(expected), "{error}");
    }

    const ARN: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/shared";

    /// Creates a transcoder of two subjects. `tables` and `keys` are the tables and the partition keys of the two.
    fn two_subjects(
        settings: &[(&str, &str)],
        tables: [&str; 2],
        keys: [&str; 2],
    ) -> Result<Transcoder, SchemaProblems> {
        let file = |place: usize, subject: &str| {
            let fields: Vec<_> = ["id", "other"].iter().map(|name| json!({"name": name, "type": "long"})).collect();
            let property = json!({"table": tables[place], "partitionKey": keys[place]});
            let text = json!({"type": "record", "name": subject, "dynamodb": property, "fields": fields}).to_string();
            SchemaFile { subject: subject.into(), version: "1".into(), text, path: format!("{subject}/1.avsc") }
        };
        let lookup = |name: &str| {
            let set = settings.iter().find(|(setting, _)| *setting == name).map(|(_, value)| (*value).to_owned());
            set.or_else(|| (name == "TABLE_NAME").then(|| "default".to_owned()))
        };
        Transcoder::new(&Settings::parse(lookup).unwrap(), vec![file(0, "one"), file(1, "two")])
    }

    const HOME: [(&str, &str); 2] = [("AWS_REGION", "eu-central-1"), ("ACCOUNT_ID", "123456789012")];

    fn has_one_table(transcoder: &Transcoder) -> bool {
        let ids: Vec<TableId> = transcoder.mappings().iter().map(|(id, _)| *id).collect();
        ids[0] == ids[1]
    }

    #[test]
    fn a_table_is_one_table_by_its_name_and_by_its_arn() {
        for tables in [["shared", ARN], [ARN, "shared"], [ARN, ARN], ["shared", "shared"]] {
            let transcoder = two_subjects(&HOME, tables, ["id", "id"]).unwrap();
            assert!(has_one_table(&transcoder), "{tables:?}");
            let named: Vec<_> = transcoder.mappings().iter().map(|(_, mapping)| mapping.table.as_str()).collect();
            assert_eq!(named, tables, "each mapping keeps the table name of its schema");
        }
        for (own, other) in [("eu-central-1", "us-east-1"), ("123456789012", "999999999999"), ("shared", "others")] {
            let elsewhere = ARN.replace(own, other);
            assert!(!has_one_table(&two_subjects(&HOME, ["shared", &elsewhere], ["id", "other"]).unwrap()));
            assert!(!has_one_table(&two_subjects(&HOME, [ARN, &elsewhere], ["id", "other"]).unwrap()));
        }
    }

    #[test]
    fn keys_of_one_table_that_contradict_each_other_are_refused_whatever_the_table_is_called() {
        for tables in [["shared", ARN], [ARN, "shared"]] {
            let error = two_subjects(&HOME, tables, ["id", "other"]).err().unwrap().to_string();
            for part in ["subject two: its key is other (N)", "subject one", "is id (N)", tables[0], tables[1]] {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
    }

    #[test]
    fn a_name_and_an_arn_that_may_be_one_table_need_the_account_and_the_region() {
        for (settings, unset) in
            [(&HOME[..0], "AWS_REGION and ACCOUNT_ID"), (&HOME[..1], "ACCOUNT_ID"), (&HOME[1..], "AWS_REGION")]
        {
            let error = two_subjects(settings, ["shared", ARN], ["id", "id"]).err().unwrap().to_string();
            for part in ["subject two", "subject one", "shared", ARN, &format!("set {unset} to")] {
                assert!(error.contains(part), "{part} in {error}");
            }
            for told_apart in [["others", ARN], [ARN, ARN]] {
                assert!(two_subjects(settings, told_apart, ["id", "id"]).is_ok(), "{told_apart:?}");
            }
        }
        // The known setting is enough to distinguish these tables.
        let elsewhere = ARN.replace("eu-central-1", "us-east-1");
        assert!(two_subjects(&HOME[..1], ["shared", &elsewhere], ["id", "id"]).is_ok());
    }

    #[test]
    fn a_subject_of_the_default_table_may_call_it_by_its_arn() {
        let settings = [HOME[0], HOME[1], ("TABLE_NAME", "shared")];
        let transcoder = two_subjects(&settings, [ARN, "others"], ["id", "id"]).unwrap();
        let is_default: Vec<_> =
            transcoder.subjects().map(|(subject, _)| transcoder.writes_default_table(subject)).collect();
        assert_eq!(is_default, [true, false]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn an_item_is_what_apache_avro_and_the_sdk_would_have_made_of_the_datum(model in model(), seed: u64) {
            let value = value(&model, &mut Dice(seed), &mut Vec::new());
            let expected = tree(&value, &model, &mut Vec::new());
            let their_schema = apache_avro::Schema::parse_str(&schema(&model)).unwrap();
            let body = GenericDatumWriter::builder(&their_schema).build().unwrap().write_value_to_vec(value).unwrap();
            match data(&model, &body) {
                Ok(data) => prop_assert_eq!(canonical(data), canonical(serialised(attribute(expected)))),
                // These models contain only one value that an item cannot hold, an empty map key.
                Err(Undecoded::Rejected(rejection)) => prop_assert_eq!(rejection.reason, Reason::InvalidItem, "{}", rejection),
                Err(Undecoded::Interrupted(interruption)) => prop_assert!(false, "{}", interruption),
            }
        }
    }
}
