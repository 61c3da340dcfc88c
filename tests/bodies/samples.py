"""The records in the bodies, by schema version and by sample name."""

from datetime import date
from decimal import Decimal
from typing import Any

Records = dict[str, dict[str, Any]]

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
FLOAT_MAX, FLOAT_MIN_NORMAL, FLOAT_MIN = 3.4028234663852886e38, 1.1754943508222875e-38, 1.401298464324817e-45
CONTROL = "".join(map(chr, range(0x20))) + "\x7f\x80\x9f"
QUOTES = '"quoted" \\back\\slash\\ /slash/ \\u0041 \\n \'single\' </script> {"S": "}'
UNICODE = "\u00e9e\u0301 \u07ff\u0800 \u2028\u2029 \ufeff\ufffd\uffff \U00010000\U0001f600\U0001f468\u200d\U0001f469 \U0010ffff"
LONG_TEXT = ("The quick brown fox jumps over the lazy dog. " * 20 + '\U0001f98a "\u2028\\\n') * 11
UUID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


def order(number: int, lines: int = 2) -> dict[str, Any]:
    """Returns an ordinary order. The result depends only on the arguments."""
    items = [
        {"product_id": f"sku-{(number * 31 + line * 7) % 1000:03}", "quantity": 1 + (number + line) % 4, "price": 4.99 + 5 * line}
        for line in range(lines)
    ]
    total = sum((Decimal(str(item["price"])) * item["quantity"] for item in items), Decimal(0))
    return {
        "order_id": f"order-{number:06}",
        "customer_id": f"customer-{number * 17 % 500:04}",
        "items": items,
        "total_amount": float(total),
        "timestamp": 1_705_314_600_000 + number * 1_001,
    }


ORDER: Records = {
    "plain": order(1),
    "no_items": order(2, lines=0),
    "many_items": order(3, lines=40),
    "edges": {
        "order_id": UNICODE,
        "customer_id": "",
        "items": [{"product_id": QUOTES, "quantity": INT_MIN, "price": -0.0}],
        "total_amount": 9.99e125,
        "timestamp": LONG_MIN,
    },
}


def primitive(**values: Any) -> dict[str, Any]:
    plain = {
        "nothing": None, "flag": True, "int": 42, "long": -7, "float": 1.5, "double": 2.25, "bytes": b"bytes", "string": "string",
        "second_flag": False, "second_double": 1e3,
    }  # fmt: skip
    return plain | values


PRIMITIVE: Records = {
    "plain": primitive(),
    "lowest": primitive(flag=False, int=INT_MIN, long=LONG_MIN, float=-FLOAT_MAX, double=-9.99e125, second_double=-9.999999999999998e125),
    "highest": primitive(int=INT_MAX, long=LONG_MAX, float=FLOAT_MAX, double=9.99e125, second_double=1e125),
    "zero": primitive(int=0, long=0, float=0.0, double=0.0, second_double=0.0, bytes=b"\0", string="0"),
    "negative_zero": primitive(float=-0.0, double=-0.0, second_double=-0.0),
    "minus_one": primitive(int=-1, long=-1, float=-1.0, double=-1.0, second_double=-1.0),
    "smallest": primitive(float=FLOAT_MIN, double=1e-130, second_double=-1e-130),
    "subnormal": primitive(float=FLOAT_MIN_NORMAL - FLOAT_MIN, double=1.2345678901234567e-130, second_double=FLOAT_MIN),
    "least_normal": primitive(float=FLOAT_MIN_NORMAL, double=2.2250738585072014e-120, second_double=5e-130),
    "float_tenth": primitive(float=0.1, double=0.1, second_double=0.10000000149011612),
    "seventeen_digits": primitive(float=16777217.0, double=0.1 + 0.2, second_double=1.2345678901234567e17),
    "powers_of_two": primitive(float=2.0**-44, double=2.0**-44, second_double=2.0**80, long=2**53 + 1),
    "powers_of_ten": primitive(float=1e10, double=1e22, second_double=1e23, long=10**18),
    "whole_floats": primitive(float=2147483648.0, double=9007199254740993.0, second_double=123456789012345680.0),
    "one_byte_varints": primitive(int=63, long=-64),
    "two_byte_varints": primitive(int=64, long=-65),
    "empty": primitive(bytes=b"", string=""),
    "control_characters": primitive(string=CONTROL, bytes=bytes(range(256))),
    "quotes": primitive(string=QUOTES, bytes=b"\xff\xfe\xfd"),
    "unicode": primitive(string=UNICODE, bytes=UNICODE.encode("utf-8")),
    "long_string": primitive(string=LONG_TEXT, bytes=b"\0" * 1000),
}


