//! Checks a plan against its requirements and limits, and suggests changes.

use super::planner::{Planner, Steady, TARGET_UTILISATION};
use serde::Serialize;
use simulation::deployment::Deployment;
use simulation::limits::{
    DEFAULT_ACCOUNT_CONCURRENCY, DEFAULT_TABLE_UNITS, MAX_IN_FLIGHT_MESSAGES, MAX_ITEM_BYTES, MAX_MESSAGE_BYTES,
    MAXIMUM_CONCURRENCY, MAXIMUM_POLLERS, NEW_TABLE_UNITS, UNRESERVED_CONCURRENCY,
};
use simulation::scaling::Scaling;

/// One requirement or limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PlanCheck {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// Maximum of the value. For `delivered`, the minimum.
    pub(crate) limit: f64,
    pub(crate) unit: &'static str,
    pub(crate) met: bool,
    /// Suggested change if the check is not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<String>,
}

/// Target for the used share of an instance's memory, from docs/requirements.md.
const MEMORY_UTILISATION: f64 = 0.8;
/// Target for delivered messages in percent, from docs/requirements.md.
const DELIVERED_PERCENT: f64 = 99.9;

fn at_most(
    name: &'static str,
    value: f64,
    limit: f64,
    unit: &'static str,
    change: impl FnOnce() -> String,
) -> PlanCheck {
    let met = value <= limit;
    PlanCheck { name, value, limit, unit, met, change: (!met).then(change) }
}

/// Returns all checks. The binding check is the first that is not met, or else the check nearest to its limit.
pub(crate) fn checks(
    planner: &Planner<'_>,
    deployment: &Deployment,
    at_rate: &Steady,
    at_peak: Option<&Steady>,
) -> Vec<PlanCheck> {
    let requirements = &planner.requirements;
    let hardest = at_peak.unwrap_or(at_rate);
    let mut checks = vec![readers(planner, deployment, hardest.rate)];
    checks.push(at_most("message size", requirements.message_bytes(), MAX_MESSAGE_BYTES, "bytes", || {
        "pack fewer records in a message".to_owned()
    }));
    checks.push(at_most("item size", requirements.item_bytes, MAX_ITEM_BYTES, "bytes", || {
        "DynamoDB takes no larger item: make records smaller, or keep the large part elsewhere".to_owned()
    }));
    let in_flight = hardest.outcome.most_in_flight as f64;
    let most_in_flight = MAX_IN_FLIGHT_MESSAGES as f64;
    checks.push(at_most("messages in flight", in_flight, most_in_flight * 0.999, "messages", || {
        "a standard queue holds no more: pack more records in a message, or make batches and their window smaller"
            .to_owned()
    }));
    let (units, table_units) = (requirements.units(hardest.rate), planner.table_units(deployment));
    checks.push(at_most("write units", units, table_units, "units/s", || {
        if table_units <= NEW_TABLE_UNITS {
            format!("a new table takes {NEW_TABLE_UNITS}: set WarmWriteUnits to {units:.0} or more")
        } else {
            format!("the table takes {table_units:.0}: raise WarmWriteUnits (and MaxWriteUnits, if set) to {units:.0}")
        }
    }));
    for (when, steady) in [("", Some(at_rate)), (" at the peak", at_peak)] {
        let Some(steady) = steady else { continue };
        let names = match when {
            "" => ["delivery P95", "end-to-end P95", "delivered"],
            _ => ["delivery P95 at the peak", "end-to-end P95 at the peak", "delivered at the peak"],
        };
        let outcome = &steady.outcome;
        let slower = || {
            let window = deployment.window_seconds;
            if window > 0 {
                format!(
                    "batches gather for up to {window} s: take BatchSize=10 and BatchingWindowSeconds=0, or allow for the window"
                )
            } else {
                "what waits is too long: see the limits above, or take more pollers".to_owned()
            }
        };
        checks.push(at_most(names[0], outcome.delivery.p95_ms, requirements.delivery_target_ms, "ms", slower));
        checks.push(at_most(names[1], outcome.end_to_end.p95_ms, requirements.end_to_end_target_ms, "ms", slower));
        let counted = (outcome.stored + outcome.dead_lettered + outcome.left) as f64;
        let delivered = outcome.stored as f64 / counted.max(1.0) * 100.0;
        // messages in flight at the end of a simulation are neither stored nor lost
        let met = delivered >= DELIVERED_PERCENT;
        let change = (!met).then(|| "more arrives than is written: see the limits above".to_owned());
        checks.push(PlanCheck { name: names[2], value: delivered, limit: DELIVERED_PERCENT, unit: "%", met, change });
    }
    if planner.service.knows_sizes() {
        let records = planner.batch(deployment) * requirements.records_per_message;
        let invocation = planner.service.time_of(records);
        let processor = invocation.processor_utilisation(deployment.memory_mb) * 100.0;
        checks.push(at_most("processor of an instance", processor, TARGET_UTILISATION * 100.0, "%", || {
            "raise MemoryMegabytes: 1769 buys a whole processor".to_owned()
        }));
        let memory = invocation.resident_mb / f64::from(deployment.memory_mb) * 100.0;
        checks.push(at_most("memory of an instance", memory, MEMORY_UTILISATION * 100.0, "%", || {
            "raise MemoryMegabytes".to_owned()
        }));
    }
    checks
}

