//! SQS in, Avro decoded, DynamoDB written.

pub mod avro;
mod clock;
pub mod outcome;
pub mod record;
