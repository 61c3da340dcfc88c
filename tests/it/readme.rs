//! Tests that the tables in README and docs, and the template, list exactly what exists.

use avro_ingest::avro::WireFormat;
use avro_ingest::metrics::Metric;
use avro_ingest::outcome::Reason;
use avro_ingest::settings::{Setting, Settings};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the names in the first column of the table under `heading`.
fn first_column(file: &str, heading: &str) -> BTreeSet<String> {
    let page = read(file);
    let section = page.split(&format!("{heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',').map(str::trim).collect::<Vec<_>>());
    names.map(|name| name.trim_matches('`').to_owned()).filter(|name| name != "…").collect()
}

fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

#[test]
fn every_rejection_reason_is_explained() {
    assert_eq!(
        first_column("docs/reasons.md", "# Why a message is rejected"),
        names(Reason::ALL.iter().map(|reason| reason.code()))
    );
}

#[test]
fn every_wire_format_is_explained() {
    assert_eq!(first_column("README.md", "### Wire formats"), names(WireFormat::ALL));
}

/// Returns the words of a page that are in backticks and in `CamelCase`.
fn camel_case_words(page: &str) -> BTreeSet<String> {
    let is_camel_case = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric())
            && word.chars().any(|letter| letter.is_ascii_lowercase())
    };
    page.split('`').skip(1).step_by(2).filter(is_camel_case).map(str::to_owned).collect()
}

/// Metrics of AWS's own services that a page may name.
const AWS_METRICS: [&str; 3] = ["ConcurrentExecutions", "Duration", "SuccessfulRequestLatency"];

#[test]
fn the_metrics_and_parameters_of_the_troubleshooting_page_exist() {
    let metrics: BTreeSet<String> = Metric::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let template = read("template.yaml");
    let words = camel_case_words(&read("docs/troubleshooting.md"));
    assert!(words.len() > 15, "{words:?}");
    for word in words {
        let is_parameter = template.contains(&format!("\n  {word}:\n"));
        assert!(metrics.contains(&word) || is_parameter || AWS_METRICS.contains(&&*word), "{word} does not exist");
    }
}

/// The type and the file of each term.
#[test]
fn every_term_of_the_glossary_links_to_its_type() {
    let page = read("docs/glossary.md");
    let links: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.split("[`").nth(1)?.split_once("`](../"))
        .map(|(name, rest)| (name, rest.trim_end_matches(") |")))
        .collect();
    assert!(links.len() > 25, "{links:?}");
    for (name, path) in links {
        let text = read(path);
        let is_defined = ["struct ", "enum ", "trait ", "fn "].iter().any(|kind| {
            text.match_indices(&format!("{kind}{name}")).any(|(at, found)| {
                !text[at + found.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })
        });
        assert!(is_defined, "{path} does not define {name}");
    }
}

/// Returns the row of a setting in `docs/settings.md`.
fn row(setting: &Setting) -> String {
    let Setting { name, default, range, meaning, low, high, .. } = setting;
    let effect = if low.is_empty() { String::new() } else { format!(" Low: {low}. High: {high}.") };
    let default = if ["required", "none"].contains(default) { (*default).to_owned() } else { format!("`{default}`") };
    format!("| `{name}` | {default} | {range} | {meaning}{effect} |")
}

/// Checks generated text. With `UPDATE_DOCS=1 cargo test --test it readme`, writes it instead.
fn is_or_becomes(file: &str, is: &str, should_be: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), should_be).unwrap();
    } else {
        assert!(is == should_be, "{file} is out of date: UPDATE_DOCS=1 cargo test --test it readme writes it anew");
    }
}

/// Checks that the only table of a page consists of `rows`.
fn table_is(file: &str, rows: &[String]) {
    let text = read(file);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with('|')).unwrap();
    let end = first + lines[first..].iter().take_while(|line| line.starts_with('|')).count();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    is_or_becomes(file, &text, &([&lines[..first], &rows, &lines[end..]].concat().join("\n") + "\n"));
}

/// Checks that the first table under `heading` consists of `rows`.
fn table_under_heading_is(file: &str, heading: &str, rows: &[String]) {
    let text = read(file);
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| *line == heading).unwrap_or_else(|| panic!("no section {heading}"));
    let first = start + lines[start..].iter().position(|line| line.starts_with('|')).unwrap();
    let end = first + lines[first..].iter().take_while(|line| line.starts_with('|')).count();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    is_or_becomes(file, &text, &([&lines[..first], &rows, &lines[end..]].concat().join("\n") + "\n"));
}

/// Formats a number of messages, with a comma before the thousands.
fn thousands(count: u64) -> String {
    if count < 1_000 { count.to_string() } else { format!("{},{:03}", count / 1_000, count % 1_000) }
}

/// Formats an amount in dollars.
fn dollars(amount: f64) -> String {
    if amount < 0.0005 { "<$0.001".to_owned() } else { format!("${amount:.3}") }
}

