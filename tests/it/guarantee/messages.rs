//! Messages of four subjects and two tables, and the writes that they request.

use crate::support::random::Random;
use apache_avro::types::Value as Avro;
use avro_ingest::avro::SchemaFile;
use base64_simd::STANDARD;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub const ORDERS: &str = "orders";
pub const AUDIT: &str = "audit";
pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "123456789012";
/// Timestamp of each plain record: in milliseconds in version 1, in microseconds in version 2 and in the items.
const AT: [i64; 2] = [1_700_000_000_123, 1_700_000_000_123_000];

/// Plain items are put unconditionally, versioned items only over older versions. Audit items are plain and have their own
/// table. Twin items are plain too, but their schema names the table by its ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Plain,
    Versioned,
    Audit,
    Twin,
}

impl Subject {
    pub const ALL: [Self; 4] = [Self::Plain, Self::Versioned, Self::Audit, Self::Twin];

    pub fn name(self) -> &'static str {
        ["plain", "versioned", "audit", "twin"][self as usize]
    }

    /// Returns the family of the subject. Subjects of one family share keys.
    fn family(self) -> &'static str {
        if self == Self::Twin { Self::Plain.name() } else { self.name() }
    }

    pub fn table(self) -> &'static str {
        if self == Self::Audit { AUDIT } else { ORDERS }
    }

    /// Returns the numbers of its schema versions. The plain subject has two, between which the unit of a timestamp changed.
    fn versions(self) -> std::ops::RangeInclusive<usize> {
        if self == Self::Plain { 1..=2 } else { 1..=1 }
    }

    fn schema_text(self, version: usize) -> String {
        let table = match self {
            Self::Twin => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{ORDERS}"),
            _ => self.table().to_owned(),
        };
        let mut property = json!({"partitionKey": "id", "table": table});
        if self == Self::Versioned {
            property["version"] = json!("version");
        }
        let field = |name: &str, kind: Value| json!({"name": name, "type": kind});
        let mut fields = vec![
            field("id", json!("string")),
            field("version", json!(["null", "long"])),
            field("note", json!("string")),
        ];
        if self == Self::Plain {
            let unit = ["timestamp-millis", "timestamp-micros"][version - 1];
            fields.push(field("at", json!({"type": "long", "logicalType": unit})));
        }
        if version == 2 {
            // the unit of a timestamp is not part of the fingerprint, so a new field makes it differ
            fields.push(json!({"name": "source", "type": "string", "default": ""}));
        }
        json!({"type": "record", "name": self.name(), "dynamodb": property, "fields": fields}).to_string()
    }

    fn schema(self, version: usize) -> &'static apache_avro::Schema {
        static SCHEMAS: LazyLock<[[apache_avro::Schema; 2]; 4]> = LazyLock::new(|| {
            let parse = |subject: Subject, version: usize| {
                let version = version.min(*subject.versions().end());
                apache_avro::Schema::parse_str(&subject.schema_text(version)).unwrap()
            };
            Subject::ALL.map(|subject| [1, 2].map(|version| parse(subject, version)))
        });
        &SCHEMAS[self as usize][version - 1]
    }

    /// Returns the fingerprint according to the specification. The one of apache-avro includes logical types.
    fn fingerprint(self, version: usize) -> &'static [u8] {
        static FINGERPRINTS: LazyLock<[[Vec<u8>; 2]; 4]> = LazyLock::new(|| {
            Subject::ALL.map(|subject| {
                [1, 2].map(|version| {
                    let text = subject.schema_text(version.min(*subject.versions().end()));
                    let mut schema: Value = serde_json::from_str(&text).unwrap();
                    for field in schema["fields"].as_array_mut().unwrap() {
                        if field["name"] == "at" {
                            field["type"] = json!("long");
                        }
                    }
                    let schema = apache_avro::Schema::parse_str(&schema.to_string()).unwrap();
                    schema.fingerprint::<apache_avro::rabin::Rabin>().bytes
                })
            })
        });
        &FINGERPRINTS[self as usize][version - 1]
    }
}

