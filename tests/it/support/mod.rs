//! Shared code of the integration tests: a table and a queue below the SDK's HTTP interface, and seeded randomness.

pub mod fake_dynamodb;
pub mod fake_sqs;
pub mod random;
pub mod transport;

/// Parses the first metric line of an invocation. Metrics that are omitted because they are zero are added as 0.
pub fn figures(line: &str) -> serde_json::Value {
    let mut figures: serde_json::Value = serde_json::from_str(line).unwrap();
    let members = figures.as_object_mut().unwrap();
    for metric in avro_ingest::metrics::Metric::ALL {
        members.entry(metric.name).or_insert(0.into());
    }
    figures
}
