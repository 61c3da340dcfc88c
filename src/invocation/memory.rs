//! How much memory the items of an invocation may take.
//!
//! An event of 6 MB may become any number of bytes: a container inflates, a default stands for a field that takes none, a
//! control character is six bytes in JSON. So the memory is divided before it is used: the items of messages that are not complete
//! get a share of what the function has, and the rest of the event waits until they are written.

/// What the process takes before its first event: code, schemas, plans, connections.
const PROCESS_BYTES: usize = 48 << 20;
/// Each byte of an item may be there so many times: in its segment, in the memory that a growing buffer leaves behind (two),
/// in the body of its call, and in the response that returns it as unprocessed.
const COPIES: usize = 5;
/// The payload is there as it came in and, where a body has escapes, once more.
const PAYLOAD_COPIES: usize = 2;
/// The least that items may take: one item of 400 KB, each of whose characters is an escape, fits.
const LEAST_BYTES: usize = 4 << 20;
/// The memory of a function that does not know its own.
const DEFAULT_MEGABYTES: usize = 512;

/// The memory of the function, shared by the invocations that run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    megabytes: usize,
    concurrent_invocations: usize,
}

impl Memory {
    /// A function of so many `megabytes` of memory that works on so many invocations at once.
    pub fn new(megabytes: Option<usize>, concurrent_invocations: usize) -> Self {
        let megabytes = megabytes.unwrap_or(DEFAULT_MEGABYTES);
        Self { megabytes, concurrent_invocations: concurrent_invocations.max(1) }
    }

    /// The memory of the function.
    pub(crate) fn megabytes(&self) -> usize {
        self.megabytes
    }

    /// Maximum total size of the items of messages that are not complete, in an invocation whose payload has `payload` bytes.
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
