"""Limits that AWS sets and the deployment must respect, each with its unit and the page that documents it."""

from dataclasses import dataclass

_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg"
_LAMBDA_API = "https://docs.aws.amazon.com/lambda/latest/api"
_SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide"


@dataclass(frozen=True)
class Range:
    """An inclusive range of values that AWS accepts."""

    least: int
    most: int
    unit: str
    link: str

    def __contains__(self, value: int) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"{self.least} to {self.most} {self.unit}"


@dataclass(frozen=True)
class Limit:
    """A number that AWS sets. The name of the constant says whether it is a minimum, a maximum, a factor or a capacity."""

    value: int
    unit: str
    link: str

    def __str__(self) -> str:
        return f"{self.value} {self.unit}"


BATCH_SIZE = Range(1, 10_000, "messages", f"{_LAMBDA}/services-sqs-parameters.html")
BATCH_SIZE_FIFO = Range(1, 10, "messages", f"{_LAMBDA}/services-sqs-parameters.html")
BATCH_SIZE_WITHOUT_WINDOW = Range(1, 10, "messages", f"{_LAMBDA_API}/API_CreateEventSourceMapping.html")
BATCHING_WINDOW = Range(0, 300, "seconds", f"{_LAMBDA_API}/API_CreateEventSourceMapping.html")

MAXIMUM_CONCURRENCY = Range(2, 1_000, "invocations", f"{_LAMBDA_API}/API_ScalingConfig.html")
STANDARD_CONCURRENCY = Limit(1_250, "invocations", f"{_LAMBDA}/services-sqs-scaling.html")
MINIMUM_POLLERS = Range(2, 200, "pollers", f"{_LAMBDA_API}/API_ProvisionedPollerConfig.html")
MAXIMUM_POLLERS = Range(2, 2_000, "pollers", f"{_LAMBDA_API}/API_ProvisionedPollerConfig.html")
INVOCATIONS_PER_POLLER = Limit(10, "invocations at once", f"{_LAMBDA}/services-sqs-scaling.html")
POLLS_PER_POLLER = Limit(10, "polls a second", f"{_LAMBDA}/services-sqs-scaling.html")
MESSAGES_PER_POLL = Limit(10, "messages", f"{_SQS}/quotas-messages.html")
INVOCATIONS_PER_INSTANCE = Limit(10, "invocations a second", f"{_LAMBDA}/lambda-concurrency.html")

VISIBILITY_PER_TIMEOUT = Limit(6, "function timeouts", f"{_LAMBDA}/services-sqs-configure.html")
VISIBILITY = Range(0, 43_200, "seconds", f"{_SQS}/sqs-visibility-timeout.html")
RECEIVE_COUNT = Range(5, 1_000, "deliveries", f"{_LAMBDA}/services-sqs-configure.html")
# Duration of a table outage that must not cause valid messages to be dead-lettered.
OUTAGE_SECONDS = 300
IN_FLIGHT = Limit(120_000, "messages", f"{_SQS}/quotas-queues.html")

SYSTEM_LOG_LEVEL = f"{_LAMBDA}/monitoring-cloudwatchlogs-log-level.html"

WARM_WRITE_UNITS_LEAST = Limit(4_000, "write units a second", f"{_DYNAMODB}/warm-throughput.html")
