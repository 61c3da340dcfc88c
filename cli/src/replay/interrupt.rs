//! Signals that end a run: the first after the calls in flight, the second at once.

use crate::output::errln;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on. The second signal ends the process: the journal is true at any time, and held messages
    /// become visible by themselves.
    ///
    /// # Errors
    /// If the signals cannot be listened to.
    pub(super) fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            next(&mut interrupt, &mut terminate, &mut hangup).await;
            errln!("ending after the calls in flight; once more ends at once");
            sender.send_replace(true);
            let kind = next(&mut interrupt, &mut terminate, &mut hangup).await;
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

async fn next(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
    }
}
