//! Sources of metric lines: files, standard input and log groups.

use super::formats::{Content, LogReader};
use super::input::{FollowedFile, Lines, Part, decompressed, files};
use crate::aws::{Aws, CallError, LOGS};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Interval between checks of a followed file or log group.
const FILE_PAUSE: Duration = Duration::from_millis(200);
const LOGS_PAUSE: Duration = Duration::from_secs(5);
/// Maximum time by which an event of one instance may arrive later than newer events of other instances, in milliseconds.
const LATE_MS: u64 = 60_000;
/// Maximum number of events per call.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const MAX_EVENTS: u32 = 10_000;
/// CloudWatch filter pattern that matches metric lines.
const PATTERN: &str = "\"CloudWatchMetrics\"";
/// Maximum number of buffered lines.
const MAX_WAITING: usize = 1_024;

/// Path that means standard input.
const STANDARD_INPUT: &str = "-";

/// The content of a line, or the reason why there are no more lines.
pub(crate) type Item = Result<Content, String>;

/// Reads the lines of files, of all files in folders, and of standard input for `-`.
pub(crate) fn read_files(paths: Vec<PathBuf>) -> io::Result<Receiver<Item>> {
    on_a_thread(move |sender| {
        for path in &paths {
            let named = |error: io::Error| format!("cannot read {}: {error}", path.display());
            if path.as_os_str() == STANDARD_INPUT {
                read(io::stdin(), sender).map_err(named)?;
                continue;
            }
            for file in files(path).map_err(named)? {
                let named = |error: io::Error| format!("cannot read {}: {error}", file.display());
                read(File::open(&file).map_err(named)?, sender).map_err(named)?;
            }
        }
        Ok(())
    })
}

/// Reads the lines of a file, including lines that are appended later.
pub(crate) fn follow_file(path: &Path) -> io::Result<Receiver<Item>> {
    let path = path.to_owned();
    on_a_thread(move |sender| follow(&path, sender).map_err(|error| format!("cannot read {}: {error}", path.display())))
}

/// Runs `read` on a separate thread. Reading may block, and the process must be able to end without waiting for it.
fn on_a_thread(read: impl FnOnce(&Sender<Item>) -> Result<(), String> + Send + 'static) -> io::Result<Receiver<Item>> {
    let (sender, receiver) = channel(MAX_WAITING);
    std::thread::Builder::new().spawn(move || {
        if let Err(error) = read(&sender) {
            // the receiver may have been dropped
            let _ = sender.blocking_send(Err(error));
        }
    })?;
    Ok(receiver)
}

fn read(input: impl io::Read + Send + 'static, sender: &Sender<Item>) -> io::Result<()> {
    let mut reader = decompressed(input)?;
    let (mut lines, mut log) = (Lines::default(), LogReader::default());
    loop {
        let part = match lines.next(&mut *reader)? {
            Part::End => match lines.rest() {
                Some(part) => part,
                None => return Ok(()),
            },
            part => part,
        };
        if !send(part, &mut log, sender) {
            return Ok(());
        }
    }
}

fn follow(path: &Path, sender: &Sender<Item>) -> io::Result<()> {
    let mut file = FollowedFile::open(path)?;
    let (mut lines, mut log) = (Lines::default(), LogReader::default());
    loop {
        let part = lines.next(file.reader())?;
        if part != Part::End {
            if !send(part, &mut log, sender) {
                return Ok(());
            }
        } else if file.restarted()? {
            // discard the rest of a line that was truncated
            (lines, log) = (Lines::default(), LogReader::default());
        } else if sender.is_closed() {
            return Ok(());
        } else {
            std::thread::sleep(FILE_PAUSE);
        }
    }
}

/// Sends the content of a line. Returns `false` if the receiver was dropped.
fn send(part: Part, log: &mut LogReader, sender: &Sender<Item>) -> bool {
    let content = match part {
        Part::Line(text) => log.line(&text),
        Part::TooLong => {
            let note = format!("a line of more than {} bytes is left out", super::input::MAX_LINE_BYTES);
            Content { other_lines: 1, note: Some(note), ..Content::default() }
        }
        Part::End => Content::default(),
    };
    content == Content::default() || sender.blocking_send(Ok(content)).is_ok()
}

/// Reads the metrics in a log group since `start_ms`. With `follow`, also reads metrics that arrive later.
pub(crate) fn log_group(aws: Aws, group: String, start_ms: u64, follow: bool) -> Receiver<Item> {
    let (sender, receiver) = channel(MAX_WAITING);
    tokio::spawn(async move {
        if let Err(error) = filter(&aws, &group, start_ms, follow, &sender).await {
            let _ = sender.send(Err(format!("log group {group}: {error}"))).await;
        }
    });
    receiver
}

