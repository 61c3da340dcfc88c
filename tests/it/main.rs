//! Integration tests of the function, in one binary to save linking time.
//!
//! [`bodies`], [`reasons`], [`guarantee`], [`memory`], [`no_payload`] and [`limiter`] run in the test process. [`bootstrap`]
//! and [`chaos`] run the function as a process under a Lambda Runtime API. [`dynamodb_local`] runs against AWS's DynamoDB
//! Local. [`architecture`] and [`readme`] check the repository itself.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may panic, and reads the machine it runs on"
)]

mod architecture;
mod bodies;
mod bootstrap;
mod chaos;
mod dynamodb_local;
mod guarantee;
mod limiter;
mod memory;
mod no_payload;
mod readme;
mod reasons;
mod schema_dir;
mod support;
