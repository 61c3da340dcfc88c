"""Runs the function as described in the README, with `cargo lambda watch` and `cargo lambda invoke`, against a local DynamoDB.
Compares its responses to events with the expected ones."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.emulators.processes import DidNotStart, expected, free_port, running, served, wait_for_port

_FUNCTION = "avro-ingest"
# Local endpoints ignore the credentials, but a request cannot be signed without them.
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}


def main(arguments=None) -> int:
    options = _options(arguments)
    port = str(free_port())
    with tempfile.TemporaryFile() as log:
        try:
            with served(options) as url:
                settings = {**_CREDENTIALS, "SCHEMA_DIR": "schemas", "AWS_ENDPOINT_URL_DYNAMODB": url}
                pairs = [*(f"{name}={value}" for name, value in settings.items()), *options.env]
                watch = ["cargo", "lambda", "watch", "--ignore-changes", "--invoke-address", "127.0.0.1", "--invoke-port", port]
                watch += [part for pair in pairs for part in ("--env-var", pair)]
                with running(watch, stdout=log, stderr=log, env=_without_endpoints()) as process:
                    wait_for_port(process, int(port))
                    return max(_invoke(event, port, log) for event in options.event)
        except (DidNotStart, OSError) as error:
            log.seek(0)
            print(log.read().decode(errors="replace"), error, sep="\n", file=sys.stderr)
            return 1


def _invoke(event: Path, port: str, log) -> int:
    command = ["cargo", "lambda", "invoke", _FUNCTION, "--invoke-address", "127.0.0.1", "--invoke-port", port]
    done = subprocess.run([*command, "--data-file", str(event)], capture_output=True, text=True, check=False)
    right = expected(event)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = done.stderr
    print(f"{event}: {json.dumps(answer)}, {'as expected' if answer == right else f'expected {json.dumps(right)}'}")
    if answer != right:
        log.seek(0)
        print(log.read().decode(errors="replace"), file=sys.stderr)
    return int(answer != right)


def _without_endpoints() -> dict:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _options(arguments):
    parser = argparse.ArgumentParser(prog="tests.emulators.cargo_lambda", description=__doc__)
    parser.add_argument("--event", type=Path, nargs="+", default=[Path("events/orders.json")])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--endpoint", default="", help="URL of the DynamoDB to write to")
    where.add_argument("--endpoint-command", default="", help="command that serves one, prints its URL and stays")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