/// Compares the processes or pollers that the load needs with the maximum.
fn readers(planner: &Planner<'_>, deployment: &Deployment, rate: f64) -> PlanCheck {
    let needed = f64::from(planner.needed(deployment, rate));
    let most = f64::from(deployment.scaling.most());
    let (name, range, parameter) = match deployment.scaling {
        Scaling::Standard { .. } => {
            ("instances at full batches", f64::from(*MAXIMUM_CONCURRENCY.end()), "MaxInstances")
        }
        Scaling::Pollers { .. } => ("pollers at full batches", f64::from(*MAXIMUM_POLLERS.end()), "MaximumPollers"),
    };
    // the check fails only if the load exceeds the full capacity; the 30 % reserve is a target of the plan
    let used = needed * TARGET_UTILISATION;
    at_most(name, used, most, "", || {
        if needed <= range {
            return format!("set {parameter}={needed:.0}, which leaves 30 % of reserve");
        }
        let messages = planner.requirements.messages(rate);
        let pack = planner.requirements.records_per_message * needed / range;
        format!(
            "{messages:.0} messages a second need {used:.0} with nothing in reserve, and {range:.0} are the most: pack {:.0} \
             records or more in a message (--records-per-message), or spread the load over several stacks",
            pack.ceil()
        )
    })
}

/// Returns the quotas to request from Service Quotas.
pub(crate) fn quotas(planner: &Planner<'_>, deployment: &Deployment) -> Vec<String> {
    let mut quotas = Vec::new();
    let concurrent = match deployment.scaling {
        Scaling::Standard { max_instances } => max_instances,
        Scaling::Pollers { maximum, .. } => {
            // a poller can run ten concurrent invocations, but runs only as many as the load requires
            let work = f64::from(maximum)
                * planner.mean_seconds(deployment, planner.batch(deployment))
                * simulation::limits::POLLS_PER_SECOND
                / TARGET_UTILISATION;
            simulation::whole(work.ceil()).max(deployment.min_instances)
        }
    };
    if concurrent + UNRESERVED_CONCURRENCY > DEFAULT_ACCOUNT_CONCURRENCY {
        quotas.push(format!(
            "Lambda, concurrent executions: {} ({concurrent} for this function, {UNRESERVED_CONCURRENCY} the account must keep)",
            concurrent + UNRESERVED_CONCURRENCY
        ));
    }
    let units = planner.requirements.units(planner.requirements.peak).max(f64::from(deployment.warm_write_units));
    if units > DEFAULT_TABLE_UNITS {
        quotas.push(format!(
            "DynamoDB, write units a second of a table: {units:.0} (the default is {DEFAULT_TABLE_UNITS})"
        ));
    }
    quotas
}