/// Returns the files of the schema directory.
pub fn schema_files() -> Vec<SchemaFile> {
    let file = |(subject, version): (Subject, usize)| SchemaFile {
        subject: subject.name().into(),
        version: version.to_string(),
        text: subject.schema_text(version),
        path: format!("{}/{version}.avsc", subject.name()),
    };
    let versions = |subject: Subject| subject.versions().map(move |version| (subject, version));
    Subject::ALL.into_iter().flat_map(versions).map(file).collect()
}

/// The write that one record of a message requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub subject: Subject,
    pub id: String,
    pub version: Option<i64>,
    /// Identifies the write that an item comes from. The table refuses an item with the note `poison`.
    pub note: String,
    pub delete: bool,
}

/// Stored state of a key: the version, if it is a number, and the note.
pub type State = Option<(Option<i64>, String)>;

impl Write {
    pub fn key(&self) -> (&'static str, String) {
        (self.subject.table(), json!({"id": {"S": self.id}}).to_string())
    }

    pub fn is_poison(&self) -> bool {
        self.note == "poison"
    }

    /// Returns the state of the key after this write.
    pub fn apply(&self, there: &State) -> State {
        let stored = there.as_ref().and_then(|(version, _)| *version);
        if self.subject == Subject::Versioned && self.version.is_some() && stored > self.version {
            return there.clone();
        }
        (!self.delete).then(|| (self.version, self.note.clone()))
    }

    /// Returns the schema version with which it is written.
    fn schema_version(&self) -> usize {
        if self.note.len().is_multiple_of(2) { *self.subject.versions().end() } else { 1 }
    }

    fn record(&self, schema_version: usize) -> Avro {
        let version = self.version.map_or((0, Avro::Null), |version| (1, Avro::Long(version)));
        let mut fields = vec![
            ("id".into(), Avro::String(self.id.clone())),
            ("version".into(), Avro::Union(version.0, version.1.into())),
            ("note".into(), Avro::String(self.note.clone())),
        ];
        if self.subject == Subject::Plain {
            let at = [Avro::TimestampMillis(AT[0]), Avro::TimestampMicros(AT[1])];
            fields.push(("at".into(), at[schema_version - 1].clone()));
        }
        if schema_version == 2 {
            fields.push(("source".into(), Avro::String(String::new())));
        }
        Avro::Record(fields)
    }

    fn single_object(&self) -> Vec<u8> {
        let version = self.schema_version();
        let mut framed = vec![0xC3, 0x01];
        framed.extend(self.subject.fingerprint(version));
        let schema = self.subject.schema(version);
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().unwrap();
        framed.extend(writer.write_value_to_vec(self.record(version)).unwrap());
        framed
    }
}

/// Returns the state of an item in a table.
pub fn state_of(item: Option<&Value>) -> State {
    let data = &item?["data"]["M"];
    let version = data["version"]["N"].as_str().and_then(|text| text.parse().ok());
    let note = data["note"]["S"].as_str().unwrap_or_default().to_owned();
    match data["at"]["N"].as_str() {
        Some(at) if at != AT[1].to_string() => Some((version, format!("{note} at {at}, in another unit"))),
        _ => Some((version, note)),
    }
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub message_id: String,
    pub group: Option<String>,
    pub body: String,
    /// The writes. `None` if the body cannot be decoded.
    pub writes: Option<Vec<Write>>,
}

impl Sent {
    /// Creates a message with one record.
    pub fn single(message_id: &str, write: Write) -> Self {
        let body = STANDARD.encode_to_string(write.single_object());
        Self { message_id: message_id.to_owned(), group: None, body, writes: Some(vec![write]) }
    }

    /// Creates a message with an object container file. All its writes must be of one subject, and all puts or all deletes.
    pub fn container(message_id: &str, subject: Subject, writes: Vec<Write>) -> Self {
        let mut writer = apache_avro::Writer::new(subject.schema(1), Vec::new()).unwrap();
        for write in &writes {
            writer.append_value(write.record(1)).unwrap();
        }
        let body = STANDARD.encode_to_string(writer.into_inner().unwrap());
        Self { message_id: message_id.to_owned(), group: None, body, writes: Some(writes) }
    }