/// Returns the rows of the README's table: speed and cost for each batch size of `make bench`.
fn speed_and_cost(results: &serde_json::Value) -> Vec<String> {
    let list = |name: &str| results[name].as_array().unwrap().clone();
    let delay = results["delay_ms"].as_u64().unwrap();
    let what = format!("messages per batch | CPU per message | P95 of an invocation, {delay} ms per write call");
    let mut rows = vec![
        format!("| {what} | DynamoDB | SQS | Lambda | logs | total |"),
        "| --- | --- | --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for ((at_once, delayed), cost) in list("at_once").iter().zip(&list("delayed")).zip(&list("costs")) {
        let messages = at_once["messages"].as_u64().unwrap();
        assert!([delayed, cost].iter().all(|row| row["messages"] == messages), "the batch sizes differ");
        let [cpu, cpu_of_baseline] = ["ours", "baseline"].map(|whose| at_once[whose]["cpu_us"].as_f64().unwrap());
        let [p95, p95_of_baseline] = ["ours", "baseline"].map(|whose| delayed[whose]["p95_ms"].as_f64().unwrap());
        let speed = format!("{cpu:.1} µs ({cpu_of_baseline:.1}) | {p95:.1} ms ({p95_of_baseline:.1})");
        let parts = ["dynamodb", "sqs", "lambda", "cloudwatch", "total"];
        let parts = parts.map(|part| dollars(cost[part].as_f64().unwrap())).join(" | ");
        rows.push(format!("| {} | {speed} | {parts} |", thousands(messages)));
    }
    rows
}

