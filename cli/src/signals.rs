//! Signals for a graceful shutdown: Ctrl-C, SIGTERM, Ctrl-\ and the hangup of the terminal.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGXFSZ, which ends a process that exceeds its file size limit.
/// <https://man7.org/linux/man-pages/man7/signal.7.html>
const FILE_SIZE_LIMIT: i32 = 25;

/// Handles SIGXFSZ, so that exceeding the file size limit makes the write fail, as on a full disk.
///
/// # Errors
/// If the signal handler cannot be registered.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    signal(SignalKind::from_raw(FILE_SIZE_LIMIT)).map(drop)
}

/// Signals that end a command. SIGHUP is left out if the process was started with SIGHUP ignored, for example by `nohup`.
pub(crate) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Option<Signal>,
}

impl EndSignals {
    /// Registers the signal handlers.
    ///
    /// # Errors
    /// If a handler cannot be registered.
    pub(crate) fn take() -> io::Result<Self> {
        let is_ignored = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hangup: if is_ignored { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> SignalKind {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.quit.recv() => SignalKind::quit(),
            _ = hangup => SignalKind::hangup(),
        }
    }
}

/// Returns whether the process with this `/proc/<pid>/status` ignores SIGHUP, which is the lowest bit of `SigIgn`.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_under_nohup_ignores_the_end_of_its_terminal() {
        assert!(ignores_hangup("Name:\tingest\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tingest\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
