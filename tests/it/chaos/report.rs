//! Collects the results of the invocations from their responses and from their metrics, and checks that the two agree.

use crate::support::figures;
use local::lambda::{Function, Invocation, Line, Outcome};
use local::mapping::Totals;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{DEADLINE_MARGIN, TIMEOUT};

/// An invocation that takes this long and returns messages was ended by its deadline. Writes leave up to a quarter of the time
/// for sending to the quarantine queue.
const NEAR_DEADLINE: Duration = TIMEOUT.saturating_sub(DEADLINE_MARGIN).saturating_sub(Duration::from_millis(1_500));

/// Metrics of one invocation.
#[derive(Debug, Clone, Copy, Default)]
struct Ledger {
    received: u64,
    stored: u64,
    superseded: u64,
    quarantined: u64,
    returned: u64,
    imbalance: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) is_healed: bool,
    /// Metrics by request id.
    ledgers: BTreeMap<String, Ledger>,
    /// Number of messages returned by each invocation's response.
    responses: BTreeMap<String, u64>,
    kills: usize,
    kills_that_met: usize,
    at_deadline: usize,
    peak_bytes: u64,
}

impl Report {
    pub(crate) fn killed(&mut self, met: usize) {
        self.kills += 1;
        self.kills_that_met += usize::from(met > 0);
    }

    pub(crate) fn used(&mut self, peak_bytes: u64) {
        self.peak_bytes = self.peak_bytes.max(peak_bytes);
    }

    /// Records the result of an invocation of one of `functions`.
    pub(crate) fn ended(&mut self, invocation: &Invocation, functions: &[Function]) {
        functions.iter().for_each(|function| self.read(&function.take_output()));
        if let Outcome::Response(response) = &invocation.outcome {
            let response: Value = serde_json::from_slice(response).unwrap();
            let returned = response["batchItemFailures"].as_array().unwrap().len() as u64;
            self.responses.insert(invocation.request_id.clone(), returned);
            self.at_deadline += usize::from(returned > 0 && invocation.duration >= NEAR_DEADLINE);
        }
    }

    /// Returns a line that summarises the progress so far.
    pub(crate) fn progress(&self) -> String {
        format!(
            "{} responses, {} at the deadline, {} kills, {} of them met an invocation",
            self.responses.len(),
            self.at_deadline,
            self.kills,
            self.kills_that_met
        )
    }

    pub(crate) fn read(&mut self, lines: &[Line]) {
        for line in lines.iter().filter(|line| line.text.contains("\"MessagesReceived\"")) {
            let figures = figures(&line.text);
            let figure = |name: &str| figures[name].as_u64().unwrap();
            let ledger = Ledger {
                received: figure("MessagesReceived"),
                stored: figure("MessagesStored"),
                superseded: figure("MessagesSuperseded"),
                quarantined: figure("MessagesQuarantined"),
                returned: figure("MessagesReturned"),
                imbalance: figures["LedgerImbalance"].as_f64().unwrap(),
            };
            self.ledgers.insert(figures["RequestId"].as_str().unwrap().to_owned(), ledger);
        }
    }

    pub(crate) fn print(&self, messages: u64, totals: &[Totals]) {
        for (queue, totals) in ["orders", "states", "steps"].into_iter().zip(totals) {
            println!(
                "{queue}: {} deliveries, {} acknowledged, {} dead, {} invocations, {:?}; from first receive to stored P50 {:.2?}, P99 {:.1?}",
                totals.delivered,
                totals.acknowledged,
                totals.dead_lettered,
                totals.invocations(),
                totals.failed_invocations,
                totals.latency(50).unwrap_or_default(),
                totals.latency(99).unwrap_or_default()
            );
        }
        let seconds = totals.iter().map(|totals| totals.elapsed.as_secs_f64()).fold(0.0, f64::max);
        println!(
            "{messages} messages in {seconds:.0} s; {} of {} kills met an invocation; {} invocations at the deadline; {} MiB at most",
            self.kills_that_met,
            self.kills,
            self.at_deadline,
            self.peak_bytes >> 20
        );
    }

    /// Checks that the metrics agree with the responses and with the queues' counts, and that the planned faults occurred.
    pub(crate) fn check(&self, totals: &[Totals], memory_bytes: u64) {
        let mut sum = Ledger::default();
        for (request_id, returned) in &self.responses {
            let ledger = self.ledgers.get(request_id).expect("an invocation that responds has written its metrics");
            assert_eq!(ledger.returned, *returned, "{request_id}: {ledger:?}");
            assert!(ledger.imbalance.abs() < f64::EPSILON, "{request_id}: {ledger:?}");
            sum.received += ledger.received;
            sum.stored += ledger.stored;
            sum.superseded += ledger.superseded;
            sum.quarantined += ledger.quarantined;
            sum.returned += ledger.returned;
        }
        let acknowledged: usize = totals.iter().map(|totals| totals.acknowledged + totals.outdated).sum();
        assert_eq!(sum.stored + sum.superseded + sum.quarantined, acknowledged as u64, "{sum:?}");
        assert_eq!(sum.received, sum.returned + acknowledged as u64, "{sum:?}");
        assert!(sum.superseded > 0 && sum.quarantined > 0 && sum.returned > 0, "{sum:?}");
        assert!(self.is_healed);
        assert!(self.kills_that_met * 3 >= self.kills && self.kills_that_met > 0, "too few kills hit an invocation");
        assert!(self.at_deadline > 0, "no invocation reached its deadline");
        let count =
            |cause: &str| totals.iter().filter_map(|totals| totals.failed_invocations.get(cause)).sum::<usize>();
        assert!(count("crashed") > 0, "no invocation crashed");
        assert_eq!(count("timed_out"), 0, "every invocation must respond before its deadline");
        assert!(self.peak_bytes > 0 && self.peak_bytes < memory_bytes, "{} bytes", self.peak_bytes);
    }
}

/// Returns the name under which a proxy counts a fault of a plan.
pub(crate) fn name_of(fault: &Value) -> String {
    match fault {
        Value::String(name) => name.clone(),
        fault => {
            let (name, value) = fault.as_object().unwrap().iter().next().unwrap();
            value["code"].as_str().unwrap_or(name).to_owned()
        }
    }
}
