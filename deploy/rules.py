"""Rules for errors that AWS reports only during or after a deployment, and that no validator detects. Each rule is a function
that takes a resolved stack and yields a sentence for each problem."""

import json

from deploy import limits
from deploy.stack import Stack, logical_id

_MAPPING = "AWS::Lambda::EventSourceMapping"
_FUNCTION = "AWS::Lambda::Function"
_QUEUE = "AWS::SQS::Queue"
_TABLE = "AWS::DynamoDB::Table"

# Actions that the poller, the function, its logs and its traces use.
_POLL = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}
_DELIVER = "sns.amazonaws.com"
_NETWORK = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
_WRITE = {"dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:DeleteItem"}
_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
_TRACE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def violations(stack: Stack) -> list[str]:
    """Returns every violation of a stack, in the order of RULES."""
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(stack)]


def _unless(within, value: int, what: str):
    if value not in within:
        yield f"{what} is {value}, AWS takes {within}: {within.link}"


def scaling_modes_exclude_each_other(stack):
    mapping = stack.only(_MAPPING)
    if "ScalingConfig" in mapping and "ProvisionedPollerConfig" in mapping:
        yield f"ScalingConfig and ProvisionedPollerConfig together: {limits.MAXIMUM_POLLERS.link}"


def maximum_concurrency_is_in_range(stack):
    if scaling := stack.only(_MAPPING).get("ScalingConfig"):
        yield from _unless(limits.MAXIMUM_CONCURRENCY, scaling["MaximumConcurrency"], "MaximumConcurrency")


def pollers_are_in_range(stack):
    if pollers := stack.only(_MAPPING).get("ProvisionedPollerConfig"):
        yield from _unless(limits.MINIMUM_POLLERS, pollers["MinimumPollers"], "MinimumPollers")
        yield from _unless(limits.MAXIMUM_POLLERS, pollers["MaximumPollers"], "MaximumPollers")
        if pollers["MinimumPollers"] > pollers["MaximumPollers"]:
            yield f"MinimumPollers {pollers['MinimumPollers']} is over MaximumPollers {pollers['MaximumPollers']}"


def batches_fit_their_queue_and_window(stack):
    mapping = stack.only(_MAPPING)
    size, window = mapping["BatchSize"], mapping.get("MaximumBatchingWindowInSeconds", 0)
    yield from _unless(limits.BATCH_SIZE, size, "BatchSize")
    yield from _unless(limits.BATCHING_WINDOW, window, "MaximumBatchingWindowInSeconds")
    if window == 0:
        yield from _unless(limits.BATCH_SIZE_WITHOUT_WINDOW, size, "BatchSize without a batching window")
    if _is_fifo(stack):
        yield from _unless(limits.BATCH_SIZE_FIFO, size, "BatchSize of a fifo queue")
        if "MaximumBatchingWindowInSeconds" in mapping:
            yield f"a fifo queue has no batching window: {limits.BATCH_SIZE_FIFO.link}"


def batch_item_failures_are_reported(stack):
    if stack.only(_MAPPING).get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "ReportBatchItemFailures is missing: what the function returns would be taken as stored, and deleted"


def messages_stay_hidden_while_they_are_worked_on(stack):
    mapping, queue, function = stack.only(_MAPPING), _source(stack), stack.only(_FUNCTION)
    if not queue:
        return
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    least = limits.VISIBILITY_PER_TIMEOUT.value * function["Timeout"] + window
    visibility = queue["VisibilityTimeout"]
    yield from _unless(limits.VISIBILITY, visibility, "VisibilityTimeout")
    if visibility < least:
        yield f"VisibilityTimeout {visibility} is under {least} seconds: {limits.VISIBILITY_PER_TIMEOUT.link}"


def failed_messages_are_dead_lettered_late_and_kept(stack):
    queue = _source(stack)
    if not queue:
        return
    redrive = queue.get("RedrivePolicy", {})
    dead_letters = stack.target(redrive.get("deadLetterTargetArn"))
    if not dead_letters:
        yield "the queue has no dead-letter queue in this stack"
        return
    yield from _unless(limits.RECEIVE_COUNT, redrive["maxReceiveCount"], "maxReceiveCount")
    if dead_letters["MessageRetentionPeriod"] <= queue["MessageRetentionPeriod"]:
        yield "dead letters expire no later than messages, though their age counts from the first send"
    if bool(dead_letters.get("FifoQueue")) != bool(queue.get("FifoQueue")):
        yield "a queue and its dead-letter queue must both be fifo, or neither"


