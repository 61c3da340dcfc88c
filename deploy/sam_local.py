"""Runs the built function in a container through `sam local invoke`, against a DynamoDB on this machine.

Needs a container engine and the base image; says so in one sentence where there is none. `make test-emulator` runs the
same bootstrap without either."""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

_BUILT = Path(".aws-sam/build/template.yaml")
_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{'arm64' if _ARCHITECTURE == 'arm64' else 'x86_64'}"


def main(arguments=None) -> int:
    options = _options(arguments)
    if missing := _missing():
        print(f"sam local invoke needs {missing}; make test-emulator needs neither engine nor image", file=sys.stderr)
        return 1
    # A copy next to the built one, so that its relative paths hold. sam local passes only variables a template names.
    local = _BUILT.with_name("template.local.json")
    local.write_text(json.dumps(_with_settings(yaml_parse(_BUILT.read_text()), options)))
    command = [
        *("sam", "local", "invoke", "Function", "--template", str(local), "--event", str(options.event)),
        *("--skip-pull-image", "--docker-network", "host", "--parameter-overrides", f"Architecture={_ARCHITECTURE}"),
    ]
    return subprocess.run(command, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False).returncode


def _missing() -> str:
    """What is needed and lacking, empty if nothing."""
    if not _BUILT.is_file():
        return "a build, made by make sam-build"
    try:
        engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
        if engine.returncode:
            return f"a running container engine, and none answers ({engine.stderr.strip().splitlines()[-1]})"
        image = subprocess.run(["docker", "image", "inspect", _IMAGE], capture_output=True, check=False)
    except FileNotFoundError:
        return "a running container engine, and there is no docker command"
    return "" if image.returncode == 0 else f"the image {_IMAGE}, from docker pull or docker import"


def _with_settings(template: dict, options) -> dict:
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    variables.update(pair.split("=", 1) for pair in options.env)
    variables["AWS_ENDPOINT_URL_DYNAMODB"] = options.endpoint
    return template


def _options(arguments):
    parser = argparse.ArgumentParser(prog="deploy.sam_local", description=__doc__)
    parser.add_argument("--event", type=Path, default=Path("events/orders.json"))
    parser.add_argument("--endpoint", required=True, help="URL of the DynamoDB to write to")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the function")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
