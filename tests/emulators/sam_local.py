"""Runs the built function in a container with `sam local invoke`, against a local DynamoDB. Compares its response to an event
with the expected one.

Requires a container engine and the base image. If one is missing, it is reported in one sentence."""

import argparse
import ipaddress
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.emulators.processes import DidNotStart, expected, forwarded, served

_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{_ARCHITECTURE}"


def main(arguments=None) -> int:
    options = _options(arguments)
    if missing := _missing(options):
        print(f"sam local invoke needs {missing} (make test-emulator needs no engine)", file=sys.stderr)
        return 1
    try:
        with served(options) as local, forwarded(_bridge_address(), local) as url:
            return max(_invoke(options, event, url) for event in options.event)
    except (DidNotStart, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _invoke(options, event: Path, url: str) -> int:
    settings = {"AWS_ENDPOINT_URL_DYNAMODB": url, **dict(pair.split("=", 1) for pair in options.env)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"Function": settings}, file)
        file.flush()
        command = [
            *("sam", "local", "invoke", "Function", "--template", str(options.template), "--event", str(event)),
            *("--skip-pull-image", "--parameter-overrides", f"Architecture={_ARCHITECTURE}", "--env-vars", file.name),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    # sam exits with 0 even if the function failed, so the response must be checked.
    right = json.loads(done.stdout or "null") == expected(event)
    print(f"{event}: {done.stdout.decode().strip()}, {'as expected' if right else f'expected {json.dumps(expected(event))}'}")
    return done.returncode or int(not right)


def _missing(options) -> str:
    """Returns the first requirement that is missing, or an empty string if none is."""
    try:
        engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "a running container engine, and there is no docker command"
    if engine.returncode:
        return f"a running container engine, and none answers ({engine.stderr.strip()})"
    if subprocess.run(["docker", "image", "inspect", _IMAGE], capture_output=True, check=False).returncode:
        return f"the image {_IMAGE}, from docker pull or docker import"
    if not options.template.is_file():
        return "a build, made by make sam-build"
    return "" if options.endpoint or options.endpoint_command else "a DynamoDB to write to, as ENDPOINT=http://127.0.0.1:..."


def _bridge_address() -> str:
    """Returns this machine's address on the engine's default bridge, which containers can reach."""
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    return str(next(ipaddress.ip_network(subnet).hosts()))


def _options(arguments):
    parser = argparse.ArgumentParser(prog="tests.emulators.sam_local", description=__doc__)
    parser.add_argument("--template", type=Path, default=Path("target/sam/template.yaml"), help="of a build")
    parser.add_argument("--event", type=Path, nargs="+", default=[Path("events/orders.json")])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--endpoint", default="", help="URL of the DynamoDB to write to")
    where.add_argument("--endpoint-command", default="", help="command that serves one, prints its URL and stays")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
