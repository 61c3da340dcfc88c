//! The Lambda bootstrap: environment, clients, run. The only reader of process state.

use avro_ingest::config::Config;
use avro_ingest::dynamodb::client::Client;
use avro_ingest::dynamodb::writer::Writer;
use avro_ingest::handler::Handler;
use avro_ingest::limiter::Law;
use avro_ingest::metrics::Metrics;
use avro_ingest::quarantine::Quarantine;
use avro_ingest::transcode::Transcoder;
use avro_ingest::{runtime, schema_dir};
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_types::service_config::ServiceConfigKey;
use std::error::Error;
use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;
use tracing_subscriber::filter::LevelFilter;

/// How long a connection may take to open. Within a region it is milliseconds; a stuck one must not cost the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

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
    #[expect(unsafe_code, reason = "a quarter of the time of a large batch, and no library wraps it")]
    // SAFETY: called before there is a second thread; the parameters are glibc's own and change only when memory goes back
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}

/// Processors this environment may keep busy. An ordinary one sees two but gets the share its memory buys; one of Lambda
/// Managed Instances, which works on several invocations at once, gets what it sees.
fn processors() -> usize {
    let number = |name: &str| setting(name).and_then(|text| text.parse::<usize>().ok());
    let seen = std::thread::available_parallelism().map_or(1, NonZero::get);
    match (number("AWS_LAMBDA_MAX_CONCURRENCY"), number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) {
        (Some(2..), _) | (_, None) => seen,
        (_, Some(memory)) => (memory / MEMORY_OF_A_PROCESSOR).clamp(1, seen),
    }
}

async fn run() -> ExitCode {
    start_logging();
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
    let config = Config::parse(setting)?;
    let transcoder = Transcoder::new(&config, schema_dir::read(&config.schema_dir)?)?;
    let connector = connector(&config);
    let sdk = sdk_config(connector.clone()).await;
    let law = Law::new(config.target_latency, config.min_in_flight.get(), config.max_in_flight.get())?;
    let jitter = |most: Duration| most.mul_f64(fastrand::f64());
    let writer = Writer::new(dynamodb(&sdk, connector).await?, transcoder.mappings().clone(), law, jitter);
    if let Err(cause) = writer.warm_up().await {
        tracing::warn!(%cause, "dynamodb not reached at start");
    }
    let quarantine =
        config.quarantine_queue_url.clone().map(|url| Quarantine::new(aws_sdk_sqs::Client::new(&sdk), url));
    let metrics = Metrics::new(&config.metrics_namespace, &config.service_name);
    Ok(Handler::new(transcoder, writer, quarantine, metrics, config.deadline_margin))
}

/// The connections of the process. Up to `MAX_IN_FLIGHT` of them are kept.
fn connector(config: &Config) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .connector_settings(settings)
        .pool_max_idle_per_host(config.max_in_flight.get())
        .build();
    SharedHttpConnector::new(connector)
}

async fn sdk_config(connector: SharedHttpConnector) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// DynamoDB where the SDK's own settings say it is.
async fn dynamodb(sdk: &SdkConfig, connector: SharedHttpConnector) -> Result<Client, Box<dyn Error + Send + Sync>> {
    let region = sdk.region().ok_or("no region: AWS_REGION is not set")?.to_string();
    let credentials = sdk.credentials_provider().ok_or("no source of credentials")?;
    let key =
        ServiceConfigKey::builder().service_id("DynamoDB").env("AWS_ENDPOINT_URL").profile("endpoint_url").build()?;
    let url = sdk.service_config().and_then(|settings| settings.load_config(key));
    let params = Params::builder()
        .region(&region)
        .set_use_fips(sdk.use_fips())
        .set_use_dual_stack(sdk.use_dual_stack())
        .set_endpoint(url.or_else(|| sdk.endpoint_url().map(str::to_owned)))
        .build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
    Ok(Client::new(connector, credentials, region, endpoint.url())?)
}
