"""Starts programs and opens ports for the duration of a check."""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 60
_GRACE_SECONDS = 5


class DidNotStart(Exception):
    """A program ended, or did not become ready, before it could be used."""


@contextlib.contextmanager
def running(command: list, **options):
    """Context manager that runs a program and stops it with all its child processes. Accepts the options of
    subprocess.Popen."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            for wanted in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, wanted)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
                    break


@contextlib.contextmanager
def endpoint(command: str):
    """Context manager that runs a command and yields the first http://127.0.0.1 address that it prints. Raises DidNotStart if
    the command ends without printing one."""
    with running(shlex.split(command), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                return
        raise DidNotStart(f"{command} ended without printing an address")


def served(options):
    """Context manager that yields the address given by the options, or the address printed by the command given by the
    options."""
    if options.endpoint_command:
        return endpoint(options.endpoint_command)
    return contextlib.nullcontext(options.endpoint)


def expected(event: Path):
    """Returns the expected response to an event: the content of EVENT.response.json, or a response without failures if there is
    no such file."""
    response = event.with_suffix(".response.json")
    return json.loads(response.read_text()) if response.exists() else {"batchItemFailures": []}


def free_port() -> int:
    """Returns a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(process: subprocess.Popen, port: int, seconds: float = _PATIENCE_SECONDS) -> None:
    """Waits until a program listens on a port of 127.0.0.1. Raises DidNotStart if it ends first or takes too long."""
    for _ in range(int(seconds * 20)):
        if process.poll() is not None:
            raise DidNotStart(f"{process.args[0]} ended with {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise DidNotStart(f"{process.args[0]} does not listen on port {port} after {seconds} s")


@contextlib.contextmanager
def forwarded(address: str, url: str):
    """Context manager that makes the server at `url` available on another address of this machine and yields its URL.
    Containers can reach the address of their bridge, but not 127.0.0.1."""
    with socketserver.ThreadingTCPServer((address, 0), _Forward) as server:
        server.daemon_threads = True
        server.target = (urlsplit(url).hostname, urlsplit(url).port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_address[1]}"
        server.shutdown()


class _Forward(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError), socket.create_connection(self.server.target) as target:
            answers = threading.Thread(target=_copy, args=(target, self.request))
            answers.start()
            _copy(self.request, target)
            answers.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
