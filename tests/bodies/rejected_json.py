"""JSON bodies that must be rejected: invalid JSON, or JSON that does not match the schema."""

import json
from collections.abc import Iterator
from typing import Any

import evolution as e
import samples as s
from dynamodb import plain_json
from rejection import Line, case
from resolution import lower
from schema import Version


def json_cases() -> Iterator[Line]:
    order = s.order(1, lines=1)
    line = order["items"][0]
    primitive = s.primitive(bytes="")

    def rejected(name: str, body: Any, *reasons: str, schema: str = "order") -> Line:
        content = body if isinstance(body, str) else json.dumps(body)
        assert content not in good, name
        return case(f"json/{name}", "json", content, *(reasons or ("invalid_json",)), schema_attribute=schema)

    whole, total = json.dumps(order), f'"total_amount": {order["total_amount"]}'
    version = Version("complex", 1)
    collections = json.dumps(plain_json(version.type, lower(version.type, s.COMPLEX["plain"])))
    good = [whole, collections]
    yield case("json/no_schema", "json", whole, "schema_required")
    yield case("json/unknown_schema", "json", whole, "unknown_schema", schema_attribute="nothing")
    yield rejected("cut", whole[:-1])
    yield rejected("cut_in_a_string", whole[:20])
    yield rejected("trailing_brace", whole + "}")
    yield rejected("trailing_value", whole + " {}")
    yield rejected("trailing_nul", whole + "\0")
    yield rejected("duplicate_key", whole[:-1] + ', "order_id": "other"}')
    yield rejected("duplicate_key_escaped", whole[:-1] + ', "order\\u005fid": "other"}')
    yield rejected("duplicate_key_in_a_map", collections.replace('"one": 1', '"one": 1, "one": 1'), schema="complex")
    yield rejected("duplicate_key_nested", whole.replace('"quantity": ', '"quantity": 1, "quantity": '))
    yield rejected("array", [order], "invalid_json", "unrecognized_format", "invalid_base64")
    yield rejected("bare_word", "order", "invalid_json", "unrecognized_format", "invalid_base64")
    yield rejected("trailing_comma", whole[:-1] + ",}")
    yield rejected("single_quotes", "{'order_id': 'x'}")
    yield rejected("comment", whole[:-1] + "/* */}")
    yield rejected("missing_field", {key: value for key, value in order.items() if key != "timestamp"})
    yield rejected("missing_nested_field", order | {"items": [{"product_id": "p", "quantity": 1}]})
    yield rejected("null_for_string", order | {"customer_id": None})
    yield rejected("number_for_string", order | {"order_id": 1})
    yield rejected("string_for_number", order | {"total_amount": "1.5"})
    yield rejected("object_for_array", order | {"items": {}})
    yield rejected("array_for_record", order | {"items": [[]]})
    yield rejected("boolean_for_number", order | {"total_amount": True})
    yield rejected("fraction_for_int", order | {"items": [line | {"quantity": 1.5}]})
    yield rejected("int_out_of_range", order | {"items": [line | {"quantity": 2**31}]})
    yield rejected("long_out_of_range", order | {"timestamp": 2**63})
    yield rejected("long_far_out_of_range", order | {"timestamp": 10**40})
    yield rejected("nan", whole.replace(total, '"total_amount": NaN'))
    yield rejected("infinity", whole.replace(total, '"total_amount": -Infinity'))
    yield rejected("leading_zero", whole.replace('"quantity": ', '"quantity": 0'))
    yield rejected("plus_sign", whole.replace('"quantity": ', '"quantity": +'))
    yield rejected("double_1e126", order | {"total_amount": 1e126}, "number_out_of_range")
    yield rejected("double_1e400", whole.replace(total, '"total_amount": 1e400'), "invalid_json", "number_out_of_range")
    yield rejected("lone_surrogate", whole.replace("order-", "\\ud800"))
    yield rejected("surrogates_swapped", whole.replace("order-", "\\ude00\\ud83d"))
    yield rejected("raw_control_character", whole.replace("order-", "\n"))
    yield rejected("bad_escape", whole.replace("order-", "\\x41"))
    yield rejected("number_for_null", primitive | {"nothing": 0}, schema="primitive")
    yield rejected("number_for_boolean", primitive | {"flag": 1}, schema="primitive")
    yield rejected("bytes_are_no_base64", primitive | {"bytes": "*"}, schema="primitive")
    yield rejected("bytes_as_an_array", primitive | {"bytes": [1]}, schema="primitive")
    symbols = {"with_default": "FIG", "without_default": "TIN", "list": [], "optional": None}
    yield rejected("unknown_symbol", symbols, "invalid_json", "unresolvable", schema="enum")
    yield rejected("no_branch", {"note": 1}, "invalid_json", "unresolvable", schema="optional")
    renamed = {"id": "i", "kind": "A", "component": e.NEW_PART, "spare": None, "text": "", "number": 1}
    yield rejected("fixed_too_short", renamed | {"digest": "AA=="}, schema="alias")
    yield rejected("key_empty", order | {"order_id": ""}, "invalid_key")
    yield rejected("ten_thousand_levels", '{"order_id": ' + "[" * 10_000, "invalid_json", "limit_exceeded")
    node = '{"color":"RED","named":{},"children":[],"weight":1,"next":'
    yield rejected("two_hundred_nodes", node * 200, "limit_exceeded", "invalid_json", schema="tree")
