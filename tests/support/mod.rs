//! What the integration tests share: a table behind the SDK's own HTTP interface, and a seeded source of trouble.

pub mod fake_dynamodb;
pub mod random;
