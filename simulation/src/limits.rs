//! What AWS documents of the limits a plan must respect, each with its unit and its page.

/// Messages one ReceiveMessage, SendMessageBatch or DeleteMessageBatch call takes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const MESSAGES_PER_CALL: u32 = 10;
/// Messages of a standard queue that are received and not yet deleted. Same page.
pub const MAX_IN_FLIGHT_MESSAGES: u64 = 120_000;
/// Bytes of one SQS message. Same page.
pub const MAX_MESSAGE_BYTES: f64 = 1_048_576.0;
/// Bytes of one request to SQS that are billed as one.
/// <https://aws.amazon.com/sqs/pricing/>
pub const BYTES_PER_REQUEST: f64 = 65_536.0;
/// Seconds a poll waits for a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>
pub const LONG_POLL_SECONDS: f64 = 20.0;

/// The range of BatchSize.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>
pub const BATCH_SIZE: std::ops::RangeInclusive<u32> = 1..=10_000;
/// The range of a function's memory, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MEMORY_MEGABYTES: std::ops::RangeInclusive<u32> = 128..=10_240;
/// The largest batch without a batching window.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
pub const MAX_BATCH_WITHOUT_WINDOW: u32 = 10;
/// Bytes of one invocation's payload. Same page.
pub const MAX_PAYLOAD_BYTES: f64 = 6_291_456.0;

/// Concurrent invocations that standard mode begins with.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>
pub const STANDARD_START: u32 = 5;
/// Concurrent invocations that standard mode adds in a minute. Same page.
pub const STANDARD_PER_MINUTE: f64 = 300.0;
/// The most of them. Same page.
pub const STANDARD_MAX: u32 = 1_250;
/// The range of MaximumConcurrency, and so of the template's MaxInstances. Same page.
pub const MAXIMUM_CONCURRENCY: std::ops::RangeInclusive<u32> = 2..=1_000;
/// Concurrent invocations that provisioned mode adds in a minute. Same page.
pub const POLLERS_CONCURRENCY_PER_MINUTE: f64 = 1_000.0;
/// Concurrent invocations of one poller. Same page.
pub const INVOCATIONS_PER_POLLER: u32 = 10;
/// Polls of one poller in a second. Same page.
pub const POLLS_PER_SECOND: f64 = 10.0;
/// Bytes of one poller in a second. Same page.
pub const BYTES_PER_POLLER_SECOND: f64 = 1_048_576.0;
/// The template's range of MinimumPollers.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-eventsourcemapping-provisionedpollerconfig.html>
pub const MINIMUM_POLLERS: std::ops::RangeInclusive<u32> = 2..=200;
/// The template's range of MaximumPollers. Same page.
pub const MAXIMUM_POLLERS: std::ops::RangeInclusive<u32> = 2..=2_000;
/// Synchronous invocations in a second for each unit of concurrency.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const INVOCATIONS_PER_SECOND: f64 = 10.0;
/// Concurrent executions of an account unless it has asked for more. Same page.
pub const DEFAULT_ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Concurrent executions that cannot be reserved. Same page.
pub const UNRESERVED_CONCURRENCY: u32 = 100;
/// Memory that buys one processor, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
pub const MEMORY_PER_PROCESSOR_MB: f64 = 1_769.0;

/// Write units in a second of a new on-demand table.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>
pub const NEW_TABLE_UNITS: f64 = 4_000.0;
/// Write units in a second of a table unless the account has asked for more.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
pub const DEFAULT_TABLE_UNITS: f64 = 40_000.0;
/// Bytes of an item that one write unit covers. Same guide.
pub const BYTES_PER_WRITE_UNIT: f64 = 1_024.0;
/// Bytes of an item.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MAX_ITEM_BYTES: f64 = 409_600.0;
