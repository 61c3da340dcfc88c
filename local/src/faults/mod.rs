//! Faults in front of any endpoint, as AWS shows them, decided by a seed.

mod body;
mod plan;
mod proxy;
mod split;

pub use plan::{Chance, ErrorCode, Fault, InvalidPlan, Plan, ThrottlingReason};
pub use proxy::Proxy;
