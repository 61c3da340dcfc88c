"""Runs a built bootstrap under AWS's Runtime Interface Emulator, which is part of the SAM package. Compares its response to one
event with the expected one."""

import argparse
import http.client
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.emulators import emf
from tests.emulators.processes import DidNotStart, expected, free_port, running, served, wait_for_port

_PATH = "/2015-03-31/functions/function/invocations"
_ANSWER_SECONDS = 60

# Variables that Lambda sets. The credentials are needed to sign requests to a local endpoint, which ignores them.
_LAMBDA_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "avro-ingest",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_LOG_FORMAT": "JSON",
    "TABLE_NAME": "messages",
}


def emulator_path() -> Path:
    """Returns the path of the emulator for this machine's processor, from the installed SAM package."""
    import samcli

    name = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    return Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{name}"


def invoke(bootstrap: Path, event: bytes, environment: dict, log):
    """Returns a bootstrap's response to one event. Output of the bootstrap and the emulator is written to the file `log`.
    Raises DidNotStart, or ValueError if the response is not valid JSON."""
    port = free_port()
    command = [
        str(emulator_path()),
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{free_port()}",
        str(bootstrap.absolute()),
    ]
    variables = {"PATH": os.environ["PATH"], **_LAMBDA_ENVIRONMENT, **environment}
    with running(command, env=variables, stdout=log, stderr=log) as emulator:
        wait_for_port(emulator, port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
        connection.request("POST", _PATH, event)
        return json.loads(connection.getresponse().read())


def main(arguments=None) -> int:
    options = _options(arguments)
    if not options.bootstrap.is_file():
        print(f"there is no {options.bootstrap}: build it first, with make sam-build", file=sys.stderr)
        return 1
    environment = {"SCHEMA_DIR": str(options.schemas.absolute()), **dict(pair.split("=", 1) for pair in options.env)}
    with tempfile.TemporaryFile() as log:
        try:
            with served(options) as url:
                if url:
                    environment["AWS_ENDPOINT_URL_DYNAMODB"] = url
                answer = invoke(options.bootstrap, options.event.read_bytes(), environment, log)
        except (DidNotStart, OSError, ValueError) as error:
            return _failed(f"{options.bootstrap} gave no answer: {error}", log)
        if answer != options.expect:
            return _failed(f"{options.event}: expected {json.dumps(options.expect)}, got {json.dumps(answer)}", log)
        if options.metrics:
            log.seek(0)
            metrics = emf.lines(log.read())
            wrong = [problem for line in metrics for problem in emf.problems(line)]
            if wrong or not metrics:
                return _failed(f"metrics: {'; '.join(wrong) or 'none were written'}", log)
    print(f"{options.event}: {json.dumps(answer)}, as expected, under {emulator_path().name}")
    return 0


def _failed(what: str, log) -> int:
    log.seek(0)
    print(log.read().decode(errors="replace"), what, sep="\n", file=sys.stderr)
    return 1


def _options(arguments):
    parser = argparse.ArgumentParser(prog="tests.emulators.emulator", description=__doc__)
    parser.add_argument("--bootstrap", type=Path, default=Path("target/sam/Function/bootstrap"))
    parser.add_argument("--schemas", type=Path, default=Path("target/sam/SchemasLayer/schemas"))
    parser.add_argument("--event", type=Path, default=Path("events/orders.json"))
    parser.add_argument(
        "--expect", type=json.loads, help="JSON of the right answer; else EVENT.response.json, else that none comes back"
    )
    parser.add_argument("--metrics", action="store_true", help="hold the function's metrics against the specification")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--endpoint", help="URL of the DynamoDB to write to")
    where.add_argument("--endpoint-command", help="command that serves one, prints its URL and stays")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    options = parser.parse_args(arguments)
    if options.expect is None:
        options.expect = expected(options.event)
    return options


if __name__ == "__main__":
    sys.exit(main())
