//! `cargo bench --package micro` compares the candidates for every step. It reports the time per thousand records or calls.
#![allow(clippy::unwrap_used, reason = "a benchmark or test may panic")]

use divan::Bencher;
use divan::counter::ItemsCount;
use micro::call;
use micro::shape::{Article, Flat, Order, Shape, Shipment};
use micro::steps::{self, Candidate, RECORDS};
use std::error::Error;

fn main() {
    divan::main();
}

const OURS: &str = "avro-ingest";
const JSON: &str = "JSON: serde_json";
const APACHE: &str = "Avro: apache-avro";
const FAST: &str = "Avro: serde_avro_fast";
const JSON_ITEMS: &str = "JSON: avro-ingest, into items";
const AVRO_ITEMS: &str = "Avro: avro-ingest, into items";
const VALUES: &str = "apache-avro value, attribute value, SDK";
const STRUCTS: &str = "apache-avro struct, serde_dynamo, SDK";
const STRUCT_ONLY: &str = "serde_avro_fast, struct only";
const SDK: &str = "SDK";
const SIGV4: &str = "aws-sigv4";
const OWNED: &str = "aws_lambda_events, serde_path_to_error";

/// Measures the candidate named `name`.
fn time(bencher: Bencher<'_, '_>, candidates: Result<Vec<Candidate>, Box<dyn Error>>, name: &str) {
    let mut candidate = candidates.unwrap().into_iter().find(|candidate| candidate.name == name).unwrap();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| candidate.run());
}

#[divan::bench(args = [OURS, OWNED])]
fn parse(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, steps::parse(), name);
}

#[divan::bench(types = [Order, Flat, Article, Shipment], args = [OURS, VALUES, STRUCTS, STRUCT_ONLY])]
fn to_items<S: Shape>(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, steps::to_items::<S>(), name);
}

#[divan::bench(types = [Order, Flat, Article, Shipment], args = [JSON, APACHE, FAST])]
fn encode<S: Shape>(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, steps::encode::<S>(), name);
}

#[divan::bench(types = [Order, Flat, Article, Shipment], args = [JSON, APACHE, FAST, JSON_ITEMS, AVRO_ITEMS])]
fn decode<S: Shape>(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, steps::decode::<S>(), name);
}

#[divan::bench(args = [OURS, SIGV4])]
fn sign(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, call::sign(), name);
}

#[divan::bench(args = [OURS, SDK])]
fn empty_call(bencher: Bencher<'_, '_>, name: &str) {
    time(bencher, call::call(), name);
}
