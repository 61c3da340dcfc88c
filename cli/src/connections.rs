//! The tool's connections: the function's own, with room for responses that the function never gets.

use avro_ingest::transport::ConnectionPool;
use std::io;
use std::time::Duration;

/// How long a call may take. A long poll takes a part of it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest response: a layer's archive of 50 MB. Ten messages of 1 MiB, or a page of log events, are shorter.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Keeps up to `kept` connections to a host that are not in use.
///
/// # Errors
/// If there are no certificates to trust.
pub(crate) fn connection_pool(kept: usize) -> io::Result<ConnectionPool> {
    Ok(ConnectionPool::new(kept)?.with_responses(TIMEOUT, MAX_RESPONSE_BYTES))
}
