"""Datums that must be rejected: malformed datums, values that DynamoDB cannot store, and values that the reader schema does not
allow."""

import math
import struct
from collections.abc import Iterator
from typing import Any

import evolution as e
import samples as s
from expected import datum_of, read_by
from framing import single_object, text, zigzag
from implementations import FASTAVRO, fastavro_read
from rejection import HUGE, Line, case
from resolution import Unresolvable
from schema import Version

HOSTILE = Version("hostile", 1)
PARTS = {
    "flag": b"\x01", "int": zigzag(1), "long": zigzag(1), "string": text("s"), "bytes": text(b"b"), "enum": zigzag(0), "union": zigzag(0),
    "list": zigzag(0), "map": zigzag(0), "nulls": zigzag(0), "empties": zigzag(0), "nested": zigzag(0),
}  # fmt: skip


def hostile(**parts: bytes) -> bytes:
    return single_object(HOSTILE.json, b"".join((PARTS | parts).values()))


assert fastavro_read(HOSTILE.json, HOSTILE.json, hostile()[10:]) == s.HOSTILE


def malformed_cases() -> Iterator[Line]:
    """Yields datums that are valid except for one value."""
    malformed = "malformed_datum"
    # A length beyond the input may be reported as malformed, as truncated or as a limit exceeded.
    too_long = ("truncated", "limit_exceeded", malformed)
    table: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
        "boolean_two": ({"flag": b"\x02"}, (malformed,)),
        "boolean_255": ({"flag": b"\xff"}, (malformed,)),
        "int_over_32_bits": ({"int": zigzag(2**31)}, (malformed,)),
        "int_under_32_bits": ({"int": zigzag(-(2**31) - 1)}, (malformed,)),
        "int_of_a_long": ({"int": zigzag(2**62)}, (malformed,)),
        "long_over_64_bits": ({"long": b"\xff" * 9 + b"\x02"}, (malformed,)),
        "long_of_eleven_bytes": ({"long": b"\x80" * 10 + b"\x00"}, (malformed,)),
        "long_without_end": ({"long": b"\xff" * 100}, (malformed,)),
        "string_length_minus_one": ({"string": zigzag(-1)}, (malformed,)),
        "string_length_lowest": ({"string": zigzag(-(2**63))}, (malformed,)),
        "string_length_huge": ({"string": zigzag(HUGE) + b"s"}, too_long),
        "string_length_highest": ({"string": zigzag(2**63 - 1) + b"s"}, too_long),
        "string_length_32_bits": ({"string": zigzag(2**32 + 1) + b"s"}, too_long),
        "string_over_the_end": ({"string": zigzag(1000) + b"s"}, ("truncated",)),
        "bytes_length_minus_one": ({"bytes": zigzag(-1)}, (malformed,)),
        "bytes_length_huge": ({"bytes": zigzag(HUGE) + b"b"}, too_long),
        "utf8_byte_ff": ({"string": text(b"\xff")}, (malformed,)),
        "utf8_lone_continuation": ({"string": text(b"a\x80")}, (malformed,)),
        "utf8_overlong_slash": ({"string": text(b"\xc0\xaf")}, (malformed,)),
        "utf8_surrogate": ({"string": text(b"\xed\xa0\x80")}, (malformed,)),
        "utf8_over_the_last_plane": ({"string": text(b"\xf4\x90\x80\x80")}, (malformed,)),
        "utf8_cut": ({"string": text(b"\xe2\x80")}, (malformed,)),
        "utf8_in_a_key": ({"map": zigzag(1) + text(b"\xfe") + zigzag(0) + zigzag(0)}, (malformed,)),
        "utf8_in_a_list": ({"list": zigzag(1) + text(b"\xc3") + zigzag(0)}, (malformed,)),
        "enum_index_two": ({"enum": zigzag(2)}, (malformed,)),
        "enum_index_minus_one": ({"enum": zigzag(-1)}, (malformed,)),
        "enum_index_huge": ({"enum": zigzag(HUGE)}, (malformed,)),
        "union_index_two": ({"union": zigzag(2)}, (malformed,)),
        "union_index_minus_one": ({"union": zigzag(-1)}, (malformed,)),
        "union_index_huge": ({"union": zigzag(HUGE)}, (malformed,)),
        # The low 32 bits are zero.
        "union_index_wraps": ({"union": zigzag(2**32)}, (malformed,)),
        "list_count_huge": ({"list": zigzag(HUGE)}, too_long),
        "list_count_highest": ({"list": zigzag(2**63 - 1)}, too_long),
        "list_count_lowest": ({"list": zigzag(-(2**63)) + zigzag(0)}, too_long),
        "list_count_negative_huge": ({"list": zigzag(-HUGE) + zigzag(1) + text("")}, too_long),
        "list_size_negative": ({"list": zigzag(-1) + zigzag(-1) + text("a") + zigzag(0)}, (malformed,)),
        "list_size_huge": ({"list": zigzag(-1) + zigzag(HUGE) + text("a") + zigzag(0)}, too_long),
        "map_count_huge": ({"map": zigzag(HUGE)}, too_long),
        "map_count_lowest": ({"map": zigzag(-(2**63)) + zigzag(0)}, too_long),
        # Array items of zero bytes: the size of the input does not limit their number.
        "nulls_huge": ({"nulls": zigzag(HUGE) + zigzag(0)}, ("limit_exceeded",)),
        "nulls_sized_huge": ({"nulls": zigzag(-HUGE) + zigzag(0) + zigzag(0)}, ("limit_exceeded",)),
        "nulls_a_billion": ({"nulls": zigzag(10**9) + zigzag(0)}, ("limit_exceeded",)),
        "nulls_in_many_blocks": ({"nulls": zigzag(10**6) * 1000 + zigzag(0)}, ("limit_exceeded", "item_too_large")),
        "nulls_highest_twice": ({"nulls": zigzag(2**63 - 1) * 2 + zigzag(0)}, ("limit_exceeded",)),
        "empties_huge": ({"empties": zigzag(HUGE) + zigzag(0)}, ("limit_exceeded",)),
        "empties_lowest": ({"empties": zigzag(-(2**63)) + zigzag(0) + zigzag(0)}, ("limit_exceeded", malformed)),
    }
    for name, (parts, reasons) in table.items():
        yield case(f"malformed/{name}", "single-object", hostile(**parts), *reasons)
    node, leaf = zigzag(0) + zigzag(1), zigzag(0) * 4
    tree = Version("tree", 1)
    yield case("malformed/ten_thousand_levels", "single-object", single_object(tree.json, node * 10_000), "limit_exceeded", "invalid_item")
    # Well-formed, but nested deeper than DynamoDB allows.
    forty = single_object(tree.json, node * 40 + leaf + zigzag(0) * 2 * 40)
    yield case("malformed/forty_levels", "single-object", forty, "invalid_item", "limit_exceeded")
    skipped = datum_of(Version("dropped", 1), e.DROPPED_1["unstorable"])
    # The array is preceded by an empty string, a boolean, an int, a long, a float, a double, empty bytes, an empty string, an
    # enum and a fixed of three bytes.
    array_at = 4 + 4 + 8 + 3 + 3
    assert skipped[array_at - 3 : array_at + 2] == bytes(5), "the fixed, an empty array and an empty map"
    for name, block in {
        "size_negative": zigzag(-1) + zigzag(-1) + text(""),
        "size_lowest": zigzag(-1) + zigzag(-(2**63)) + text(""),
        "size_huge": zigzag(-1) + zigzag(HUGE) + text(""),
        "size_over_the_end": zigzag(-1) + zigzag(1000) + text(""),
        "count_lowest": zigzag(-(2**63)) + zigzag(HUGE),
    }.items():
        datum = skipped[:array_at] + block + skipped[array_at:]
        yield case(f"malformed/skipped_{name}", "single-object", single_object(Version("dropped", 1).json, datum), *too_long)


