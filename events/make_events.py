#!/usr/bin/env python3
"""Makes SQS events as Lambda delivers them, of orders written by fastavro.

    python3 -m venv venv && venv/bin/pip install -r ../tests/bodies/requirements.txt
    venv/bin/python make_events.py            writes the files
    venv/bin/python make_events.py --check    fails if they differ from what would be written

orders.json      ten orders, single-object encoded: ten items
mixed.json       five good messages and five that no retry can help, in turn:
                 order, unknown schema, container of three orders, cut datum, order, no base64, order in the Binary message
                 attribute `avro`, a price that is not a number, order, an empty order_id
mixed.response.json  the right answer to it
duplicates.json  eight orders with three order_ids, each later one different: three items, five superseded
"""

import argparse
import base64
import hashlib
import json
import math
import sys
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "bodies"))

from framing import fingerprint, single_object  # noqa: E402
from implementations import fastavro_container, fastavro_datum  # noqa: E402
from make_bodies import publish  # noqa: E402
from samples import order  # noqa: E402

SCHEMA = json.loads((HERE.parent / "schemas" / "order" / "1.avsc").read_text(encoding="utf-8"))
REGION = "us-east-1"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:orders"
SENT = 1_705_314_600_000

Message = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description="make SQS events of orders")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    events = {"orders": orders(), "mixed": mixed(), "duplicates": duplicates()}
    files = {HERE / f"{name}.json": event(name, messages) for name, messages in events.items()}
    files[HERE / "mixed.response.json"] = response("mixed", range(1, 10, 2))
    return publish(files, parser.parse_args().check)


def orders() -> list[Message]:
    return [sent(framed(order(number, lines=1 + number % 3))) for number in range(1, 11)]


def mixed() -> list[Message]:
    good = [order(number) for number in range(11, 18)]
    no_number = order(18) | {"items": [{"product_id": "sku-018", "quantity": 1, "price": math.nan}]}
    whole = framed(good[0])
    known = fingerprint(SCHEMA)
    return [
        sent(whole),
        sent(whole.replace(known, bytes(8))),
        sent(fastavro_container(SCHEMA, "snappy", [good[1:4]])),
        sent(framed(good[4])[:-5]),
        sent(framed(good[4])),
        {"body": "this is no base64!"},
        {"body": "the record is in the attribute", "avro": framed(good[5])},
        sent(framed(no_number)),
        sent(framed(good[6])),
        sent(framed(order(19) | {"order_id": ""})),
    ]


def duplicates() -> list[Message]:
    revisions: dict[int, int] = {}
    messages = []
    for number in (21, 22, 21, 23, 21, 22, 21, 22):
        revisions[number] = revisions.get(number, 0) + 1
        changed = order(number, lines=revisions[number])
        changed["timestamp"] += 60_000 * revisions[number]
        messages.append(sent(framed(changed)))
    return messages


def framed(record: dict[str, Any]) -> bytes:
    return single_object(SCHEMA, fastavro_datum(SCHEMA, record))


def sent(content: bytes) -> Message:
    return {"body": base64.b64encode(content).decode()}


def event(name: str, messages: list[Message]) -> str:
    records = [record(f"{name}/{index}", SENT + index, message) for index, message in enumerate(messages)]
    return json.dumps({"Records": records}, indent=2) + "\n"


def response(name: str, rejected: range) -> str:
    """The answer that gives back the messages at `rejected` of an event."""
    identifiers = [record(f"{name}/{index}", SENT, {"body": ""})["messageId"] for index in rejected]
    return json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}, indent=2) + "\n"


def record(seed: str, sent_at: int, message: Message) -> dict[str, Any]:
    """One record as Lambda delivers it; what SQS draws at random comes of `seed`."""
    random = hashlib.sha512(seed.encode()).digest()
    digest = {"md5OfBody": hashlib.md5(message["body"].encode()).hexdigest()}
    attributes = {}
    if "avro" in message:
        attributes["avro"] = {
            "binaryValue": base64.b64encode(message["avro"]).decode(),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "Binary",
        }
        digest["md5OfMessageAttributes"] = md5_of_binary("avro", message["avro"])
    return {
        "messageId": str(uuid.UUID(bytes=random[:16], version=4)),
        "receiptHandle": "AQEB" + base64.b64encode(random * 2).decode(),
        "body": message["body"],
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(sent_at),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": str(sent_at + 2),
        },
        "messageAttributes": attributes,
        **digest,
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE,
        "awsRegion": REGION,
    }


def md5_of_binary(name: str, value: bytes) -> str:
    """The digest SQS gives of a single Binary attribute: name, type and value, each behind its length."""

    def measured(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    return hashlib.md5(measured(name.encode()) + measured(b"Binary") + b"\x02" + measured(value)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
