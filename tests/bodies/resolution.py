"""Schema resolution of values as specified by Avro 1.12, and conversion of time units.

The specification does not define conversion between time units. Other libraries keep the number, which then denotes a different
time. The function converts it, and so does this module.

A value has the type that Python would use: None, bool, int, float, bytes, str, list, dict, Decimal or date. `lower` converts it
to the underlying Avro value, in which each union value is a `Branch`. `resolve` reads the result with another schema.
"""

import struct
from datetime import date
from decimal import Context, Decimal
from typing import Any, NamedTuple

from schema import NO_DEFAULT, Type

EPOCH = date(1970, 1, 1)
PER_SECOND = {"millis": 1_000, "micros": 1_000_000, "nanos": 1_000_000_000}
PROMOTIONS = {
    ("int", "long"), ("int", "float"), ("int", "double"), ("long", "float"), ("long", "double"), ("float", "double"),
    ("string", "bytes"), ("bytes", "string"),
}  # fmt: skip


class Branch(NamedTuple):
    index: int
    value: Any


class Unresolvable(Exception):
    """The value cannot be represented in the reader's schema."""


def lower(type: Type, value: Any) -> Any:
    """Returns the underlying Avro value. For a union, `value` is `(branch name, value)`, or the bare value if only one branch
    is not null."""
    match type.kind:
        case "union":
            index = branch_of(type, value)
            inner = value[1] if isinstance(value, tuple) else value
            return Branch(index, lower(type.branches[index], inner))
        case "record":
            assert value.keys() == {field.name for field in type.fields}, (type.name, value.keys())
            return {field.name: lower(field.type, value[field.name]) for field in type.fields}
        case "array":
            return [lower(type.items, item) for item in value]
        case "map":
            return {key: lower(type.items, item) for key, item in value.items()}
        case "float":
            return struct.unpack("<f", struct.pack("<f", value))[0]
        case "double":
            return float(value)
        case "int" if isinstance(value, date):
            return (value - EPOCH).days
        case "bytes" | "fixed" if isinstance(value, Decimal):
            unscaled = int(value.scaleb(type.scale, context=Context(prec=1000)))
            # Both Python libraries use one byte more than necessary for -128, -32768 and so on.
            size = type.size or unscaled.bit_length() // 8 + 1
            return unscaled.to_bytes(size, "big", signed=True)
        case _:
            return value


def branch_of(type: Type, value: Any) -> int:
    names = [branch.branch_name for branch in type.branches]
    if value is None:
        return names.index("null")
    if isinstance(value, tuple):
        return names.index(value[0])
    (only,) = [index for index, name in enumerate(names) if name != "null"]
    return only


def untagged(value: Any) -> Any:
    """Returns the value without union branches, in the form that other libraries return."""
    match value:
        case Branch(_, inner):
            return untagged(inner)
        case list():
            return [untagged(item) for item in value]
        case dict():
            return {key: untagged(item) for key, item in value.items()}
        case _:
            return value


def matches(writer: Type, reader: Type) -> bool:
    if "union" in (writer.kind, reader.kind):
        return True
    if writer.kind != reader.kind:
        return (writer.kind, reader.kind) in PROMOTIONS
    if writer.kind in ("array", "map"):
        return matches(writer.items, reader.items)
    if writer.name:
        same_name = writer.simple_name == reader.simple_name or writer.name in reader.aliases
        return same_name and writer.size == reader.size
    return True


def resolve(writer: Type, reader: Type, value: Any) -> Any:
    """Resolves `value`, written with the schema `writer`, to the schema `reader`."""
    if writer.kind == "union":
        writer, value = writer.branches[value.index], value.value
    if reader.kind == "union":
        for index, branch in enumerate(reader.branches):
            if matches(writer, branch):
                return Branch(index, resolve(writer, branch, value))
        raise Unresolvable(f"no branch for {writer.branch_name}")
    if not matches(writer, reader):
        raise Unresolvable(f"{writer.branch_name} is not {reader.branch_name}")
    match reader.kind:
        case "record":
            return resolve_record(writer, reader, value)
        case "enum":
            known = value if value in reader.symbols else reader.default_symbol
            if known is None:
                raise Unresolvable(f"symbol {value}")
            return known
        case "array":
            return [resolve(writer.items, reader.items, item) for item in value]
        case "map":
            return {key: resolve(writer.items, reader.items, item) for key, item in value.items()}
        case kind:
            return in_unit_of(reader, writer, promote(writer.kind, kind, value))


def resolve_record(writer: Type, reader: Type, value: dict[str, Any]) -> dict[str, Any]:
    written = {field.name: field.type for field in writer.fields}
    result = {}
    for field in reader.fields:
        source = next((name for name in [field.name, *field.aliases] if name in written), None)
        if source is not None:
            result[field.name] = resolve(written[source], field.type, value[source])
        elif field.default is NO_DEFAULT:
            raise Unresolvable(f"field {field.name} has no default")
        else:
            result[field.name] = default(field.type, field.default)
    return result


def promote(writer: str, reader: str, value: Any) -> Any:
    if (writer, reader) == ("string", "bytes"):
        return value.encode("utf-8")
    if (writer, reader) == ("bytes", "string"):
        return value.decode("utf-8")
    if reader == "float" and writer in ("int", "long"):
        return nearest_float32(value)
    return float(value) if reader == "double" else value


def in_unit_of(reader: Type, writer: Type, value: Any) -> Any:
    """Converts a time to the reader's unit if both types are of the same kind, such as timestamps. Returns other values
    unchanged."""
    kind, _, unit = (writer.logical or "").rpartition("-")
    reader_kind, _, reader_unit = (reader.logical or "").rpartition("-")
    if not kind or kind != reader_kind:
        return value
    factor, rest = divmod(PER_SECOND[reader_unit], PER_SECOND[unit])
    if rest:
        raise Unresolvable(f"{writer.logical} is finer than {reader.logical}")
    return value * factor


def nearest_float32(value: int) -> float:
    """Rounds an integer directly to a float. Conversion through a double would round twice."""
    surplus = max(abs(value).bit_length() - 24, 0)
    whole, rest = divmod(abs(value), 1 << surplus)
    half = (1 << surplus) / 2
    whole += rest > half or (rest == half and whole % 2 == 1)
    return float((whole << surplus) * (-1 if value < 0 else 1))


def default(type: Type, value: Any) -> Any:
    """Converts a field's default, which is JSON, to an Avro value."""
    match type.kind:
        case "union":
            index = next(index for index, branch in enumerate(type.branches) if default_fits(branch, value))
            return Branch(index, default(type.branches[index], value))
        case "record":
            absent = {field.name: field.default for field in type.fields}
            return {field.name: default(field.type, value.get(field.name, absent[field.name])) for field in type.fields}
        case "array":
            return [default(type.items, item) for item in value]
        case "map":
            return {key: default(type.items, item) for key, item in value.items()}
        case "bytes" | "fixed":
            return value.encode("latin-1")
        case _:
            return lower(type, value)


def default_fits(type: Type, value: Any) -> bool:
    match type.kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float" | "double":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "map" | "record":
            return isinstance(value, dict)
        case "enum":
            return value in type.symbols
        case _:
            return isinstance(value, str)