def value_cases() -> Iterator[Line]:
    """Yields well-formed records that DynamoDB cannot store."""

    def rejected(name: str, subject: str, value: Any, reason: str) -> Line:
        version = Version(subject, 1)
        return case(f"value/{name}", "single-object", single_object(version.json, datum_of(version, value)), reason, made_by=FASTAVRO)

    number = "number_out_of_range"
    for name, value in {
        "nan": math.nan, "infinity": math.inf, "minus_infinity": -math.inf, "1e126": 1e126, "minus_1e126": -1e126, "1e-131": 1e-131,
        "largest": 1.7976931348623157e308, "smallest": 5e-324, "least_normal": 2.2250738585072014e-308, "9.9e-131": -9.9e-131,
    }.items():  # fmt: skip
        yield rejected(f"double_{name}", "primitive", s.primitive(double=value), number)
    for name, value in {"nan": math.nan, "infinity": math.inf, "minus_infinity": -math.inf}.items():
        yield rejected(f"float_{name}", "primitive", s.primitive(float=value), number)
    version = Version("primitive", 1)
    datum = datum_of(version, s.primitive()).replace(struct.pack("<d", 2.25), b"\x01" + b"\xff" * 7)
    yield case("value/double_nan_with_payload", "single-object", single_object(version.json, datum), number)
    for name, unscaled in {
        "of_39_digits": 10**38 + 1, "of_39_digits_negative": -(10**38) - 1, "of_160_digits": int("12" * 80), "below_1e-130": 1,
    }.items():  # fmt: skip
        raw = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
        yield rejected(f"decimal_{name}", "wide_decimal", {"value": raw}, number)
    order = s.order(1)
    line = order["items"][0]
    yield rejected("price_nan", "order", order | {"items": [line | {"price": math.nan}]}, number)
    yield rejected("key_empty", "order", order | {"order_id": ""}, "invalid_key")
    yield rejected("key_of_2049_bytes", "order", order | {"order_id": "k" * 2049}, "invalid_key")
    yield rejected("key_of_2049_bytes_in_utf8", "order", order | {"order_id": "\u00e9" * 1024 + "k"}, "invalid_key")


