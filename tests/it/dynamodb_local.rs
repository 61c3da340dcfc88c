//! Tests that the encoder's limits are those of DynamoDB: it accepts an item exactly at the limit, and refuses one just beyond.
//! They run against the embedded database or the endpoint in `DYNAMODB_ENDPOINT`. `make test-dynamodb-local` runs them with
//! AWS's DynamoDB Local.
use avro_ingest::avro::SchemaFile;
use avro_ingest::avro::Undecoded;
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::dynamodb::item::{MAX_DEPTH, MAX_ITEM_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES};
use avro_ingest::dynamodb::{MAX_BATCH_ITEMS, MAX_NUMBER_DIGITS};
use avro_ingest::outcome::Rejection;
use avro_ingest::settings::Settings;
use avro_ingest::sqs::Event;
use avro_ingest::transcode::Transcoder;
use local::dynamodb::{CallError, Client, Embedded, Key, KeyKind, Table};
use serde_json::{Value, json};
use std::time::Duration;

const SCHEMA: &str = r#"{"type": "record", "name": "Probe",
    "dynamodb": {"layout": "attributes", "partitionKey": "id", "sortKey": "sort"},
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "sort", "type": "string", "default": "s"},
        {"name": "note", "type": "string", "default": ""},
        {"name": "number", "type": "double", "default": 0},
        {"name": "decimal", "type": {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 0}, "default": ""},
        {"name": "tree", "type": ["null", {"type": "array", "items": {"type": "record", "name": "Tree", "fields": [
            {"name": "tree", "type": ["null", {"type": "array", "items": "Tree"}], "default": null}]}}], "default": null}
    ]}"#;

struct Probe {
    transcoder: Transcoder,
    client: Client,
    table: String,
    _embedded: Option<Embedded>,
}

impl Probe {
    /// Creates a table for one test.
    async fn start(table: &str) -> Self {
        let lookup = |name: &str| match name {
            "TABLE_NAME" => Some(table.to_owned()),
            "WIRE_FORMATS" => Some("json".to_owned()),
            "DEFAULT_SCHEMA" => Some("probe".to_owned()),
            _ => None,
        };
        let file = SchemaFile {
            subject: "probe".into(),
            version: "1".into(),
            text: SCHEMA.into(),
            path: "probe/1.avsc".into(),
        };
        let transcoder = Transcoder::new(&Settings::parse(lookup).unwrap(), vec![file]).unwrap();
        let (client, embedded) = match std::env::var("DYNAMODB_ENDPOINT") {
            Ok(url) => (Client::new(url.trim_start_matches("http://").parse().unwrap()), None),
            Err(_) => {
                let embedded = Embedded::start(0).unwrap();
                (Client::new(embedded.address()), Some(embedded))
            }
        };
        let keys = Table::keyed_by(table, "id").sorted_by(Key::new("sort", KeyKind::String));
        client.create_table(&keys).await.unwrap();
        Self { transcoder, client, table: table.to_owned(), _embedded: embedded }
    }

    /// Encodes a record and returns its item.
    fn encode(&self, record: &Value) -> Result<Value, Undecoded<Rejection>> {
        let event = json!({"Records": [{"messageId": "m", "body": record.to_string()}]}).to_string();
        let event = Event::parse(event.as_bytes()).unwrap();
        let mut encoder = self.transcoder.encoder(Duration::from_millis(1_700_000_000_001), 0);
        decode_message(&self.transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default())?;
        let items = encoder.finish_event();
        Ok(serde_json::from_slice(items.attributes(&items.as_slice()[0])).unwrap())
    }

    async fn put(&self, item: &Value) -> Result<Value, CallError> {
        self.client.call("PutItem", &json!({"TableName": self.table, "Item": item})).await
    }

