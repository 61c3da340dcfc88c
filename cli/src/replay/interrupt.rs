//! Signals that end a run: the first after the calls in flight, the second at once.

use crate::output::errln;
use crate::signals::EndSignals;
use std::io;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Time that a call in flight has after a signal. Its response reports what became of its messages.
const GRACE: Duration = Duration::from_secs(5);
/// Exit code of a process that a signal ended, as shells know it: 128 and the signal's number.
const SIGNAL_EXIT_CODE: i32 = 128;

/// Says whether a signal has come.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens to the signals from now on. The second signal ends the process: the journal is true at any time, and held messages
    /// become visible by themselves.
    ///
    /// # Errors
    /// If the signals cannot be listened to.
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
            // without a sender no signal can come
            std::future::pending::<()>().await;
        }
    }

    /// Waits for `pause`, or until a signal comes.
    pub(super) async fn pause(&self, pause: Duration) {
        let _ = timeout(pause, self.raised()).await;
    }

    /// Waits for a call. `None` if a signal came and the grace after it is over.
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
