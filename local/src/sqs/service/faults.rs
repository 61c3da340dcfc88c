//! The faults that a call can meet, and a script that draws them.

use std::time::Duration;

use super::error::ErrorCode;
use crate::random;

/// A call as a script and a test see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number among all calls, from 1.
    pub number: u64,
    /// Its number among the calls of its operation to its queue, from 1.
    pub of_operation: u64,
    /// The operation, such as `SendMessageBatch`.
    pub operation: String,
    /// The queue's name.
    pub queue: String,
    /// Number of a batch's entries, 0 for other calls.
    pub entries: usize,
    /// The service's time since the Unix epoch.
    pub at: Duration,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused with an error; nothing is applied.
    Error(ErrorCode),
    /// The connection ends before the call is applied.
    LostRequest,
    /// The call is applied, and the connection ends without a response.
    LostResponse,
    /// The call is not applied, and no response comes.
    Hang,
    /// The call is applied, and no response comes.
    HangAfter,
    /// The call is applied after this time, even if the client has gone by then.
    Slow(Duration),
    /// The entries at these places of a batch fail with `InternalError`, which is the service's fault; the others are applied.
    FailEntries(Vec<usize>),
}

/// A script by which a share of the calls, 0 to 1, meets one of `faults`. The same seed gives the same faults.
pub fn seeded(seed: u64, share: f64, faults: Vec<Fault>) -> impl FnMut(&Call) -> Option<Fault> + Send + 'static {
    move |call: &Call| {
        let drawn = random::share(seed, call.number) < share;
        let count = u64::try_from(faults.len()).ok().filter(|&count| drawn && count > 0)?;
        let place = usize::try_from(random::number(!seed, call.number) % count).ok()?;
        faults.get(place).cloned()
    }
}
