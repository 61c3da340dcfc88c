//! The Lambda bootstrap: reads the environment, creates the clients, and runs the handler. It is the only reader of process
//! state.

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

/// Memory at which a function gets one full vCPU, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const MEMORY_OF_A_PROCESSOR: usize = 1_769;

fn main() -> ExitCode {
    keep_memory();
    let runtime = match (processors(), concurrent_invocations().get()) {
        // with at most one vCPU, several threads would only add the cost of waking each other
        (1, 1) => Builder::new_current_thread().enable_all().build(),
        // decoding one invocation must not block the others
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

/// Configures the allocator to retain memory that an invocation frees, for reuse by the next one. The environment's memory
/// is reserved for this process anyway, and requesting the same megabytes from the system again costs more time than
/// decoding into them.
#[cfg(target_env = "gnu")]
fn keep_memory() {
    /// Maximum mmap threshold that glibc supports, in bytes. It is larger than any event.
    /// <https://man7.org/linux/man-pages/man3/mallopt.3.html>
    const MMAP_THRESHOLD: libc::c_int = 32 * 1024 * 1024;
    #[expect(unsafe_code, reason = "over a tenth of the time of large batches, and no library wraps it")]
    // SAFETY: called before a second thread exists; the parameters only affect when glibc returns memory to the system
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}

/// Returns the number in one of Lambda's environment variables.
fn number(name: &str) -> Option<usize> {
    setting(name).and_then(|text| text.parse().ok())
}

/// Returns the memory of the function, which the invocations share.
fn memory() -> Memory {
    Memory::new(number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), concurrent_invocations().get())
}

/// Returns the number of vCPUs that this environment can keep busy. An ordinary environment sees two vCPUs, but gets only
/// the share that corresponds to its memory. Lambda Managed Instances handle several invocations at the same time and can
/// use all the vCPUs they see.
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

/// Returns the number of invocations that Lambda sends at the same time. It is greater than one only for Lambda Managed
/// Instances.
fn concurrent_invocations() -> NonZero<usize> {
    number("AWS_LAMBDA_MAX_CONCURRENCY").and_then(NonZero::new).unwrap_or(NonZero::<usize>::MIN)
}

#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Logs a panic. A formatted message may contain data from a payload, so only a literal message is logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&str>().copied().unwrap_or("message withheld");
    tracing::error!(location = panic.location().map(ToString::to_string), message, "panic");
}

/// Configures logging as Lambda's own settings specify: the log level, and JSON unless the format is text.
fn start_logging() {
    let level = setting("AWS_LAMBDA_LOG_LEVEL").and_then(|level| match level.to_uppercase().as_str() {
        // Lambda's level for tracing's ERROR
        "FATAL" => Some(LevelFilter::ERROR),
        other => other.parse().ok(),
    });
    let subscriber = tracing_subscriber::fmt().with_max_level(level.unwrap_or(LevelFilter::INFO)).with_target(false);
    if setting("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text")) {
        // Lambda adds the time to text lines
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
    // the two places where Lambda provides credentials; the container's credentials expire and are reloaded
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
