//! `ingest report`: evaluates a deployment by the metrics that the function writes to its log.

mod emf;
mod formats;
mod indicators;
mod input;
mod page;
mod print;
mod screen;
mod source;
mod totals;

use crate::Outcome;
use crate::aws::Aws;
use crate::duration::duration;
use crate::output::{self, OutputError, errln, out, outln};
use crate::prices::Prices;
use crate::signals::EndSignals;
use indicators::Targets;
use page::Origin;
use print::LogReports;
use screen::{Input, Screen};
use std::fs;
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use totals::Histories;

/// Reports throughput, latency, outcomes and cost from the function's metrics, and compares them with targets. Exit code 1 if a
/// target is missed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ingest report --log-group /aws/lambda/avro-ingest --since 1h
  ingest report --log-group /aws/lambda/avro-ingest --since 7d --html report.html --targets docs/report-targets.toml
  ingest report --log-group /aws/lambda/avro-ingest --follow
  ingest local --event events/orders.json | ingest report -
  aws logs tail /aws/lambda/avro-ingest --since 1d | ingest report -
  ingest report function.log export-from-s3/ --json")]
pub(crate) struct Arguments {
    /// Logs of the function as it wrote them, or as AWS gives them, compressed or not; a folder is all files in it, and - is standard input
    #[arg(value_name = "FILE", required_unless_present = "log_group", conflicts_with = "log_group")]
    files: Vec<PathBuf>,
    /// Read this log group of CloudWatch instead
    #[arg(long, value_name = "NAME")]
    log_group: Option<String>,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "1h", conflicts_with = "files", value_parser = duration)]
    since: Duration,
    /// Targets, as in docs/report-targets.toml
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// Memory of an instance in MB, for the cost
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: u32,
    /// The function runs on x86_64, for the cost
    #[arg(long)]
    x86: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    /// Write a page with charts over time: one file, which needs nothing from outside
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Revision of the deployment, such as a commit, for the page
    #[arg(long, value_name = "TEXT", requires = "html")]
    revision: Option<String>,
    /// Go on reading, and show the report anew every two seconds: on the whole screen of a terminal until q, else as lines until Ctrl-C
    #[arg(long)]
    follow: bool,
}

/// How often a report that is followed is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(arguments: Arguments) -> Outcome {
    let targets = arguments.targets.as_deref().map(Targets::read).transpose()?.unwrap_or_default();
    let prices = Prices::new()?;
    let lines = match (&arguments.log_group, &arguments.files[..]) {
        (Some(group), _) => {
            let start = local::clock::since_epoch().saturating_sub(arguments.since);
            let start_ms = u64::try_from(start.as_millis())?;
            source::log_group(Aws::load().await?, group.clone(), start_ms, arguments.follow)
        }
        (None, [file]) if arguments.follow && *file != Path::new("-") => source::follow_file(file)?,
        (None, [_, _, ..]) if arguments.follow => return Err("--follow needs one file".into()),
        (None, files) => source::read_files(files.to_vec())?,
    };
    let display = if arguments.follow { Display::while_following() } else { Display::Nothing };
    let judged = Judged { targets, memory_mb: arguments.memory, arm: !arguments.x86, prices: &prices };
    let histories = collect(lines, display, &judged).await?;
    if histories.functions.is_empty() {
        return Err(format!(
            "no line of metrics among {} lines: the function writes them at level INFO",
            histories.other_lines
        )
        .into());
    }
    let report = judged.report(&histories);
    if let Some(path) = &arguments.html {
        let origin = Origin { source: &source(&arguments), revision: arguments.revision.as_deref() };
        fs::write(path, page::page(&report, &origin).html())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if arguments.json {
        output::json(&report.json())?;
    } else {
        out!("{report}")?;
    }
    Ok(report.all_met())
}

/// Returns where the lines come from, in words.
fn source(arguments: &Arguments) -> String {
    match (&arguments.log_group, &arguments.files[..]) {
        (Some(group), _) => format!("log group {group}"),
        (None, [file]) if *file == Path::new("-") => "standard input".to_owned(),
        // the page may be sent on, and the folder is nobody's business
        (None, [file]) => file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
        (None, files) => format!("{} files", files.len()),
    }
}

/// Targets and prices of a report.
struct Judged<'a> {
    targets: Targets,
    memory_mb: u32,
    arm: bool,
    prices: &'a Prices,
}

impl Judged<'_> {
    fn report<'a>(&'a self, histories: &'a Histories) -> LogReports<'a> {
        LogReports::new(histories, self.targets, self.memory_mb, self.arm, self.prices)
    }
}

/// How a report is shown while more lines come.
enum Display {
    /// Not before the last line.
    Nothing,
    /// As text, again and again.
    Lines,
    /// On the whole screen.
    Screen(Box<Screen>),
}

impl Display {
    /// Takes over the terminal. Without a terminal, or with one that has no cursor, it writes lines.
    fn while_following() -> Self {
        let is_dumb = crate::environment("TERM").is_some_and(|terminal| terminal == "dumb");
        if is_dumb || !stdout().is_terminal() {
            return Self::Lines;
        }
        Screen::open().map_or(Self::Lines, |screen| Self::Screen(Box::new(screen)))
    }

    fn is_following(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    fn show(&mut self, report: &LogReports<'_>) -> Result<(), OutputError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Lines => outln!("{report}"),
            Self::Screen(screen) => Ok(screen.draw(report)?),
        }
    }

    fn note(&mut self, note: String) {
        match self {
            Self::Screen(screen) => screen.note(note),
            Self::Nothing | Self::Lines => errln!("{note}"),
        }
    }

    /// Waits for a key. Only a screen has keys.
    async fn input(&mut self) -> Input {
        match self {
            Self::Screen(screen) => screen.input().await,
            Self::Nothing | Self::Lines => std::future::pending().await,
        }
    }
}

/// Takes in every line. While they are followed, shows what there is, until a key or a signal ends it.
async fn collect(
    mut lines: Receiver<source::Item>,
    mut display: Display,
    judged: &Judged<'_>,
) -> Result<Histories, Box<dyn std::error::Error>> {
    let mut histories = Histories::default();
    let mut shown = tokio::time::interval(SHOWN_EVERY);
    let is_following = display.is_following();
    let mut ends = if is_following { Some(EndSignals::take()?) } else { None };
    let mut news = matches!(display, Display::Screen(_));
    loop {
        let end = async {
            match &mut ends {
                Some(ends) => ends.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => {
                    let mut content = line?;
                    if let Some(note) = content.note.take() {
                        display.note(note);
                    }
                    histories.add(&content);
                    news = true;
                }
                None => return Ok(histories),
            },
            _ = shown.tick(), if is_following => {
                if std::mem::take(&mut news) {
                    display.show(&judged.report(&histories))?;
                }
            }
            input = display.input() => match input {
                Input::Quit => return Ok(histories),
                Input::Draw => display.show(&judged.report(&histories))?,
            },
            _ = end => return Ok(histories),
        }
    }
}
