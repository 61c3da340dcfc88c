//! AWS emulators for tests, `make run`, chaos tests and benchmarks: an embedded DynamoDB, the Lambda Runtime API around a real
//! bootstrap process, a queue with SQS semantics, and the event source mapping between them.
//!
//! Everything listens on 127.0.0.1 only, on a port that the caller chooses or on any free one (0). Each service runs on its own
//! thread and stops when its value is dropped. Starting one takes milliseconds, so each test has its own services.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use local::{dynamodb, lambda, mapping::Mapping, sqs};
//!
//! let database = dynamodb::Embedded::start(0)?;
//! database.client().create_table(&dynamodb::Table::keyed_by("orders", "message_id")).await?;
//!
//! let mut settings = lambda::Settings::new("target/release/avro-ingest");
//! settings.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), database.url());
//! let function = lambda::Function::start(settings).await?;
//!
//! let mut queue = sqs::Queue::new(sqs::Settings::named("orders"));
//! queue.send(sqs::Message::text("w=="), local::clock::since_epoch())?;
//! let mapping = Mapping { batch_size: 10, timeout: Duration::from_secs(30) };
//! let totals = mapping.drain(&mut queue, &[function], |_, _| ()).await;
//! assert_eq!(totals.dead_lettered, 1);
//! # Ok(()) }
//! ```

pub mod clock;
pub mod credentials;
pub mod dynamodb;
pub mod faults;
pub mod feed;
mod http;
pub mod lambda;
pub mod mapping;
mod random;
mod service_thread;
pub mod sink;
pub mod sqs;
pub mod tls;
