"""Samples, their datums and expected items. Checks that fastavro and Java decode them to the same values."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import evolution as e
import samples as s
from dynamodb import attribute_value
from framing import fingerprint
from implementations import Java, fastavro_datum, fastavro_read, java_request, python_datum
from resolution import lower, resolve, untagged
from schema import Type, Version, all_versions

SAMPLES: dict[str, s.Records] = {
    "order/1": s.ORDER,
    "primitive/1": s.PRIMITIVE,
    "logical/1": s.LOGICAL,
    "wide_decimal/1": s.WIDE_DECIMAL,
    "unknown_logical/1": s.UNKNOWN_LOGICAL,
    "complex/1": s.COMPLEX,
    "names/1": s.NAMES,
    "optional/1": {"plain": {"note": "n"}, "null": {"note": None}},
    "tree/1": s.TREE_1,
    "tree/2": s.TREE_2,
    "customer/1": e.CUSTOMER_1,
    "customer/2": e.CUSTOMER_2,
    "customer/3": e.CUSTOMER_3,
    "promotion/1": e.PROMOTION_1,
    "promotion/2": e.PROMOTION_2,
    "promotion/3": e.PROMOTION_3,
    "promotion/4": e.PROMOTION_4,
    "defaults/1": e.DEFAULTS_1,
    "defaults/2": e.DEFAULTS_2,
    "dropped/1": e.DROPPED_1,
    "dropped/2": e.DROPPED_2,
    "reordered/1": e.REORDERED,
    "reordered/2": e.REORDERED,
    "union/1": e.UNION_1,
    "union/2": e.UNION_2,
    "enum/1": e.ENUM_1,
    "enum/2": e.ENUM_2,
    "alias/1": e.ALIAS_1,
    "alias/2": e.ALIAS_2,
    "hostile/1": {"plain": s.HOSTILE},
}

# Fields that a library reads differently from what this module expects. It must read all other fields as expected. If it reads
# one of these as expected too, the line must be removed.
FASTAVRO_DEVIATES = {
    # Promotes integers to float without rounding them to a float's precision.
    ("promotion/1", "int_to_float"),
    ("promotion/1", "long_to_float"),
    # Keeps the number of a timestamp although the reader's unit differs.
    ("promotion/1", "millis_to_micros"),
    # Uses defaults exactly as written in the schema: floats with the precision of a double, bytes and fixed as text.
    ("defaults/1", "float"),
    ("defaults/1", "bytes"),
    ("defaults/1", "fixed"),
    ("defaults/1", "decimal"),
    ("defaults/1", "decimal_fixed"),
    ("defaults/1", "duration"),
    ("defaults/1", "nested"),
    ("defaults/1", "list"),
    # Does not fill in the defaults of nested fields that are missing from a record's default.
    ("defaults/1", "partial_record"),
}
JAVA_DEVIATES = {
    # Promotes the items of an array from int to double through float.
    ("promotion/1", "array"),
    # Keeps the number of a timestamp although the reader's unit differs.
    ("promotion/1", "millis_to_micros"),
}


@dataclass(frozen=True)
class Sample:
    version: Version
    name: str
    value: dict[str, Any]
    datum: bytes

    @property
    def item(self) -> dict[str, Any]:
        return expected_item(self.version, self.value)

    def __str__(self) -> str:
        return f"{self.version.subject}-{self.version.number}/{self.name}"


def all_samples() -> list[Sample]:
    versions = {str(version): version for version in all_versions()}
    assert versions.keys() == SAMPLES.keys(), versions.keys() ^ SAMPLES.keys()
    return [
        Sample(versions[key], name, value, datum_of(versions[key], value))
        for key, records in SAMPLES.items()
        for name, value in records.items()
    ]


def datum_of(version: Version, value: Any) -> bytes:
    """Returns the datum that both Python libraries write."""
    datum = fastavro_datum(version.json, value)
    assert python_datum(version.json, value) == datum, str(version)
    return datum


def read_by(writer: Type, reader: Type, value: Any) -> Any:
    return resolve(writer, reader, lower(writer, value))


def expected_item(version: Version, value: Any) -> dict[str, Any]:
    """Returns the expected item for `value`, written with `version` and read with the subject's newest version."""
    writer = version.type
    if version == version.newest:
        # Equal schemas need no resolution. By the letter of the specification, a long in the union [float, long] would be
        # resolved to float.
        return attribute_value(writer, lower(writer, value))
    reader = version.newest.type
    return attribute_value(reader, read_by(writer, reader, value))


def check_agreement(samples: list[Sample], java: Java | None) -> None:
    """Compares the expected values with those that fastavro, and Java if available, read from the same datums."""
    deviating: dict[str, set[tuple[str, str]]] = {"fastavro": set(), "java": set()}
    pending = []
    for sample in samples:
        version, newest = sample.version, sample.version.newest
        own = untagged(lower(version.type, sample.value))
        assert same(own, fastavro_read(version.json, version.json, sample.datum)), str(sample)
        if version != newest:
            expected = untagged(read_by(version.type, newest.type, sample.value))
            found = fastavro_read(version.json, newest.json, sample.datum)
            deviating["fastavro"] |= {(str(version), name) for name in different(expected, found)}
            if java:
                request = java_request("resolve", version.json, [sample.datum], reader=json.dumps(newest.json))
                pending.append((java.ask(request), version, newest, expected))
    assert deviating["fastavro"] == FASTAVRO_DEVIATES, deviating["fastavro"] ^ FASTAVRO_DEVIATES
    if not java:
        return
    fingerprints = [(version, java.ask(java_request("fingerprint", version.json, []))) for version in all_versions()]
    java.run()
    for number, version, newest, expected in pending:
        found = fastavro_read(newest.json, newest.json, java.body(number))
        deviating["java"] |= {(str(version), name) for name in different(expected, found)}
    assert deviating["java"] == JAVA_DEVIATES, deviating["java"] ^ JAVA_DEVIATES
    for version, number in fingerprints:
        assert java.body(number) == fingerprint(version.json), str(version)


def different(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    assert expected.keys() == found.keys()
    return (name for name, value in expected.items() if not same(value, found[name]))


def same(one: Any, other: Any) -> bool:
    """Returns whether two underlying values are equal. NaN equals itself, and minus zero equals zero."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and one == other