def dead_lettering_outlasts_an_outage(stack):
    queue = _source(stack)
    if not queue:
        return
    deliveries = queue["RedrivePolicy"]["maxReceiveCount"]
    backoff = stack.only(_FUNCTION)["Environment"]["Variables"].get("RETURN_BACKOFF_SECONDS", 0)
    waits = [_wait(queue["VisibilityTimeout"], int(backoff), delivery) for delivery in range(1, deliveries)]
    if sum(waits) < limits.OUTAGE_SECONDS:
        yield f"{deliveries} deliveries end after {sum(waits)} s, an outage of {limits.OUTAGE_SECONDS} s dead-letters everything"


def _wait(visibility: int, backoff: int, delivery: int) -> float:
    """Returns the seconds between a delivery of a returned message and the next. The backoff doubles each time, and jitter
    shortens it by at most half."""
    return min(900, backoff * 2 ** (delivery - 1)) / 2 if backoff else visibility


def fifo_queues_are_named_so(stack):
    for name, queue in stack.of_type(_QUEUE).items():
        if queue.get("FifoQueue", True) is not True:
            yield f"{name}: FifoQueue may only be true or absent"
        if bool(queue.get("FifoQueue")) != str(queue.get("QueueName", "")).endswith(".fifo"):
            yield f"{name}: a queue is fifo if, and only if, its name ends in .fifo"


def messages_in_flight_fit_the_queue(stack):
    # Messages that an invocation returned are still in flight until they become visible, while the next invocation has its own
    # batch.
    reach = 2 * _reach(stack) * stack.only(_MAPPING)["BatchSize"]
    if reach > limits.IN_FLIGHT.value:
        yield f"{reach} messages can be in flight, a queue holds {limits.IN_FLIGHT}: {limits.IN_FLIGHT.link}"


def reserved_concurrency_covers_the_mapping(stack):
    reserved = stack.only(_FUNCTION).get("ReservedConcurrentExecutions")
    if reserved is not None and int(reserved) < _reach(stack):
        yield f"ReservedConcurrentExecutions {reserved} is under the {_reach(stack)} invocations the mapping can reach"


def warm_instances_fit_the_maximum(stack):
    warm = _warm(stack)
    for target in stack.of_type("AWS::ApplicationAutoScaling::ScalableTarget").values():
        if not warm == target["MinCapacity"] <= target["MaxCapacity"] <= _reach(stack):
            yield (
                f"{warm} instances are warm at first, then {target['MinCapacity']} to {target['MaxCapacity']}, "
                f"and the mapping reaches {_reach(stack)}: this must not fall"
            )


def warm_throughput_is_more_than_a_table_has_anyway(stack):
    least = limits.WARM_WRITE_UNITS_LEAST
    for table in stack.of_type(_TABLE).values():
        yield from _too_little(least, table.get("WarmThroughput", {}).get("WriteUnitsPerSecond"))


def _too_little(least, warm):
    if warm is not None and warm < least.value:
        yield f"{warm} warm write units, every table has {least}: {least.link}"


def the_platform_reports(stack):
    level = stack.only(_FUNCTION)["LoggingConfig"]["SystemLogLevel"]
    if level not in ("DEBUG", "INFO"):
        yield f"SystemLogLevel {level} hides platform.report, with memory used and time billed: {limits.SYSTEM_LOG_LEVEL}"


def a_topic_may_send_what_it_is_subscribed_for(stack):
    for name, subscription in stack.of_type("AWS::SNS::Subscription").items():
        allowed = {
            (statement["Principal"]["Service"], _key(statement["Resource"]), statement["Condition"]["ArnEquals"]["aws:SourceArn"])
            for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Action"] == "sqs:SendMessage"
        }
        if (_DELIVER, _key(subscription["Endpoint"]), subscription["TopicArn"]) not in allowed:
            yield f"{name}: no policy lets {subscription['TopicArn']} send to {_key(subscription['Endpoint'])}"
        if subscription.get("RawMessageDelivery") is not True:
            yield f"{name}: without raw delivery every body is wrapped, a third larger"