async fn filter(
    aws: &Aws,
    group: &str,
    mut start_ms: u64,
    follow: bool,
    sender: &Sender<Item>,
) -> Result<(), CallError> {
    // events already sent that the next query may return again, with their timestamps
    let mut seen: HashMap<String, u64> = HashMap::new();
    loop {
        let mut newest_ms = start_ms;
        let mut token: Option<String> = None;
        let mut tokens = HashSet::new();
        loop {
            let mut body = json!({
                "logGroupName": group, "startTime": start_ms, "filterPattern": PATTERN, "limit": MAX_EVENTS,
            });
            if let (Some(token), Some(body)) = (&token, body.as_object_mut()) {
                body.insert("nextToken".to_owned(), json!(token));
            }
            let answer = match aws.json(LOGS, "Logs_20140328.FilterLogEvents", &body).await {
                Err(error) if follow && error.is_transient() => {
                    let note = Some(format!("log group {group}: {error}"));
                    if sender.send(Ok(Content { note, ..Content::default() })).await.is_err() {
                        return Ok(());
                    }
                    break;
                }
                answer => answer?,
            };
            for event in answer.get("events").and_then(Value::as_array).into_iter().flatten() {
                let text = |name| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let at_ms = event.get("timestamp").and_then(Value::as_u64).unwrap_or_default();
                newest_ms = newest_ms.max(at_ms);
                let is_new = !follow || seen.insert(text("eventId"), at_ms).is_none();
                let content = LogReader::default().line(&text("message"));
                if is_new && sender.send(Ok(content)).await.is_err() {
                    return Ok(());
                }
            }
            token = answer.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            // a repeated token would return the same pages forever
            if token.as_ref().is_none_or(|token| !tokens.insert(token.clone())) {
                break;
            }
        }
        if !follow {
            return Ok(());
        }
        start_ms = start_ms.max(newest_ms.saturating_sub(LATE_MS));
        seen.retain(|_, at_ms| *at_ms >= start_ms);
        tokio::time::sleep(LOGS_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::time::timeout;

    fn event(count: u32) -> String {
        format!(
            r#"{{"_aws":{{"Timestamp":1,"CloudWatchMetrics":[{{"Metrics":[{{"Name":"MessagesStored"}}]}}]}},"MessagesStored":{count}}}"#
        )
    }

    /// Returns the metric value of the next event.
    async fn next(lines: &mut Receiver<Item>) -> f64 {
        let content = timeout(Duration::from_secs(60), lines.recv()).await.unwrap().unwrap().unwrap();
        content.metrics[0].metrics["MessagesStored"][0].0
    }

    #[tokio::test]
    async fn a_file_that_is_followed_gives_what_is_appended_and_no_half_a_line() {
        let path = std::env::temp_dir().join(format!("ingest-report-{}", std::process::id()));
        let mut written = File::create(&path).unwrap();
        let (half, rest) = (event(12).split_at(20).0.to_owned(), event(12).split_at(20).1.to_owned());
        write!(written, "{}\n{half}", event(11)).unwrap();
        let mut lines = follow_file(&path).unwrap();
        assert_eq!(next(&mut lines).await, 11.0);
        let early = timeout(2 * FILE_PAUSE, lines.recv()).await;
        assert!(early.is_err(), "half a line: {early:?}");
        writeln!(written, "{rest}").unwrap();
        assert_eq!(next(&mut lines).await, 12.0);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_truncated_or_replaced_is_followed_from_its_beginning() {
        let path = std::env::temp_dir().join(format!("ingest-report-truncated-{}", std::process::id()));
        let mut written = File::create(&path).unwrap();
        writeln!(written, "{}\n{}", event(1), event(2)).unwrap();
        let mut lines = follow_file(&path).unwrap();
        assert_eq!((next(&mut lines).await, next(&mut lines).await), (1.0, 2.0));
        // log rotation by truncation (copytruncate)
        std::fs::write(&path, format!("{}\n", event(3))).unwrap();
        assert_eq!(next(&mut lines).await, 3.0);
        // log rotation by renaming
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        std::fs::write(&path, format!("{}\n", event(4))).unwrap();
        assert_eq!(next(&mut lines).await, 4.0);
        std::fs::remove_file(path.with_extension("old")).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
