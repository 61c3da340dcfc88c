"""A producer in Python: a dictionary as the body of an SQS message, in Avro's single-object encoding.

    pip install fastavro
    python3 examples/producer.py        # prints a body, as `aws sqs send-message --message-body` takes it
"""

import base64
import io
import json
import pathlib

import fastavro


def body(schema: dict, record: dict) -> str:
    """The body of a message that holds one record."""
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, schema, record)
    # the fingerprint of the schema, by which the function finds it
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
    # the same directory that the function is deployed with
    schema = json.loads(pathlib.Path("schemas/order/1.avsc").read_text())
    print(body(schema, ORDER))
