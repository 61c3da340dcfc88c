//! An output that a separate thread writes. If the output is a pipe and nobody reads it, only that thread blocks.

use crate::output::OutputError;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

/// Maximum number of texts queued for a slow reader.
const MAX_WAITING: usize = 4_096;

/// Sends texts to the writer thread. Never blocks: if the queue is full, the text is lost.
#[derive(Clone)]
pub(super) struct BackgroundWriter {
    texts: mpsc::Sender<Text>,
    given: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

enum Text {
    Bytes(Vec<u8>),
    End,
}

/// Result of the writer thread: an output error, or success once everything sent before [`BackgroundWriter::end`] is written.
pub(super) type Ended = oneshot::Receiver<Result<(), OutputError>>;

impl BackgroundWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<(Self, Ended)> {
        let (texts, waiting) = mpsc::channel(MAX_WAITING);
        let (ends, ended) = oneshot::channel();
        let written: Arc<AtomicU64> = Arc::default();
        let counted = Arc::clone(&written);
        std::thread::Builder::new().spawn(move || {
            // the receiver may have been dropped
            let _ = ends.send(write_all(waiting, output, &counted));
        })?;
        Ok((Self { texts, given: Arc::default(), written }, ended))
    }

    /// Sends `bytes` to the writer thread.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        self.given.fetch_add(1, Ordering::Relaxed);
        // if the queue is full, the text stays unwritten
        let _ = self.texts.try_send(Text::Bytes(bytes));
    }

    /// Ends the thread after it has written everything sent before.
    pub(super) async fn end(&self) {
        // the thread may have ended already
        let _ = self.texts.send(Text::End).await;
    }

    /// Returns the number of texts that were sent and are not written, because they are queued or were lost.
    pub(super) fn unwritten(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        self.given.load(Ordering::Relaxed).saturating_sub(written)
    }

    /// Returns once `is_hurried` holds and the output has accepted no text for `patience`.
    pub(super) async fn stalled(&self, patience: Duration, is_hurried: impl Fn() -> bool) {
        loop {
            let before = self.written.load(Ordering::Relaxed);
            sleep(patience).await;
            if is_hurried() && self.written.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

fn write_all(
    mut waiting: mpsc::Receiver<Text>,
    mut output: impl Write,
    written: &AtomicU64,
) -> Result<(), OutputError> {
    while let Some(Text::Bytes(bytes)) = waiting.blocking_recv() {
        output.write_all(&bytes)?;
        output.flush()?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for BackgroundWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::timeout;

    /// Records what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn everything_given_before_the_end_is_written_in_order() {
        let kept = Kept::default();
        let (writer, ended) = BackgroundWriter::start(kept.clone()).unwrap();
        (0..100).for_each(|number| writer.send(format!("{number}\n").into_bytes()));
        writer.end().await;
        assert!(matches!(ended.await, Ok(Ok(()))));
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!((String::from_utf8(kept.0.lock().unwrap().clone()), writer.unwritten()), (Ok(expected), 0));
    }

    #[tokio::test]
    async fn a_reader_that_reads_nothing_holds_nobody_up() {
        let (reader, pipe) = io::pipe().unwrap();
        let (writer, mut ended) = BackgroundWriter::start(pipe).unwrap();
        // exceeds the capacity of the pipe and the queue together
        (0..MAX_WAITING + 100).for_each(|_| writer.send(vec![b'x'; 1 << 16]));
        assert!(writer.unwritten() > MAX_WAITING as u64 && ended.try_recv().is_err());
        let patience = Duration::from_millis(10);
        assert!(
            timeout(patience * 10, writer.stalled(patience, || false)).await.is_err(),
            "`is_hurried` does not hold"
        );
        writer.stalled(patience, || true).await;
        drop(reader);
        assert!(matches!(ended.await, Ok(Err(OutputError::Closed))));
    }
}
