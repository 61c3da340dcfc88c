//! Serialization of a record as one line of the CloudWatch embedded metric format (EMF).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A value and the number of its occurrences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) value: f64,
    pub(super) count: u64,
}

/// One EMF record: metrics with the same dimensions and the same time.
pub(super) struct Record<'a> {
    pub(super) namespace: &'a str,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: u64,
    pub(super) dimensions: Vec<(&'static str, &'a str)>,
    /// Searchable fields that are not metrics.
    pub(super) properties: Vec<(&'static str, &'a str)>,
    pub(super) metrics: Vec<(&'static str, &'a [Sample])>,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metadata = Metadata {
            timestamp: self.timestamp,
            directives: [Directive {
                namespace: self.namespace,
                dimensions: [self.dimensions.iter().map(|&(name, _)| name).collect()],
                metrics: self.metrics.iter().map(|&(name, _)| Name { name }).collect(),
            }],
        };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("_aws", &metadata)?;
        for (name, text) in self.dimensions.iter().chain(&self.properties) {
            line.serialize_entry(name, text)?;
        }
        for (name, samples) in &self.metrics {
            match samples {
                [Sample { value, count: 1 }] => line.serialize_entry(name, &Number(*value))?,
                _ => line.serialize_entry(name, &Distribution::from_samples(samples))?,
            }
        }
        line.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: u64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'static str>; 1],
    metrics: Vec<Name>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    values: Vec<Number>,
    counts: Vec<u64>,
}

impl Distribution {
    fn from_samples(samples: &[Sample]) -> Self {
        let (values, counts) = samples.iter().map(|sample| (Number(sample.value), sample.count)).unzip();
        Self { values, counts }
    }
}

/// A number that is serialized without a decimal point if it is a whole number.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Maximum value up to which every whole number can be represented exactly.
        const MOST: f64 = 9_007_199_254_740_992.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, not too large"
        )]
        if self.0.fract() == 0.0 && (0.0..=MOST).contains(&self.0) {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}
