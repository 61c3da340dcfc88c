//! An output that is written by a thread of its own, because a pipe that nobody reads blocks who writes to it.

use crate::output::OutputError;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

/// Texts that wait for a slow reader at most.
const MAX_WAITING: usize = 4_096;

/// Gives texts to the thread. It never blocks: a text that finds no room is lost.
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

/// The end of the thread: an error of the output, or everything up to [`BackgroundWriter::end`] is written.
pub(super) type Ended = oneshot::Receiver<Result<(), OutputError>>;

impl BackgroundWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// If there is no thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<(Self, Ended)> {
        let (texts, waiting) = mpsc::channel(MAX_WAITING);
        let (ends, ended) = oneshot::channel();
        let written: Arc<AtomicU64> = Arc::default();
        let counted = Arc::clone(&written);
        std::thread::Builder::new().spawn(move || {
            // nobody may wait for the end
            let _ = ends.send(write_all(waiting, output, &counted));
        })?;
        Ok((Self { texts, given: Arc::default(), written }, ended))
    }

    /// Gives `bytes` to the thread.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        self.given.fetch_add(1, Ordering::Relaxed);
        // without room it stays unwritten
        let _ = self.texts.try_send(Text::Bytes(bytes));
    }

    /// Ends the thread once it has written everything given before.
    pub(super) async fn end(&self) {
        // a thread that has ended needs no end
        let _ = self.texts.send(Text::End).await;
    }

    /// Number of texts that were given and are not written, because they wait or found no room.
    pub(super) fn unwritten(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        self.given.load(Ordering::Relaxed).saturating_sub(written)
    }

    /// Returns once the output has taken no text for `patience` while `is_hurried`.
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

    /// Keeps what is written.
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
        // more than a pipe and the texts that wait can hold
        (0..MAX_WAITING + 100).for_each(|_| writer.send(vec![b'x'; 1 << 16]));
        assert!(writer.unwritten() > MAX_WAITING as u64 && ended.try_recv().is_err());
        let patience = Duration::from_millis(10);
        assert!(timeout(patience * 10, writer.stalled(patience, || false)).await.is_err(), "nobody is in a hurry");
        writer.stalled(patience, || true).await;
        drop(reader);
        assert!(matches!(ended.await, Ok(Err(OutputError::Closed))));
    }
}
