"""Records of subjects whose schema changes, by the version that wrote them."""

from datetime import date
from decimal import Decimal
from typing import Any

from samples import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, QUOTES, UNICODE, UUID, Records


def client_1(**values: Any) -> dict[str, Any]:
    plain = {
        "id": "client-1", "name": "Ada", "legacy_code": [{"a": b"1", "b": b""}, {}], "visits": 3, "score": 0.1, "token": "secr\u00e9t",
        "note": "no\u0301te".encode(), "status": "ACTIVE", "phone": "+41", "reference": ("string", "ref"),
        "contacts": [{"street": "Main", "number": 1, "zip": "8000"}, {"street": "", "number": INT_MAX, "zip": "0"}],
    }  # fmt: skip
    return plain | values


CUSTOMER_1: Records = {
    "plain": client_1(),
    "edges": client_1(
        id=UNICODE, visits=INT_MIN, score=3.4028234663852886e38, note=b"", token="", reference=None, contacts=[], legacy_code=[]
    ),
    "symbol_gone": client_1(status="GONE"),
    "symbol_locked": client_1(status="LOCKED"),
}

CUSTOMER_2: Records = {
    "plain": {
        "score": 0.30000000000000004, "visits": 2**53 + 1, "id": "client-2", "name": "Bob", "token": b"\xff\0", "note": QUOTES,
        "status": "NEW",
        "phone": None, "reference": None, "country": "DE", "contacts": [{"zip": "1", "street": "S", "primary": False}],
    },
}  # fmt: skip

CUSTOMER_3: Records = {
    "plain": {
        "id": "customer-3", "full_name": "Eve", "visits": 1.5, "score": None, "token": b"t", "note": "", "status": "PAUSED",
        "phone": "+49",
        "reference": "r", "country": "FR", "since": -1, "limits": {"daily": 1e6, "never": -0.0}, "addresses": [],
    },
}  # fmt: skip


def promotion_1(**values: Any) -> dict[str, Any]:
    plain = {
        "chain": 16_777_217, "int_to_long": INT_MIN, "int_to_float": INT_MAX, "int_to_double": INT_MAX, "long_to_float": LONG_MAX,
        "long_to_double": LONG_MIN, "float_to_double": 0.1, "string_to_bytes": UNICODE, "bytes_to_string": QUOTES.encode(),
        "array": [1, -1, INT_MAX], "map": {"tenth": 0.1, "zero": -0.0}, "nested_array": [[b"a", b""], [], ["\u00e9".encode()]],
        "optional": 5,
        "date_to_long": date(1969, 12, 31), "int_to_timestamp": -1, "millis_to_micros": 1_705_314_600_123,
    }  # fmt: skip
    return plain | values


PROMOTION_1: Records = {
    "plain": promotion_1(),
    # Rounds up if converted directly from the integer, but down if converted through a double.
    "one_rounding": promotion_1(long_to_float=2**60 + 2**36 + 1, long_to_double=2**53 + 1, int_to_float=16_777_217, chain=-1),
    "ties_to_even": promotion_1(long_to_float=-(2**24 + 3), long_to_double=-(2**54 + 2), int_to_float=-16_777_219, optional=None),
    "empty": promotion_1(string_to_bytes="", bytes_to_string=b"", array=[], map={}, nested_array=[], chain=0, int_to_float=0),
}


def promotion_2(chain: float) -> dict[str, Any]:
    return {
        "chain": chain, "int_to_long": LONG_MAX, "int_to_float": 0.1, "int_to_double": 0.1, "long_to_float": 1.401298464324817e-45,
        "long_to_double": 1e-130, "float_to_double": 1e125, "string_to_bytes": b"\xff", "bytes_to_string": "text", "array": [0.5],
        "map": {},
        "nested_array": [["x"]], "optional": 0.25, "date_to_long": LONG_MIN, "int_to_timestamp": LONG_MAX, "millis_to_micros": 0,
    }  # fmt: skip


PROMOTION_2: Records = {"plain": promotion_2(2**53 + 1), "lowest": promotion_2(LONG_MIN)}
PROMOTION_3: Records = {"plain": promotion_2(0.1), "largest": promotion_2(3.4028234663852886e38)}
PROMOTION_4: Records = {"plain": promotion_2(0.1)}

DEFAULTS_1: Records = {
    "plain": {"id": "old", "nested": {"kept": 1}, "list": [{"kept": 2}, {"kept": INT_MIN}]},
    "no_list": {"id": "", "nested": {"kept": 0}, "list": []},
}
SETTINGS = {"size": 1, "label": "l", "deep": []}
DEFAULTS_2: Records = {
    "plain": {
        "null": None, "boolean": False, "int": 1, "long": 1, "float": 1.0, "double": 1.0, "string": "s", "empty_string": "e",
        "bytes": b"b",
        "enum": "LOW", "fixed": b"fx", "array": [], "empty_array": ["x"], "map": {}, "empty_map": {"k": 1}, "id": "new",
        "record": SETTINGS,
        "null_first": "n", "string_first": None, "record_first": None, "second_branch": None, "partial_record": SETTINGS,
        "decimal": Decimal("1.23"), "decimal_fixed": Decimal("-1.23"), "uuid": UUID, "date": date(2024, 2, 29), "time": 0,
        "timestamp": 0, "duration": bytes(12),
        "nested": {"added": "HIGH", "kept": 1, "also_added": b"cd"}, "list": [{"added": None, "kept": 1, "also_added": b"\0\0"}],
    },
}  # fmt: skip


