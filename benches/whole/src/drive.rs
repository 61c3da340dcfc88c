//! `bench drive`: one bootstrap at one kind of work, for a profiler to look at.

use crate::events;
use crate::figures::Figures;
use crate::process::{Process, Surroundings};
use std::error::Error;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// Keeps one bootstrap at work for a while.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The bootstrap
    bootstrap: PathBuf,
    /// Messages of an event
    #[arg(long, default_value_t = 1_000)]
    messages: u32,
    /// How long, in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
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
    let surroundings = Surroundings {
        delay: Duration::from_millis(arguments.delay),
        concurrency: arguments.concurrency,
        launcher: arguments.launcher.clone(),
        settings: Vec::new(),
    };
    let process = Process::start(&arguments.bootstrap, &surroundings).await?;
    let events = events::of(arguments.messages)?;
    let round =
        process.work(&events, usize::try_from(arguments.messages)?, Duration::from_secs_f64(arguments.seconds)).await?;
    println!("{:#?}", Figures::of(&[round], process.peak_resident_bytes()?));
    Ok(())
}
