//! The minimum work of any handler: receive the event, send the same number of requests of the same size, write one log line of
//! the same length, and respond. It neither decodes nor signs anything. With `FLOOR_HASHES=1`, it decodes the base64 and hashes
//! the requests.
//!
//! It uses blocking sockets and fixed buffers. The difference between this cost and that of avro-ingest is avro-ingest's own.

mod connection;

use connection::Connection;
use memchr::memmem;
use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};

/// Maximum number of items in a call. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const MAX_BATCH_ITEMS: usize = 25;
/// Number of calls in flight, which is the initial limit of avro-ingest.
const CONNECTIONS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let item = item(setting("FLOOR_ITEM_BYTES")?.parse()?);
    let line = [vec![b'x'; setting("FLOOR_LINE_BYTES")?.parse()?], vec![b'\n']].concat();
    let hashes = env_var("FLOOR_HASHES").is_some_and(|value| value == "1");
    let mut runtime = Connection::open(&setting("AWS_LAMBDA_RUNTIME_API")?)?;
    let database = setting("AWS_ENDPOINT_URL_DYNAMODB")?;
    let address = database.trim_start_matches("http://").trim_end_matches('/');
    let mut calls = (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<io::Result<Vec<_>>>()?;
    let mut body = Vec::new();
    loop {
        runtime.send("GET /2018-06-01/runtime/invocation/next", "", b"")?;
        let id = {
            let response = runtime.receive()?;
            response.header("lambda-runtime-aws-request-id").ok_or("no request id")?.to_owned()
        };
        let event = runtime.body();
        let messages = memmem::find_iter(event, br#""messageId""#).count();
        if hashes {
            decode_bodies(event);
        }
        let batches = (0..messages).step_by(MAX_BATCH_ITEMS).map(|sent| MAX_BATCH_ITEMS.min(messages - sent));
        let batches: Vec<usize> = batches.collect();
        for round in batches.chunks(CONNECTIONS) {
            for (call, items) in calls.iter_mut().zip(round) {
                fill(&mut body, &item, *items);
                if hashes {
                    black_box(ring::digest::digest(&ring::digest::SHA256, &body));
                }
                call.send("POST /", "x-amz-target: DynamoDB_20120810.BatchWriteItem\r\n", &body)?;
            }
            for (call, _) in calls.iter_mut().zip(round) {
                call.receive()?;
            }
        }
        io::stdout().write_all(&line)?;
        let path = format!("POST /2018-06-01/runtime/invocation/{id}/response");
        runtime.send(&path, "", br#"{"batchItemFailures":[]}"#)?;
        runtime.receive()?;
    }
}

/// Returns a put request of `bytes` bytes.
fn item(bytes: usize) -> Vec<u8> {
    let (start, end) = (br#"{"PutRequest":{"Item":{"pad":{"S":""#, br#""}}}}"#);
    let padding = vec![b'x'; bytes.saturating_sub(start.len() + end.len())];
    [&start[..], &padding, &end[..]].concat()
}

fn fill(body: &mut Vec<u8>, item: &[u8], items: usize) {
    body.clear();
    body.extend_from_slice(br#"{"RequestItems":{"orders":["#);
    for number in 0..items {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(br#"]},"ReturnConsumedCapacity":"TOTAL"}"#);
}

/// Decodes the base64 of each message's body.
fn decode_bodies(event: &[u8]) {
    let start = br#""body":""#;
    for found in memmem::find_iter(event, start) {
        let text = event.get(found + start.len()..).unwrap_or_default();
        let text = text.split(|&byte| byte == b'"').next().unwrap_or_default();
        black_box(base64_simd::STANDARD.decode_to_vec(text).ok());
    }
}

fn setting(name: &str) -> Result<String, String> {
    env_var(name).ok_or_else(|| format!("{name} is not set"))
}

#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
fn env_var(name: &str) -> Option<String> {
    env::var(name).ok()
}
