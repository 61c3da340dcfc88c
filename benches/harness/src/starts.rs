//! Starts: from exec to the first call for an event, and the first event, with one thing after another added.

use crate::compare::Bootstraps;
use crate::endpoint::{Behaviour, Trust};
use crate::events;
use crate::figures::Percentiles;
use crate::process::{Process, RunConfig};
use local::credentials::CredentialsEndpoint;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Starts of each kind.
pub(crate) const STARTS: usize = 50;
/// Messages of the first event.
const MESSAGES: u32 = 10;
const HOUR: Duration = Duration::from_secs(3_600);

/// Starts of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// What is there at the start.
    pub(crate) kind: String,
    /// Of avro-ingest, or else of the baseline.
    pub(crate) ours: bool,
    /// From exec to the first call for an event.
    pub(crate) init: Percentiles,
    /// The first event.
    pub(crate) first: Percentiles,
}

/// Starts of every kind. `folder` is for schema directories.
pub(crate) async fn measure(bootstraps: &Bootstraps, folder: &Path) -> Result<Vec<Start>, Box<dyn Error>> {
    let credentials = CredentialsEndpoint::start(0, HOUR, 0)?;
    let plain = RunConfig::default();
    let over_tls = |trust| RunConfig {
        endpoint: Behaviour { tls: Some(trust), ..Behaviour::taking(Duration::ZERO) },
        ..RunConfig::default()
    };
    let of_a_container = RunConfig {
        settings: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
            .map(|name| (name, String::new()))
            .into_iter()
            .chain([("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials.url())])
            .collect(),
        ..over_tls(Trust::Machine)
    };
    let with_schemas =
        |count| Ok::<_, Box<dyn Error>>(RunConfig { schemas: schemas(folder, count)?, ..over_tls(Trust::Machine) });
    let mut starts = Vec::new();
    for (kind, ours, config) in [
        ("plain HTTP", true, plain.clone()),
        ("TLS, one certificate", true, over_tls(Trust::Endpoint)),
        ("TLS, the machine's certificates", true, over_tls(Trust::Machine)),
        ("TLS, credentials of a container", true, of_a_container),
        ("TLS, 100 schemas", true, with_schemas(100)?),
        ("TLS, 1,000 schemas", true, with_schemas(1_000)?),
        ("plain HTTP", false, plain),
        ("TLS, the machine's certificates", false, over_tls(Trust::Machine)),
    ] {
        let bootstrap = if ours { &bootstraps.ours } else { &bootstraps.baseline };
        let (init, first) = times(bootstrap, &config).await?;
        starts.push(Start { kind: kind.to_owned(), ours, init, first });
    }
    Ok(starts)
}

async fn times(bootstrap: &Path, config: &RunConfig) -> Result<(Percentiles, Percentiles), Box<dyn Error>> {
    let events = events::of(MESSAGES)?;
    let (mut init, mut first) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let process = Process::start(bootstrap, config).await?;
        init.push(process.init()?);
        first.push(process.once(&events).await?);
    }
    Ok((Percentiles::of(init), Percentiles::of(first)))
}

/// A directory of `count` schemas: the order's, and others that differ from it by their names.
fn schemas(folder: &Path, count: usize) -> Result<PathBuf, Box<dyn Error>> {
    let order = fs::read_to_string(RunConfig::default().schemas.join("order/1.avsc"))?;
    let directory = folder.join(format!("schemas-{count}"));
    for number in 0..count {
        let (subject, schema) = match number {
            0 => ("order".to_owned(), order.clone()),
            _ => (format!("order{number}"), order.replace("\"Order\"", &format!("\"Order{number}\""))),
        };
        let subject = directory.join(subject);
        fs::create_dir_all(&subject)?;
        fs::write(subject.join("1.avsc"), schema)?;
    }
    Ok(directory)
}
