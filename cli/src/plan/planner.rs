//! Chooses a deployment for the requirements: closed forms determine the sizes, the simulation tests the candidates, and the
//! cheapest that meets all targets wins.

use super::checks::{PlanCheck, checks};
use super::cost::Cost;
use super::queueing::Servers;
use super::requirements::Requirements;
use crate::prices::Prices;
use crate::template::template;
use simulation::deployment::Deployment;
use simulation::limits::{
    INVOCATIONS_PER_SECOND, MAX_BATCH_WITHOUT_WINDOW, MAX_PAYLOAD_BYTES, MAXIMUM_CONCURRENCY, MAXIMUM_POLLERS,
    MINIMUM_POLLERS, NEW_TABLE_UNITS,
};
use simulation::outcome::SimulationOutcome;
use simulation::scaling::Scaling;
use simulation::service::ServiceTimes;
use simulation::{Scenario, whole};
use std::collections::BTreeMap;

/// Target utilisation of a deployment, from docs/requirements.md.
pub(crate) const TARGET_UTILISATION: f64 = 0.7;
/// Target utilisation of the table's warm throughput.
const TABLE_UTILISATION: f64 = 0.8;
const BATCH_SIZES: [u32; 10] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Total and warm-up seconds of a simulation that compares candidates, and of one that is reported.
pub(crate) const CHOOSING: (u64, u64) = (8, 3);
const REPORTED: (u64, u64) = (60, 10);
/// Minimum number of messages that a simulation counts. A small load is simulated for longer.
const COUNTED_MESSAGES: f64 = 20.0;
/// Maximum length of a simulation of a steady load, in seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;
/// Minimum load in messages per second, at which a simulation of [`MAX_SECONDS`] still counts enough messages.
pub(crate) const MIN_MESSAGES_PER_SECOND: f64 = COUNTED_MESSAGES / MAX_SECONDS;
/// Seconds before a burst, and length of the burst in seconds.
const BURST: (u64, u64) = (60, 600);

/// The input of a plan.
pub(crate) struct Planner<'a> {
    pub(crate) requirements: Requirements,
    pub(crate) service: &'a ServiceTimes,
    pub(crate) prices: &'a Prices,
    /// Parameters of the template that are fixed.
    pub(crate) fixed: BTreeMap<String, String>,
    /// Write units per second that the table can take, if known.
    pub(crate) table_units: Option<f64>,
    pub(crate) seed: u64,
}

/// A deployment under a steady load.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    /// Load in records per second.
    pub(crate) rate: f64,
    pub(crate) outcome: SimulationOutcome,
    pub(crate) cost: Cost,
}

/// A sudden increase from the steady rate to the peak.
#[derive(Debug, Clone)]
pub(crate) struct Burst {
    /// Seconds until the backlog has been processed. `None` if this does not happen during the burst.
    pub(crate) caught_up_after: Option<u64>,
    pub(crate) worst_p95_ms: f64,
    pub(crate) most_waiting: u64,
    pub(crate) outcome: SimulationOutcome,
}

/// A deployment that was considered.
#[derive(Debug, Clone)]
pub(crate) struct Considered {
    pub(crate) deployment: Deployment,
    /// Cost per million records at the rate, in US dollars.
    pub(crate) dollars: f64,
    /// End-to-end P95 at the rate or at the peak, whichever is larger.
    pub(crate) p95_ms: f64,
    /// Number of requirements and limits that are not met.
    pub(crate) missed: usize,
}

/// The result of planning.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Deployments that were considered. Empty if the deployment was given.
    pub(crate) considered: Vec<Considered>,
    pub(crate) deployment: Deployment,
    pub(crate) table_units: f64,
    pub(crate) at_rate: Steady,
    /// Result at the peak. `None` if the peak does not exceed the rate.
    pub(crate) at_peak: Option<Steady>,
    pub(crate) burst: Option<Burst>,
    pub(crate) checks: Vec<PlanCheck>,
}