    #[track_caller]
    fn is_refused(result: &Result<Value, CallError>) -> bool {
        match result {
            Ok(_) => false,
            Err(CallError::Refused { code, .. }) if code.ends_with("ValidationException") => true,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Checks a limit. `record` is at the limit: the encoder and the table must accept it. `step` moves its item beyond the
    /// limit, which the table must refuse. `further` is a record beyond the limit, which the encoder must refuse.
    async fn edge(&self, what: &str, record: Value, step: impl FnOnce(&mut Value), further: Value) {
        let mut item = self.encode(&record).unwrap_or_else(|undecoded| panic!("{what}: {undecoded:?}"));
        self.put(&item).await.unwrap_or_else(|error| panic!("{what}: encoded, but refused by the table: {error:?}"));
        step(&mut item);
        assert!(Self::is_refused(&self.put(&item).await), "{what}: the table accepts an item beyond the limit");
        assert!(self.encode(&further).is_err(), "{what}: the encoder accepts a record beyond the limit");
    }
}

fn tree(levels: usize) -> Value {
    // each level of the schema is a list with a map in it
    (0..levels).fold(Value::Null, |tree, _| json!([{"tree": tree}]))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_at_their_longest() {
    let probe = Probe::start("keys").await;
    for (name, limit) in [("id", MAX_PARTITION_KEY_BYTES), ("sort", MAX_SORT_KEY_BYTES)] {
        let record = |length: usize| {
            let mut record = json!({"id": "i", "sort": "s"});
            record[name] = json!("k".repeat(length));
            record
        };
        let longer = |item: &mut Value| item[name] = json!({"S": "k".repeat(limit + 1)});
        probe.edge(name, record(limit), longer, record(limit + 1)).await;
        let empty = |item: &mut Value| item[name] = json!({"S": ""});
        probe.edge(name, record(1), empty, record(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_at_its_largest() {
    let probe = Probe::start("sizes").await;
    let record = |length: usize| json!({"id": "i", "note": "x".repeat(length)});
    // the encoder underestimates the size of numbers, so the largest item that it accepts may exceed the limit by a few bytes,
    // and the table decides
    let largest =
        (MAX_ITEM_BYTES - 200..MAX_ITEM_BYTES).rev().find(|length| probe.encode(&record(*length)).is_ok()).unwrap();
    let taken = (largest - 20..=largest).rev();
    let mut refused = 0;
    for length in taken {
        match probe.put(&probe.encode(&record(length)).unwrap()).await {
            Ok(_) => break,
            Err(_) => refused += 1,
        }
    }
    assert!(refused < 20, "the encoder underestimates the size by {refused} bytes or more");
    let larger = |item: &mut Value| item["note"] = json!({"S": "x".repeat(largest + 1)});
    probe.edge("item", record(largest - refused), larger, record(largest + 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_their_deepest() {
    let probe = Probe::start("depths").await;
    let record = |levels: usize| json!({"id": "i", "tree": tree(levels)});
    let deeper = |item: &mut Value| {
        let lists = (0..MAX_DEPTH).fold(json!({"NULL": true}), |inner, _| json!({"L": [inner]}));
        item["tree"] = lists;
    };
    // each level has a list and a map; the innermost holds a null
    probe.edge("depth", record((MAX_DEPTH - 1) / 2), deeper, record(MAX_DEPTH.div_ceil(2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_at_the_end_of_their_range() {
    let probe = Probe::start("numbers").await;
    let number = |text: &'static str| move |item: &mut Value| item["number"] = json!({"N": text});
    let record = |number: f64| json!({"id": "i", "number": number});
    probe.edge("largest", record(9.99e125), number("1E126"), record(1e126)).await;
    probe.edge("lowest", record(-9.99e125), number("-1E126"), record(-1e126)).await;
    probe.edge("smallest", record(1e-130), number("1E-131"), record(9.9e-131)).await;
    let nines = |item: &mut Value| item["number"] = json!({"N": "9".repeat(MAX_NUMBER_DIGITS + 1)});
    probe.edge("digits", json!({"id": "i"}), nines, record(f64::MAX)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_at_its_fullest() {
    let probe = Probe::start("batches").await;
    let batch = |count: usize| {
        let item = |number: usize| probe.encode(&json!({"id": number.to_string()})).unwrap();
        let requests: Vec<Value> = (0..count).map(|number| json!({"PutRequest": {"Item": item(number)}})).collect();
        json!({"RequestItems": {"batches": requests}})
    };
    assert!(probe.client.call("BatchWriteItem", &batch(MAX_BATCH_ITEMS)).await.is_ok());
    assert!(Probe::is_refused(&probe.client.call("BatchWriteItem", &batch(MAX_BATCH_ITEMS + 1)).await));
}

/// Checks the claim of decision record 0010: PartiQL has no statement that puts a whole item regardless of whether one exists.
#[tokio::test]
async fn a_partiql_batch_cannot_put_an_item_whole() {
    let probe = Probe::start("partiql").await;
    let item = |id: &str, note: &str| json!({"id": {"S": id}, "sort": {"S": "s"}, "note": {"S": note}});
    let mut stored = item("there", "old");
    stored["expires_at"] = json!({"N": "1"});
    probe.put(&stored).await.unwrap();
    let insert = |id: &str| {
        let statement = r#"INSERT INTO "partiql" VALUE {'id': ?, 'sort': ?, 'note': ?}"#;
        json!({"Statement": statement, "Parameters": [{"S": id}, {"S": "s"}, {"S": "new"}]})
    };
    let update = |id: &str| {
        let statement = r#"UPDATE "partiql" SET "note"=? WHERE "id"=? AND "sort"=? AND "note" <= ?"#;
        json!({"Statement": statement, "Parameters": [{"S": "new"}, {"S": id}, {"S": "s"}, {"S": "old"}],
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    };
    let codes = async |statements: &[Value]| {
        let said = probe.client.call("BatchExecuteStatement", &json!({"Statements": statements})).await.unwrap();
        let responses = said["Responses"].as_array().unwrap().clone();
        responses.iter().map(|each| each["Error"]["Code"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    // one of the two statements is always refused, and a refused write consumes write units too
    let refused = codes(&[insert("there"), update("absent")]).await;
    assert_eq!(refused, ["DuplicateItem", "ConditionalCheckFailed"].map(|code| Some(code.to_owned())));
    // an update leaves attributes that it does not name, such as the time to live of an older item
    assert_eq!(codes(&[insert("absent"), update("there")]).await, [None, None]);
    let there = json!({"TableName": "partiql", "Key": {"id": {"S": "there"}, "sort": {"S": "s"}}});
    let there = probe.client.call("GetItem", &there).await.unwrap();
    assert_eq!((&there["Item"]["note"], &there["Item"]["expires_at"]), (&json!({"S": "new"}), &json!({"N": "1"})));
}
