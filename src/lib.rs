//! SQS in, Avro decoded, DynamoDB written.

mod clock;
pub mod dynamodb;
pub mod outcome;
pub mod record;
