"""Validates lines of CloudWatch's embedded metric format against its JSON schema, and against the limits and references that a
JSON schema cannot express."""

import json
from pathlib import Path

import jsonschema

_SCHEMA = json.loads((Path(__file__).parent / "emf.schema.json").read_text())
_MAX_EVENT_BYTES = 1024 * 1024
_MAX_VALUES = 100


def lines(log: bytes) -> list:
    """Returns the metric lines in a function's output."""
    return [line for line in log.decode(errors="replace").splitlines() if line.startswith('{"_aws"')]


def problems(line: str) -> list:
    """Returns the problems of a metric line, as sentences."""
    if len(line.encode()) > _MAX_EVENT_BYTES:
        return [f"the event has {len(line.encode())} bytes"]
    event = json.loads(line)
    found = [error.message for error in jsonschema.Draft7Validator(_SCHEMA).iter_errors(event)]
    if found:
        return found
    for directive in event["_aws"]["CloudWatchMetrics"]:
        for dimension in {name for names in directive["Dimensions"] for name in names}:
            if not isinstance(event.get(dimension), str):
                found.append(f"dimension {dimension} has no value")
        for metric in directive["Metrics"]:
            found += _value_problems(metric["Name"], event.get(metric["Name"]))
    return found


def _value_problems(name: str, value) -> list:
    if isinstance(value, dict):
        values, counts = value.get("Values"), value.get("Counts")
        if not isinstance(values, list) or not isinstance(counts, list) or len(values) != len(counts):
            return [f"metric {name} has not as many counts as values"]
    else:
        values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values):
        return [f"metric {name} has a value that is no number"]
    return [] if 0 < len(values) <= _MAX_VALUES else [f"metric {name} has {len(values)} values"]