def gone(depth: int) -> dict[str, Any]:
    return {"x": "x" * depth, "more": [gone(depth - 1)] * 2 if depth else []}


DROPPED_1: Records = {
    "plain": {
        "first": "first", "null": None, "boolean": True, "int": INT_MIN, "long": LONG_MAX, "float": 1.5, "double": -0.0,
        "bytes": b"\0" * 70,
        "string": UNICODE, "enum": "RIGHT", "fixed": b"123", "array": ["a" * 50, "", "b"], "map": {"k": [1, 2, LONG_MIN], "l": []},
        "union": ("bodies.Side", "LEFT"), "record": gone(3), "decimal": Decimal("-99.99"),
        "kept": [{"a": 1, "dropped": {"g": gone(2)}, "b": "b1"}, {"a": 2, "dropped": {}, "b": ""}], "last": -1,
    },
    # Values that DynamoDB cannot store, in fields that the reader's schema drops.
    "unstorable": {
        "first": "", "null": None, "boolean": False, "int": 0, "long": 0, "float": float("nan"), "double": float("-inf"), "bytes": b"",
        "string": "", "enum": "LEFT", "fixed": b"\0\0\0", "array": [], "map": {}, "union": ("null", None), "record": gone(0),
        "decimal": Decimal(0), "kept": [], "last": LONG_MIN,
    },
}  # fmt: skip
DROPPED_2: Records = {"plain": {"first": "f", "kept": [{"a": 1, "b": "b"}], "last": 0}}

PAIR = {"left": "l", "right": {"left": "inner", "right": None, "count": 2}, "count": 1}
REORDERED: Records = {"plain": {"a": 1, "b": "b", "c": [PAIR, PAIR["right"]], "d": PAIR}, "sparse": {"a": -1, "b": "", "c": [], "d": None}}

CAT = {"name": "Tom", "lives": 9}
DOG = {"name": "Rex", "tricks": ["sit", "roll"]}


def union_1(**values: Any) -> dict[str, Any]:
    plain = {
        "to_union": "text", "to_promoting_union": INT_MIN, "record_to_union": CAT, "array_to_union": [1, 2],
        "from_union": ("string", "s"),
        "from_promoting_union": ("int", 7), "narrowed": ("string", "kept"), "widened": 1, "reordered": ("int", 5), "promoted": ("int", 6),
        "records": [("bodies.Cat", CAT), ("bodies.Dog", DOG)],
    }  # fmt: skip
    return plain | values


UNION_1: Records = {
    "plain": union_1(),
    "nulls": union_1(narrowed=None, widened=None, reordered=None, promoted=None, records=[]),
    "long": union_1(from_promoting_union=("long", 2**53 + 1), reordered=("string", "s"), promoted=("bytes", b"promoted")),
    "float": union_1(from_promoting_union=("float", 0.1), reordered=("bodies.Cat", CAT), from_union=("bytes", b"promoted")),
    "double": union_1(from_promoting_union=("double", 0.1)),
}
NEW_CAT = CAT | {"indoor": False}
UNION_2: Records = {
    "plain": {
        "to_union": None, "to_promoting_union": ("double", 0.5), "record_to_union": NEW_CAT, "array_to_union": None, "from_union": "s",
        "from_promoting_union": 1.5, "narrowed": None, "widened": ("map", {"k": "v"}), "reordered": ("bodies.Cat", NEW_CAT),
        "promoted": ("long", LONG_MIN), "records": [("bodies.Hound", DOG | {"age": 3}), ("bodies.Cat", NEW_CAT), ("null", None)],
    },
}  # fmt: skip

ENUM_1: Records = {
    "known": {"with_default": "APPLE", "without_default": "IRON", "list": ["FIG", "APPLE"], "optional": "LEAD"},
    "unknown": {"with_default": "PLUM", "without_default": "LEAD", "list": ["FIG", "PEAR", "PLUM", "APPLE"], "optional": None},
}
ENUM_2: Records = {"plain": {"with_default": "KIWI", "without_default": "GOLD", "list": [], "optional": "GOLD"}}

PART = {"w": 3, "h": 4}


def alias_1(spare: Any) -> dict[str, Any]:
    return {"identifier": "i", "kind": "A", "hash": b"\x01\x02", "part": PART, "spare": spare, "swap_a": "a", "swap_b": 2}


ALIAS_1: Records = {
    "plain": alias_1(None),
    "record": alias_1(("legacy.names.OldPart", PART)),
    "enum": alias_1(("legacy.names.OldKind", "B")),
    "fixed": alias_1(("legacy.other.OldHash", b"\xff\xff")),
}
NEW_PART = {"height": 4, "width": LONG_MAX}
ALIAS_2: Records = {
    "plain": {
        "id": "i", "kind": "B", "digest": b"\0\0", "component": NEW_PART, "spare": ("current.NewPart", NEW_PART), "text": "t",
        "number": 1,
    },
}  # fmt: skip