/// Returns the rows of the table of results of `make bench`.
fn measured(results: &serde_json::Value) -> Vec<String> {
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let list = |name: &str| results[name].as_array().unwrap().clone();
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    let batch = |row: &serde_json::Value| thousands(count(&row["messages"]));
    let mut rows =
        vec!["| figure | avro-ingest | baseline | ratio |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    for row in list("at_once") {
        let [ours, baseline] = ["ours", "baseline"].map(|whose| number(&row[whose]["cpu_us"]));
        let (figure, ratio) = (format!("CPU per message, batches of {}", batch(&row)), number(&row["ratio"]["median"]));
        rows.push(format!("| {figure} | {ours:.1} µs | {baseline:.1} µs | {ratio:.1} |"));
    }
    let delay = count(&results["delay_ms"]);
    for row in list("delayed") {
        let [ours, baseline] = ["ours", "baseline"].map(|whose| number(&row[whose]["p95_ms"]));
        let figure = format!("P95 of an invocation, batches of {}, {delay} ms per write call", batch(&row));
        rows.push(format!("| {figure} | {ours:.1} ms | {baseline:.1} ms | {:.1} |", baseline / ours));
    }
    let conditions = &results["conditions"];
    let endpoint = format!(
        "TLS, {} ms per write call at the median and {} ms at P99, {} % of items unprocessed, {} % of calls reset",
        number(&conditions["p50_ms"]),
        number(&conditions["p99_ms"]),
        (number(&conditions["unprocessed"]) * 1e4).round() / 100.0,
        (number(&conditions["broken"]) * 1e4).round() / 100.0,
    );
    for row in conditions["rows"].as_array().unwrap().iter().filter(|row| row["tls"] == true) {
        let [ours, baseline] = ["ours", "baseline"].map(|whose| number(&row[whose]["p95_ms"]));
        let figure = format!("P95 of an invocation, batches of {}, {endpoint}", batch(row));
        rows.push(format!("| {figure} | {ours:.0} ms | {baseline:.0} ms | {:.1} |", baseline / ours));
    }
    let [ours, baseline] = ["ours_ms", "baseline_ms"].map(|whose| number(&results["start"][whose]));
    let figure = "median time from process start to the first request for an event";
    rows.push(format!("| {figure} | {ours:.1} ms | {baseline:.1} ms | {:.1} |", baseline / ours));
    let of_tls = |start: &&serde_json::Value| start["kind"] == "TLS, the machine's certificates";
    let starts = list("starts");
    let starts: Vec<f64> = starts.iter().filter(of_tls).map(|start| number(&start["init"]["p99_ms"])).collect();
    let [ours, baseline] = starts[..] else { panic!("one start of avro-ingest and one of the baseline") };
    let figure = "P99 of that time in 50 starts, with TLS";
    rows.push(format!("| {figure} | {ours:.1} ms | {baseline:.1} ms | {:.1} |", baseline / ours));
    for cost in list("costs") {
        let [lambda, total] = ["lambda", "total"].map(|part| dollars(number(&cost[part])));
        let figure = format!("cost of a million messages, batches of {}: total, and Lambda's part", batch(&cost));
        rows.push(format!("| {figure} | {total}, {lambda} | | |"));
    }
    let machine = &results["machine"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rows.push(format!(
        "| measured on | {} cores of {}, Linux {}, at {}, {} | | |",
        count(&machine["cores"]),
        text(&machine["processor"]),
        text(&machine["kernel"]),
        text(&results["revision"]),
        text(&results["date"])
    ));
    rows
}

#[test]
fn what_is_measured_is_documented_as_it_was() {
    let results = serde_json::from_str(&read("benches/results.json")).unwrap();
    table_under_heading_is("README.md", "## Speed and cost", &speed_and_cost(&results));
    table_under_heading_is("docs/performance.md", "## Results", &measured(&results));
}

#[test]
fn the_settings_are_documented_as_they_are_declared() {
    let header = ["| variable | default | range | meaning |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    let rows: Vec<String> = header.into_iter().chain(Settings::all().iter().map(row)).collect();
    table_is("docs/settings.md", &rows);
}

fn dimensions(metric: &Metric) -> Vec<&'static str> {
    std::iter::once("Service").chain(metric.dimension).collect()
}

#[test]
fn the_metrics_are_documented_as_they_are_declared() {
    let header = ["| name | unit | dimensions | meaning |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    let row = |metric: &Metric| {
        format!("| `{}` | {:?} | {} | {} |", metric.name, metric.unit, dimensions(metric).join(", "), metric.meaning)
    };
    let rows: Vec<String> = header.into_iter().chain(Metric::ALL.iter().map(row)).collect();
    table_is("docs/metrics.md", &rows);
}

#[test]
fn the_template_is_checked_against_the_metrics_as_they_are_declared() {
    let line = |metric: &Metric| {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let (name, unit, meaning) = (text(metric.name), text(&format!("{:?}", metric.unit)), text(metric.meaning));
        let dimensions: Vec<String> = dimensions(metric).into_iter().map(text).collect();
        let dimensions = dimensions.join(", ");
        format!(r#"  {{"name": {name}, "unit": {unit}, "dimensions": [{dimensions}], "meaning": {meaning}}}"#)
    };
    let lines: Vec<String> = Metric::ALL.iter().map(line).collect();
    let file = "deploy/metrics.json";
    is_or_becomes(file, &read(file), &format!("[\n{}\n]\n", lines.join(",\n")));
}

#[test]
fn what_observing_costs_is_documented_as_the_template_has_it() {
    let prices: serde_json::Value = serde_json::from_str(&read("benches/prices.json")).unwrap();
    let price = |name: &str| prices[name].as_f64().unwrap();
    let template = read("template.yaml");
    let count = |text: &str| template.matches(text).count();
    let series = Metric::ALL.iter().filter(|metric| metric.dimension.is_none()).count();
    assert!(template.contains(&format!("MetricSeries: {series}\n")));
    let month = |count: usize, name: &str| format!("| {count} | {:.2} a month |", count as f64 * price(name));
    let page = read("docs/metrics.md");
    for row in [
        month(series, "cloudwatch_per_metric_month"),
        month(count("MetricName: "), "cloudwatch_per_alarm_metric_month"),
        month(count("Type: AWS::CloudWatch::Dashboard"), "cloudwatch_per_dashboard_month"),
        format!("| {:.3} per million messages |", 900.0 / 10.0 * 1e6 / 1e9 * price("cloudwatch_logs_per_gb")),
    ] {
        assert!(page.contains(&row), "docs/metrics.md lacks: {row}");
    }
    let metrics = format!("${:.2} per month", series as f64 * price("cloudwatch_per_metric_month"));
    assert!(read("README.md").contains(&metrics), "README.md lacks: {metrics}");
}

/// Returns the parameter's block in the template.
fn parameter(template: &str, name: &str) -> String {
    let block = template.split(&format!("\n  {name}:\n")).nth(1).unwrap_or_else(|| panic!("no parameter {name}"));
    block.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_setting_can_be_set_in_the_template_and_has_its_default_there() {
    let template = read("template.yaml");
    for setting in Settings::all() {
        let Setting { name, default, .. } = &setting;
        match *name {
            // set by Lambda itself
            "AWS_REGION" => continue,
            // the template takes it from AWS
            "ACCOUNT_ID" => {
                assert!(template.contains("\n          ACCOUNT_ID: !Ref AWS::AccountId\n"));
                continue;
            }
            // fixed by the layer
            "SCHEMA_DIR" => continue,
            // the template has one for each service instead
            "AWS_ENDPOINT_URL" => continue,
            _ => {}
        }
        let value = template.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
        let value = value.unwrap_or_else(|| panic!("the template does not set {name}"));
        let Some(name) = value.strip_prefix("!Ref ").filter(|name| *name != "Table") else {
            assert!(value.starts_with("!If") || value == "!Ref Table", "{name}: {value}");
            continue;
        };
        let parameter = parameter(&template, name);
        let field = |field: &str| {
            let line = parameter.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: ")));
            line.map(|value| value.trim_matches('\'').to_owned())
        };
        let expected = if *default == "none" { "" } else { default };
        assert_eq!(field("Default").as_deref(), Some(expected), "{name}");
        if let (Some((least, most)), Some(min), Some(max)) =
            (setting.range.split_once(" to "), field("MinValue"), field("MaxValue"))
        {
            let number = |text: &str| text.parse::<u64>().unwrap();
            assert!(number(least) <= number(&min) && number(&max) <= number(most), "{name}");
        }
    }
}