    /// Creates a message with a container of one record, compressed with bzip2, which takes as long to decompress as a
    /// megabyte.
    pub fn compressed(message_id: &str, write: Write) -> Self {
        let codec = apache_avro::Codec::Bzip2(apache_avro::Bzip2Settings::default());
        let mut writer = apache_avro::Writer::with_codec(write.subject.schema(1), Vec::new(), codec).unwrap();
        writer.append_value(write.record(1)).unwrap();
        let body = STANDARD.encode_to_string(writer.into_inner().unwrap());
        Self { message_id: message_id.to_owned(), group: None, body, writes: Some(vec![write]) }
    }

    pub fn undecodable(message_id: &str, body: &str) -> Self {
        Self { message_id: message_id.to_owned(), group: None, body: body.to_owned(), writes: None }
    }

    pub fn writes(&self) -> &[Write] {
        self.writes.as_deref().unwrap_or_default()
    }

    pub fn is_delete(&self) -> bool {
        self.writes().iter().any(|write| write.delete)
    }

    /// Returns whether the message can never be stored.
    pub fn is_poison(&self) -> bool {
        self.writes.as_ref().is_none_or(|writes| writes.iter().any(Write::is_poison))
    }

    /// Returns the record of the message in an event of `queue`.
    pub fn record(&self, queue: &str) -> Value {
        let mut attributes = json!({"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"});
        if let Some(group) = &self.group {
            attributes["MessageGroupId"] = json!(group);
        }
        let operation = if self.is_delete() {
            json!({"operation": {"stringValue": "delete", "dataType": "String"}})
        } else {
            json!({})
        };
        json!({"messageId": self.message_id, "receiptHandle": "r", "body": self.body, "attributes": attributes,
            "messageAttributes": operation, "eventSourceARN": format!("arn:aws:sqs:us-east-1:1:{queue}")})
    }
}

/// Creates a put.
pub fn write_of(subject: Subject, id: &str, version: i64, note: &str) -> Write {
    Write { subject, id: id.to_owned(), version: Some(version), note: note.to_owned(), delete: false }
}

pub fn in_group(sent: Sent, group: &str) -> Sent {
    Sent { group: Some(group.to_owned()), ..sent }
}

/// Creates a message of random content whose items have at least `item_bytes` bytes. Keys of the same `scope` collide often,
/// keys of different scopes never.
pub fn random_message(
    random: &mut Random,
    number: usize,
    scope: &str,
    shares_poisons_keys: bool,
    item_bytes: usize,
) -> Sent {
    let message_id = format!("m{number}");
    let roll = random.below(100);
    if roll < 5 {
        return Sent::undecodable(&message_id, ["%%%", "AAAA", "wwE="][random.below(3) as usize]);
    }
    let subject = Subject::ALL[random.below(Subject::ALL.len() as u64) as usize];
    let delete = random.percent(25);
    let count = if roll < 60 { 1 } else { random.below(6) as usize };
    let has_poison = !delete && random.percent(8);
    let poisoned = random.below(count.max(1) as u64) as usize;
    let mut writes = Vec::new();
    for place in 0..count {
        let is_solitary = has_poison && !shares_poisons_keys;
        let number = (number * 10 + place) as i64;
        let id = if is_solitary { number } else { random.below(6) as i64 };
        let unversioned = delete && random.percent(40);
        writes.push(Write {
            subject,
            id: format!("{scope}-{}-{}{id}", subject.family(), if is_solitary { "solitary" } else { "" }),
            // versions are unique, because of two equal versions either could be stored
            version: (!unversioned).then(|| random.below(50) as i64 * 10_000 + number),
            note: if has_poison && place == poisoned {
                "poison".to_owned()
            } else {
                format!("note {number}{}", " ".repeat(item_bytes))
            },
            delete,
        });
    }
    if count == 1 && roll < 60 {
        Sent::single(&message_id, writes.remove(0))
    } else {
        Sent::container(&message_id, subject, writes)
    }
}