def evolution_cases() -> Iterator[Line]:
    """Yields values of an old version that the newest version does not allow."""
    for version, name, value in (
        (Version("customer", 1), "reference_int", e.client_1(reference=("int", 5))),
        (Version("union", 1), "narrowed_int", e.union_1(narrowed=("int", 5))),
        (Version("union", 1), "narrowed_boolean", e.union_1(narrowed=("boolean", True))),
        (Version("union", 1), "null_to_string", e.union_1(from_union=None)),
        (Version("union", 1), "null_to_double", e.union_1(from_promoting_union=None)),
        (Version("enum", 1), "symbol_without_default", e.ENUM_1["known"] | {"without_default": "TIN"}),
        (Version("enum", 1), "symbol_in_a_union", e.ENUM_1["known"] | {"optional": "TIN"}),
    ):
        assert not resolvable(version, value), name
        framed = single_object(version.json, datum_of(version, value))
        yield case(f"evolution/{name}", "single-object", framed, "unresolvable", made_by=FASTAVRO)
    version = Version("promotion", 1)
    framed = single_object(version.json, datum_of(version, e.promotion_1(bytes_to_string=b"\xff")))
    yield case("evolution/bytes_are_no_string", "single-object", framed, "malformed_datum", "unresolvable", made_by=FASTAVRO)
    known = datum_of(Version("enum", 1), e.ENUM_1["known"])
    framed = single_object(Version("enum", 1).json, zigzag(4) + known[1:])
    # The enum default replaces symbols that the reader does not know. It does not replace an index that the writer does not
    # have.
    yield case("evolution/enum_index_despite_default", "single-object", framed, "malformed_datum")


def resolvable(version: Version, value: Any) -> bool:
    try:
        read_by(version.type, version.newest.type, value)
    except Unresolvable:
        return False
    return True
