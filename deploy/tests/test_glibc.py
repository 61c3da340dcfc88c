import contextlib
import io
import tempfile
import unittest

from deploy import glibc


class GlibcTest(unittest.TestCase):
    def check(self, content: bytes) -> int:
        with tempfile.NamedTemporaryFile() as file, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            file.write(content)
            file.flush()
            return glibc.main(file.name)

    def test_the_newest_symbol_counts(self):
        self.assertEqual(glibc.newest(b"\0GLIBC_2.9\0GLIBC_2.30\0GLIBC_2.4\0"), (2, 30))

    def test_an_executable_of_a_newer_linux_is_refused(self):
        for name, code in [(b"GLIBC_2.33", 0), (b"GLIBC_2.34", 0), (b"GLIBC_2.35", 1), (b"GLIBC_3.0", 1), (b"", 1)]:
            self.assertEqual(self.check(name), code, name)
