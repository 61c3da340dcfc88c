//! Tests of the real binary in the mode of Managed Instances: concurrent invocations in one process, some of which are slow to
//! decode.

use super::{Embedded, Schemas, TIMEOUT, database, json_settings, record, returned};
use apache_avro::{Bzip2Settings, Codec, Schema, Writer};
use base64_simd::STANDARD;
use bytes::Bytes;
use local::lambda::{Function, Invocation};
use serde_json::{Value, json};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

/// Number of messages in an event that is slow to decode. Each takes as long as a megabyte block.
const SLOW_MESSAGES: usize = 2_000;
/// Number of slow invocations. It equals the number of threads.
const SLOW_INVOCATIONS: u32 = 2;
const SMALL_INVOCATIONS: usize = 3;
/// Timeout that is too short for the invocation to complete. The Runtime API ends invocations that have not responded by then.
const TIGHT: Duration = Duration::from_secs(3);
/// Bytes of padding in a message, which take 10 ms to decompress. An event has many times more than can be decompressed within
/// `TIGHT`.
const PADDING: usize = 4_000_000;

/// Records that share one key, so that the duration of an event is dominated by decoding.
fn schema() -> Value {
    json!({"type": "record", "name": "Any", "fields": [{"name": "text", "type": "string"}],
        "dynamodb": {"partitionKey": {"attribute": "message_id", "field": "text"}}})
}

/// An event whose bodies are object container files compressed with bzip2. Each has `padding` bytes that the function skips.
fn slow_event(number: u32, padding: usize) -> Bytes {
    let mut schema = schema();
    schema["fields"].as_array_mut().unwrap().push(json!({"name": "padding", "type": "string"}));
    let schema = Schema::parse(&schema).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), Codec::Bzip2(Bzip2Settings::default())).unwrap();
    let fields = [("text", "slow".to_owned()), ("padding", "a".repeat(padding))];
    let fields = fields.map(|(name, text)| (name.to_owned(), text.into()));
    writer.append_value(apache_avro::types::Value::Record(fields.into())).unwrap();
    let body = Value::from(STANDARD.encode_to_string(writer.into_inner().unwrap()));
    let message = |message: usize| {
        let mut record = record(&format!("slow-{number}-{message}"), &Value::Null, None);
        record["body"] = body.clone();
        record
    };
    let records: Vec<Value> = (0..SLOW_MESSAGES).map(message).collect();
    Bytes::from(json!({"Records": records}).to_string())
}

/// An event with one message of a FIFO queue.
fn small_event(number: usize) -> Bytes {
    let mut record = record(&format!("small-{number}"), &json!({"text": "small"}), None);
    record["eventSourceARN"] = json!("arn:aws:sqs:us-east-1:123456789012:orders.fifo");
    record["attributes"]["MessageGroupId"] = json!("g");
    Bytes::from(json!({"Records": [record]}).to_string())
}

/// Starts a function that runs `invocations` concurrently.
async fn function(database: &Embedded, schemas: &Schemas, invocations: u32) -> Function {
    let mut settings = json_settings(database, schemas, "any");
    settings.environment.insert("WIRE_FORMATS".into(), "container,json".into());
    settings.max_concurrency = NonZero::new(invocations).unwrap();
    Function::start(settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_before_the_invocations_end_that_decode_beside_it() {
    let database = database().await;
    let schemas = Schemas::with("slow", "any", &schema());
    let function = Arc::new(function(&database, &schemas, SLOW_INVOCATIONS + 1).await);
    let invoke = |event: Bytes| {
        let function = Arc::clone(&function);
        async move { function.invoke(event, TIMEOUT).await }
    };
    let slow: Vec<_> = (0..SLOW_INVOCATIONS).map(|number| tokio::spawn(invoke(slow_event(number, 0)))).collect();
    for number in 0..SMALL_INVOCATIONS {
        let small: Invocation = invoke(small_event(number)).await;
        assert_eq!(returned(&small), [""; 0]);
        assert!(slow.iter().all(|slow| !slow.is_finished()), "small message {number} waited for the slow ones");
    }
    for slow in slow {
        assert_eq!(returned(&slow.await.unwrap()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_is_slow_to_decode_answers_before_its_deadline_beside_others() {
    let database = database().await;
    let schemas = Schemas::with("tight", "any", &schema());
    let function = function(&database, &schemas, SLOW_INVOCATIONS + 1).await;
    let tight = || function.invoke(slow_event(0, PADDING), TIGHT);
    let ended: [Invocation; 3] = tokio::join!(tight(), tight(), tight()).into();
    for invocation in ended {
        let returned = returned(&invocation).len();
        assert!((1..SLOW_MESSAGES).contains(&returned), "{returned} messages came back");
    }
}
