//! The output of a process, line by line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Maximum number of lines that wait to be taken. The oldest are discarded first.
const KEPT_LINES: usize = 100_000;
/// Number of last standard error lines reported when a process ends.
const TAIL_LINES: usize = 20;

/// Output stream of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: logs and metric records.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of a process's output, without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The stream it was written to.
    pub stream: Stream,
    /// The text. Bytes that are not valid UTF-8 are replaced.
    pub text: String,
}

/// Output lines of a function's processes that have not been taken yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<Mutex<VecDeque<Line>>>);

impl Output {
    /// Removes and returns all lines, oldest first.
    pub(super) fn take(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Reads `pipe` until it closes. Returns the last lines.
    pub(super) async fn collect(self, stream: Stream, pipe: impl AsyncRead + Unpin) -> Vec<String> {
        let mut pipe = BufReader::new(pipe);
        let mut tail = VecDeque::new();
        let mut line = Vec::new();
        // an error of the pipe counts as its end
        while pipe.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
            line.clear();
            push(&mut tail, TAIL_LINES, text.clone());
            push(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), KEPT_LINES, Line { stream, text });
        }
        tail.into()
    }
}

fn push<T>(lines: &mut VecDeque<T>, bound: usize, line: T) {
    if lines.len() == bound {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_line_counts_even_without_a_line_break_and_the_tail_is_bounded() {
        let output = Output::default();
        let text = (0..25).map(|number| number.to_string()).collect::<Vec<_>>().join("\n");
        let tail = output.clone().collect(Stream::Stderr, text.as_bytes()).await;
        assert_eq!((tail.len(), tail[0].as_str(), tail[19].as_str()), (TAIL_LINES, "5", "24"));
        assert_eq!(output.take().len(), 25);
        assert_eq!(output.take(), []);
    }

    #[tokio::test]
    async fn an_empty_line_is_a_line_and_foreign_bytes_are_replaced() {
        let output = Output::default();
        output.clone().collect(Stream::Stdout, &b"\n\xFF\n"[..]).await;
        let lines: Vec<_> = output.take().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["", "\u{FFFD}"]);
    }
}
