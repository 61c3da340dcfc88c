"""Whether dashboard and alarms watch metrics that exist. A misspelt metric is no error to CloudWatch: its graph stays
empty and its alarm never goes off."""

import json
import re
from pathlib import Path

from deploy.stack import Stack

# Names, units and dimensions the function emits; the function's own test compares it with the code.
OWN = {metric["name"]: metric for metric in json.loads((Path(__file__).parent / "metrics.json").read_text())}

# What AWS emits and the template uses, with the dimensions it is used by.
_SQS = ("QueueName",)
_FUNCTION = ("FunctionName",)
_LOG_GROUP = ("LogGroupName",)
AWS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): _SQS,
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): _SQS,
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): _SQS,
    ("AWS/SQS", "NumberOfEmptyReceives"): _SQS,
    ("AWS/SQS", "NumberOfMessagesDeleted"): _SQS,
    ("AWS/SQS", "NumberOfMessagesReceived"): _SQS,
    ("AWS/SQS", "NumberOfMessagesSent"): _SQS,
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    ("AWS/Logs", "IncomingBytes"): _LOG_GROUP,
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    ("AWS/Lambda", "ConcurrentExecutions"): _FUNCTION,
    ("AWS/Lambda", "Duration"): _FUNCTION,
    ("AWS/Lambda", "Errors"): _FUNCTION,
    ("AWS/Lambda", "Invocations"): _FUNCTION,
    ("AWS/Lambda", "Throttles"): _FUNCTION,
    ("AWS/Lambda", "ProvisionedConcurrentExecutions"): ("FunctionName", "Resource"),
    ("AWS/Lambda", "ProvisionedPollers"): ("EventSourceMappingUUID",),
}

_SEARCH = re.compile(r"""SEARCH\('\{([^}]*)\} MetricName="(\w+)" Service="[^"]*"'""")
_METRIC_ID = re.compile(r"\b[a-z]\w*\b")


def violations(stack: Stack) -> list[str]:
    """Every metric, expression or alarm of a stack that watches nothing."""
    namespace = stack.parameters["MetricsNamespace"]
    return [
        *(problem for place, *metric in watched(stack) for problem in _unknown(place, namespace, *metric)),
        *_dangling_expressions(stack),
        *_alarms_outside_the_dashboard(stack),
        *_alarms_without_advice(stack),
    ]


def watched(stack: Stack):
    """Every metric in use: where, its namespace, name and dimension names."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        single = [alarm] if "MetricName" in alarm else []
        for metric in single + [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]:
            dimensions = tuple(d["Name"] for d in metric["Dimensions"])
            yield name, metric["Namespace"], metric["MetricName"], dimensions
    for widget in widgets(stack):
        title = widget["properties"]["title"]
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                namespace, name, *pairs = [part for part in metric if isinstance(part, str)]
                yield title, namespace, name, tuple(pairs[::2])
            elif found := _SEARCH.match(metric[0]["expression"]):
                namespace, *dimensions = found[1].split(",")
                yield title, namespace, found[2], tuple(dimensions)


def widgets(stack: Stack) -> list[dict]:
    """The dashboard's widgets. Raises ValueError if its body is not JSON."""
    return json.loads(dashboard_body(stack))["widgets"]


def dashboard_body(stack: Stack) -> str:
    """The dashboard's body, with references to other resources left as ${...}."""
    body = stack.only("AWS::CloudWatch::Dashboard")["DashboardBody"]
    return body["Fn::Sub"] if isinstance(body, dict) else body


def _unknown(place, own_namespace, namespace, name, dimensions):
    if namespace == own_namespace:
        expected = tuple(OWN[name]["dimensions"]) if name in OWN else None
    else:
        expected = AWS.get((namespace, name))
    if expected is None:
        yield f"{place}: nobody emits {namespace} {name}"
    elif expected != dimensions:
        yield f"{place}: {namespace} {name} is emitted by {', '.join(expected)}, not by {', '.join(dimensions)}"


def _dangling_expressions(stack):
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        yield from _dangling(name, {m["Id"]: m.get("Expression") for m in alarm.get("Metrics", [])})
    for widget in widgets(stack):
        options = [m[-1] for m in widget["properties"].get("metrics", []) if isinstance(m[-1], dict)]
        named = {o.get("id", index): o.get("expression") for index, o in enumerate(options)}
        yield from _dangling(widget["properties"]["title"], named)


def _dangling(place, expressions: dict):
    """`expressions` maps each metric id of one graph to its expression, or to None for a plain metric."""
    for expression in expressions.values():
        if expression and not _SEARCH.match(expression):
            for missing in sorted(set(_METRIC_ID.findall(expression)) - expressions.keys()):
                yield f"{place}: the expression {expression} names {missing}, which is no metric of it"


def _alarms_outside_the_dashboard(stack):
    shown = {arn for widget in widgets(stack) for arn in widget["properties"].get("alarms", [])}
    made = {f"${{{name}.Arn}}" for name in stack.of_type("AWS::CloudWatch::Alarm")}
    yield from (f"the dashboard does not show {arn}" for arn in sorted(made - shown))
    yield from (f"the dashboard shows {arn}, which is no alarm" for arn in sorted(shown - made))


def _alarms_without_advice(stack):
    topic = stack.parameters["AlarmTopicArn"]
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        # A sentence for what happened and one for what to do about it.
        if alarm.get("AlarmDescription", "").count(". ") < 1:
            yield f"{name} does not say what to do"
        if alarm.get("AlarmActions") != ([topic] if topic else []):
            yield f"{name} does not tell the alarm topic"
