//! The real binary as Managed Instances run it: several invocations at once in one process, of which some are slow to decode.

use super::{Schemas, TIMEOUT, database, json_settings, record, returned};
use apache_avro::{Bzip2Settings, Codec, Schema, Writer};
use base64_simd::STANDARD;
use bytes::Bytes;
use local::lambda::{Function, Invocation};
use serde_json::{Value, json};
use std::num::NonZero;
use std::sync::Arc;

/// Number of messages of an event that is slow to decode. Each takes as long as a block of a megabyte.
const SLOW_MESSAGES: usize = 2_000;
/// Number of invocations that are slow to decode: as many as this many threads have.
const SLOW_INVOCATIONS: u32 = 2;
const SMALL_INVOCATIONS: usize = 3;

/// Records with one key, so that an event takes as long as its decoding.
fn schema() -> Value {
    json!({"type": "record", "name": "Any", "fields": [{"name": "text", "type": "string"}],
        "dynamodb": {"partitionKey": {"attribute": "message_id", "field": "text"}}})
}

/// Messages whose bodies are object container files, compressed by bzip2.
fn slow_event(number: u32) -> Bytes {
    let schema = Schema::parse(&schema()).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), Codec::Bzip2(Bzip2Settings::default())).unwrap();
    let datum = apache_avro::types::Value::Record(vec![("text".into(), "slow".into())]);
    writer.append_value(datum).unwrap();
    let body = Value::from(STANDARD.encode_to_string(writer.into_inner().unwrap()));
    let message = |message: usize| {
        let mut record = record(&format!("slow-{number}-{message}"), &Value::Null, None);
        record["body"] = body.clone();
        record
    };
    let records: Vec<Value> = (0..SLOW_MESSAGES).map(message).collect();
    Bytes::from(json!({"Records": records}).to_string())
}

/// One message of a FIFO queue.
fn small_event(number: usize) -> Bytes {
    let mut record = record(&format!("small-{number}"), &json!({"text": "small"}), None);
    record["eventSourceARN"] = json!("arn:aws:sqs:us-east-1:123456789012:orders.fifo");
    record["attributes"]["MessageGroupId"] = json!("g");
    Bytes::from(json!({"Records": [record]}).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_before_the_invocations_end_that_decode_beside_it() {
    let database = database().await;
    let schemas = Schemas::with("slow", "any", &schema());
    let mut settings = json_settings(&database, &schemas, "any");
    settings.environment.insert("WIRE_FORMATS".into(), "container,json".into());
    settings.max_concurrency = NonZero::new(SLOW_INVOCATIONS + 1).unwrap();
    let function = Arc::new(Function::start(settings).await.unwrap());
    let invoke = |event: Bytes| {
        let function = Arc::clone(&function);
        async move { function.invoke(event, TIMEOUT).await }
    };
    let slow: Vec<_> = (0..SLOW_INVOCATIONS).map(|number| tokio::spawn(invoke(slow_event(number)))).collect();
    for number in 0..SMALL_INVOCATIONS {
        let small: Invocation = invoke(small_event(number)).await;
        assert_eq!(returned(&small), [""; 0]);
        assert!(slow.iter().all(|slow| !slow.is_finished()), "small message {number} waited for the slow ones");
    }
    for slow in slow {
        assert_eq!(returned(&slow.await.unwrap()), [""; 0]);
    }
}
