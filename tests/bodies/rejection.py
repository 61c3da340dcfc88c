"""One line of rejected.jsonl."""

import base64
from typing import Any

Line = dict[str, Any]

HUGE = 2**60


def case(name: str, wire_format: str, body: str | bytes, *reasons: str, made_by: str = "hand", **more: Any) -> Line:
    """Returns a line. `body` is the message's text, or bytes to encode as base64. Any of `reasons` is correct."""
    content = body if isinstance(body, str) else base64.b64encode(body).decode()
    return {"name": name, "made_by": made_by, "wire_format": wire_format, **more, "body": content, "reasons": list(reasons)}
