//! `ingest doctor`: finds problems of a deployment, explains why they matter, and suggests fixes.

mod checks;
mod facts;
mod filters;
mod layers;
mod looks;
mod policy;
#[cfg(test)]
mod tests;
mod unknown;

use crate::Outcome;
use crate::aws::Aws;
use crate::output::{self, OutputError, outln};
use avro_ingest::schema_dir;
use checks::{CHECKS, Severity};
use facts::{AlarmTargets, Facts, QueueAddress};
use indicatif::ProgressBar;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Checks a deployment, and reports each problem, why it matters and how to fix it. Read-only. Exit code 1 if there is a
/// problem or a resource is missing or cannot be read, 2 if nothing could be checked.
#[derive(clap::Args)]
#[command(after_help = "\
A check that cannot read its facts reports unknown. The other checks still run.

Examples:
  ingest doctor --stack avro-ingest --schemas schemas
  ingest doctor --stack avro-ingest --json
  ingest doctor --function orders --queue-url https://sqs.eu-west-1.amazonaws.com/123456789012/orders --table orders")]
pub(crate) struct Arguments {
    /// Name of a stack made from this project's template
    #[arg(long, value_name = "NAME", conflicts_with_all = ["function", "queue_url", "table"])]
    stack: Option<String>,
    /// Without --stack: the function
    #[arg(long, value_name = "NAME", requires = "queue_url", requires = "table", required_unless_present = "stack")]
    function: Option<String>,
    /// Without --stack: URL of the queue
    #[arg(long, value_name = "URL", requires = "function")]
    queue_url: Option<String>,
    /// Without --stack: the table
    #[arg(long, value_name = "NAME", requires = "function")]
    table: Option<String>,
    /// Schema directory to compare with the deployed schemas
    #[arg(long, value_name = "DIR")]
    schemas: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Problem,
    Unknown,
}

#[derive(Debug, Clone, Serialize)]
struct Finding {
    check: &'static str,
    severity: Severity,
    status: Status,
    /// The problem, or the reason why the result is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    why: &'static str,
    fix: &'static str,
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome {
    let aws = Aws::load().await?;
    let bar = ProgressBar::new_spinner().with_message("reading what is deployed");
    bar.enable_steady_tick(Duration::from_millis(200));
    let targets = match (&arguments.stack, &arguments.function, &arguments.queue_url, &arguments.table) {
        (Some(stack), ..) => AlarmTargets::of_stack(&aws, stack).await?,
        (None, Some(function), Some(queue_url), Some(table)) => {
            let queue = QueueAddress::Url(queue_url.clone());
            AlarmTargets { stack: None, function: function.clone(), queue, table: table.clone() }
        }
        _ => return Err("--stack, or --function with --queue-url and --table, is needed".into()),
    };
    let schemas = match &arguments.schemas {
        Some(directory) => Ok(schema_dir::read(directory)?),
        None => Err("give --schemas, the directory that should be deployed".into()),
    };
    let facts = Facts::gather(&aws, &targets, schemas).await;
    bar.finish_and_clear();
    let findings = findings(&facts);
    if arguments.json {
        output::json(&findings)?;
    } else {
        show(&findings)?;
    }
    if let Some(cause) = unchecked(&findings) {
        return Err(format!("nothing could be checked: {cause}").into());
    }
    Ok(findings.iter().all(|finding| finding.status != Status::Problem))
}

/// Returns why nothing could be checked. Returns `None` if at least one check has a result. A denied call is not such a result,
/// because it tells nothing about the deployment.
fn unchecked(findings: &[Finding]) -> Option<&str> {
    let is_verdict = |finding: &Finding| finding.status != Status::Unknown && finding.check != checks::CALLS_ALLOWED;
    if findings.iter().any(is_verdict) {
        return None;
    }
    findings.iter().find_map(|finding| finding.what.as_deref())
}

fn findings(facts: &Facts) -> Vec<Finding> {
    let judge = |check: &checks::Check| {
        let (status, what) = match (check.look)(facts) {
            Ok(None) => (Status::Ok, None),
            Ok(Some(problem)) => (Status::Problem, Some(problem)),
            Err(cause) => (Status::Unknown, Some(cause.to_string())),
        };
        Finding { check: check.name, severity: check.severity, status, what, why: check.why, fix: check.fix }
    };
    CHECKS.iter().map(judge).collect()
}

fn show(findings: &[Finding]) -> Result<(), OutputError> {
    for Finding { check, severity, status, what, why, fix } in findings {
        let what = what.as_deref().unwrap_or_default();
        match (status, severity) {
            (Status::Ok, _) => outln!("ok       {check}")?,
            (Status::Unknown, _) => outln!("unknown  {check}: {what}")?,
            (Status::Problem, Severity::Error) => outln!("ERROR    {check}: {what}\n         {why}\n         {fix}")?,
            (Status::Problem, Severity::Warning) => {
                outln!("warning  {check}: {what}\n         {why}\n         {fix}")?;
            }
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.status == wanted).count();
    outln!("\n{} ok, {} wrong, {} unknown", count(Status::Ok), count(Status::Problem), count(Status::Unknown))
}
