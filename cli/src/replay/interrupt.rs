//! Signals that end a run: the first lets the calls in flight finish, the second ends the process immediately.

use crate::output::errln;
use crate::signals::EndSignals;
use std::io;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Time for a call in flight to finish after a signal. Without its response, the state of its messages is unknown.
const GRACE: Duration = Duration::from_secs(5);
/// Offset of the exit code of a process ended by a signal. By shell convention, the signal number is added to 128.
const SIGNAL_EXIT_CODE: i32 = 128;

/// Reports whether a signal has arrived.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts listening for signals. The second signal ends the process. This is safe, because the journal is always
    /// consistent, and held messages become visible when their timeout ends.
    ///
    /// # Errors
    /// If the signal handlers cannot be registered.
    pub(super) fn listen() -> io::Result<Self> {
        let mut signals = EndSignals::take()?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            errln!("ending after the calls in flight; once more ends at once");
            sender.send_replace(true);
            let kind = signals.next().await;
            std::process::exit(SIGNAL_EXIT_CODE + kind.as_raw_value());
        });
        Ok(Self(receiver))
    }

    pub(super) fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for a signal.
    pub(super) async fn raised(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|is_raised| *is_raised).await.is_err() {
            // without a sender, no signal can arrive
            std::future::pending::<()>().await;
        }
    }

    /// Waits for `pause` or until a signal arrives.
    pub(super) async fn pause(&self, pause: Duration) {
        let _ = timeout(pause, self.raised()).await;
    }

    /// Waits for a call. Returns `None` if a signal has arrived and the grace period after it has passed.
    pub(super) async fn grace<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let over = async {
            self.raised().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            result = call => Some(result),
            () = over => None,
        }
    }
}
