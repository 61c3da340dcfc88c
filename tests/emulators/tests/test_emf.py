import json
import unittest

from tests.emulators import emf


def line(**members) -> str:
    directive = {"Namespace": "N", "Dimensions": [["Service"]], "Metrics": [{"Name": "M", "Unit": "Count"}]}
    event = {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, "Service": "s", "M": 1}
    directive.update(members.pop("directive", {}))
    event.update(members)
    return json.dumps(event)


class EmfTest(unittest.TestCase):
    def test_a_good_line_has_no_problems(self):
        for value in (1, 2.5, [1, 2], {"Values": [1, 2], "Counts": [3, 4]}, {"Values": [1] * 100, "Counts": [1] * 100}):
            self.assertEqual([], emf.problems(line(M=value)))

    def test_values_are_numbers_at_most_100_and_each_has_its_count(self):
        for value in ("1", True, None, [], [1] * 101, {"Values": [1], "Counts": []}, {"Values": [1] * 101, "Counts": [1] * 101}):
            self.assertTrue(emf.problems(line(M=value)), value)

    def test_a_dimension_needs_a_value(self):
        self.assertTrue(emf.problems(line(directive={"Dimensions": [["Service", "Reason"]]})))

    def test_the_specifications_schema_holds(self):
        many = [{"Name": f"M{number}"} for number in range(101)]
        for directive in ({"Namespace": ""}, {"Dimensions": []}, {"Metrics": many}, {"Metrics": [{"Name": "M", "Unit": "Apples"}]}):
            self.assertTrue(emf.problems(line(directive=directive)), directive)
        self.assertTrue(emf.problems('{"_aws": {"CloudWatchMetrics": []}}'))

    def test_only_lines_of_metrics_are_looked_at(self):
        self.assertEqual([line()], emf.lines(f'{{"message": "x"}}\n{line()}\nplain\n'.encode()))


if __name__ == "__main__":
    unittest.main()
