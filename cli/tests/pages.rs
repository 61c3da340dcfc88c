//! Tests the pages of `ingest report` and `ingest plan`: their size, and their rendering in a browser.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use avro_ingest::metrics::{Invocation, Metrics};
use avro_ingest::outcome::{Ledger, Reason};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Midnight of a day.
const START: Duration = Duration::from_secs(1_796_083_200);
const DAY: u64 = 86_400;
/// Maximum size of a page for one day. Some mail servers refuse attachments of a few megabytes, and a mail may contain other
/// attachments.
const MAX_PAGE_BYTES: u64 = 600 * 1024;

/// Number of latencies per invocation. More would not change the percentiles.
const LATENCIES: usize = 60;

/// Kind of a day.
#[derive(Clone, Copy, PartialEq)]
enum Day {
    /// All targets are met.
    Calm,
    /// For half an hour, the table throttles and some messages are truncated.
    Troubled,
}

/// Generates pseudorandom numbers from 0 to 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a factor that is usually near one, and occasionally several times as large.
    fn tail(&mut self) -> f64 {
        (0.35 * (self.next() + self.next() + self.next() - 1.5) + 0.4 * self.next().powi(8)).exp()
    }
}

/// Returns the metric lines of `service` from `START`, with an invocation every `every` seconds.
fn log(service: &str, day: Day, seconds: u64, every: usize) -> String {
    let metrics = Metrics::new("AvroIngest", service);
    let mut random = Random(28);
    let mut log = String::new();
    for second in (0..seconds).step_by(every) {
        let hour = second as f64 / 3_600.0;
        let sun = (1.0 - ((hour - 3.0) / 24.0 * std::f64::consts::TAU).cos()) / 2.0;
        let troubled = day == Day::Troubled && (14.0..14.5).contains(&hour);
        let received = 40 + (1_600.0 * (0.12 + 0.88 * sun) * (0.8 + 0.4 * random.next())) as usize;
        let rejected = if troubled { received / 9 } else { 0 };
        let slow = if troubled { 9.0 } else { 1.0 };
        let mut times = |typical_ms: f64| {
            let time = |_| Duration::from_secs_f64(typical_ms * slow * random.tail() / 1e3);
            (0..LATENCIES).map(time).collect::<Vec<_>>()
        };
        let (delivery, end_to_end, writes) = (times(11.0), times(19.0), times(5.0));
        let mut invocation = Invocation {
            at: START + Duration::from_secs(second),
            ledger: Ledger {
                received,
                stored: received - rejected - received / 40,
                superseded: received / 40,
                quarantined: rejected / 2,
                returned: rejected - rejected / 2,
                ..Ledger::default()
            },
            records: [("order".to_owned(), received - rejected)].into(),
            schemas: 1,
            decode_time: Duration::from_micros(20 * received as u64),
            write_time: writes[0],
            handler_time: writes[0] + Duration::from_micros(26 * received as u64),
            delivery_latency: delivery.into_iter().collect(),
            end_to_end_latency: end_to_end.into_iter().collect(),
            ..Invocation::default()
        };
        invocation.writes.write_units = received as f64;
        invocation.writes.latencies = writes.into_iter().take(received.div_ceil(25)).collect();
        if troubled {
            invocation.rejected.insert(Reason::Truncated, rejected);
            invocation.writes.throttles_table = received / 5;
            invocation.writes.throttles_hot_partition = received / 9;
        }
        log.push_str(&String::from_utf8(metrics.lines(&invocation)).unwrap());
    }
    log
}

fn ingest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest")).current_dir(ROOT).args(arguments).output().unwrap()
}

