//! The memory budget for the items of an invocation.
//!
//! An event of at most 6 MB can grow without bound when it is decoded: a container is decompressed, a default value is
//! added for a field that takes no bytes, or a control character becomes six bytes of JSON. Therefore the memory is divided
//! in advance. The items of incomplete messages get a fixed share of the function's memory. The rest of the event is
//! decoded only after they are written.

/// Memory of the process before its first event, in bytes: code, schemas, plans, connections.
const PROCESS_BYTES: usize = 48 << 20;
/// Maximum number of copies of each item byte in memory: one in its segment, two in memory left behind by a growing buffer,
/// one in the body of its call, and one in the response that returns it as unprocessed.
const COPIES: usize = 5;
/// Maximum number of copies of each payload byte in memory: the payload itself, and a copy of each body that contains JSON
/// escapes.
const PAYLOAD_COPIES: usize = 2;
/// Minimum budget for items, in bytes. It fits one item of 400 KB in which every character is escaped.
const LEAST_BYTES: usize = 4 << 20;
/// Memory of the function in MB, if the function does not know its actual memory.
const DEFAULT_MEGABYTES: usize = 512;

/// The memory of the function, shared by its concurrent invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    megabytes: usize,
    concurrent_invocations: usize,
}

impl Memory {
    /// Creates the description of a function with `megabytes` of memory that handles `concurrent_invocations` at the same
    /// time.
    pub fn new(megabytes: Option<usize>, concurrent_invocations: usize) -> Self {
        let megabytes = megabytes.unwrap_or(DEFAULT_MEGABYTES);
        Self { megabytes, concurrent_invocations: concurrent_invocations.max(1) }
    }

    /// Returns the memory of the function, in MB.
    pub(crate) fn megabytes(&self) -> usize {
        self.megabytes
    }

    /// Returns the maximum total size of the items of incomplete messages, in bytes. `payload` is the size of the
    /// invocation's payload, in bytes.
    pub(crate) fn item_bytes(&self, payload: usize) -> usize {
        let shared = (self.megabytes << 20).saturating_sub(PROCESS_BYTES);
        let own = (shared / self.concurrent_invocations).saturating_sub(PAYLOAD_COPIES * payload);
        (own / COPIES).max(LEAST_BYTES)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(None, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_grows_with_the_functions_memory_and_never_below_one_item() {
        let megabytes = |memory, concurrent| Memory::new(Some(memory), concurrent).item_bytes(0) >> 20;
        assert_eq!([128, 512, 1_769, 3_008].map(|memory| megabytes(memory, 1)), [16, 92, 344, 592]);
        assert_eq!(megabytes(512, 4), 23);
        assert_eq!(Memory::new(Some(512), 4).megabytes(), 512);
        assert_eq!(megabytes(1, 1), 4);
        assert_eq!(Memory::new(None, 0), Memory::new(Some(512), 1));
        let payload = 6 << 20;
        assert_eq!(Memory::new(Some(128), 1).item_bytes(payload), ((80 - 12) << 20) / 5);
    }
}
