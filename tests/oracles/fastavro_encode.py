"""Checks that `ingest encode` and fastavro encode random records of random schemas to the same bytes. The records are passed to
`ingest encode` in plain JSON and in Avro's own JSON encoding, as fastavro writes it.

    python3 -m tests.oracles.fastavro_encode target/debug/ingest [--seed N]
"""

import argparse
import base64
import io
import json
import random
import string
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import fastavro

SCHEMAS = 150
RECORDS = 4
MAX_DEPTH = 4
# Minimum size of the output, because a run without data would pass too.
LEAST_BYTES = {"plain": 50_000, "avro": 40_000}


class Generator:
    """Generates schemas and values, both in the form that fastavro accepts and as JSON."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def schema(self, depth: int):
        scalars = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"]
        kinds = [*scalars, "enum", "fixed"]
        if depth < MAX_DEPTH:
            kinds += ["record", "array", "map", "optional"] * 3
        kind = self.random.choice(kinds)
        match kind:
            case "enum":
                symbols = [f"S{number}" for number in range(self.random.randint(1, 70))]
                return {"type": "enum", "name": self.name("Enum"), "symbols": symbols}
            case "fixed":
                return {"type": "fixed", "name": self.name("Fixed"), "size": self.random.randint(1, 20)}
            case "array":
                return {"type": "array", "items": self.schema(depth + 1)}
            case "map":
                return {"type": "map", "values": self.schema(depth + 1)}
            case "record":
                return self.record(depth + 1)
            case "optional":
                inner = self.schema(depth + 1)
                # A union may contain neither another union nor null twice.
                while inner == "null" or isinstance(inner, list):
                    inner = self.schema(depth + 1)
                return ["null", inner] if self.random.random() < 0.5 else [inner, "null"]
        return kind

    def record(self, depth: int):
        fields = [
            {"name": self.name("f"), "type": self.schema(depth)} for _ in range(self.random.randint(1, 6))
        ]
        return {"type": "record", "name": self.name("Record"), "fields": fields}

    def value(self, schema):
        """Returns a value for fastavro and the same value for JSON."""
        if isinstance(schema, list):
            branch = self.random.choice(schema)
            return (None, None) if branch == "null" else self.value(branch)
        kind = schema if isinstance(schema, str) else schema["type"]
        match kind:
            case "null":
                return None, None
            case "boolean":
                return (self.random.random() < 0.5,) * 2
            case "int" | "long":
                bits = 31 if kind == "int" else 63
                return (self.random.randint(-(2**bits), 2**bits - 1) >> self.random.randint(0, bits),) * 2
            case "float":
                return (struct.unpack("<f", struct.pack("<f", self.random.uniform(-1e6, 1e6)))[0],) * 2
            case "double":
                return (self.random.uniform(-1, 1) * 10.0 ** self.random.randint(-300, 300),) * 2
            case "string":
                return (self.text(),) * 2
            case "bytes" | "fixed":
                size = schema["size"] if kind == "fixed" else self.random.randint(0, 200)
                value = self.random.randbytes(size)
                return value, base64.b64encode(value).decode()
            case "enum":
                return (self.random.choice(schema["symbols"]),) * 2
            case "array":
                pairs = [self.value(schema["items"]) for _ in range(self.random.choice([0, 1, 2, 5]))]
                return [one for one, _ in pairs], [other for _, other in pairs]
            case "map":
                pairs = {self.text(): self.value(schema["values"]) for _ in range(self.random.choice([0, 1, 3]))}
                return {key: one for key, (one, _) in pairs.items()}, {key: other for key, (_, other) in pairs.items()}
            case "record":
                pairs = {field["name"]: self.value(field["type"]) for field in schema["fields"]}
                return {key: one for key, (one, _) in pairs.items()}, {key: other for key, (_, other) in pairs.items()}
        raise AssertionError(kind)

    def text(self) -> str:
        letters = string.printable + "äß€😀\u0000\u2028"
        return "".join(self.random.choice(letters) for _ in range(self.random.choice([0, 3, 20, 100])))


def datum(schema, value) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def avro_json(schema, values) -> list[str] | None:
    """Returns the records in Avro's own JSON encoding. None if fastavro's writer fails, as it does for some nested
    collections."""
    out = io.StringIO()
    try:
        fastavro.json_writer(out, schema, values)
    except Exception as error:
        if str(error) != "No key was set":
            raise
        return None
    return out.getvalue().splitlines()


def encoded(ingest: str, folder: str, encoding: str, lines: list[str]) -> tuple[list[bytes], str]:
    command = [ingest, "encode", "--schemas", folder, "--schema", "random", "--json-encoding", encoding]
    done = subprocess.run(command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, check=False)
    return [base64.b64decode(line) for line in done.stdout.split()], done.stderr


def header(schema) -> bytes:
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ingest")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    compared = {"plain": 0, "avro": 0}
    for number in range(SCHEMAS):
        seed = arguments.seed + number
        generator = Generator(seed)
        schema = generator.record(0)
        pairs = [generator.value(schema) for _ in range(RECORDS)]
        expected = [header(schema) + datum(schema, value) for value, _ in pairs]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "random").mkdir()
            (Path(folder) / "random" / "1.avsc").write_text(json.dumps(schema))
            for encoding, lines in [
                ("plain", [json.dumps(value) for _, value in pairs]),
                ("avro", avro_json(schema, [value for value, _ in pairs])),
            ]:
                if lines is None:
                    continue
                bodies, errors = encoded(arguments.ingest, folder, encoding, lines)
                if bodies != expected:
                    text = "\n".join(lines)
                    print(f"seed {seed}, {encoding}: not the bytes of fastavro\n{json.dumps(schema)}\n{text}\n{errors}", file=sys.stderr)
                    return 1
                compared[encoding] += sum(map(len, bodies))
    for encoding, size in compared.items():
        print(f"{SCHEMAS} schemas, {SCHEMAS * RECORDS} records, in {encoding} JSON {size} bytes: the same as fastavro's")
    return 0 if all(compared[encoding] >= least for encoding, least in LEAST_BYTES.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
