"""Runs the built function in a container through `sam local invoke`, against a DynamoDB on this machine.

Needs a container engine and the base image, and says so in one sentence where there is none."""

import argparse
import ipaddress
import json
import platform
import subprocess
import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from deploy.processes import forwarded

_BUILT = Path(".aws-sam/build/template.yaml")
_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{_ARCHITECTURE}"


def main(arguments=None) -> int:
    options = _options(arguments)
    if missing := _missing(options.endpoint):
        print(f"sam local invoke needs {missing} (make test-emulator needs no engine)", file=sys.stderr)
        return 1
    # A copy next to the built one, so that its relative paths hold. sam local passes only variables a template names.
    local = _BUILT.with_name("template.local.json")
    command = [
        *("sam", "local", "invoke", "Function", "--template", str(local), "--event", str(options.event)),
        *("--skip-pull-image", "--parameter-overrides", f"Architecture={_ARCHITECTURE}"),
    ]
    with forwarded(_bridge_address(), options.endpoint) as url:
        local.write_text(json.dumps(_with_settings(yaml_parse(_BUILT.read_text()), url, options.env)))
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    print(done.stdout.decode())
    # sam ends with 0 even if the function failed; the answer tells.
    return done.returncode or int(json.loads(done.stdout or "null") != {"batchItemFailures": []})


def _missing(endpoint: str) -> str:
    """What is needed and lacking, empty if nothing."""
    try:
        engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "a running container engine, and there is no docker command"
    if engine.returncode:
        return f"a running container engine, and none answers ({engine.stderr.strip()})"
    if subprocess.run(["docker", "image", "inspect", _IMAGE], capture_output=True, check=False).returncode:
        return f"the image {_IMAGE}, from docker pull or docker import"
    if not _BUILT.is_file():
        return "a build, made by make sam-build"
    return "" if endpoint else "a DynamoDB to write to, as ENDPOINT=http://127.0.0.1:..."


def _bridge_address() -> str:
    """This machine's address on the engine's default bridge, where containers reach it."""
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    return str(next(ipaddress.ip_network(subnet).hosts()))


def _with_settings(template: dict, url: str, settings: list) -> dict:
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    variables.update(pair.split("=", 1) for pair in settings)
    variables["AWS_ENDPOINT_URL_DYNAMODB"] = url
    return template


def _options(arguments):
    parser = argparse.ArgumentParser(prog="deploy.sam_local", description=__doc__)
    parser.add_argument("--event", type=Path, default=Path("events/orders.json"))
    parser.add_argument("--endpoint", required=True, help="URL of the DynamoDB to write to")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