/// A temporary folder, which is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ingest-pages-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Creates a folder in the target directory, so that its files can be examined after the test.
    fn that_stays(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes the page of a report on `log`.
    fn report(&self, name: &str, log: &str) -> String {
        let (lines, page) = (self.file(&format!("{name}.log")), self.file(&format!("{name}.html")));
        fs::write(&lines, log).unwrap();
        let output = ingest(&["report", &lines, "--html", &page, "--revision", "v0.1.0-28-g1234567"]);
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        page
    }

    /// Writes the page of a plan.
    fn plan(&self, name: &str, arguments: &[&str]) -> String {
        let page = self.file(&format!("{name}.html"));
        let measured = ["plan", "--measured", "benches/results.json", "--html", &page];
        let output = ingest(&[&measured[..], arguments].concat());
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        page
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_page_of_a_day_or_of_any_other_time_has_at_most_600_kilobytes() {
    let folder = Folder::new("size");
    // a page shows the most points for five minutes, one per second
    for (seconds, every) in [(DAY, 10), (300, 1), (30 * DAY, 600)] {
        let page = folder.report("page", &log("orders", Day::Troubled, seconds, every));
        let size = fs::metadata(&page).unwrap().len();
        assert!(size <= MAX_PAGE_BYTES, "{seconds} s: {size} bytes");
    }
}

#[test]
fn what_did_not_happen_is_said_in_a_sentence_instead_of_an_empty_chart() {
    let folder = Folder::new("nothing");
    let text = |day| fs::read_to_string(folder.report("page", &log("orders", day, DAY, 300))).unwrap();
    let (calm, troubled) = (text(Day::Calm), text(Day::Troubled));
    for sentence in ["No message was returned, quarantined or rejected", "No write was throttled"] {
        assert!(calm.contains(sentence) && !troubled.contains(sentence), "{sentence}");
    }
    for chart in ["Messages that were not stored", "Throttled writes by cause", "hot partition"] {
        assert!(troubled.contains(chart) && !calm.contains(chart), "{chart}");
    }
    assert!(!troubled.contains("not given"), "only the causes that there were");
}

#[test]
fn a_page_begins_with_what_it_is_about_and_the_verdict() {
    let folder = Folder::new("summary");
    let text = |day| fs::read_to_string(folder.report("page", &log("orders", day, DAY, 60))).unwrap();
    let (calm, troubled) = (text(Day::Calm), text(Day::Troubled));
    for part in ["<h1>orders</h1>", "2026-12-01 00:00:00", "v0.1.0-28-g1234567", "512 MB, arm64"] {
        assert!(calm.contains(part), "{part}");
    }
    assert!(calm.contains("All 7 targets are met."));
    let place = |text: &str| troubled.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(
        place("targets are missed.") < place("Stored of received: ")
            && place("Stored of received: ") < place("<figure")
    );
}

/// Writes the pages that a browser examines. They stay in the target directory, so that its findings can be reproduced.
fn written_pages() -> Vec<String> {
    let folder = Folder::that_stays("pages");
    let two = [log("orders", Day::Calm, 3_600, 10), log("payments", Day::Troubled, DAY, 300)].concat();
    let load = |rate, peak| ["--rate", rate, "--peak", peak, "--record-bytes", "300"];
    let pages = vec![
        folder.report("report-calm", &log("orders", Day::Calm, DAY, 10)),
        folder.report("report-troubled", &log("orders", Day::Troubled, DAY, 60)),
        folder.report("report-seconds", &log("orders", Day::Calm, 40, 1)),
        folder.report("report-one-line", &log("orders", Day::Calm, 1, 1)),
        folder.report("report-two-functions", &two),
        folder.plan("plan", &[&load("2000", "8000")[..], &["--day"]].concat()),
        folder.plan("plan-impossible", &[&load("100000", "500000")[..], &["--set", "BatchSize=10"]].concat()),
        folder.plan("plan-profile", &["--profile", "latency"]),
    ];
    std::mem::forget(folder);
    pages
}

#[test]
#[ignore = "writes the page that make screenshots takes pictures of"]
fn chromium_has_a_page_to_take_pictures_of() {
    let folder = Folder::that_stays("screenshots");
    folder.report("report", &log("orders", Day::Troubled, DAY, 60));
    std::mem::forget(folder);
}

/// Opens `pages` in a browser. Returns whether there are no findings, and the findings.
fn look(pages: &[String]) -> (bool, String) {
    let output = Command::new("node").arg("tests/pages/look.mjs").args(pages).current_dir(ROOT).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

#[test]
#[ignore = "needs chromium: make test-pages"]
fn chromium_finds_nothing_wrong_with_the_pages_of_reports_and_plans() {
    let (is_right, findings) = look(&written_pages());
    assert!(is_right, "{findings}");
}

#[test]
#[ignore = "needs chromium: make test-pages"]
fn chromium_finds_what_is_wrong_with_a_page() {
    let folder = Folder::new("broken");
    let right = fs::read_to_string(folder.report("page", &log("orders", Day::Calm, 60, 1))).unwrap();
    let broken = |name: &str, faults: &[(&str, &str)]| {
        // the content security policy would prevent some of the faults
        let mut page = right.replace("http-equiv=\"Content-Security-Policy\"", "name=\"policy\"");
        for (text, instead) in faults {
            assert!(page.contains(text), "{text}");
            page = page.replace(text, instead);
        }
        let path = folder.file(name);
        fs::write(&path, page).unwrap();
        path
    };
    let grid = "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"0\" y2=\"0\"></line>";
    let curve = format!("{grid}<path d=\"M0 -20 300 -20 300 -30 0 -30 0 -40 300 -40 300 -50 0 -50\"></path>");
    let end = "<script>console.error('broken')</script><script>throw new Error('thrown')</script>\
               <div style='width:2000px;height:9px'></div><p>one</p><p style='margin-top:-1.4em'>two</p>\
               <img src='http://127.0.0.1:9/x.png' alt=''></main>";
    let pages = [
        broken(
            "outside.html",
            &[
                ("</main>", end),
                (grid, &curve),
                ("--soft: #55606f", "--soft: #c5c0cf"),
                ("<html lang=\"en\">", "<html>"),
                ("ArrowLeft", "ArrowUp"),
                ("Home: 0", "Home: rows.length - 1"),
                ("isLocal ? \"get\" : \"getUTC\"", "\"getUTC\""),
            ],
        ),
        broken(
            "inside.html",
            &[
                (".legend li {", ".legend li { visibility: hidden;"),
                ("<svg class=\"marks\"", "<svg class=\"none\""),
                ("<svg class=\"y\"", "<svg class=\"none\""),
            ],
        ),
    ];
    let (is_right, findings) = look(&pages);
    assert!(!is_right, "{findings}");
    for finding in [
        "outside.html, 400 pixels, dark: console: broken",
        "script: thrown",
        "request: http://127.0.0.1:9/x.png",
        "the page is 20",
        "text overlaps text: \"one\"",
        "a curve goes through",
        "light: contrast 1.",
        "axe html-has-lang",
        "axe color-contrast",
        "the arrow keys read no values",
        "times are \"2026-12-01 00:00:00\" and \"2026-12-01 00:00:00\"",
        "a legend entry is not visible",
        "nothing is drawn",
        "vertical axis []",
    ] {
        assert!(findings.contains(finding), "{finding}: {findings}");
    }
}
