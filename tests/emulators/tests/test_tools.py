import contextlib
import io
import os
import stat
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path
from unittest import mock

from tests.emulators import dynamodb_local, emulator, processes, sam_local

# A minimal bootstrap that uses the Runtime API.
BOOTSTRAP = f"""#!{sys.executable}
import os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(api + "/next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(api + "/" + request + "/response", os.environ["ANSWER"].encode()).read()
"""

ROOT = Path(__file__).parents[3]


def run(tool, *arguments) -> tuple:
    """Runs a tool and returns its exit code and output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = tool.main(list(arguments))
    return code, said.getvalue()


class EmulatorTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bootstrap = Path(folder.name) / "bootstrap"
        self.bootstrap.write_text(BOOTSTRAP)
        self.bootstrap.chmod(stat.S_IRWXU)
        self.event = Path(folder.name) / "event.json"
        self.event.write_text('{"Records": []}')

    def emulate(self, *arguments):
        return run(emulator, "--bootstrap", str(self.bootstrap), "--event", str(self.event), *arguments)

    def test_the_expected_answer_succeeds(self):
        code, said = self.emulate("--env", 'ANSWER={"batchItemFailures": []}')
        self.assertEqual((code, "as expected" in said), (0, True), said)

    def test_another_answer_fails_and_is_shown(self):
        code, said = self.emulate("--env", 'ANSWER={"batchItemFailures": [{"itemIdentifier": "1"}]}')
        self.assertEqual((code, '"itemIdentifier": "1"' in said), (1, True), said)

    def test_an_answer_that_is_no_json_fails(self):
        self.assertEqual(self.emulate("--env", "ANSWER=oops")[0], 1)

    def test_a_bootstrap_that_ends_at_once_fails(self):
        self.bootstrap.write_text("#!/bin/sh\nexit 1\n")
        self.assertEqual(self.emulate()[0], 1)

    def test_a_missing_build_says_how_to_build(self):
        self.bootstrap.unlink()
        code, said = self.emulate()
        self.assertEqual((code, "make sam-build" in said), (1, True), said)

    def test_an_endpoint_command_is_ended_with_the_run(self):
        endings = self.event.with_name("pid")
        serve = f"""sh -c 'echo $$ > {endings}; echo listening on http://127.0.0.1:9; exec sleep 600'"""
        self.assertEqual(self.emulate("--env", 'ANSWER={"batchItemFailures": []}', "--endpoint-command", serve)[0], 0)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(endings.read_text()), 0)


class ProcessesTest(unittest.TestCase):
    def test_a_command_without_an_address_did_not_start(self):
        with self.assertRaises(processes.DidNotStart), processes.endpoint("echo nothing"):
            pass

    def test_a_program_that_ends_did_not_start(self):
        with processes.running(["true"]) as process, self.assertRaisesRegex(processes.DidNotStart, "ended with"):
            process.wait()
            processes.wait_for_port(process, processes.free_port())

    def test_a_forwarded_address_answers_like_the_one_behind_it(self):
        port = processes.free_port()
        command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(ROOT), str(port)]
        with processes.running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            processes.wait_for_port(server, port)
            with processes.forwarded("127.0.0.1", f"http://127.0.0.1:{port}") as url:
                with urllib.request.urlopen(f"{url}/requirements.txt") as answer:
                    self.assertIn(b"aws-sam-cli", answer.read())

    def test_a_program_that_ignores_the_polite_end_is_ended(self):
        stubborn = "trap '' TERM; echo ready; while true; do sleep 0.1; done"
        with mock.patch.object(processes, "_GRACE_SECONDS", 0.2):
            with processes.running(["sh", "-c", stubborn], stdout=subprocess.PIPE, text=True) as process:
                process.stdout.readline()
        self.assertIsNotNone(process.returncode)


class MissingToolsTest(unittest.TestCase):
    def setUp(self):
        nothing = tempfile.TemporaryDirectory()
        self.addCleanup(nothing.cleanup)
        self.enterContext(mock.patch.dict(os.environ, {"PATH": nothing.name}))
        self.enterContext(contextlib.chdir(nothing.name))

    def test_without_java_the_compatibility_run_is_skipped_and_says_so(self):
        self.assertEqual(
            run(dynamodb_local, "cargo", "test"), (0, "skipped: cargo test needs Java 17 or later, found none\n")
        )

    def assert_sam_local_needs(self, what, *, docker="", built=True, endpoint="http://127.0.0.1:1"):
        if docker:
            Path("docker").write_text(f"#!/bin/sh\n{docker}\n")
            Path("docker").chmod(stat.S_IRWXU)
        if built:
            Path("target/sam").mkdir(parents=True)
            Path("target/sam/template.yaml").touch()
        code, said = run(sam_local, "--endpoint", endpoint)
        self.assertEqual((code, said.count("\n"), f"needs {what}" in said), (1, 1, True), said)

    def test_without_docker_sam_local_says_so(self):
        self.assert_sam_local_needs("a running container engine, and there is no docker command")

    def test_without_an_engine_sam_local_says_what_docker_said(self):
        silent = "echo cannot connect >&2; exit 1"
        self.assert_sam_local_needs("a running container engine, and none answers (cannot connect)", docker=silent)

    def test_without_the_image_sam_local_says_so(self):
        self.assert_sam_local_needs("the image public.ecr.aws/lambda/provided:al2023-", docker='[ "$1" = info ]')

    def test_without_a_build_sam_local_says_so(self):
        self.assert_sam_local_needs("a build, made by make sam-build", docker="exit 0", built=False)

    def test_without_an_endpoint_sam_local_says_so(self):
        self.assert_sam_local_needs("a DynamoDB to write to", docker="exit 0", endpoint="")
