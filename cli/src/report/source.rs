//! Where lines of metrics come from: a file, standard input, or a log group.

use crate::aws::{Aws, CallError, LOGS};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often a file or a log group is looked at for more.
const FILE_PAUSE: Duration = Duration::from_millis(200);
const LOGS_PAUSE: Duration = Duration::from_secs(5);
/// By how much an event of one instance may come later than newer ones of others.
const LATE_MS: u64 = 60_000;
/// Events of a call. <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
const MAX_EVENTS: u32 = 10_000;
/// The part of CloudWatch's filter language that finds lines of metrics: a term.
const PATTERN: &str = "\"CloudWatchMetrics\"";

/// A line, or why there are no more.
pub(crate) type Item = Result<String, String>;

/// The lines of a file, or of standard input if it is `-`; with `follow`, those too that are appended later.
pub(crate) fn file(path: &Path, follow: bool) -> Result<Receiver<Item>, Box<dyn Error>> {
    let named = path.display().to_string();
    let reader: Box<dyn BufRead + Send> = if named == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).map_err(|error| format!("cannot read {named}: {error}"))?))
    };
    let appended = follow && named != "-";
    let (sender, receiver) = channel(1_024);
    // a thread of its own: reading blocks, and nobody waits for it at the end
    std::thread::Builder::new().spawn(move || {
        if let Err(error) = read(reader, appended, &sender) {
            let _ = sender.blocking_send(Err(format!("cannot read {named}: {error}")));
        }
    })?;
    Ok(receiver)
}

fn read(mut reader: Box<dyn BufRead + Send>, appended: bool, sender: &Sender<Item>) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let more = reader.read_until(b'\n', &mut line)?;
        // a line that is being written has no end yet
        if line.ends_with(b"\n") || (more == 0 && !appended && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if sender.blocking_send(Ok(text)).is_err() {
                return Ok(());
            }
        } else if more == 0 && !appended {
            return Ok(());
        } else if more == 0 {
            std::thread::sleep(FILE_PAUSE);
        }
    }
}

/// The metrics that a log group has had since `start_ms`; with `follow`, those too that come later.
pub(crate) fn log_group(aws: Aws, group: String, start_ms: u64, follow: bool) -> Receiver<Item> {
    let (sender, receiver) = channel(1_024);
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
    // the events of the next look's time that have been sent on already, with their times
    let mut seen: HashMap<String, u64> = HashMap::new();
    loop {
        let mut newest_ms = start_ms;
        let mut token: Option<String> = None;
        loop {
            let mut body = json!({
                "logGroupName": group, "startTime": start_ms, "filterPattern": PATTERN, "limit": MAX_EVENTS,
            });
            if let (Some(token), Some(body)) = (&token, body.as_object_mut()) {
                body.insert("nextToken".to_owned(), json!(token));
            }
            let answer = aws.json(LOGS, "Logs_20140328.FilterLogEvents", &body).await?;
            for event in answer.get("events").and_then(Value::as_array).into_iter().flatten() {
                let text = |name| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let at_ms = event.get("timestamp").and_then(Value::as_u64).unwrap_or_default();
                newest_ms = newest_ms.max(at_ms);
                let is_new = !follow || seen.insert(text("eventId"), at_ms).is_none();
                if is_new && sender.send(Ok(text("message"))).await.is_err() {
                    return Ok(());
                }
            }
            token = answer.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
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

    #[tokio::test]
    async fn a_file_that_is_followed_gives_what_is_appended_and_no_half_a_line() {
        let path = std::env::temp_dir().join(format!("ingest-report-{}", std::process::id()));
        let mut written = File::create(&path).unwrap();
        write!(written, "one\ntw").unwrap();
        let mut lines = file(&path, true).unwrap();
        assert_eq!(lines.recv().await, Some(Ok("one\n".to_owned())));
        let early = tokio::time::timeout(2 * FILE_PAUSE, lines.recv()).await;
        assert!(early.is_err(), "half a line: {early:?}");
        writeln!(written, "o").unwrap();
        assert_eq!(lines.recv().await, Some(Ok("two\n".to_owned())));
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_file_ends_with_or_without_a_line_feed() {
        let path = std::env::temp_dir().join(format!("ingest-report-end-{}", std::process::id()));
        std::fs::write(&path, "one\ntwo").unwrap();
        let mut lines = file(&path, false).unwrap();
        assert_eq!(lines.recv().await, Some(Ok("one\n".to_owned())));
        assert_eq!(lines.recv().await, Some(Ok("two".to_owned())));
        assert_eq!(lines.recv().await, None);
        std::fs::remove_file(path).unwrap();
    }
}
