//! Faults in front of any endpoint, as AWS shows them, decided by a seed.

mod body;
mod identity;
mod plan;
mod proxy;
mod split;
mod target;

pub use plan::{Chance, ErrorCode, Fault, InvalidPlan, Plan, ThrottlingReason};
pub use proxy::Proxy;
pub use target::Target;
