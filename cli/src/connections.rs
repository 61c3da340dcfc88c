//! The tool's connection pool. It is the function's own pool with a higher limit for responses.

use avro_ingest::transport::ConnectionPool;
use std::io;
use std::time::Duration;

/// Timeout of a call. It is longer than any long poll.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a response, in bytes. The largest is a layer archive of 50 MB. Ten messages of 1 MiB and a page of log
/// events are smaller.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Creates a pool with up to `kept` idle connections per host.
///
/// # Errors
/// If no trusted certificates are found.
pub(crate) fn connection_pool(kept: usize) -> io::Result<ConnectionPool> {
    Ok(ConnectionPool::new(kept)?.with_responses(TIMEOUT, MAX_RESPONSE_BYTES))
}
