#!/usr/bin/env python3
"""Writes seed inputs for the fuzz targets to fuzz/seeds/<target>/, taken from the bodies and events of the tests."""

import base64
import json
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "fuzz" / "seeds"
JSON_SUBJECTS = ["order", "primitive", "logical", "optional", "union", "defaults"]


def main() -> None:
    shutil.rmtree(SEEDS, ignore_errors=True)
    schemas = sorted(f"{path.parent.name}/{path.stem}" for path in (ROOT / "tests/bodies/schemas").glob("*/*.avsc"))
    for target in ("framing", "decode", "container", "json", "event"):
        (SEEDS / target).mkdir(parents=True)
        (ROOT / "fuzz" / "corpus" / target).mkdir(parents=True, exist_ok=True)
    cases = [
        json.loads(line)
        for name in ("bodies.jsonl", "rejected.jsonl")
        for line in (ROOT / "tests/bodies" / name).read_text().splitlines()
    ]
    for number, case in enumerate(cases):
        if case["wire_format"] == "json":
            if case.get("subject") in JSON_SUBJECTS:
                put("json", number, bytes([JSON_SUBJECTS.index(case["subject"])]) + case["body"].encode())
            continue
        try:
            body = base64.b64decode(case["body"], validate=True)
        except ValueError:
            continue
        if len(body) > 65_536:
            continue
        if case["wire_format"] == "datum":
            name = f"{case.get('subject')}/{case.get('version')}"
            if name in schemas:
                put("decode", number, bytes([schemas.index(name)]) + body)
        elif case["wire_format"] == "container":
            put("container", number, body[4:])
        else:
            put("framing", number, body)
    for event in (ROOT / "events").glob("*.json"):
        (SEEDS / "event" / event.name).write_bytes(event.read_bytes())


def put(target: str, number: int, data: bytes) -> None:
    (SEEDS / target / f"{number:04}").write_bytes(data)


if __name__ == "__main__":
    main()
