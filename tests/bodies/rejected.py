"""Message bodies that must be rejected: broken framing, and bodies that are rejected before any framing is parsed."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import samples as s
from expected import datum_of
from framing import confluent, fingerprint, glue, single_object, text, zigzag
from rejected_containers import container_cases
from rejected_datums import evolution_cases, malformed_cases, value_cases
from rejected_json import json_cases
from rejection import Line, case
from schema import Version

ORDER = Version("order", 1)
GOOD = datum_of(ORDER, s.order(1))
KNOWN_GUID = next(known for known in ORDER.ids if isinstance(known, str))
UNKNOWN_GUID = "ffffffff-ffff-4fff-bfff-ffffffffffff"


def all_rejected() -> list[Line]:
    found = [
        *body_cases(), *single_object_cases(), *container_cases(), *confluent_cases(), *glue_cases(), *datum_cases(), *json_cases(),
        *malformed_cases(), *value_cases(), *evolution_cases(),
    ]  # fmt: skip
    assert len({line["name"] for line in found}) == len(found), "names must be unique"
    return found


def body_cases() -> Iterator[Line]:
    default = "single-object,container"
    yield case("body/empty", default, "", "missing_body")
    yield case("body/white_space", default, " \t\r\n", "missing_body")
    yield case("body/no_base64", default, "this is no base64!", "invalid_base64")
    yield case("body/one_character", default, "w", "invalid_base64")
    yield case("body/impossible_length", default, "wwEAA", "invalid_base64")
    yield case("body/padding_first", default, "=wwE", "invalid_base64")
    yield case("body/padding_inside", default, "ww==wwEA", "invalid_base64")
    yield case("body/too_much_padding", default, "wwE====", "invalid_base64")
    yield case("body/not_ascii", default, "wwE\u00e9wwE\u00e9", "invalid_base64")
    yield case("body/nul", default, "wwEA\0wwEA", "invalid_base64")
    yield case("body/plain_json", default, json.dumps(s.order(1)), "invalid_base64", "unrecognized_format")
    yield case("body/json_as_base64", default, json.dumps(s.order(1)).encode(), "unrecognized_format")
    yield case("body/bare_datum", default, GOOD, "unrecognized_format")
    yield case("body/format_not_allowed", default, confluent(1001, GOOD), "unrecognized_format")
    yield case("body/one_byte", default, b"\xc3", "unrecognized_format", "invalid_header")
    yield case("body/text", default, b"hello, world", "unrecognized_format")
    envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:123456789012:orders"}
    # Without a message, it may also be taken for a JSON record, which is not allowed here.
    broken = ("invalid_envelope", "unrecognized_format")
    yield case("envelope/no_message", default, json.dumps(envelope), *broken)
    yield case("envelope/message_is_a_number", default, json.dumps(envelope | {"Message": 1}), *broken)
    yield case("envelope/message_is_null", default, json.dumps(envelope | {"Message": None}), *broken)
    yield case("envelope/empty_message", default, json.dumps(envelope | {"Message": ""}), "invalid_envelope", "missing_body")
    yield case("envelope/no_base64", default, json.dumps(envelope | {"Message": "*"}), "invalid_base64")


def single_object_cases() -> Iterator[Line]:
    whole = single_object(ORDER.json, GOOD)

    def rejected(name: str, framed: bytes, *reasons: str) -> Line:
        return case(f"single-object/{name}", "single-object", framed, *reasons)

    yield rejected("marker_only", whole[:2], "invalid_header")
    yield rejected("header_cut", whole[:9], "invalid_header")
    yield rejected("version_two", b"\xc3\x02" + whole[2:], "unrecognized_format", "invalid_header")
    yield rejected("marker_swapped", b"\x01\xc3" + whole[2:], "unrecognized_format")
    yield rejected("unknown_fingerprint", b"\xc3\x01" + bytes(8) + GOOD, "unknown_schema")
    yield rejected("fingerprint_big_endian", b"\xc3\x01" + fingerprint(ORDER.json)[::-1] + GOOD, "unknown_schema")
    yield rejected("fingerprint_off_by_one_bit", whole[:9] + bytes([whole[9] ^ 1]) + GOOD, "unknown_schema")
    yield rejected("no_datum", whole[:10], "truncated")
    for cut in (1, 7, 12, len(GOOD) // 2, len(GOOD) - 1):
        yield rejected(f"cut_after_{cut}", whole[: 10 + cut], "truncated")
    yield rejected("one_byte_more", whole + b"\0", "trailing_bytes")
    yield rejected("two_datums", whole + GOOD, "trailing_bytes")
    yield rejected("two_messages", whole + whole, "trailing_bytes")


def confluent_cases() -> Iterator[Line]:
    def rejected(name: str, framed: bytes, *reasons: str, **more: Any) -> Line:
        return case(f"confluent/{name}", "confluent", framed, *reasons, **more)

    def attribute(value: bytes) -> dict[str, str]:
        return {"value_schema_id": base64.b64encode(value).decode()}

    whole = confluent(1001, GOOD)
    header = ("invalid_header", "invalid_attribute")
    yield rejected("header_cut", whole[:4], "invalid_header")
    yield rejected("no_datum", whole[:5], "truncated")
    yield rejected("magic_one", b"\x01" + whole[1:], "unrecognized_format", "invalid_header")
    yield rejected("unknown_id", confluent(999_999, GOOD), "unknown_schema")
    yield rejected("id_little_endian", b"\0" + (1001).to_bytes(4, "little") + GOOD, "unknown_schema")
    yield rejected("cut", whole[:-1], "truncated")
    yield rejected("trailing", whole + b"\0", "trailing_bytes")
    yield rejected("attribute/unknown_id", GOOD, "unknown_schema", **attribute(b"\0" + (999_999).to_bytes(4, "big")))
    yield rejected("attribute/unknown_guid", GOOD, "unknown_schema", **attribute(b"\x01" + UUID(UNKNOWN_GUID).bytes))
    yield rejected("attribute/id_cut", GOOD, *header, **attribute(b"\0\0\0"))
    yield rejected("attribute/guid_cut", GOOD, *header, **attribute(b"\x01" + bytes(15)))
    yield rejected("attribute/id_too_long", GOOD, *header, **attribute(b"\0" + (1001).to_bytes(5, "big")))
    yield rejected("attribute/magic_two", GOOD, *header, **attribute(b"\x02" + (1001).to_bytes(4, "big")))
    yield rejected("attribute/trailing", GOOD + b"\0", "trailing_bytes", **attribute(b"\0" + (1001).to_bytes(4, "big")))


def glue_cases() -> Iterator[Line]:
    def rejected(name: str, framed: bytes, *reasons: str) -> Line:
        return case(f"glue/{name}", "glue", framed, *reasons)

    plain, packed = glue(KNOWN_GUID, GOOD, False), glue(KNOWN_GUID, GOOD, True)
    # It is unspecified whether a broken stream is a fault of the framing or of the datum, so all these reasons are accepted.
    broken = ("malformed_datum", "invalid_header", "truncated")
    yield rejected("version_four", b"\x04" + plain[1:], "unrecognized_format", "invalid_header")
    yield rejected("unknown_compression", b"\x03\x01" + plain[2:], "invalid_header")
    yield rejected("header_cut", plain[:17], "invalid_header")
    yield rejected("no_datum", plain[:18], "truncated")
    yield rejected("unknown_uuid", glue(UNKNOWN_GUID, GOOD, False), "unknown_schema")
    yield rejected("unknown_uuid_zlib", glue(UNKNOWN_GUID, GOOD, True), "unknown_schema")
    yield rejected("cut", plain[:-1], "truncated")
    yield rejected("trailing", plain + b"\0", "trailing_bytes")
    yield rejected("zlib_empty", packed[:18], *broken)
    yield rejected("zlib_cut", packed[: len(packed) // 2], *broken)
    yield rejected("zlib_garbage", packed[:18] + b"\xff" * 20, *broken)
    yield rejected("zlib_checksum", packed[:-1] + bytes([packed[-1] ^ 1]), *broken)
    yield rejected("zlib_trailing_outside", packed + b"\0", "trailing_bytes", *broken)
    yield rejected("zlib_trailing_inside", glue(KNOWN_GUID, GOOD + b"\0", True), "trailing_bytes")
    yield rejected("zlib_datum_cut", glue(KNOWN_GUID, GOOD[:-1], True), "truncated")
    yield rejected("zlib_said_but_plain", b"\x03\x05" + plain[2:], *broken)
    bomb = text("o") + text("c") + zigzag(0) + bytes(8) + zigzag(0)
    yield rejected("zlib_bomb", glue(KNOWN_GUID, bomb + bytes(17 << 20), True), "limit_exceeded")


def datum_cases() -> Iterator[Line]:
    def rejected(name: str, body: bytes, *reasons: str, **more: Any) -> Line:
        return case(f"datum/{name}", "datum", body, *reasons, **more)

    meaningless = ("invalid_attribute", "unknown_schema")
    yield rejected("no_schema", GOOD, "schema_required")
    yield rejected("unknown_subject", GOOD, "unknown_schema", schema_attribute="nothing")
    yield rejected("unknown_version", GOOD, "unknown_schema", schema_attribute="order/99")
    yield rejected("version_zero", GOOD, *meaningless, schema_attribute="order/0")
    yield rejected("version_text", GOOD, *meaningless, schema_attribute="order/newest")
    yield rejected("too_many_parts", GOOD, *meaningless, schema_attribute="order/1/2")
    yield rejected("parent_directory", GOOD, *meaningless, schema_attribute="../order/1")
    yield rejected("cut", GOOD[:-1], "truncated", schema_attribute="order/1")
    yield rejected("trailing", GOOD + b"\0", "trailing_bytes", schema_attribute="order/1")
    yield rejected("framed", single_object(ORDER.json, GOOD), "truncated", "malformed_datum", "trailing_bytes", schema_attribute="order/1")
    yield rejected("other_schema", GOOD, "truncated", "malformed_datum", "trailing_bytes", "limit_exceeded", schema_attribute="primitive")
