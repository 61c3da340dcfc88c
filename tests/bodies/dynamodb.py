"""Mapping of Avro values to DynamoDB JSON, and to the plain JSON of the wire format `json`."""

import base64
import math
import struct
import uuid
from datetime import timedelta
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

from resolution import EPOCH
from schema import Type

LARGEST = Decimal("9.9999999999999999999999999999999999999E+125")
SMALLEST = Decimal("1E-130")
MOST_DIGITS = 38


class ItemError(Exception):
    """The number is outside the range or precision of DynamoDB numbers."""


def attribute_value(type: Type, value: Any) -> dict[str, Any]:
    """Returns the DynamoDB JSON of an Avro value that `resolution.lower` or `resolution.resolve` returned."""
    match type.logical:
        case "decimal":
            with localcontext(Context(prec=1000)):
                return {"N": number(Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-type.scale))}
        case "date":
            return {"S": (EPOCH + timedelta(days=value)).isoformat()}
        case "uuid" if type.kind == "fixed":
            return {"S": str(uuid.UUID(bytes=value))}
    match type.kind:
        case "null":
            return {"NULL": True}
        case "boolean":
            return {"BOOL": value}
        case "int" | "long":
            return {"N": number(Decimal(value))}
        case "float":
            return {"N": number(shortest_float32(value))}
        case "double":
            return {"N": number(shortest_float64(value))}
        case "string" | "enum":
            return {"S": value}
        case "bytes" | "fixed":
            return {"B": base64.b64encode(value).decode()}
        case "array":
            return {"L": [attribute_value(type.items, item) for item in value]}
        case "map":
            return {"M": {key: attribute_value(type.items, item) for key, item in value.items()}}
        case "record":
            return {"M": {field.name: attribute_value(field.type, value[field.name]) for field in type.fields}}
        case "union":
            return attribute_value(type.branches[value.index], value.value)
    raise AssertionError(type.kind)


def number(value: Decimal) -> str:
    """Returns the text of a number without superfluous zeros. DynamoDB counts its digits without leading and trailing zeros."""
    if not value.is_finite():
        raise ItemError("not finite")
    if value == 0:
        return "0"
    with localcontext(Context(prec=1000)):
        value = value.normalize()
    if len(value.as_tuple().digits) > MOST_DIGITS or not SMALLEST <= abs(value) <= LARGEST:
        raise ItemError(str(value))
    plain = format(value, "f")
    return plain if len(plain) <= 42 else str(value)


def shortest_float64(value: float) -> Decimal:
    return Decimal(repr(value))


def shortest_float32(value: float) -> Decimal:
    """Returns the shortest decimal that parses back to `value`. Ties go to the closest decimal, then to an even last digit."""
    if value == 0 or not math.isfinite(value):
        return Decimal(value)
    exact = Fraction(value)
    bits = struct.unpack("<I", struct.pack("<f", abs(value)))[0]
    below, above = (Fraction(struct.unpack("<f", struct.pack("<I", near))[0]) for near in (bits - 1, min(bits + 1, 0x7F7FFFFF)))
    if above == abs(exact):
        above += above - below
    low, high = (abs(exact) + below) / 2, (abs(exact) + above) / 2
    for digits in range(1, 10):
        candidates = [Context(prec=digits, rounding=rounding).create_decimal(Decimal(value)) for rounding in (ROUND_DOWN, ROUND_UP)]
        # The ends of the interval round to `value` only if its significand is even.
        inside = [near for near in candidates if low < abs(Fraction(near)) < high or (bits % 2 == 0 and abs(Fraction(near)) in (low, high))]
        if inside:
            return min(inside, key=lambda near: (abs(Fraction(near) - exact), near.as_tuple().digits[-1] % 2))
    raise AssertionError(value)


def plain_json(type: Type, value: Any) -> Any:
    """Returns the value as a JSON producer writes it: union values without a tag, bytes in base64."""
    match type.kind:
        case "bytes" | "fixed":
            return base64.b64encode(value).decode()
        case "float":
            return float(shortest_float32(value))
        case "array":
            return [plain_json(type.items, item) for item in value]
        case "map":
            return {key: plain_json(type.items, item) for key, item in value.items()}
        case "record":
            return {field.name: plain_json(field.type, value[field.name]) for field in type.fields}
        case "union":
            return plain_json(type.branches[value.index], value.value)
        case _:
            return value
