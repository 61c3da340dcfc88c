"""One order in every encoding that a message body can have."""

import base64
import json
from typing import Any

from expected import datum_of, expected_item
from framing import single_object
from implementations import FASTAVRO
from samples import order
from schema import Version


def all_envelopes() -> list[dict[str, Any]]:
    version = Version("order", 1)
    # Choose an order whose base64 differs between the two alphabets and ends with padding.
    candidates = [order(1) | {"customer_id": "~~~???" + "x" * length} for length in range(3)]
    value = next(value for value in candidates if needs_both(single_object(version.json, datum_of(version, value))))
    framed = single_object(version.json, datum_of(version, value))
    standard, url_safe = base64.b64encode(framed).decode(), base64.urlsafe_b64encode(framed).decode()
    envelope = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:orders",
        "Subject": "an order",
        "Message": standard,
        "Timestamp": "2024-01-15T10:30:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-example.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"origin": {"Type": "String", "Value": "shop"}},
    }
    spellings = {
        "standard": standard,
        "standard_unpadded": standard.rstrip("="),
        "url_safe": url_safe,
        "url_safe_unpadded": url_safe.rstrip("="),
        "white_space_around": f" \t\r\n{standard}\r\n",
        "sns": json.dumps(envelope),
        "sns_indented": json.dumps(envelope | {"Message": url_safe.rstrip("=")}, indent=2) + "\n",
        "sns_escaped": json.dumps(envelope).replace("/", "\\/").replace("Message", "\\u004dessage"),
        "sns_minimal": json.dumps({"Message": standard, "Type": "Notification"}),
    }
    item = expected_item(version, value)
    fixed = {"made_by": FASTAVRO, "wire_format": "single-object", "subject": version.subject, "version": version.number}
    return [{"name": f"envelope/{name}", **fixed, "body": body, "items": [item]} for name, body in spellings.items()]


def needs_both(framed: bytes) -> bool:
    text = base64.b64encode(framed).decode()
    return "+" in text and "/" in text and text.endswith("=")
