//! Messages of four subjects and two tables, and what each of them asks the tables for.

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

/// Plain items are put as they come, versioned ones only over older ones; the audit's are plain and in a table of their own. A
/// twin's are plain ones too, whose schema names their table by its ARN.
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

    /// Subjects of one family write one another's keys.
    fn family(self) -> &'static str {
        if self == Self::Twin { Self::Plain.name() } else { self.name() }
    }

    pub fn table(self) -> &'static str {
        if self == Self::Audit { AUDIT } else { ORDERS }
    }

    fn schema_text(self) -> String {
        let table = match self {
            Self::Twin => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{ORDERS}"),
            _ => self.table().to_owned(),
        };
        let mut property = json!({"partitionKey": "id", "table": table});
        if self == Self::Versioned {
            property["version"] = json!("version");
        }
        let field = |name: &str, kind: Value| json!({"name": name, "type": kind});
        let fields =
            [field("id", json!("string")), field("version", json!(["null", "long"])), field("note", json!("string"))];
        json!({"type": "record", "name": self.name(), "dynamodb": property, "fields": fields}).to_string()
    }

    fn schema(self) -> &'static apache_avro::Schema {
        static SCHEMAS: LazyLock<[apache_avro::Schema; 4]> = LazyLock::new(|| {
            Subject::ALL.map(|subject| apache_avro::Schema::parse_str(&subject.schema_text()).unwrap())
        });
        &SCHEMAS[self as usize]
    }
}

/// The schema directory.
pub fn schema_files() -> Vec<SchemaFile> {
    let file = |subject: Subject| SchemaFile {
        subject: subject.name().into(),
        version: "1".into(),
        text: subject.schema_text(),
        path: format!("{}/1.avsc", subject.name()),
    };
    Subject::ALL.map(file).into()
}

/// What one record of a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub subject: Subject,
    pub id: String,
    pub version: Option<i64>,
    /// Says which write an item comes from. The table refuses an item with the note `poison`.
    pub note: String,
    pub delete: bool,
}

/// What stands under a key: the version, if it is a number, and the note.
pub type State = Option<(Option<i64>, String)>;

impl Write {
    pub fn key(&self) -> (&'static str, String) {
        (self.subject.table(), json!({"id": {"S": self.id}}).to_string())
    }

    pub fn is_poison(&self) -> bool {
        self.note == "poison"
    }

    /// What stands under the key after this write.
    pub fn apply(&self, there: &State) -> State {
        let stored = there.as_ref().and_then(|(version, _)| *version);
        if self.subject == Subject::Versioned && self.version.is_some() && stored > self.version {
            return there.clone();
        }
        (!self.delete).then(|| (self.version, self.note.clone()))
    }

    fn record(&self) -> Avro {
        let version = self.version.map_or((0, Avro::Null), |version| (1, Avro::Long(version)));
        Avro::Record(vec![
            ("id".into(), Avro::String(self.id.clone())),
            ("version".into(), Avro::Union(version.0, version.1.into())),
            ("note".into(), Avro::String(self.note.clone())),
        ])
    }

    fn single_object(&self) -> Vec<u8> {
        let schema = self.subject.schema();
        let mut framed = vec![0xC3, 0x01];
        framed.extend(schema.fingerprint::<apache_avro::rabin::Rabin>().bytes);
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().unwrap();
        framed.extend(writer.write_value_to_vec(self.record()).unwrap());
        framed
    }
}

/// The state an item in a table is.
pub fn state_of(item: Option<&Value>) -> State {
    let data = &item?["data"]["M"];
    let version = data["version"]["N"].as_str().and_then(|text| text.parse().ok());
    Some((version, data["note"]["S"].as_str().unwrap_or_default().to_owned()))
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub message_id: String,
    pub group: Option<String>,
    pub body: String,
    /// None if the body cannot be decoded.
    pub writes: Option<Vec<Write>>,
}

impl Sent {
    /// A message of one record.
    pub fn single(message_id: &str, write: Write) -> Self {
        let body = STANDARD.encode_to_string(write.single_object());
        Self { message_id: message_id.to_owned(), group: None, body, writes: Some(vec![write]) }
    }

    /// An object container file. All its writes are of one subject and all put or all delete.
    pub fn container(message_id: &str, subject: Subject, writes: Vec<Write>) -> Self {
        let mut writer = apache_avro::Writer::new(subject.schema(), Vec::new()).unwrap();
        for write in &writes {
            writer.append_value(write.record()).unwrap();
        }
        let body = STANDARD.encode_to_string(writer.into_inner().unwrap());
        Self { message_id: message_id.to_owned(), group: None, body, writes: Some(writes) }
    }

    /// An object container file of one record, compressed by bzip2, which takes as long for a few bytes as for a megabyte.
    pub fn compressed(message_id: &str, write: Write) -> Self {
        let codec = apache_avro::Codec::Bzip2(apache_avro::Bzip2Settings::default());
        let mut writer = apache_avro::Writer::with_codec(write.subject.schema(), Vec::new(), codec).unwrap();
        writer.append_value(write.record()).unwrap();
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

    /// Whether no retry can help it.
    pub fn is_poison(&self) -> bool {
        self.writes.as_ref().is_none_or(|writes| writes.iter().any(Write::is_poison))
    }

    /// The message as it stands in an event of `queue`.
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

/// A put.
pub fn write_of(subject: Subject, id: &str, version: i64, note: &str) -> Write {
    Write { subject, id: id.to_owned(), version: Some(version), note: note.to_owned(), delete: false }
}

pub fn in_group(sent: Sent, group: &str) -> Sent {
    Sent { group: Some(group.to_owned()), ..sent }
}

/// A message of random content, each item of which has at least so many bytes. Keys of one `scope` meet often and those of
/// different ones never.
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
            // no two are equal, or either might stay
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