def logical(**values: Any) -> dict[str, Any]:
    plain = {
        "decimal_bytes": Decimal("1234.5678901234"),
        "decimal_whole": Decimal(42),
        "decimal_fraction": Decimal("0.5"),
        "decimal_fixed": Decimal("-19.99"),
        "decimal_small_fixed": Decimal("0.0725"),
        "uuid_string": UUID,
        "uuid_fixed": bytes.fromhex(UUID.replace("-", "")),
        "date": date(2024, 1, 15),
        "time_millis": 37_800_000,
        "time_micros": 37_800_000_001,
        "timestamp_millis": 1_705_314_600_123,
        "timestamp_micros": 1_705_314_600_123_456,
        "timestamp_nanos": 1_705_314_600_123_456_789,
        "local_timestamp_millis": 1_705_318_200_123,
        "local_timestamp_micros": 1_705_318_200_123_456,
        "local_timestamp_nanos": 1_705_318_200_123_456_789,
        "duration": bytes([1, 0, 0, 0, 15, 0, 0, 0, 0x10, 0x27, 0, 0]),
        "dates": [date(1970, 1, 1), date(2000, 2, 29)],
        "optional_decimal": None,
        "amounts": {"a": Decimal("0.01"), "b": Decimal("-0.01")},
    }
    return plain | values


LOGICAL: Records = {
    "plain": logical(),
    "zero": logical(
        decimal_bytes=Decimal(0), decimal_whole=Decimal(0), decimal_fraction=Decimal(0),
        decimal_fixed=Decimal(0),
        decimal_small_fixed=Decimal(0), uuid_fixed=bytes(16), date=date(1970, 1, 1), time_millis=0, time_micros=0, timestamp_millis=0,
        timestamp_micros=0, timestamp_nanos=0, local_timestamp_millis=0, local_timestamp_micros=0, local_timestamp_nanos=0,
        duration=bytes(12), dates=[], optional_decimal=Decimal(0), amounts={},
    ),
    "highest": logical(
        decimal_bytes=Decimal("9999999999999999999999999999.9999999999"), decimal_whole=Decimal("9" * 38),
        decimal_fraction=Decimal("0." + "9" * 38),
        decimal_fixed=Decimal("9" * 36 + ".99"), decimal_small_fixed=Decimal("0.9999"), uuid_fixed=b"\xff" * 16, date=date(9999, 12, 31),
        time_millis=86_399_999, time_micros=86_399_999_999, timestamp_millis=LONG_MAX, timestamp_micros=LONG_MAX,
        timestamp_nanos=LONG_MAX,
        local_timestamp_millis=LONG_MAX, local_timestamp_micros=LONG_MAX, local_timestamp_nanos=LONG_MAX, duration=b"\xff" * 12,
        optional_decimal=Decimal("999999.999"),
    ),
    "lowest": logical(
        decimal_bytes=Decimal("-9999999999999999999999999999.9999999999"), decimal_whole=Decimal("-" + "9" * 38),
        decimal_fraction=Decimal("-0." + "9" * 38),
        decimal_fixed=Decimal("-" + "9" * 36 + ".99"), decimal_small_fixed=Decimal("-0.9999"), date=date(1, 1, 1),
        timestamp_millis=LONG_MIN, timestamp_micros=LONG_MIN, timestamp_nanos=LONG_MIN, local_timestamp_millis=LONG_MIN,
        local_timestamp_micros=LONG_MIN, local_timestamp_nanos=LONG_MIN, optional_decimal=Decimal("-999999.999"),
    ),
    "before_the_epoch": logical(
        date=date(1969, 12, 31), timestamp_millis=-1, timestamp_micros=-62_135_596_800_000_000, timestamp_nanos=-1,
        local_timestamp_millis=-62_135_596_800_000, local_timestamp_micros=-1, local_timestamp_nanos=-1_000_000_000,
        dates=[date(1, 1, 1), date(4, 2, 29), date(1582, 10, 15), date(1600, 2, 29), date(1900, 2, 28), date(1900, 3, 1)],
    ),
    "dates": logical(dates=[date(1970, 1, 2), date(2000, 2, 29), date(2000, 3, 1), date(2024, 2, 29), date(2100, 3, 1)]),
    "trailing_zeros": logical(
        decimal_bytes=Decimal("1.5000000000"), decimal_whole=Decimal(10) ** 37, decimal_fixed=Decimal("100.00"),
    ),
    "smallest_decimals": logical(
        decimal_fraction=Decimal("1E-38"), decimal_small_fixed=Decimal("-0.0001"), decimal_fixed=Decimal("0.01"),
    ),
    "sign_bytes": logical(
        decimal_whole=Decimal(127), decimal_bytes=Decimal("-0.0000000128"), optional_decimal=Decimal("-0.129"),
    ),
    # More bytes than the value needs, as writers with fixed-size buffers produce them.
    "padded_decimals": logical(decimal_bytes=b"\0" * 20 + b"\x05", decimal_whole=b"\xff" * 9 + b"\x85", optional_decimal=b"\0\0\0"),
    "upper_case_uuid": logical(uuid_string=UUID.upper()),
}  # fmt: skip

