//! SQS in, Avro decoded, DynamoDB written.

mod clock;
pub mod limiter;
pub mod outcome;
pub mod record;
