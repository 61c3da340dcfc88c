"""Message bodies that must be decoded, each with its expected items."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dynamodb import attribute_value, plain_json
from expected import Sample, datum_of, expected_item, read_by
from framing import confluent, confluent_v1, container, glue, single_object, zigzag
from implementations import (
    FASTAVRO, JAVA, PYTHON, SYNC, Java, fastavro_container, fastavro_datum, fastavro_read, fastavro_records, java_request,
    python_container, python_datum,
)  # fmt: skip
from resolution import lower
from samples import COMPLEX, UNICODE, order
from schema import Version, parse

HAND = "hand"
CODECS = ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]
# Python's avro does not support xz.
PYTHON_CODECS = CODECS[:-1]
ORDER = Version("order", 1)
CUSTOMERS = [Version("customer", number) for number in (1, 2, 3)]


@dataclass
class Case:
    """One line of bodies.jsonl. `body` is the text of the message, or the number of the Java request that creates it."""

    name: str
    made_by: str
    wire_format: str
    body: str | int
    items: list[Any]
    more: dict[str, Any] = field(default_factory=dict)

    def line(self, java: Java | None, committed: dict[str, str]) -> dict[str, Any]:
        """Returns the line. Without Java, the committed body is used."""
        body = self.body
        if isinstance(body, int):
            body = encoded(java.body(body)) if java else committed[self.name]
        return {
            "name": self.name, "made_by": self.made_by, "wire_format": self.wire_format, **self.more, "body": body, "items": self.items,
        }  # fmt: skip


def encoded(framed: bytes) -> str:
    return base64.b64encode(framed).decode()


def all_cases(samples: list[Sample], java: Java | None) -> list[Case]:
    found = [
        *single_object_cases(samples, java), *container_cases(samples, java), *foreign_cases(), *odd_container_cases(),
        *confluent_cases(samples), *glue_cases(samples), *datum_cases(samples), *json_cases(samples),
    ]  # fmt: skip
    assert len({case.name for case in found}) == len(found), "names must be unique"
    return found


def firsts(samples: list[Sample]) -> list[Sample]:
    """Returns the first sample of each version."""
    return list({sample.version: sample for sample in reversed(samples)}.values())[::-1]


def asked(java: Java | None, request: dict[str, Any]) -> int:
    return java.ask(request) if java else 0


def written(sample: Sample) -> dict[str, Any]:
    return {"subject": sample.version.subject, "version": sample.version.number}


def single_object_cases(samples: list[Sample], java: Java | None) -> Iterator[Case]:
    for sample in samples:
        framed = single_object(sample.version.json, sample.datum)
        yield Case(f"single-object/{sample}", FASTAVRO, "single-object", encoded(framed), [sample.item], written(sample))
    for sample in firsts(samples):
        # Only the Java library writes the single-object header itself. It writes the entries of maps in its own order.
        number = asked(java, java_request("single-object", sample.version.json, [sample.datum]))
        yield Case(f"single-object/{sample}/java", JAVA, "single-object", number, [sample.item], written(sample))
    for sample in samples:
        # Collections in blocks with a byte size, which the Python libraries never write.
        if str(sample) in IN_BLOCKS:
            number = asked(java, java_request("blocks", sample.version.json, [sample.datum]))
            more = written(sample) | {"schema_attribute": str(sample.version)}
            yield Case(f"datum/{sample}/java-blocks", JAVA, "datum", number, [sample.item], more)


# Large records. To keep the files small, they appear only in the single-object bodies and in the block bodies below.
LARGE = {"primitive-1/long_string", "complex-1/many", "order-1/many_items"}
IN_BLOCKS = {
    "order-1/many_items", "complex-1/many", "complex-1/every_branch", "tree-1/family", "tree-2/family", "customer-1/plain",
    "promotion-1/plain", "defaults-1/plain", "dropped-1/plain", "reordered-1/plain", "union-1/plain", "enum-1/unknown", "names-1/plain",
}  # fmt: skip


def container_cases(samples: list[Sample], java: Java | None) -> Iterator[Case]:
    orders = [order(100 + number, lines=1) for number in range(5)]
    blocks = [orders[:2], orders[2:4], orders[4:]]
    items = [expected_item(ORDER, value) for value in orders]
    more = {"subject": "order", "version": 1}
    # Both Python libraries leave three of the four bytes of zlib's checksum after the stream of each deflated block.
    for codec in CODECS:
        framed = fastavro_container(ORDER.json, codec, blocks)
        yield Case(f"container/{codec}/orders", FASTAVRO, "container", encoded(framed), items, more | {"codec": codec})
    for codec in PYTHON_CODECS:
        framed = python_container(ORDER.json, codec, blocks)
        yield Case(f"container/{codec}/orders/python", PYTHON, "container", encoded(framed), items, more | {"codec": codec})
    for codec in CODECS:
        request = java_request("container", ORDER.json, [datum_of(ORDER, value) for value in orders], codec=codec, block=2)
        yield Case(f"container/{codec}/orders/java", JAVA, "container", asked(java, request), items, more | {"codec": codec})
    for codec in CODECS:
        framed = fastavro_container(ORDER.json, codec, [])
        yield Case(f"container/{codec}/no_record", FASTAVRO, "container", encoded(framed), [], more | {"codec": codec})
    for number, sample in enumerate(firsts(samples)):
        codec = CODECS[number % len(CODECS)]
        values = [other.value for other in samples if other.version == sample.version and str(other) not in LARGE][:2]
        framed = fastavro_container(sample.version.json, codec, [values[:1], values[1:]])
        more = written(sample) | {"codec": codec}
        items = [expected_item(sample.version, value) for value in values]
        yield Case(
            f"container/{codec}/{sample.version.subject}-{sample.version.number}", FASTAVRO, "container", encoded(framed), items, more
        )


FOREIGN: dict[str, tuple[str, Any, list[Any]]] = {
    "more_fields": (
        "order",
        {
            "type": "record", "name": "Order", "doc": "An order as the shop's next release will write it.", "fields": [
                {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["WEB", "SHOP"]}},
                {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "total_amount", "type": "int"},
                {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "OrderItem", "fields": [
                    {"name": "price", "type": "float"},
                    {"name": "gift", "type": ["null", {"type": "map", "values": "string"}]},
                    {"name": "quantity", "type": "int"},
                    {"name": "product_id", "type": "bytes"},
                ]}}},
                {"name": "customer_id", "type": ["null", "string"]},
                {"name": "order_id", "type": "string"},
            ],
        },
        [
            {
                "channel": "SHOP", "timestamp": 0, "total_amount": 12, "customer_id": "c", "order_id": f"foreign-{number}",
                "items": [{"price": 0.1, "gift": {"to": "you"}, "quantity": number, "product_id": UNICODE.encode()}] * number,
            }
            for number in range(3)
        ],
    ),
    "few_fields": (
        "customer",
        {
            "type": "record", "name": "Customer", "namespace": "crm", "fields": [
                {"name": "visits", "type": "int"},
                {"name": "contacts", "type": {"type": "array", "items": {"type": "record", "name": "Contact", "fields": [
                    {"name": "street", "type": "null"}, {"name": "zip", "type": "string"},
                ]}}},
                {"name": "label", "type": "string"},
                {"name": "reference", "type": "null"},
                {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["OTHER", "ACTIVE"]}},
                {"name": "note", "type": "bytes"},
                {"name": "token", "type": "string"},
                {"name": "id", "type": "string"},
            ],
        },
        [
            {
                "visits": 1, "contacts": [{"street": None, "zip": "8000"}], "label": "L", "reference": None, "status": status,
                "note": b"n",
                "token": "t", "id": status.lower(),
            }
            for status in ("OTHER", "ACTIVE")
        ],
    ),
    "no_field": ("optional", {"type": "record", "name": "Optional", "namespace": "bodies", "fields": []}, [{}, {}, {}]),
}  # fmt: skip


def foreign_cases() -> Iterator[Case]:
    """Yields containers whose writer schema is not in the schema directory, but can be resolved to the reader schema of the
    same name."""
    for name, (subject, schema, values) in FOREIGN.items():
        newest = Version(subject, 1).newest
        items = [attribute_value(newest.type, read_by(parse(schema), newest.type, value)) for value in values]
        for value in values:
            fastavro_read(schema, newest.json, fastavro_datum(schema, value))
        framed = fastavro_container(schema, "deflate", [values])
        yield Case(f"container/foreign/{name}", FASTAVRO, "container", encoded(framed), items, {"codec": "deflate", "subject": subject})


def odd_container_cases() -> Iterator[Case]:
    """Yields containers that the specification allows and writers rarely produce. They are assembled by hand from datums
    written by fastavro."""
    orders = [order(200), order(201)]
    datums = [datum_of(ORDER, value) for value in orders]
    schema = json.dumps(ORDER.json).encode()
    blocks = [(1, datums[0]), (1, datums[1])]
    plain = container({"avro.codec": b"null", "avro.schema": schema}, blocks, SYNC)
    entries = container({"avro.codec": b"null", "avro.schema": schema}, [], SYNC)[5:-17]
    sized = b"Obj\x01" + zigzag(-2) + zigzag(len(entries)) + entries + plain[5 + len(entries) :]
    halves = [container({key: value}, [], SYNC)[4:-17] for key, value in (("avro.schema", schema), ("avro.codec", b"null"))]
    split = b"Obj\x01" + halves[0] + halves[1] + plain[5 + len(entries) :]
    odd = {
        "no_codec": container({"avro.schema": schema}, blocks, SYNC),
        "more_metadata": container({"avro.schema": schema, "user.binary": bytes(range(256)), "": b"", "avro.codec": b"null"}, blocks, SYNC),
        "sized_metadata": sized,
        "split_metadata": split,
        "empty_blocks": container({"avro.schema": schema}, [(0, b""), blocks[0], (0, b""), blocks[1], (0, b"")], SYNC),
        "zero_sync": container({"avro.schema": schema}, blocks, bytes(16)),
    }
    items = [expected_item(ORDER, value) for value in orders]
    for name, framed in odd.items():
        # fastavro decodes all metadata values as text, although the specification requires it only for its own keys.
        assert name == "more_metadata" or len(fastavro_records(framed)) == len(orders), name
        yield Case(f"container/odd/{name}", HAND, "container", encoded(framed), items, {"codec": "null", "subject": "order", "version": 1})


def confluent_cases(samples: list[Sample]) -> Iterator[Case]:
    for sample in firsts(samples):
        for schema_id in sample.version.ids:
            kind = "id" if isinstance(schema_id, int) else "guid"
            if kind == "id":
                framed = encoded(confluent(schema_id, sample.datum))
                yield Case(f"confluent/{sample}", FASTAVRO, "confluent", framed, [sample.item], written(sample))
            more = written(sample) | {"value_schema_id": encoded(confluent_v1(schema_id))}
            yield Case(f"confluent/{sample}/attribute-{kind}", FASTAVRO, "confluent", encoded(sample.datum), [sample.item], more)


def glue_cases(samples: list[Sample]) -> Iterator[Case]:
    for sample in firsts(samples):
        for version_id in sample.version.ids:
            if isinstance(version_id, str):
                for name, compressed in (("plain", False), ("zlib", True)):
                    framed = encoded(glue(version_id, sample.datum, compressed))
                    yield Case(f"glue/{name}/{sample}", FASTAVRO, "glue", framed, [sample.item], written(sample))


def datum_cases(samples: list[Sample]) -> Iterator[Case]:
    for sample in firsts(samples):
        newest = sample.version in (ORDER, CUSTOMERS[-1])
        attributes = [str(sample.version)] + ([sample.version.subject] if newest else [])
        for attribute in attributes:
            more = written(sample) | {"schema_attribute": attribute}
            name = f"datum/{sample}/{'version' if '/' in attribute else 'newest'}"
            datum = python_datum(sample.version.json, sample.value)
            yield Case(name, PYTHON, "datum", encoded(datum), [sample.item], more)


# Subjects whose JSON is unambiguous, because they have no decimals, dates or durations.
IN_JSON = ["order", "primitive", "tree", "union", "enum", "alias", "dropped", "reordered", "optional", "names"]


def json_cases(samples: list[Sample]) -> Iterator[Case]:
    for sample in samples:
        version = sample.version
        if version.subject in IN_JSON and version == version.newest and str(sample) not in LARGE:
            value = plain_json(version.type, lower(version.type, sample.value))
            body = json.dumps(value, ensure_ascii=len(sample.name) % 2 == 0)
            more = written(sample) | {"schema_attribute": version.subject}
            yield Case(f"json/{sample}", "python", "json", body, [sample.item], more)
    for name, value in COMPLEX.items():
        version = Version("complex", 1)
        body = json.dumps(plain_json(version.type, lower(version.type, value | UNAMBIGUOUS)))
        more = {"subject": "complex", "version": 1, "schema_attribute": "complex"}
        if f"complex-1/{name}" not in LARGE:
            yield Case(f"json/complex-1/{name}", "python", "json", body, [expected_item(version, value | UNAMBIGUOUS)], more)
    for name, (subject, body, value) in JSON_TEXTS.items():
        version = Version(subject, 1).newest
        items = [attribute_value(version.type, lower(version.type, value))]
        yield Case(f"json/{name}", HAND, "json", body, items, {"subject": subject, "version": version.number, "schema_attribute": subject})


# Values that match exactly one branch: no text that is also valid base64, no whole number that could be a float.
UNAMBIGUOUS = {
    "any": [
        ("null", None), ("boolean", True), ("int", -1), ("float", 0.1), ("string", "no base64!"), ("array", [1, 2, 3]), ("map", {"k": "v"}),
        ("bodies.Point", {"x": 1, "y": -2}),
    ],
    "float_or_long": ("float", 0.5),
    "bytes_or_string": ("string", "text, not bytes"),
}  # fmt: skip
PLAIN = order(300, lines=1)
JSON_TEXTS: dict[str, tuple[str, str, Any]] = {
    "any_order_of_fields": ("order", json.dumps(dict(reversed(PLAIN.items()))), PLAIN),
    "white_space": ("order", "\r\n\t " + json.dumps(PLAIN, indent="\t") + " \n", PLAIN),
    "escaped_names": ("optional", '{"\\u006eote": "\\ud83d\\ude00\\u0000\\/\\b\\f\\n\\r\\t"}', {"note": "\U0001f600\0/\b\f\n\r\t"}),
    "whole_numbers_for_doubles": ("order", json.dumps(PLAIN | {"total_amount": 12}), PLAIN | {"total_amount": 12.0}),
    "exponents": (
        "order",
        json.dumps(PLAIN | {"total_amount": 0}).replace('"total_amount": 0', '"total_amount": -1.5E+2'),
        PLAIN | {"total_amount": -150.0},
    ),
    "default_applied": ("optional", "{}", {"note": None}),
}
