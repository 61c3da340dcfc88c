//! The function's tests from outside, in one binary: what is linked once is linked fast.
//!
//! In the process: [`bodies`], [`reasons`], [`guarantee`], [`memory`],
//! [`no_payload`], [`limiter`]. As a process under a Lambda runtime API:
//! [`bootstrap`] and [`chaos`]. Against AWS's own DynamoDB Local: [`dynamodb_local`]. Of the repository itself:
//! [`architecture`] and [`readme`].

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
