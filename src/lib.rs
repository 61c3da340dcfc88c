//! SQS in, Avro decoded, DynamoDB written: the function behind the bootstrap `avro-ingest`.
//!
//! # Data flow
//!
//! ```text
//! payload ── sqs::event ── sqs::body ── avro ──────── record ──────── dynamodb::item ── dynamodb::batch ── writer
//!            borrowed      base64,      framing,      one call        DynamoDB JSON,    25 items,          limiter,
//!            from it       envelope     schema, plan  a value         appended          unique keys        retries
//!                                                                                                            │
//! batchItemFailures ── sqs::response ── outcome ── handler ◂────────────────── an end for every item ────────┘
//! ```
//!
//! [`runtime`] takes the payload from Lambda without parsing it. [`handler`] owns one invocation; it and [`decode`] are the
//! only files that see both SQS and DynamoDB. [`transcode`] ties schemas to their mappings. `avro`, `sqs` and `dynamodb` never import one
//! another: [`record`] is the language a decoder and an encoder speak.
//!
//! # The guarantee
//!
//! A message that is not among the `batchItemFailures` is durable: every item it holds is in its table, or a later message
//! of the batch with the same key is. Everything else goes back to the queue or is taken by the quarantine queue first.
//!
//! It holds by construction. A message's outcome starts as [`Returned`](outcome::Outcome::Returned) and an item's as
//! [`Unfinished`](dynamodb::writer::WriteOutcome::Unfinished); only an answer of DynamoDB makes either a success, so what is
//! dropped, late or panics is a failure without anyone's doing. Each invocation checks its
//! [`Ledger`](outcome::Ledger): `received = stored + superseded + quarantined + returned`.

pub mod avro;
mod calendar;
mod clock;
pub mod decode;
pub mod dynamodb;
pub mod encode;
mod error_text;
pub mod handler;
pub mod json;
pub mod limiter;
pub mod memory;
pub mod metrics;
pub mod outcome;
mod progress;
pub mod quarantine;
pub mod record;
mod report;
pub mod runtime;
pub mod schema_dir;
pub mod settings;
pub mod sqs;
pub mod transcode;
pub mod transport;