WIDE_DECIMAL: Records = {
    "plain": {"value": Decimal("-1.25")},
    "highest": {"value": Decimal("9" * 29 + "." + "9" * 9)},
    "trailing_zeros": {"value": Decimal(10) ** 28},
    "smallest": {"value": Decimal("1E-130")},
    "zero": {"value": Decimal(0)},
}

UNKNOWN_LOGICAL: Records = {
    "plain": {
        "country": "CH", "date_on_long": 19_737, "timestamp_on_string": "2024-01-15T10:30:00Z", "decimal_without_precision": b"\x01\x02",
        "decimal_on_string": "12.5", "short_uuid": b"\0\x01\x02\x03\x04\x05\x06\x07", "short_duration": b"\xff" * 8,
    },
}  # fmt: skip

POINT = ("bodies.Point", {"x": 1, "y": -2})


def complex_record(**values: Any) -> dict[str, Any]:
    plain = {
        "suit": "HEARTS",
        "digest": b"\0\x01\xfe\xff",
        "strings": ["a", "b"],
        "matrix": [[1, 2], [], [3]],
        "counts": {"one": 1, "two": 2},
        "groups": {"g": [{"yes": True, "no": False}, {}]},
        "optional": "here",
        "optional_last": None,
        "any": [],
        "float_or_long": ("float", 0.5),
        "bytes_or_string": ("bytes", b"\x01"),
        "unions": [],
        "nested": {"inner": {"points": [{"x": 3, "y": 4}], "by_name": {"k": {"x": 5, "y": 6}}}, "empty": {}},
        "empties": [],
        "nulls": [],
    }
    return plain | values


COMPLEX: Records = {
    "plain": complex_record(),
    "empty": complex_record(
        strings=[], matrix=[], counts={}, groups={}, optional=None, optional_last=0.0,
        nested={"inner": {"points": [], "by_name": {}}, "empty": {}},
    ),
    "every_branch": complex_record(
        any=[
            ("null", None), ("boolean", True), ("int", -1), ("float", 0.1), ("bytes", b"\xff"), ("string", "s"), ("bodies.Suit", "CLUBS"),
            ("bodies.Digest", b"abcd"), ("array", [1, 2, 3]), ("map", {"k": "v"}), POINT, ("bodies.Other", {"x": 9, "y": 9}),
        ],
        unions=[("null", None), ("string", ""), ("long", LONG_MIN), POINT],
    ),
    "unpromoted": complex_record(float_or_long=("long", 16_777_217), bytes_or_string=("string", "text, not bytes")),
    "zero_byte_items": complex_record(empties=[{}] * 3, nulls=[None] * 5),
    "many": complex_record(
        suit="CLUBS", strings=[f"string {index}" for index in range(100)],
        counts={f"key-{index:03}": index * index for index in range(150)},
    ),
    "odd_keys": complex_record(
        counts={UNICODE: 1, QUOTES: 2, CONTROL: 3, " ": 4, "N": 5, "S": 6, "M": 7}, strings=["", CONTROL, QUOTES, UNICODE],
    ),
}  # fmt: skip


def name_of(depth: int) -> dict[str, Any]:
    return {
        "inheritNamespace": "d", "relative": "e", "elsewhere": b"elsewhere 12", "nested": name_of(depth - 1) if depth else None,
        "deeper": {"own": b"ow", "again": b"ag"},
    }  # fmt: skip


NAMES: Records = {
    "plain": {
        "inheritNull": "a", "explicitNamespace": b"explicit 012", "fullName": name_of(2), "nullAgain": "b",
        "explicitAgain": b"again 345678",
        "understood": ["d", "e", "d"], "deeperAgain": {"own": b"\0\0", "again": b"\xff\xff"},
    },
}  # fmt: skip


def node(value: int, next: Any = None, children: Any = (), named: Any = None) -> dict[str, Any]:
    return {"value": value, "next": next, "children": list(children), "named": named or {}}


def chain(length: int) -> dict[str, Any]:
    return node(length, next=chain(length - 1) if length else None)


def recolored(tree: dict[str, Any]) -> dict[str, Any]:
    """Converts a node of version 1 to the form that version 2 writes."""
    return {
        "color": "RED" if tree["value"] % 2 else "BLACK", "named": {key: recolored(child) for key, child in tree["named"].items()},
        "children": [recolored(child) for child in tree["children"]], "weight": tree["value"] / 8,
        "next": tree["next"] and recolored(tree["next"]),
    }  # fmt: skip


FAMILY = node(
    1, children=[node(2, children=[node(3), node(4)]), node(5)], named={"left": node(6, named={"deep": node(7)}), "right": chain(2)}
)
TREE_1: Records = {"leaf": node(INT_MIN), "chain": chain(20), "family": FAMILY}
TREE_2: Records = {name: recolored(tree) for name, tree in TREE_1.items()}

HOSTILE: dict[str, Any] = {
    "flag": True, "int": 1, "long": 1, "string": "s", "bytes": b"b", "enum": "ON", "union": None, "list": [], "map": {}, "nulls": [],
    "empties": [], "nested": None,
}  # fmt: skip
