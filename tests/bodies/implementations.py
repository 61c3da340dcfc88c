"""The libraries that create the bodies: fastavro, Apache Avro for Python and, if available, Apache Avro for Java."""

import base64
import glob
import io
import json
import os
import subprocess
import warnings
from decimal import Context, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import avro.datafile
import avro.errors
import avro.io
import avro.schema
import fastavro
import fastavro.read

FASTAVRO = f"fastavro {fastavro.__version__}"
PYTHON = f"avro {version('avro')}"
JAVA = "avro-java 1.12.0"
SYNC = bytes(range(0xA0, 0xB0))

# Compare underlying values instead of the datetimes and decimals that fastavro converts them to.
fastavro.read.LOGICAL_READERS.clear()
warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)


def fastavro_datum(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value, strict=True)
    return out.getvalue()


def fastavro_read(writer: Any, reader: Any, datum: bytes) -> Any:
    source = io.BytesIO(datum)
    value = fastavro.schemaless_reader(source, writer, reader)
    assert source.read() == b"", "fastavro left bytes over"
    return value


def fastavro_container(schema: Any, codec: str, blocks: list[list[Any]], metadata: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    writer = fastavro.write.Writer(out, schema, codec, sync_marker=SYNC, metadata=dict(metadata or {}))
    for block in blocks:
        for record in block:
            writer.write(record)
        writer.flush()
    return out.getvalue()


def fastavro_records(framed: bytes) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(framed)))


class TaggedWriter(avro.io.DatumWriter):
    """Accepts `(branch name, value)` for union values, whose branch the library would otherwise guess from the Python type."""

    def write(self, datum: Any, encoder: avro.io.BinaryEncoder) -> None:
        self.write_data(self.writers_schema, datum, encoder)

    def write_data(self, writers_schema: Any, datum: Any, encoder: avro.io.BinaryEncoder) -> None:
        if isinstance(datum, Decimal) and writers_schema.type != "union":
            # The library writes the digits unchanged, without adjusting them to the scale.
            datum = datum.quantize(Decimal(1).scaleb(-writers_schema.get_prop("scale")), context=Context(prec=1000))
        super().write_data(writers_schema, datum, encoder)

    def write_union(self, writers_schema: Any, datum: Any, encoder: avro.io.BinaryEncoder) -> None:
        names = [getattr(branch, "fullname", branch.type) for branch in writers_schema.schemas]
        if isinstance(datum, tuple):
            index, datum = names.index(datum[0]), datum[1]
        elif datum is None:
            index = names.index("null")
        else:
            (index,) = [index for index, name in enumerate(names) if name != "null"]
        encoder.write_long(index)
        self.write_data(writers_schema.schemas[index], datum, encoder)


def python_datum(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    TaggedWriter(avro.schema.parse(json.dumps(schema))).write(value, avro.io.BinaryEncoder(out))
    return out.getvalue()


def python_container(schema: Any, codec: str, blocks: list[list[Any]]) -> bytes:
    out = io.BytesIO()
    writer = avro.datafile.DataFileWriter(out, TaggedWriter(), avro.schema.parse(json.dumps(schema)), codec)
    writer.sync_marker = SYNC
    for block in blocks:
        for record in block:
            writer.append(record)
        writer.sync()
    writer.flush()
    return out.getvalue()


class Java:
    """Collects requests to Apache Avro for Java and runs them all in one process."""

    def __init__(self, jars: str) -> None:
        self.jars = jars
        self.requests: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []

    def ask(self, request: dict[str, Any]) -> int:
        """Adds a request and returns its number."""
        self.requests.append(request)
        return len(self.requests) - 1

    def run(self) -> None:
        classpath = os.pathsep.join(sorted(glob.glob(f"{self.jars}/*.jar")))
        program = Path(__file__).with_name("Bodies.java")
        lines = "".join(json.dumps(request) + "\n" for request in self.requests)
        done = subprocess.run(["java", "-cp", classpath, str(program)], input=lines, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        self.answers = [json.loads(line) for line in done.stdout.splitlines()]

    def body(self, number: int) -> bytes:
        return base64.b64decode(self.answers[number]["body"])


def java_request(operation: str, schema: Any, datums: list[bytes], **more: Any) -> dict[str, Any]:
    encoded = [base64.b64encode(datum).decode() for datum in datums]
    return {"operation": operation, "schema": json.dumps(schema), "datums": encoded, "sync": base64.b64encode(SYNC).decode(), **more}
