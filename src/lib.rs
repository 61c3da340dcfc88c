//! SQS in, Avro decoded, DynamoDB written.

mod clock;
pub mod outcome;
pub mod record;
