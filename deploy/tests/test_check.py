import contextlib
import io
import unittest
from unittest import mock

from deploy import check


class CheckTest(unittest.TestCase):
    def check(self, profiles):
        said = io.StringIO()
        with (
            mock.patch.object(check, "profiles", lambda: profiles),
            mock.patch.object(check, "COMBINATIONS", {}),
            contextlib.redirect_stdout(said),
        ):
            return check.main(), said.getvalue()

    def test_a_sound_profile_succeeds(self):
        self.assertEqual(self.check({"small": {}}), (0, "small: fine\n"))

    def test_one_profile_that_breaks_a_rule_fails_all(self):
        large = {"BatchSize": "200", "BatchingWindowSeconds": "1", "MaxInstances": "1000"}
        code, said = self.check({"large": large, "small": {}})
        self.assertEqual(code, 1)
        self.assertRegex(said, "large: 1 problems\n  messages_in_flight_fit_the_queue: 400000.*\nsmall: fine")

    def test_a_profile_cloudformation_refuses_fails(self):
        code, said = self.check({"wrong": {"MaxInstances": "1001"}})
        self.assertEqual((code, "MaxInstances=1001 is outside 2 to 1000" in said), (1, True), said)
