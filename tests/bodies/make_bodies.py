#!/usr/bin/env python3
"""Makes the message bodies that other Avro implementations write, and what the function must make of them.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_bodies.py            writes the files
    venv/bin/python make_bodies.py --check    fails if they differ from what would be written
    ... --java DIRECTORY                      makes and checks those of the Java implementation too

Without `--java` the Java bodies stay the committed ones. DIRECTORY holds avro 1.12.0 and what it needs (jackson, slf4j-api,
commons-compress, commons-codec, commons-io, snappy-java, zstd-jni, xz): the source package of PyPI's pyspark 4.0.1 has them
in deps/jars. Bodies compressed by deflate, bzip2 and xz are those of the zlib, libbz2 and liblzma that Python was built
with; another version of these may compress otherwise.

Input: `schemas/<subject>/<version>.avsc`, a directory as the function loads it, and the values in samples.py and
evolution.py. Output, one JSON object a line:

bodies.jsonl, what must be read
    name             unique
    made_by          who wrote the datum or container: "fastavro 1.13.1", "avro 1.12.2" (Python), "avro-java 1.12.0", "python"
                     for JSON, or "hand" for a frame put together by hand around a datum of fastavro
    wire_format      the only one the function should allow
    codec            of a container
    subject          whose newest version reads the record
    version          the writer's; absent for a container whose schema is not in the directory
    schema_attribute the message attribute `schema`
    value_schema_id  the message attribute `__value_schema_id`, base64 of its bytes
    body             the message's body as it stands: base64, or JSON for the wire format `json`
    items            the record as DynamoDB JSON, `{"M": ...}`, for each record the body holds

envelopes.jsonl, the same fields: one order in all the spellings that a body may have

rejected.jsonl, what must be rejected: name, made_by, wire_format (the value of WIRE_FORMATS), schema_attribute,
value_schema_id, body, and
    reasons          the reason codes that are right; where there are several, opinions may differ

Numbers (`N`) are to be compared as numbers, since 1E+2 and 100 are the same; everything else exactly. The numbers are exact:
a float is the shortest decimal that reads back to it, a zero has no sign.

The expected values are computed from the specification (schema.py, resolution.py, dynamodb.py), and times are converted to the
reader's unit, of which it says nothing. Then they are held against what fastavro and Java read from the same bytes. Where these
deviate is listed in expected.py.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bodies import all_cases
from envelopes import all_envelopes
from expected import all_samples, check_agreement
from implementations import Java
from rejected import all_rejected

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description="make the message bodies of other Avro implementations")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    parser.add_argument("--java", metavar="DIRECTORY", help="jars of the Java implementation")
    arguments = parser.parse_args()
    java = Java(arguments.java) if arguments.java else None
    samples = all_samples()
    check_agreement(samples, java)
    cases = all_cases(samples, java)
    if java:
        java.run()
    committed = {line["name"]: line["body"] for line in read_lines("bodies.jsonl")}
    files = {
        "bodies.jsonl": [case.line(java, committed) for case in cases],
        "envelopes.jsonl": all_envelopes(),
        "rejected.jsonl": all_rejected(),
    }
    return publish({HERE / name: json_lines(lines) for name, lines in files.items()}, arguments.check)


def read_lines(name: str) -> list[dict[str, Any]]:
    path = HERE / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def json_lines(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def publish(files: dict[Path, str], check: bool) -> int:
    """Writes the files, or tells which of them differ; the exit code."""
    stale = [path for path, content in files.items() if not path.exists() or path.read_text(encoding="utf-8") != content]
    for path in stale:
        if check:
            print(f"{path.name} differs from what would be written", file=sys.stderr)
        else:
            path.write_text(files[path], encoding="utf-8", newline="\n")
    for path, content in files.items():
        print(f"{path.name}: {content.count(chr(10))} lines, {len(content)} bytes")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
