//! What the integration tests share: a table and a queue below the SDK's HTTP interface, and seeded randomness.

pub mod fake_dynamodb;
pub mod fake_sqs;
pub mod random;
