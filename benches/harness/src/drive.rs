//! `harness drive`: one bootstrap at one kind of work, for a profiler to look at.

use crate::compare::{self, Effort};
use crate::endpoint::Behaviour;
use crate::process::RunConfig;
use std::error::Error;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// Keeps one bootstrap at work for a while and prints what it took
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The bootstrap
    bootstrap: PathBuf,
    /// Messages of an event
    #[arg(long, default_value_t = 1_000)]
    messages: u32,
    #[command(flatten)]
    effort: Effort,
    /// How long the endpoint takes for an answer, in milliseconds
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Invocations at once
    #[arg(long, default_value_t = NonZero::<u32>::MIN)]
    concurrency: NonZero<u32>,
    /// A command that becomes the bootstrap, whose path is its last argument
    #[arg(long, default_value = "", value_name = "COMMAND")]
    launcher: String,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let config = RunConfig {
        endpoint: Behaviour::taking(Duration::from_millis(arguments.delay)),
        concurrency: arguments.concurrency,
        launcher: arguments.launcher.clone(),
        ..RunConfig::default()
    };
    let figures = compare::alone(&arguments.bootstrap, arguments.messages, &config, arguments.effort).await?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}
