//! The Lambda bootstrap: environment, clients, run. The only reader of process state.

use avro_ingest::dynamodb::client::Client;
use avro_ingest::dynamodb::writer::Writer;
use avro_ingest::handler::Handler;
use avro_ingest::limiter::AimdLimit;
use avro_ingest::memory::Memory;
use avro_ingest::metrics::Metrics;
use avro_ingest::quarantine::Quarantine;
use avro_ingest::settings::Settings;
use avro_ingest::transcode::Transcoder;
use avro_ingest::transport::{ConnectionPool, sdk_http_client};
use avro_ingest::visibility::Visibility;
use avro_ingest::{runtime, schema_dir};
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::endpoint::ResolveEndpoint as _;
use aws_sdk_sqs::config::endpoint::ResolveEndpoint as _;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use std::error::Error;
use std::num::NonZero;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tracing_subscriber::filter::LevelFilter;

/// How long the first contact with DynamoDB may hold up the start, of which Lambda allows ten seconds.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt at a call to SQS may take.
const SQS_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The longest pause before the second attempt; the SDK's own of a second would take a third of the time there is.
const SQS_BACKOFF: Duration = Duration::from_millis(50);
/// How long the attempts may take together, credentials included.
const SQS_TIMEOUT: Duration = Duration::from_secs(3);

/// Memory that buys one whole processor, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const MEMORY_OF_A_PROCESSOR: usize = 1_769;

fn main() -> ExitCode {
    keep_memory();
    let runtime = match processors() {
        // with one processor or a share of one, threads that wake each other only cost
        1 => Builder::new_current_thread().enable_all().build(),
        more => Builder::new_multi_thread().worker_threads(more).enable_all().build(),
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
    let concurrent_invocations = number("AWS_LAMBDA_MAX_CONCURRENCY").unwrap_or(1);
    Memory::new(number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), concurrent_invocations)
}

/// Processors this environment may keep busy. An ordinary one sees two but gets the share its memory buys; one of Lambda
/// Managed Instances, which works on several invocations at once, gets what it sees.
fn processors() -> usize {
    let seen = std::thread::available_parallelism().map_or(1, NonZero::get);
    match (number("AWS_LAMBDA_MAX_CONCURRENCY"), number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) {
        (Some(2..), _) | (_, None) => seen,
        (_, Some(memory)) => (memory / MEMORY_OF_A_PROCESSOR).clamp(1, seen),
    }
}

async fn run() -> ExitCode {
    start_logging();
    std::panic::set_hook(Box::new(log_panic));
    let result = match start().await {
        Ok(handler) => runtime::run(handler).await,
        Err(error) => {
            runtime::report_init_error(setting("AWS_LAMBDA_RUNTIME_API").as_deref(), &error.to_string()).await;
            Err(error)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
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

/// Everything that can be done before the first event is done here, where Lambda does not charge latency for it.
async fn start() -> Result<Handler, Box<dyn Error + Send + Sync>> {
    let settings = Settings::parse(|name| match name {
        "AWS_REGION" => setting(name).or_else(|| setting("AWS_DEFAULT_REGION")),
        name => setting(name),
    })?;
    let transcoder = Transcoder::new(&settings, schema_dir::read(&settings.schema_dir)?)?;
    let aws = Aws::new(Arc::new(ConnectionPool::new(settings.max_in_flight.get())?), &settings)?;
    let limit = AimdLimit::new(settings.target_latency, settings.min_in_flight.get(), settings.max_in_flight.get())?;
    let jitter = |most: Duration| most.mul_f64(fastrand::f64());
    let writer = Writer::new(aws.dynamodb().await?, transcoder.mappings().clone(), limit, jitter);
    let reached =
        timeout(WARM_UP_TIMEOUT, writer.warm_up()).await.unwrap_or_else(|_| Err("no response in time".into()));
    if let Err(cause) = reached {
        tracing::warn!(%cause, "dynamodb not reached at start");
    }
    let quarantine = settings.quarantine_queue_url.clone().map(|url| Quarantine::new(aws.sqs(), url));
    let service = settings.service_name.or_else(|| setting("AWS_LAMBDA_FUNCTION_NAME"));
    let metrics = Metrics::new(&settings.metrics_namespace, service.as_deref().unwrap_or("avro-ingest"));
    let handler = Handler::new(transcoder, writer, quarantine, metrics, settings.deadline_margin).with_memory(memory());
    if settings.return_backoff.is_zero() {
        return Ok(handler);
    }
    let visibility = Visibility::new(aws.sqs(), aws.sqs_url().await?, settings.return_backoff, fastrand::f64);
    Ok(handler.with_visibility(visibility))
}

/// What all clients of AWS have in common.
struct Aws {
    connections: Arc<ConnectionPool>,
    region: Region,
    credentials: SharedCredentialsProvider,
    dynamodb_endpoint: Option<String>,
    sqs_endpoint: Option<String>,
    use_fips: bool,
    use_dual_stack: bool,
}

impl Aws {
    fn new(connections: Arc<ConnectionPool>, settings: &Settings) -> Result<Self, &'static str> {
        let region = Region::new(settings.region.clone().ok_or("invalid settings: AWS_REGION is required")?);
        // the two places where Lambda puts them; the latter's end and are loaded again
        let provider = ProviderConfig::without_region()
            .with_http_client(sdk_http_client(connections.clone()))
            .with_region(Some(region.clone()));
        let credentials =
            CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("Container", EcsCredentialsProvider::builder().configure(&provider).build());
        let endpoint = |of_service: &Option<String>| of_service.clone().or_else(|| settings.endpoint.clone());
        Ok(Self {
            connections,
            region,
            credentials: SharedCredentialsProvider::new(credentials),
            dynamodb_endpoint: endpoint(&settings.dynamodb_endpoint),
            sqs_endpoint: endpoint(&settings.sqs_endpoint),
            use_fips: settings.use_fips,
            use_dual_stack: settings.use_dual_stack,
        })
    }

    async fn dynamodb(&self) -> Result<Client, Box<dyn Error + Send + Sync>> {
        let region = self.region.to_string();
        let params = aws_sdk_dynamodb::config::endpoint::Params::builder()
            .region(&region)
            .use_fips(self.use_fips)
            .use_dual_stack(self.use_dual_stack)
            .set_endpoint(self.dynamodb_endpoint.clone())
            .build()?;
        let resolver = aws_sdk_dynamodb::config::endpoint::DefaultResolver::new();
        let endpoint = resolver.resolve_endpoint(&params).await?;
        Ok(Client::new(self.connections.clone(), self.credentials.clone(), region, endpoint.url())?)
    }

    /// Where SQS is, and the queues of which an event gives account and name.
    async fn sqs_url(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let params = aws_sdk_sqs::config::endpoint::Params::builder()
            .region(self.region.to_string())
            .use_fips(self.use_fips)
            .use_dual_stack(self.use_dual_stack)
            .set_endpoint(self.sqs_endpoint.clone())
            .build()?;
        let resolver = aws_sdk_sqs::config::endpoint::DefaultResolver::new();
        Ok(resolver.resolve_endpoint(&params).await?.url().to_owned())
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(SQS_TIMEOUT)
            .operation_attempt_timeout(SQS_ATTEMPT_TIMEOUT)
            .build();
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(sdk_http_client(self.connections.clone()))
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_initial_backoff(SQS_BACKOFF))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .use_fips(self.use_fips)
            .use_dual_stack(self.use_dual_stack);
        config.set_endpoint_url(self.sqs_endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}
