//! Creates the clients of DynamoDB and SQS, and the handler that uses them. The function and other programs with the same
//! pipeline share this module.

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

/// Timeout of the first contact with DynamoDB at the start. Lambda allows ten seconds for the whole start.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of one attempt of an SQS call.
const SQS_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Maximum backoff before the second attempt. The SDK's default of one second would take a third of [`SQS_TIMEOUT`].
const SQS_BACKOFF: Duration = Duration::from_millis(50);
/// Timeout of an SQS call, including all its attempts and the loading of credentials.
const SQS_TIMEOUT: Duration = Duration::from_secs(3);

/// The configuration shared by all AWS clients.
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
    /// Creates clients that send requests over `connections` and sign them with `credentials`.
    ///
    /// # Errors
    /// Returns an error if the settings contain no region.
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

    /// Creates the handler for `settings`. `service` is its name in the metrics, unless the settings specify one. `jitter`
    /// returns a random duration between zero and its argument. As much work as possible is done here, before the first
    /// event, where it does not add to the latency of an invocation.
    ///
    /// # Errors
    /// Returns an error if the schemas or the settings are invalid.
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

    /// Returns the URL of DynamoDB.
    async fn dynamodb_url(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let url = self.url(self.dynamodb_endpoint.as_ref()).await?;
        // the endpoints of a region differ only in the service name; the DynamoDB SDK would add a minute of compile time
        // only to fill in that name
        Ok(if self.dynamodb_endpoint.is_some() { url } else { url.replacen("//sqs", "//dynamodb", 1) })
    }

    /// Returns the URL of SQS. The URL of a queue consists of this URL, the account and the queue's name.
    async fn sqs_url(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.url(self.sqs_endpoint.as_ref()).await
    }

    /// Returns the configured endpoint, or else the endpoint of SQS according to the SDK's rules.
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

    /// Regions of every partition, and one that does not exist yet.
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
