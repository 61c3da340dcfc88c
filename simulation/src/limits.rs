//! Limits that AWS documents and a plan must respect, each with its unit and its page.

/// Maximum number of messages in a ReceiveMessage, SendMessageBatch or DeleteMessageBatch call.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const MESSAGES_PER_CALL: u32 = 10;
/// Maximum number of messages in flight of a standard queue. Same page.
pub const MAX_IN_FLIGHT_MESSAGES: u64 = 120_000;
/// Maximum size of an SQS message, in bytes. Same page.
pub const MAX_MESSAGE_BYTES: f64 = 1_048_576.0;
/// Number of bytes that SQS bills as one request.
/// <https://aws.amazon.com/sqs/pricing/>
pub const BYTES_PER_REQUEST: f64 = 65_536.0;
/// Maximum duration of a long poll, in seconds.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>
pub const LONG_POLL_SECONDS: f64 = 20.0;

/// Range of BatchSize.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>
pub const BATCH_SIZE: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Range of a function's memory, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MEMORY_MEGABYTES: std::ops::RangeInclusive<u32> = 128..=10_240;
/// Maximum batch size without a batching window.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
pub const MAX_BATCH_WITHOUT_WINDOW: u32 = 10;
/// Maximum payload of an invocation, in bytes. Same page.
pub const MAX_PAYLOAD_BYTES: f64 = 6_291_456.0;

/// Number of concurrent invocations with which standard mode starts.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>
pub const STANDARD_START: u32 = 5;
/// Number of concurrent invocations that standard mode adds per minute. Same page.
pub const STANDARD_PER_MINUTE: f64 = 300.0;
/// Maximum number of concurrent invocations in standard mode. Same page.
pub const STANDARD_MAX: u32 = 1_250;
/// Range of MaximumConcurrency, and therefore of the template's MaxInstances. Same page.
pub const MAXIMUM_CONCURRENCY: std::ops::RangeInclusive<u32> = 2..=1_000;
/// Number of concurrent invocations that provisioned mode adds per minute. Same page.
pub const POLLERS_CONCURRENCY_PER_MINUTE: f64 = 1_000.0;
/// Maximum number of concurrent invocations of one poller. Same page.
pub const INVOCATIONS_PER_POLLER: u32 = 10;
/// Maximum number of polls of one poller per second. Same page.
pub const POLLS_PER_SECOND: f64 = 10.0;
/// Maximum throughput of one poller, in bytes per second. Same page.
pub const BYTES_PER_POLLER_SECOND: f64 = 1_048_576.0;
/// The template's range of MinimumPollers.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-eventsourcemapping-provisionedpollerconfig.html>
pub const MINIMUM_POLLERS: std::ops::RangeInclusive<u32> = 2..=200;
/// The template's range of MaximumPollers. Same page.
pub const MAXIMUM_POLLERS: std::ops::RangeInclusive<u32> = 2..=2_000;
/// Maximum number of synchronous invocations per second for each unit of concurrency.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const INVOCATIONS_PER_SECOND: f64 = 10.0;
/// Default limit of concurrent executions of an account. Same page.
pub const DEFAULT_ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Number of concurrent executions that cannot be reserved. Same page.
pub const UNRESERVED_CONCURRENCY: u32 = 100;
/// Memory that provides one full processor, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
pub const MEMORY_PER_PROCESSOR_MB: f64 = 1_769.0;

/// Write capacity of a new on-demand table, in units per second.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>
pub const NEW_TABLE_UNITS: f64 = 4_000.0;
/// Default quota of a table's write capacity, in units per second.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
pub const DEFAULT_TABLE_UNITS: f64 = 40_000.0;
/// Number of item bytes that one write unit covers. Same guide.
pub const BYTES_PER_WRITE_UNIT: f64 = 1_024.0;
/// Maximum size of an item, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MAX_ITEM_BYTES: f64 = 409_600.0;
