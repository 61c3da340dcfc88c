//! The faults that a call can meet, and a script that selects them at random.

use std::time::Duration;

use super::error::ErrorCode;
use crate::random;

/// Description of a call, for scripts and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Number among all calls, counted from 1.
    pub number: u64,
    /// Number among the calls of the same operation to the same queue, counted from 1.
    pub of_operation: u64,
    /// The operation, such as `SendMessageBatch`.
    pub operation: String,
    /// The queue's name.
    pub queue: String,
    /// Number of entries of a batch, 0 for other calls.
    pub entries: usize,
    /// Time of the service's clock, since the Unix epoch.
    pub at: Duration,
}

/// A fault of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused with an error and is not applied.
    Error(ErrorCode),
    /// The connection closes before the call is applied.
    LostRequest,
    /// The call is applied, and the connection closes without a response.
    LostResponse,
    /// The call is not applied, and no response is sent.
    Hang,
    /// The call is applied, and no response is sent.
    HangAfter,
    /// The call is applied after this delay, even if the client has disconnected by then.
    Slow(Duration),
    /// The batch entries at these positions fail with `InternalError`, which is the service's fault. The others are applied.
    FailEntries(Vec<usize>),
}

/// Returns a script in which a share of the calls, 0 to 1, meets one of `faults`. The faults depend only on the seed and on the
/// number of the call.
pub fn seeded(seed: u64, share: f64, faults: Vec<Fault>) -> impl FnMut(&Call) -> Option<Fault> + Send + 'static {
    move |call: &Call| {
        let drawn = random::share(seed, call.number) < share;
        let count = u64::try_from(faults.len()).ok().filter(|&count| drawn && count > 0)?;
        let place = usize::try_from(random::number(!seed, call.number) % count).ok()?;
        faults.get(place).cloned()
    }
}