/// Returns the deployment that `parameters` define.
///
/// # Errors
/// If the template, AWS or the function would refuse the parameters.
pub(crate) fn deployment(parameters: &BTreeMap<String, String>) -> Result<Deployment, String> {
    template()?.check(parameters)?;
    Deployment::new(parameters)
}

impl Planner<'_> {
    /// Returns the cheapest deployment that meets all targets. If none does, returns the one that misses the fewest, and of
    /// these the fastest.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let mut best: Option<((usize, f64), Deployment)> = None;
        let mut considered = Vec::new();
        for deployment in self.candidates()? {
            let Requirements { rate, peak, .. } = self.requirements;
            let at_peak = self.steady(&deployment, peak, CHOOSING);
            let at_rate = if peak > rate { self.steady(&deployment, rate, CHOOSING) } else { at_peak.clone() };
            let missed = checks(self, &deployment, &at_rate, Some(&at_peak)).iter().filter(|check| !check.met).count();
            let slowest = at_rate.outcome.end_to_end.p95_ms.max(at_peak.outcome.end_to_end.p95_ms);
            let rank = (missed, if missed == 0 { at_rate.cost.total } else { slowest });
            let dollars = at_rate.cost.total;
            considered.push(Considered { deployment: deployment.clone(), dollars, p95_ms: slowest, missed });
            if best.as_ref().is_none_or(|(best, _)| rank < *best) {
                best = Some((rank, deployment));
            }
        }
        let (_, deployment) = best.ok_or("no batch size is left to choose from")?;
        Ok(Plan { considered, ..self.judge(deployment) })
    }

    /// Evaluates one deployment in detail.
    pub(crate) fn judge(&self, deployment: Deployment) -> Plan {
        let Requirements { rate, peak, .. } = self.requirements;
        let at_rate = self.steady(&deployment, rate, REPORTED);
        let bursts = peak > rate;
        let at_peak = bursts.then(|| self.steady(&deployment, peak, REPORTED));
        let burst = bursts.then(|| self.burst(&deployment));
        let table_units = self.table_units(&deployment);
        let checks = checks(self, &deployment, &at_rate, at_peak.as_ref());
        Plan { considered: Vec::new(), deployment, table_units, at_rate, at_peak, burst, checks }
    }

    /// Returns a candidate for each combination of batch size and scaling mode, sized for the peak.
    fn candidates(&self) -> Result<Vec<Deployment>, String> {
        // fixed parameters may exclude some or all candidates
        let mut tried = Vec::new();
        let payload = MAX_PAYLOAD_BYTES / self.requirements.event_bytes();
        for batch in BATCH_SIZES {
            let chosen = self.fixed.get("BatchSize").is_none_or(|fixed| *fixed == batch.to_string());
            if !chosen || (batch > 10 && (f64::from(batch) > payload || !self.service.knows_sizes())) {
                continue;
            }
            tried.extend([false, true].map(|pollers| self.candidate(batch, pollers)));
        }
        if tried.iter().all(|tried| matches!(tried, Ok(None))) {
            // a fixed batch size that is not in the list
            let fixed = self.fixed.get("BatchSize").and_then(|fixed| fixed.parse().ok()).unwrap_or(10);
            tried.extend([false, true].map(|pollers| self.candidate(fixed, pollers)));
        }
        let (mut candidates, mut refused) = (Vec::new(), None);
        for candidate in tried {
            match candidate {
                Ok(deployment) => candidates.extend(deployment),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        candidates.dedup();
        match refused {
            Some(why) if candidates.is_empty() => Err(why),
            _ => Ok(candidates),
        }
    }

    fn candidate(&self, batch: u32, pollers: bool) -> Result<Option<Deployment>, String> {
        let mode = if pollers { "pollers" } else { "standard" };
        let fixes_pollers = ["MinimumPollers", "MaximumPollers"].iter().any(|name| self.fixed.contains_key(*name));
        match self.fixed.get("ScalingMode").map(String::as_str) {
            Some(known @ ("standard" | "pollers")) if known != mode => return Ok(None),
            None if fixes_pollers && !pollers => return Ok(None),
            // an invalid mode or a contradiction is refused below
            _ => {}
        }
        let fixed = |name: &str| self.fixed.get(name).and_then(|fixed| fixed.parse::<u32>().ok());
        let mut deployment = Deployment {
            batch_size: batch,
            window_seconds: u32::from(batch > MAX_BATCH_WITHOUT_WINDOW),
            delivery_target_ms: whole(self.requirements.delivery_target_ms),
            end_to_end_target_ms: whole(self.requirements.end_to_end_target_ms),
            ..Deployment::default()
        };
        let needed = |deployment: &Deployment| self.needed(deployment, self.requirements.peak);
        deployment.scaling = if pollers {
            let any = Deployment { scaling: Scaling::Pollers { minimum: 2, maximum: 2 }, ..deployment.clone() };
            let now = self.needed(&any, self.requirements.rate);
            let within =
                |range: std::ops::RangeInclusive<u32>, pollers: u32| pollers.clamp(*range.start(), *range.end());
            let (minimum, maximum) = (within(MINIMUM_POLLERS, now), within(MAXIMUM_POLLERS, needed(&any)));
            // a chosen limit must not contradict a fixed one
            Scaling::Pollers {
                minimum: minimum.min(fixed("MaximumPollers").unwrap_or(maximum)),
                maximum: maximum.max(fixed("MinimumPollers").unwrap_or(minimum)),
            }
        } else {
            let any = Deployment { scaling: Scaling::Standard { max_instances: 2 }, ..deployment.clone() };
            let instances = needed(&any).clamp(*MAXIMUM_CONCURRENCY.start(), *MAXIMUM_CONCURRENCY.end());
            Scaling::Standard { max_instances: instances.max(fixed("MinInstances").unwrap_or_default()) }
        };
        let units = self.requirements.units(self.requirements.peak) / TABLE_UTILISATION;
        if units > NEW_TABLE_UNITS {
            let warm = whole((units / 1_000.0).ceil() * 1_000.0);
            let most = fixed("MaxWriteUnits").filter(|most| *most > 0);
            deployment.warm_write_units = most.map_or(warm, |most| warm.min(most));
        }
        let mut parameters: BTreeMap<String, String> =
            deployment.parameters().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        parameters.extend(self.fixed.clone());
        self::deployment(&parameters).map(Some)
    }

    /// Returns the number of processes or pollers needed for `records_per_second`. They must be able to handle the load at the
    /// target utilisation. In addition, by Erlang C, 95 % of batches must find a free one within a tenth of the latency target.
    pub(crate) fn needed(&self, deployment: &Deployment, records_per_second: f64) -> u32 {
        let batch = self.batch(deployment);
        let messages = self.requirements.messages(records_per_second);
        let each = deployment.scaling.messages_per_second(
            batch,
            self.mean_seconds(deployment, batch),
            self.requirements.message_bytes(),
        );
        let by_pace = (messages / each / TARGET_UTILISATION).ceil().max(1.0);
        let mut servers = Servers {
            arrivals_per_second: messages / batch,
            service_seconds: self.occupied_seconds(deployment, batch),
            servers: whole(by_pace) * deployment.scaling.invocations_each(),
        };
        let tolerable = self.requirements.end_to_end_target_ms / 1e3 / 10.0;
        while servers.wait_of(0.95) > tolerable && servers.servers < 100_000 {
            servers.servers += deployment.scaling.invocations_each();
        }
        servers.servers.div_ceil(deployment.scaling.invocations_each())
    }

    /// Returns the number of messages of a full invocation.
    pub(crate) fn batch(&self, deployment: &Deployment) -> f64 {
        f64::from(deployment.batch_size).min((MAX_PAYLOAD_BYTES / self.requirements.event_bytes()).floor().max(1.0))
    }

    pub(crate) fn mean_seconds(&self, deployment: &Deployment, batch: f64) -> f64 {
        self.service.time_of(batch * self.requirements.records_per_message).mean_seconds(deployment.memory_mb)
    }

    /// How long an invocation keeps its process: in standard mode a tenth of a second at least.
    fn occupied_seconds(&self, deployment: &Deployment, batch: f64) -> f64 {
        let seconds = self.mean_seconds(deployment, batch);
        match deployment.scaling {
            Scaling::Standard { .. } => seconds.max(1.0 / INVOCATIONS_PER_SECOND),
            Scaling::Pollers { .. } => seconds,
        }
    }

    /// Returns the write units per second that the table can take.
    pub(crate) fn table_units(&self, deployment: &Deployment) -> f64 {
        let own = self.table_units.unwrap_or_else(|| f64::from(deployment.warm_write_units).max(NEW_TABLE_UNITS));
        if deployment.max_write_units > 0 { own.min(f64::from(deployment.max_write_units)) } else { own }
    }

    pub(crate) fn steady(&self, deployment: &Deployment, rate: f64, (seconds, warm_up): (u64, u64)) -> Steady {
        let messages = self.requirements.messages(rate);
        let window = u64::from(deployment.window_seconds);
        let counted = u64::from(whole((COUNTED_MESSAGES / messages).min(MAX_SECONDS).ceil()));
        let seconds = seconds.max(warm_up + counted);
        let outcome = self.run(deployment, &|_| messages, (seconds + window, warm_up + window), rate);
        let log_bytes = self.service.time_of(self.batch(deployment) * self.requirements.records_per_message).log_bytes;
        let cost = Cost::of(&outcome, deployment, &self.requirements, rate, log_bytes, self.prices);
        Steady { rate, outcome, cost }
    }

    fn burst(&self, deployment: &Deployment) -> Burst {
        let Requirements { rate, peak, .. } = self.requirements;
        let (before, length) = BURST;
        let load = |second| self.requirements.messages(if second < before { rate } else { peak });
        let outcome = self.run(deployment, &load, (before + length, 0), rate);
        let in_burst = || outcome.series.iter().filter(|point| point.second >= before);
        let worst_p95_ms = in_burst().map(|point| point.end_to_end_p95_ms).fold(0.0, f64::max);
        let most_waiting = in_burst().map(|point| point.waiting).max().unwrap_or_default();
        // caught up: from then on, the backlog never exceeds the arrivals of one second
        let late = |point: &&simulation::outcome::Point| point.waiting as f64 > point.rate;
        let last_late = in_burst().filter(late).map(|point| point.second + 1 - before).max();
        let caught_up_after = match last_late {
            None => Some(0),
            Some(seconds) => (seconds + 1 < length).then_some(seconds),
        };
        Burst { caught_up_after, worst_p95_ms, most_waiting, outcome }
    }

    /// Simulates `load` in messages per second. The simulation starts with the number of pollers needed for
    /// `records_per_second`.
    pub(crate) fn run(
        &self,
        deployment: &Deployment,
        load: &dyn Fn(u64) -> f64,
        (seconds, warm_up): (u64, u64),
        records_per_second: f64,
    ) -> SimulationOutcome {
        let limited = Deployment { batch_size: whole(self.batch(deployment)), ..deployment.clone() };
        simulation::run(&Scenario {
            rate: load,
            seconds,
            warm_up,
            deployment: &limited,
            service: self.service,
            records_per_message: self.requirements.records_per_message,
            units_per_message: self.requirements.units_per_message(),
            table_units: self.table_units(deployment),
            pollers: self.needed(deployment, records_per_second),
            paced: true,
            overhead_us: u64::from(whole(self.requirements.overhead_ms * 1e3)),
            seed: self.seed,
        })
    }
}
