#!/usr/bin/env python3
"""Creates message bodies with other Avro libraries, and the items that the function must decode them to.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_bodies.py            writes the files
    venv/bin/python make_bodies.py --check    fails if the files differ from what would be written
    ... --java DIRECTORY                      also creates or checks the bodies of the Java library

Without `--java`, the committed Java bodies are retained. DIRECTORY contains avro 1.12.0 and its dependencies (jackson, slf4j-api,
commons-compress, commons-codec, commons-io, snappy-java, zstd-jni, xz). The source package of PyPI's pyspark 4.0.1 has them
in deps/jars. Bodies compressed with deflate, bzip2 and xz depend on the versions of zlib, libbz2 and liblzma that Python was
built with. Other versions may produce other bytes.

Input: `schemas/<subject>/<version>.avsc`, a schema directory of the function, and the values in samples.py and evolution.py.
Output: files with one JSON object per line.

bodies.jsonl contains bodies that must be decoded:
    name             unique name
    made_by          library that wrote the datum or container: "fastavro 1.13.1", "avro 1.12.2" (Python), "avro-java 1.12.0",
                     "python" for JSON, or "hand" for framing assembled by hand around a datum of fastavro
    wire_format      the only wire format that the function should allow
    codec            codec of a container
    subject          subject whose newest version reads the record
    version          the writer's version; absent for a container whose schema is not in the directory
    schema_attribute the message attribute `schema`
    value_schema_id  the message attribute `__value_schema_id`, base64 of its bytes
    body             the message's body: base64, or JSON for the wire format `json`
    items            DynamoDB JSON, `{"M": ...}`, of each record in the body

envelopes.jsonl has the same fields and contains one order in every encoding that a body can have.

rejected.jsonl contains bodies that must be rejected, with the fields name, made_by, wire_format (the value of WIRE_FORMATS),
schema_attribute, value_schema_id, body, and
    reasons          the correct reason codes; any one of them is accepted

Numbers (`N`) must be compared by value, because 1E+2 and 100 are equal. Everything else must be compared exactly. The numbers
are exact: a float is the shortest decimal that parses back to it, and a zero has no sign.

The expected values are computed from the specification (schema.py, resolution.py, dynamodb.py). In addition, times are converted
to the reader's unit, which the specification does not define. The values are then compared with those that fastavro and Java
read from the same bytes. expected.py lists the known differences.
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
    """Writes the files or, with `check`, reports those that differ. Returns the exit code."""
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
