//! The clients of DynamoDB and SQS, and the handler that they make with the settings: the same for the function and for what runs
//! the same pipeline elsewhere.

use crate::dynamodb::client::Client;
use crate::invocation::Handler;
use crate::limiter::AimdLimit;
use crate::metrics::Metrics;
use crate::quarantine::Quarantine;
use crate::schema_dir;
use crate::settings::Settings;
use crate::transcode::Transcoder;
use crate::transport::{ConnectionPool, sdk_http_client};
use crate::visibility::Visibility;
use crate::write::Writer;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the first contact with DynamoDB may hold up the start, of which Lambda allows ten seconds.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt at a call to SQS may take.
const SQS_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The longest pause before the second attempt; the SDK's own of a second would take a third of the time there is.
const SQS_BACKOFF: Duration = Duration::from_millis(50);
/// How long the attempts may take together, credentials included.
const SQS_TIMEOUT: Duration = Duration::from_secs(3);

/// What all clients of AWS have in common.
pub struct Clients {
    connections: Arc<ConnectionPool>,
    region: Region,
    credentials: SharedCredentialsProvider,
    dynamodb_endpoint: Option<String>,
    sqs_endpoint: Option<String>,
    use_fips: bool,
    use_dual_stack: bool,
}

impl Clients {
    /// Clients that call over `connections` and sign with `credentials`.
    ///
    /// # Errors
    /// If there is no region.
    pub fn new(
        connections: Arc<ConnectionPool>,
        credentials: SharedCredentialsProvider,
        settings: &Settings,
    ) -> Result<Self, &'static str> {
        let region = Region::new(settings.region.clone().ok_or("invalid settings: AWS_REGION is required")?);
        let endpoint = |of_service: &Option<String>| of_service.clone().or_else(|| settings.endpoint.clone());
        Ok(Self {
            connections,
            region,
            credentials,
            dynamodb_endpoint: endpoint(&settings.dynamodb_endpoint),
            sqs_endpoint: endpoint(&settings.sqs_endpoint),
            use_fips: settings.use_fips,
            use_dual_stack: settings.use_dual_stack,
        })
    }

    /// The handler of `settings`. `service` names it in the metrics unless they do; `jitter` draws a duration
    /// from nothing to what it is given. Everything that can be
    /// done before the first event is done here, where Lambda does not charge latency for it.
    ///
    /// # Errors
    /// What is wrong with the schemas or the settings.
    pub async fn handler(
        &self,
        settings: Settings,
        service: Option<String>,
        jitter: fn(Duration) -> Duration,
    ) -> Result<Handler, Box<dyn Error + Send + Sync>> {
        let transcoder = Transcoder::new(&settings, schema_dir::read(&settings.schema_dir)?)?;
        let limit =
            AimdLimit::new(settings.target_latency, settings.min_in_flight.get(), settings.max_in_flight.get())?;
        let writer = Writer::new(self.dynamodb().await?, transcoder.mappings().clone(), limit, jitter);
        let reached =
            timeout(WARM_UP_TIMEOUT, writer.warm_up()).await.unwrap_or_else(|_| Err("no response in time".into()));
        if let Err(cause) = reached {
            tracing::warn!(%cause, "dynamodb not reached at start");
        }
        let quarantine = settings.quarantine_queue_url.clone().map(|url| Quarantine::new(self.sqs(), url));
        let service = settings.service_name.or(service);
        let metrics = Metrics::new(&settings.metrics_namespace, service.as_deref().unwrap_or("avro-ingest"));
        let handler = Handler::new(transcoder, writer, quarantine, metrics, settings.deadline_margin);
        if settings.return_backoff.is_zero() {
            return Ok(handler);
        }
        let visibility = Visibility::new(self.sqs(), self.sqs_url().await?, settings.return_backoff, jitter);
        Ok(handler.with_visibility(visibility))
    }

    async fn dynamodb(&self) -> Result<Client, Box<dyn Error + Send + Sync>> {
        let (region, url) = (self.region.to_string(), self.dynamodb_url().await?);
        Ok(Client::new(self.connections.clone(), self.credentials.clone(), region, &url)?)
    }

    /// Where DynamoDB is.
    async fn dynamodb_url(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let url = self.url(self.dynamodb_endpoint.as_ref()).await?;
        // a region names its endpoints alike: the SDK of DynamoDB would be a minute of compiling for this word
        Ok(if self.dynamodb_endpoint.is_some() { url } else { url.replacen("//sqs", "//dynamodb", 1) })
    }

    /// Where SQS is, and the queues of which an event gives account and name.
    async fn sqs_url(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.url(self.sqs_endpoint.as_ref()).await
    }

    /// An endpoint as it is set, or that of SQS by the SDK's rules.
    async fn url(&self, set: Option<&String>) -> Result<String, Box<dyn Error + Send + Sync>> {
        let params = Params::builder()
            .region(self.region.to_string())
            .use_fips(self.use_fips)
            .use_dual_stack(self.use_dual_stack)
            .set_endpoint(set.cloned())
            .build()?;
        Ok(DefaultResolver::new().resolve_endpoint(&params).await?.url().to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

    /// Regions of every partition, and one that is not there yet.
    const REGIONS: [&str; 14] = [
        "us-east-1",
        "us-west-2",
        "ca-central-1",
        "eu-central-1",
        "ap-southeast-7",
        "mx-central-1",
        "xx-future-9",
        "cn-north-1",
        "cn-northwest-1",
        "us-gov-west-1",
        "us-gov-east-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eusc-de-east-1",
    ];

    #[tokio::test]
    async fn dynamodb_is_where_its_own_sdk_says() {
        let connections = Arc::new(ConnectionPool::new(1).unwrap());
        for region in REGIONS {
            for (endpoint, use_fips, use_dual_stack) in [
                (None, false, false),
                (None, true, false),
                (None, false, true),
                (None, true, true),
                (Some("http://sqs.localhost:8000"), false, false),
                (Some("http://localhost:8000"), true, false),
            ] {
                let clients = Clients {
                    connections: Arc::clone(&connections),
                    region: Region::new(region),
                    credentials: SharedCredentialsProvider::new(Credentials::for_tests()),
                    dynamodb_endpoint: endpoint.map(str::to_owned),
                    sqs_endpoint: None,
                    use_fips,
                    use_dual_stack,
                };
                let params = Params::builder().region(region).use_fips(use_fips).use_dual_stack(use_dual_stack);
                let params = params.set_endpoint(endpoint.map(str::to_owned)).build().unwrap();
                let theirs = DefaultResolver::new().resolve_endpoint(&params).await;
                let theirs = theirs.ok().map(|endpoint| endpoint.url().to_owned());
                let case = format!("{region} {endpoint:?} {use_fips} {use_dual_stack}");
                assert_eq!(clients.dynamodb_url().await.ok(), theirs, "{case}");
            }
        }
    }
}
