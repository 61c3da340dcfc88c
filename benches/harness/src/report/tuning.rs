//! What each memory of the function costs and takes.

use super::{chart, section, table};
use crate::tune::{Edge, Run, Tuning};
use pages::{Across, Block, Chart, Colour, Section, Series, number};

/// The section of `tuning`.
pub(super) fn of(tuning: &Tuning) -> Section {
    let Tuning { machine, revision, date, effort: (rounds, seconds), period_us, runs, edges, .. } = tuning;
    let charts = batches(runs).into_iter().flat_map(|messages| {
        let size = number(f64::from(messages));
        [
            by_memory(runs, messages, &format!("A million messages, {size} a batch"), "dollars of Lambda", |run| {
                run.dollars
            }),
            by_memory(runs, messages, &format!("P95, {size} a batch"), "milliseconds", |run| run.figures.p95_ms),
        ]
    });
    let text = format!(
        "{date}, revision {revision}, {} cores of {}, Linux {}. The executable in a control group that gives it its memory and the share of the \
         processors that the memory buys, again every {} ms: {rounds} turns of {} seconds for each row. An environment always has work, so none of its \
         share is saved up. Dollars are Lambda's for a million messages, on arm64: invocations and billed time.",
        machine.cores,
        machine.processor,
        machine.kernel,
        number(f64::from(*period_us) / 1e3),
        number(*seconds),
    );
    section(
        "By memory",
        vec![
            Block::Text(text),
            Block::Charts(charts.collect()),
            table("By memory", &HEAD, runs.iter().map(cells)),
            Block::Heading("The largest events with the least memory".to_owned()),
            table("The largest events", &EDGE_HEAD, edges.iter().map(edge_cells)),
        ],
    )
}

pub(crate) const HEAD: [&str; 9] =
    ["messages", "endpoint ms", "memory MB", "processors", "billed ms", "P95 ms", "CPU µs a message", "peak MB", "$"];
pub(crate) const EDGE_HEAD: [&str; 6] = ["event", "messages", "returned", "items written", "seconds", "peak MB"];

pub(crate) fn cells(run: &Run) -> Vec<String> {
    let Run { memory_mb, processors, messages, delay_ms, figures, dollars } = run;
    vec![
        messages.to_string(),
        delay_ms.to_string(),
        memory_mb.to_string(),
        number(*processors),
        number(figures.billed_ms),
        number(figures.p95_ms),
        number(figures.cpu_us),
        number(figures.peak_resident_mb),
        format!("{dollars:.5}"),
    ]
}

pub(crate) fn edge_cells(edge: &Edge) -> Vec<String> {
    let Edge { event, messages, returned, items, seconds, peak_resident_mb, .. } = edge;
    let mut cells = vec![event.clone()];
    let counts = [*messages as f64, *returned as f64, *items as f64];
    cells.extend(counts.into_iter().chain([*seconds, *peak_resident_mb]).map(number));
    cells
}

/// The sizes of events, in the order in which they were measured.
fn batches(runs: &[Run]) -> Vec<u32> {
    let mut batches: Vec<u32> = runs.iter().map(|run| run.messages).collect();
    batches.sort_unstable();
    batches.dedup();
    batches
}

/// A line for each latency of the endpoint, over the memory.
fn by_memory(runs: &[Run], messages: u32, title: &str, unit: &str, value: impl Fn(&Run) -> f64) -> Chart {
    let of_size: Vec<&Run> = runs.iter().filter(|run| run.messages == messages).collect();
    let mut delays: Vec<u64> = of_size.iter().map(|run| run.delay_ms).collect();
    delays.sort_unstable();
    delays.dedup();
    let of_delay = |delay: u64| of_size.iter().filter(move |run| run.delay_ms == delay);
    let series = delays.iter().zip(Colour::SERIES).map(|(delay, colour)| {
        Series::line(format!("{delay} ms"), colour, of_delay(*delay).map(|run| Some(value(run))).collect())
    });
    let names = delays.first().map(|delay| of_delay(*delay).map(|run| run.memory_mb.to_string()).collect());
    Chart {
        note: Some("One line for each latency of the endpoint.".to_owned()),
        ..chart(
            title,
            unit,
            Across::Steps { label: "memory in MB".to_owned(), names: names.unwrap_or_default() },
            series.collect(),
        )
    }
}
