//! Work that would keep the other invocations of the process waiting, and where it waits for nobody.
//!
//! Under Lambda Managed Instances, and in a consumer, several invocations share a runtime of a few threads. An event of compressed
//! containers may take seconds to decode. On a thread of the runtime it would hold up timers and responses of the others.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Size of a payload that takes well under a millisecond to decode, unless something in it is compressed.
const QUICK_BYTES: usize = 64 * 1024;
/// Beginnings, behind their quotes, of the base64 of an object container file, and of a compressed Glue message by the first
/// two bits of its id.
const COMPRESSED: [&[u8]; 5] = [b"\"T2Jq", b"\"AwU", b"\"AwV", b"\"AwW", b"\"AwX"];

/// Where an event is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the runtime, to the end: it has one thread, and so one invocation at a time.
    Alone,
    /// On the runtime, which gets its turn after each slice. A change of threads costs more than decoding a small event.
    Shared,
    /// On the thread that it is on, while another one does the runtime's work.
    Aside,
}

impl Place {
    /// Chooses the place for an event of this `payload`.
    pub(crate) fn of(payload: &[u8]) -> Self {
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) if is_quick(payload) => Self::Shared,
            Ok(RuntimeFlavor::MultiThread) => Self::Aside,
            _ => Self::Alone,
        }
    }

    /// Does `work` here. It takes a slice's time at most, unless a single message takes longer.
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
                "one that is not compressed"
            );
        }
        let envelope = event(&event(&base64(b"Obj\x01datum")));
        assert!(!is_quick(envelope.as_bytes()), "a container in an envelope");
    }

    #[test]
    fn a_runtime_of_one_thread_is_not_left() {
        let large = vec![b' '; QUICK_BYTES + 1];
        let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(single.block_on(async { Place::of(&large) }), Place::Alone);
        assert_eq!(Place::of(&large), Place::Alone, "nor is none");
        let several = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        several.block_on(async {
            assert_eq!([Place::of(&large), Place::of(b"{}")], [Place::Aside, Place::Shared]);
        });
    }

    #[test]
    fn work_that_is_done_aside_blocks_no_other_task() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = std::sync::mpsc::channel();
            // the only thread of the runtime waits for what another task of it says
            let work = tokio::spawn(async move { Place::Aside.run(|| receiver.recv_timeout(Duration::from_secs(60))) });
            tokio::spawn(async move { sender.send(()).unwrap() });
            assert_eq!(work.await.unwrap(), Ok(()));
        });
    }
}
