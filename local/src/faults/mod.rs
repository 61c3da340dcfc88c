//! A proxy that injects the faults AWS endpoints can show. A seed decides which requests are affected.

mod body;
mod identity;
mod plan;
mod proxy;
mod split;
mod target;

pub use plan::{Chance, ErrorCode, Fault, InvalidPlan, Plan, ThrottlingReason};
pub use proxy::Proxy;
pub use target::Target;
