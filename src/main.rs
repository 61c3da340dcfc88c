//! The Lambda bootstrap: environment, clients, run. The only reader of process state.

use avro_ingest::clients::Clients;
use avro_ingest::invocation::{Handler, Memory};
use avro_ingest::runtime::{self, RuntimeApi};
use avro_ingest::settings::Settings;
use avro_ingest::transport::{ConnectionPool, sdk_http_client};
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::config::Region;
use std::error::Error;
use std::num::NonZero;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tracing_subscriber::filter::LevelFilter;

/// Memory that buys one whole processor, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const MEMORY_OF_A_PROCESSOR: usize = 1_769;

fn main() -> ExitCode {
    keep_memory();
    let runtime = match (processors(), concurrent_invocations().get()) {
        // with one processor or a share of one, threads that wake each other only cost
        (1, 1) => Builder::new_current_thread().enable_all().build(),
        // what one invocation decodes must not block the others
        (processors, _) => Builder::new_multi_thread().worker_threads(processors).enable_all().build(),
    };
    match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            eprintln!("no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has the allocator keep what an invocation gives back, for the next: an environment's memory is its own, and asking the
/// system for the same megabytes again costs more than decoding does into them.
#[cfg(target_env = "gnu")]
fn keep_memory() {
    /// The most that the allocator takes for its own threshold, and more than any event.
    /// <https://man7.org/linux/man-pages/man3/mallopt.3.html>
    const MMAP_THRESHOLD: libc::c_int = 32 * 1024 * 1024;
    #[expect(unsafe_code, reason = "over a tenth of the time of large batches, and no library wraps it")]
    // SAFETY: called before there is a second thread; the parameters are glibc's own and change only when memory goes back
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}

/// What Lambda says in one of its own variables.
fn number(name: &str) -> Option<usize> {
    setting(name).and_then(|text| text.parse().ok())
}

/// The memory that invocations share.
fn memory() -> Memory {
    Memory::new(number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), concurrent_invocations().get())
}

/// Processors this environment may keep busy. An ordinary one sees two but gets the share its memory buys; one of Lambda
/// Managed Instances, which works on several invocations at once, gets what it sees.
fn processors() -> usize {
    let seen = std::thread::available_parallelism().map_or(1, NonZero::get);
    match (concurrent_invocations().get(), number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) {
        (2.., _) | (_, None) => seen,
        (_, Some(memory)) => (memory / MEMORY_OF_A_PROCESSOR).clamp(1, seen),
    }
}

async fn run() -> ExitCode {
    start_logging();
    std::panic::set_hook(Box::new(log_panic));
    match (runtime_api(), start().await) {
        (Ok(api), Ok(handler)) => {
            runtime::run(handler, api, concurrent_invocations()).await;
            return ExitCode::SUCCESS;
        }
        (api, Err(error)) => {
            tracing::error!(%error, "stopped");
            if let Ok(api) = api {
                runtime::report_init_error(api, error.as_ref()).await;
            }
        }
        (Err(error), Ok(_)) => tracing::error!(%error, "stopped"),
    }
    ExitCode::FAILURE
}

fn runtime_api() -> Result<RuntimeApi, Box<dyn Error + Send + Sync>> {
    let address = setting("AWS_LAMBDA_RUNTIME_API")
        .ok_or("AWS_LAMBDA_RUNTIME_API is not set: Lambda or an emulator of it starts this program")?;
    RuntimeApi::parse(&address)
}

/// Invocations that Lambda sends at a time: several to an environment of Managed Instances.
fn concurrent_invocations() -> NonZero<usize> {
    number("AWS_LAMBDA_MAX_CONCURRENCY").and_then(NonZero::new).unwrap_or(NonZero::<usize>::MIN)
}

#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A panic's formatted message may quote what it choked on, and with it a payload: only a literal one is logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&str>().copied().unwrap_or("message withheld");
    tracing::error!(location = panic.location().map(ToString::to_string), message, "panic");
}

/// Logs as Lambda's own settings ask for: JSON unless it says text, from the level it names.
fn start_logging() {
    let level = setting("AWS_LAMBDA_LOG_LEVEL").and_then(|level| match level.to_uppercase().as_str() {
        // Lambda's name for what tracing calls an error
        "FATAL" => Some(LevelFilter::ERROR),
        other => other.parse().ok(),
    });
    let subscriber = tracing_subscriber::fmt().with_max_level(level.unwrap_or(LevelFilter::INFO)).with_target(false);
    if setting("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text")) {
        // Lambda stamps the time itself
        subscriber.without_time().with_ansi(false).init();
    } else {
        subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
}

async fn start() -> Result<Handler, Box<dyn Error + Send + Sync>> {
    let settings = Settings::parse(|name| match name {
        "AWS_REGION" => setting(name).or_else(|| setting("AWS_DEFAULT_REGION")),
        name => setting(name),
    })?;
    let connections = Arc::new(ConnectionPool::new(settings.max_in_flight.get())?);
    // the two places where Lambda puts them; the latter's end and are loaded again
    let provider = ProviderConfig::without_region()
        .with_http_client(sdk_http_client(connections.clone()))
        .with_region(settings.region.clone().map(Region::new));
    let credentials = CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("Container", EcsCredentialsProvider::builder().configure(&provider).build());
    let clients = Clients::new(connections, SharedCredentialsProvider::new(credentials), &settings)?;
    let jitter = |most: Duration| most.mul_f64(fastrand::f64());
    let handler = clients.handler(settings, setting("AWS_LAMBDA_FUNCTION_NAME"), jitter).await?;
    Ok(handler.with_memory(memory()))
}
