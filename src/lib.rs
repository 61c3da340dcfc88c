//! A Lambda function that receives Avro messages from SQS and writes them to DynamoDB. This library contains everything
//! except the bootstrap binary `avro-ingest`.
//!
//! A schema specifies the table and the keys of its records. The following example decodes a message to an item:
//!
//! ```
//! use avro_ingest::avro::{SchemaFile, Schemas, WireFormat};
//! use avro_ingest::decode::{DecodeBuffers, decode_message};
//! use avro_ingest::encode::{self, Encoder};
//! use avro_ingest::settings::Settings;
//! use avro_ingest::sqs::Event;
//! use avro_ingest::transcode::Transcoder;
//! use serde_json::{Value, json};
//! use std::time::Duration;
//!
//! // schemas/order/1.avsc
//! let schema = SchemaFile {
//!     subject: "order".to_owned(),
//!     version: "1".to_owned(),
//!     text: r#"{"type": "record", "name": "Order", "dynamodb": {"table": "orders", "partitionKey": "id"},
//!               "fields": [{"name": "id", "type": "string"}, {"name": "total", "type": "double"}]}"#.to_owned(),
//!     path: "schemas/order/1.avsc".to_owned(),
//! };
//!
//! // a producer's message: single-object encoding in base64
//! let schemas = Schemas::parse(vec![schema.clone()])?;
//! let order = schemas.subjects().next().ok_or("no subject")?.newest();
//! let framed = Encoder::new(order).frame(WireFormat::SingleObject, &json!({"id": "o-1", "total": 19.99}))?;
//! let payload = json!({"Records": [{"messageId": "m-1", "body": encode::body(&framed)}]}).to_string();
//!
//! // the function's part
//! let settings = Settings::parse(|name| (name == "TABLE_NAME").then(|| "orders".to_owned()))?;
//! let transcoder = Transcoder::new(&settings, vec![schema])?;
//! let event = Event::parse(payload.as_bytes())?;
//! let now = Duration::from_millis(1_700_000_000_123);
//! let mut encoder = transcoder.encoder(now, payload.len());
//! let decoded = decode_message(&transcoder, &event.messages[0], 0, &mut encoder, &mut DecodeBuffers::default())?;
//! assert_eq!((decoded.format, decoded.records), (WireFormat::SingleObject, 1));
//!
//! let items = encoder.finish_event();
//! let item: Value = serde_json::from_slice(items.attributes(&items.as_slice()[0]))?;
//! let expected = json!({
//!     "id": {"S": "o-1"},
//!     "processed_at": {"N": "1700000000.123"},
//!     "data": {"M": {"id": {"S": "o-1"}, "total": {"N": "19.99"}}},
//! });
//! assert_eq!(item, expected);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Data flow
//!
//! ```text
//! payload -> sqs::event -> sqs::body -> avro --------> record -----> dynamodb::item -> write::scheduler -> write::drive
//!            borrowed      base64,      framing,       one call      DynamoDB JSON,    order, retries,     permits,
//!            from it       envelope     schema, plan   a value       appended          bisection           calls
//!                                                                                                            |
//! batchItemFailures <- sqs::response <- outcome <- invocation <------------------ an outcome for every item -+
//! ```
//!
//! [`runtime`] receives the payload from Lambda without parsing it. [`invocation`] runs one invocation. [`decode`] converts
//! a message to its items. [`mod@write`] decides when each item is written. [`transcode`] combines schemas with their
//! mappings. `avro`, `sqs` and `dynamodb` never import one another: [`record`] is the interface between a decoder and an
//! encoder, and [`json`] contains the JSON code that they share.
//!
//! # The guarantee
//!
//! A message that is not listed in `batchItemFailures` is durable: every item of it is in its table, or was superseded by a
//! later message of the batch with the same key or by a newer version in the table. Every other message is returned to the
//! queue, or was first accepted by the quarantine queue.
//!
//! This holds by construction. The outcome of a message starts as [`Returned`](outcome::Outcome::Returned), and only a
//! response from DynamoDB makes an item a success. So everything that is dropped, late or panics is a failure, and no code
//! needs to report it. Each invocation checks its [`Ledger`](outcome::Ledger): `received = stored + superseded +
//! quarantined + returned`.

pub mod avro;
mod calendar;
pub mod clients;
mod clock;
pub mod decode;
pub mod dynamodb;
pub mod encode;
mod error_text;
pub mod invocation;
pub mod json;
pub mod limiter;
pub mod metrics;
mod offload;
pub mod outcome;
mod patience;
pub mod quarantine;
pub mod record;
mod refusals;
pub mod runtime;
pub mod schema_dir;
pub mod settings;
pub mod sqs;
pub mod transcode;
pub mod transport;
pub mod visibility;
pub mod write;
