//! Decoding of large events without blocking other invocations of the process.
//!
//! With Lambda Managed Instances, and in a consumer, several invocations share a runtime with few threads. An event of
//! compressed containers may take seconds to decode. On a thread of the runtime, this would delay the timers and responses
//! of the other invocations.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Maximum size of a payload, in bytes, that is decoded in far less than a millisecond unless it contains compressed data.
const QUICK_BYTES: usize = 64 * 1024;
/// Prefixes of compressed bodies in base64, each after a quotation mark: an object container file, and a compressed Glue
/// message for each value of the first two bits of its id.
const COMPRESSED: [&[u8]; 5] = [b"\"T2Jq", b"\"AwU", b"\"AwV", b"\"AwW", b"\"AwX"];

/// The place where an event is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the runtime, without interruption. The runtime has a single thread and handles one invocation at a time.
    Alone,
    /// On the runtime, which runs other tasks after each slice. For a small event, switching threads would cost more than
    /// decoding.
    Shared,
    /// On the current thread, while another thread takes over its other tasks.
    Aside,
}

impl Place {
    /// Chooses the place for an event with this `payload`.
    pub(crate) fn for_payload(payload: &[u8]) -> Self {
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) if is_quick(payload) => Self::Shared,
            Ok(RuntimeFlavor::MultiThread) => Self::Aside,
            _ => Self::Alone,
        }
    }

    /// Runs `work` at this place. `work` should take at most the duration of a slice, unless a single message takes longer.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Alone | Self::Shared => work(),
            Self::Aside => block_in_place(work),
        }
    }
}

fn is_quick(payload: &[u8]) -> bool {
    let holds = |text: &&[u8]| memchr::memmem::find(payload, text).is_some();
    payload.len() <= QUICK_BYTES && !COMPRESSED.iter().any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64_simd::STANDARD;
    use std::time::Duration;

    #[test]
    fn an_event_is_quick_if_it_is_small_and_nothing_in_it_is_compressed() {
        let event = |body: &str| serde_json::json!({"Records": [{"body": body}]}).to_string();
        let base64 = |bytes: &[u8]| STANDARD.encode_to_string(bytes);
        assert!(is_quick(event(&base64(b"\xC3\x01datum")).as_bytes()));
        assert!(is_quick(&[b' '; QUICK_BYTES]) && !is_quick(&[b' '; QUICK_BYTES + 1]));
        for rest in [[0_u8; 8], [0x40; 8], [0x80; 8], [0xFF; 8]] {
            assert!(!is_quick(event(&base64(&[b"Obj\x01", &rest[..]].concat())).as_bytes()), "a container");
            assert!(
                !is_quick(event(&base64(&[b"\x03\x05", &rest[..]].concat())).as_bytes()),
                "a compressed glue message"
            );
            assert!(
                is_quick(event(&base64(&[b"\x03\x00", &rest[..]].concat())).as_bytes()),
                "an uncompressed glue message"
            );
        }
        let envelope = event(&event(&base64(b"Obj\x01datum")));
        assert!(!is_quick(envelope.as_bytes()), "a container in an envelope");
    }

    #[test]
    fn a_runtime_of_one_thread_is_not_left() {
        let large = vec![b' '; QUICK_BYTES + 1];
        let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(single.block_on(async { Place::for_payload(&large) }), Place::Alone);
        assert_eq!(Place::for_payload(&large), Place::Alone, "without a runtime");
        let several = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        several.block_on(async {
            assert_eq!([Place::for_payload(&large), Place::for_payload(b"{}")], [Place::Aside, Place::Shared]);
        });
    }

    #[test]
    fn work_that_is_done_aside_blocks_no_other_task() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = std::sync::mpsc::channel();
            // the only thread of the runtime is blocked until another task sends a message
            let work = tokio::spawn(async move { Place::Aside.run(|| receiver.recv_timeout(Duration::from_secs(60))) });
            tokio::spawn(async move { sender.send(()).unwrap() });
            assert_eq!(work.await.unwrap(), Ok(()));
        });
    }
}
