"""A producer in Python. It sends a dictionary as the body of an SQS message, in Avro's single-object encoding.

    pip install fastavro
    python3 examples/producer.py        # prints a body for `aws sqs send-message --message-body`
"""

import base64
import io
import json
import pathlib

import fastavro


def body(schema: dict, record: dict) -> str:
    """Returns the body of a message with one record."""
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, schema, record)
    # the function finds the schema by this fingerprint
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    return base64.b64encode(b"\xc3\x01" + fingerprint + datum.getvalue()).decode()


ORDER = {
    "order_id": "o-1001",
    "customer_id": "c-7",
    "items": [{"product_id": "p-1", "quantity": 2, "price": 9.99}],
    "total_amount": 19.98,
    "timestamp": 1700000000000,
}

if __name__ == "__main__":
    # the schema directory with which the function is deployed
    schema = json.loads(pathlib.Path("schemas/order/1.avsc").read_text())
    print(body(schema, ORDER))
