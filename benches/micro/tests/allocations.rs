//! Tests of the number of memory allocations, counted by an allocator.
#![allow(clippy::unwrap_used, reason = "a benchmark or test may panic")]

use allocation_counter::{AllocationInfo, measure};
use avro_ingest::avro::Scratch;
use avro_ingest::decode::{DecodeBuffers, decode_message};
use avro_ingest::sqs::Event;
use micro::shape::{Article, Flat, Order, Shape, Shipment};
use micro::{event, steps};
use std::time::Duration;

/// Maximum number of allocations for the buffers that an event's items share. Each of their three vectors doubles at most ten
/// times for a thousand items, and the encoder allocates twice.
const GROWTH: u64 = 3 * 10 + 2;

#[test]
fn a_batch_costs_at_most_two_allocations_a_message_to_parse_decode_and_encode() {
    let transcoder = steps::transcoder::<Order>().unwrap();
    let payload = event::of_orders(0, steps::RECORDS).unwrap();
    let AllocationInfo { count_total, .. } = measure(|| {
        let event = Event::parse(&payload).unwrap();
        let mut encoder = transcoder.encoder(Duration::ZERO, payload.len());
        let mut buffers = DecodeBuffers::default();
        for (position, message) in event.messages.iter().enumerate() {
            decode_message(&transcoder, message, position, &mut encoder, &mut buffers).unwrap();
        }
        assert_eq!(encoder.finish_event().as_slice().len(), event.messages.len());
    });
    println!("{count_total} allocations for {} messages", steps::RECORDS);
    assert!(count_total <= 2 * u64::from(steps::RECORDS), "{count_total}");
}

fn assert_no_allocation_a_record<S: Shape>() {
    let transcoder = steps::transcoder::<S>().unwrap();
    let bodies = steps::bodies::<S>();
    let mut scratch = Scratch::default();
    let allocations =
        measure(|| assert!(steps::transcode(&transcoder, steps::binary(&bodies), &mut scratch) > 0)).count_total;
    println!("{allocations} allocations for {} of {}", bodies.len(), S::NAME);
    assert!(allocations <= GROWTH, "{} records of {} took {allocations} allocations", bodies.len(), S::NAME);
}

#[test]
fn the_transcoder_allocates_nothing_for_a_record() {
    assert_no_allocation_a_record::<Order>();
    assert_no_allocation_a_record::<Flat>();
    assert_no_allocation_a_record::<Article>();
    assert_no_allocation_a_record::<Shipment>();
}
