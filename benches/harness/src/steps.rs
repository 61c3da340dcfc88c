//! The time of single steps, as the micro benches have them, the candidates of a step in turns.

use crate::clock;
use avro_ingest::schema_dir;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use micro::shape::{Article, Flat, Order, Shape, Shipment};
use micro::steps::{self, Candidate, RECORDS, Sizes};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// How often each candidate has its turn. The fastest counts: whatever else runs on the machine only ever adds.
const TURNS: usize = 100;

/// One step on records of one shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) shape: String,
    /// Nanoseconds a record by each candidate.
    pub(crate) candidates: Vec<(String, f64)>,
}

/// Every step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Steps {
    /// From an invocation's payload to messages.
    pub(crate) parse: Step,
    /// From framed records to DynamoDB's JSON.
    pub(crate) to_items: Vec<Step>,
    pub(crate) encode: Vec<Step>,
    pub(crate) decode: Vec<Step>,
    pub(crate) sizes: Vec<(String, Sizes)>,
    /// Reading and compiling the example's schema directory, in microseconds.
    pub(crate) schema_dir_us: f64,
}

impl Step {
    /// Nanoseconds a record by the candidate called `name`.
    pub(crate) fn nanoseconds(&self, name: &str) -> f64 {
        self.candidates.iter().find(|(candidate, _)| *candidate == name).map_or(f64::NAN, |(_, time)| *time)
    }
}

impl Steps {
    /// Times every step.
    pub(crate) fn time() -> Result<Self, Box<dyn Error>> {
        let mut steps = Self {
            parse: step(Order::NAME, steps::parse()?),
            to_items: Vec::new(),
            encode: Vec::new(),
            decode: Vec::new(),
            sizes: Vec::new(),
            schema_dir_us: schema_dir()?,
        };
        steps.add::<Order>()?;
        steps.add::<Flat>()?;
        steps.add::<Article>()?;
        steps.add::<Shipment>()?;
        Ok(steps)
    }

    fn add<S: Shape>(&mut self) -> Result<(), Box<dyn Error>> {
        self.to_items.push(step(S::NAME, steps::to_items::<S>()?));
        self.encode.push(step(S::NAME, steps::encode::<S>()?));
        self.decode.push(step(S::NAME, steps::decode::<S>()?));
        self.sizes.push((S::NAME.to_owned(), steps::sizes::<S>()?));
        Ok(())
    }
}

fn step(shape: &str, mut candidates: Vec<Candidate>) -> Step {
    let mut fastest = vec![Duration::MAX; candidates.len()];
    for _ in 0..TURNS {
        for (candidate, fastest) in candidates.iter_mut().zip(&mut fastest) {
            let started = clock::now();
            candidate.run();
            *fastest = (*fastest).min(clock::now() - started);
        }
    }
    let nanoseconds = |time: &Duration| time.as_secs_f64() * 1e9 / f64::from(RECORDS);
    Step {
        shape: shape.to_owned(),
        candidates: candidates
            .iter()
            .map(|candidate| candidate.name.to_owned())
            .zip(fastest.iter().map(nanoseconds))
            .collect(),
    }
}

fn schema_dir() -> Result<f64, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let config = Settings::parse(|name| (name == "TABLE_NAME").then(|| "orders".to_owned()))?;
    let mut fastest = Duration::MAX;
    for _ in 0..TURNS {
        let started = clock::now();
        Transcoder::new(&config, schema_dir::read(&directory)?)?;
        fastest = fastest.min(clock::now() - started);
    }
    Ok(fastest.as_secs_f64() * 1e6)
}
