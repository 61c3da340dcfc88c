"""Checks that the dashboard and the alarms use metrics that exist. CloudWatch does not report a misspelt metric: its graph is
empty and its alarm never starts."""

import json
import re
from pathlib import Path

from deploy.stack import Stack

# Names, units and dimensions of the function's metrics. A test of the function compares them with the code.
OWN = {metric["name"]: metric for metric in json.loads((Path(__file__).parent / "metrics.json").read_text())}

# AWS metrics that the template uses, and the dimensions with which it uses them.
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
    """Returns every metric, expression or alarm of a stack that refers to nothing."""
    namespace = stack.parameters["MetricsNamespace"]
    return [
        *(problem for place, *metric in watched(stack) for problem in _unknown(place, namespace, *metric)),
        *_dangling_expressions(stack),
        *_alarms_outside_the_dashboard(stack),
        *_alarms_without_advice(stack),
    ]


def watched(stack: Stack):
    """Yields every metric in use: its location, namespace, name and dimension names."""
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
    """Returns the dashboard's widgets. Raises ValueError if the body is not JSON."""
    return json.loads(dashboard_body(stack))["widgets"]


def dashboard_body(stack: Stack) -> str:
    """Returns the dashboard's body. References to other resources remain in ${...} form."""
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
    """Checks one graph. `expressions` maps each metric id to its expression, or to None for a plain metric."""
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
        # The first sentence describes the problem, the second the remedy.
        if alarm.get("AlarmDescription", "").count(". ") < 1:
            yield f"{name} does not say what to do"
        if alarm.get("AlarmActions") != ([topic] if topic else []):
            yield f"{name} does not tell the alarm topic"