def metrics_pass_the_log_level(stack):
    level = stack.only(_FUNCTION)["LoggingConfig"]["ApplicationLogLevel"]
    if level not in ("TRACE", "DEBUG", "INFO"):
        yield f"ApplicationLogLevel {level} drops the metrics: Lambda takes a line without a level for INFO"


def policies_are_what_the_code_calls(stack):
    role = stack.only("AWS::IAM::Role")
    if role.get("ManagedPolicyArns"):
        yield "managed policies allow more than the code calls"
    granted = {
        (action, _key(resource))
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }
    called = {(action, _key(resource)) for actions, resource in _allowed(stack) for action in actions}
    yield from (f"{action} on {resource} is granted and never called" for action, resource in sorted(granted - called))
    yield from (f"{action} on {resource} is called and not granted" for action, resource in sorted(called - granted))


RULES = (
    scaling_modes_exclude_each_other,
    maximum_concurrency_is_in_range,
    pollers_are_in_range,
    batches_fit_their_queue_and_window,
    batch_item_failures_are_reported,
    messages_stay_hidden_while_they_are_worked_on,
    failed_messages_are_dead_lettered_late_and_kept,
    dead_lettering_outlasts_an_outage,
    fifo_queues_are_named_so,
    messages_in_flight_fit_the_queue,
    reserved_concurrency_covers_the_mapping,
    warm_instances_fit_the_maximum,
    warm_throughput_is_more_than_a_table_has_anyway,
    metrics_pass_the_log_level,
    the_platform_reports,
    a_topic_may_send_what_it_is_subscribed_for,
    policies_are_what_the_code_calls,
)


def _source(stack) -> dict:
    """Returns the properties of the source queue, or an empty dict for an existing queue."""
    return stack.target(stack.only(_MAPPING)["EventSourceArn"])


def _is_fifo(stack) -> bool:
    return bool(_source(stack).get("FifoQueue")) or str(stack.only(_MAPPING)["EventSourceArn"]).endswith(".fifo")


def _reach(stack) -> int:
    """Returns the maximum number of concurrent invocations of the event source mapping."""
    mapping = stack.only(_MAPPING)
    if pollers := mapping.get("ProvisionedPollerConfig"):
        return pollers["MaximumPollers"] * limits.INVOCATIONS_PER_POLLER.value
    return mapping.get("ScalingConfig", {}).get("MaximumConcurrency", limits.STANDARD_CONCURRENCY.value)


def _warm(stack) -> int:
    provisioned = stack.only("AWS::Lambda::Alias").get("ProvisionedConcurrencyConfig", {})
    return provisioned.get("ProvisionedConcurrentExecutions", 0)


def _allowed(stack):
    """Yields the actions and the resource that each feature of this stack needs."""
    function = stack.only(_FUNCTION)
    environment = function["Environment"]["Variables"]
    quarantine = logical_id(environment["QUARANTINE_QUEUE_URL"])
    key = stack.parameters["KmsKeyArn"]
    yield _POLL, stack.only(_MAPPING)["EventSourceArn"]
    yield _LOG, {"Fn::GetAtt": [logical_id(function["LoggingConfig"]["LogGroup"]), "Arn"]}
    if function["TracingConfig"]["Mode"] == "Active":
        yield _TRACE, "*"
    if key:
        yield {"kms:Decrypt"} | ({"kms:GenerateDataKey"} if quarantine else set()), key
    if quarantine:
        yield {"sqs:SendMessage"}, {"Fn::GetAtt": [quarantine, "Arn"]}
    for further in [*stack.parameters["AdditionalKmsKeyArns"], function.get("KmsKeyArn")]:
        if further:
            yield {"kms:Decrypt"}, further
    if "VpcConfig" in function:
        yield _NETWORK, "*"
    yield _WRITE, _table_arn(environment["TABLE_NAME"])
    for arn in filter(None, stack.parameters["AdditionalTableArns"]):
        yield _WRITE, arn


def _table_arn(name):
    if own := logical_id(name):
        return {"Fn::GetAtt": [own, "Arn"]}
    return name if name.startswith("arn:") else f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}"


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def _key(resource) -> str:
    return resource if isinstance(resource, str) else json.dumps(resource)
