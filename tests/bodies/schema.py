"""Parses Avro schemas according to the specification: names, namespaces, aliases, logical types.

It is written from the specification alone, so that the expected results share no code with any implementation under test.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parent / "schemas"
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NO_DEFAULT = object()

LOGICAL_ON = {
    "date": "int",
    "time-millis": "int",
    "time-micros": "long",
    "timestamp-millis": "long",
    "timestamp-micros": "long",
    "timestamp-nanos": "long",
    "local-timestamp-millis": "long",
    "local-timestamp-micros": "long",
    "local-timestamp-nanos": "long",
}


@dataclass(eq=False)
class Field:
    name: str
    type: "Type"
    default: Any
    aliases: list[str]


@dataclass(eq=False)
class Type:
    kind: str
    name: str = ""
    aliases: set[str] = field(default_factory=set)
    fields: list[Field] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    default_symbol: str | None = None
    size: int = 0
    items: "Type | None" = None
    branches: list["Type"] = field(default_factory=list)
    logical: str | None = None
    scale: int = 0

    @property
    def branch_name(self) -> str:
        """Returns the name of this type as a union branch: the full name of a named type, or the kind."""
        return self.name or self.kind

    @property
    def simple_name(self) -> str:
        return self.name.rpartition(".")[2]


def full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def parse(schema: Any, names: dict[str, Type] | None = None, namespace: str = "") -> Type:
    """Parses the JSON value of a schema. `names` collects the named types by full name."""
    names = {} if names is None else names
    if isinstance(schema, list):
        return Type("union", branches=[parse(branch, names, namespace) for branch in schema])
    if isinstance(schema, str):
        return Type(schema) if schema in PRIMITIVES else names[full_name(schema, namespace)]
    kind = schema["type"]
    if kind in PRIMITIVES:
        return with_logical(Type(kind), schema)
    if kind == "array":
        return Type("array", items=parse(schema["items"], names, namespace))
    if kind == "map":
        return Type("map", items=parse(schema["values"], names, namespace))
    if kind not in ("record", "enum", "fixed"):
        return parse(kind, names, namespace)
    name = full_name(schema["name"], schema.get("namespace", namespace))
    space = name.rpartition(".")[0]
    result = Type(kind, name, {full_name(alias, space) for alias in schema.get("aliases", [])})
    names[name] = result
    if kind == "enum":
        result.symbols, result.default_symbol = schema["symbols"], schema.get("default")
    if kind == "fixed":
        result.size = schema["size"]
    if kind == "record":
        for entry in schema["fields"]:
            default = entry.get("default", NO_DEFAULT)
            result.fields.append(Field(entry["name"], parse(entry["type"], names, space), default, entry.get("aliases", [])))
    return with_logical(result, schema)


def with_logical(result: Type, schema: dict[str, Any]) -> Type:
    """Adds the logical type, unless it is unknown or not valid for its underlying type."""
    name, kind = schema.get("logicalType"), result.kind
    if name == "decimal" and kind in ("bytes", "fixed"):
        precision, scale = schema.get("precision", 0), schema.get("scale", 0)
        most = math.floor(math.log10(2) * (8 * result.size - 1)) if kind == "fixed" else precision
        if 0 < precision <= most and 0 <= scale <= precision:
            result.logical, result.scale = name, scale
    elif name == "uuid" and (kind == "string" or (kind == "fixed" and result.size == 16)):
        result.logical = name
    elif name == "duration" and kind == "fixed" and result.size == 12:
        result.logical = name
    elif LOGICAL_ON.get(name) == kind:
        result.logical = name
    return result


@dataclass(frozen=True)
class Version:
    """One `.avsc` file of the schema directory."""

    subject: str
    number: int

    @property
    def json(self) -> Any:
        return json.loads((SCHEMAS / self.subject / f"{self.number}.avsc").read_text(encoding="utf-8"))

    @property
    def type(self) -> Type:
        return parse(self.json)

    @property
    def newest(self) -> "Version":
        numbers = [int(path.stem) for path in (SCHEMAS / self.subject).glob("*.avsc")]
        return Version(self.subject, max(numbers))

    @property
    def ids(self) -> list[int | str]:
        return self.json.get("schemaIds", [])

    def __str__(self) -> str:
        return f"{self.subject}/{self.number}"


def all_versions() -> list[Version]:
    found = [Version(path.parent.name, int(path.stem)) for path in SCHEMAS.glob("*/*.avsc")]
    return sorted(found, key=lambda version: (version.subject, version.number))
