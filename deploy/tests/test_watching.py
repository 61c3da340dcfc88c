import json
import re
import unittest

from deploy import watching
from deploy.tests import stack, without

DASHBOARD = "AWS::CloudWatch::Dashboard"


class WatchingTest(unittest.TestCase):
    def assert_says(self, subject, saying):
        self.assertRegex("\n".join(watching.violations(subject)), saying)

    def misspell(self, subject, right, wrong):
        body = subject.only(DASHBOARD)["DashboardBody"]
        self.assertIn(right, body["Fn::Sub"])
        body["Fn::Sub"] = body["Fn::Sub"].replace(right, wrong)

    def test_a_misspelt_metric_of_an_alarm_is_caught(self):
        subject = stack()
        subject.resources["LedgerAlarm"]["Properties"]["MetricName"] = "LedgerInbalance"
        self.assert_says(subject, "LedgerAlarm: nobody emits AvroIngest LedgerInbalance")

    def test_a_misspelt_metric_inside_an_alarms_expression_is_caught(self):
        subject = stack()
        metrics = subject.resources["SuccessAlarm"]["Properties"]["Metrics"]
        metrics[1]["MetricStat"]["Metric"]["MetricName"] = "MessageReceived"
        self.assert_says(subject, "SuccessAlarm: nobody emits AvroIngest MessageReceived")

    def test_a_misspelt_metric_of_the_dashboard_is_caught(self):
        subject = stack()
        self.misspell(subject, '"DecodeTime"', '"ParsingTime"')
        self.assert_says(subject, "nobody emits AvroIngest ParsingTime")

    def test_a_misspelt_metric_of_a_search_is_caught(self):
        subject = stack()
        self.misspell(subject, r'MetricName=\"RejectedByReason\"', r'MetricName=\"Rejected\"')
        self.assert_says(subject, "nobody emits AvroIngest Rejected")

    def test_a_misspelt_metric_of_aws_is_caught(self):
        subject = stack()
        self.misspell(subject, "ApproximateAgeOfOldestMessage", "AgeOfOldestMessage")
        self.assert_says(subject, "nobody emits AWS/SQS AgeOfOldestMessage")

    def test_a_dimension_the_metric_does_not_have_is_caught(self):
        subject = stack()
        subject.resources["LedgerAlarm"]["Properties"]["Dimensions"].append({"Name": "Schema", "Value": "order"})
        self.assert_says(subject, "LedgerImbalance is emitted by Service, not by Service, Schema")

    def test_an_expression_of_an_unknown_metric_is_caught(self):
        subject = stack()
        self.misspell(subject, "batches/PERIOD(batches)", "batchs/PERIOD(batches)")
        self.assert_says(subject, "Batches per second: .* names batchs, which is no metric of it")

    def test_an_alarm_the_dashboard_does_not_show_is_caught(self):
        subject = stack()
        subject.resources["ForgottenAlarm"] = subject.resources["LedgerAlarm"]
        self.assert_says(subject, r"does not show \$\{ForgottenAlarm.Arn\}")

    def test_a_shown_alarm_that_does_not_exist_is_caught(self):
        self.assert_says(without(stack(), "LedgerAlarm"), r"shows \$\{LedgerAlarm.Arn\}, which is no alarm")

    def test_an_alarm_without_advice_is_caught(self):
        subject = stack()
        subject.resources["LedgerAlarm"]["Properties"]["AlarmDescription"] = "ledger imbalance"
        self.assert_says(subject, "LedgerAlarm does not say what to do")

    def test_an_alarm_that_tells_nobody_is_caught(self):
        subject = stack(AlarmTopicArn="arn:aws:sns:us-east-1:123456789012:alarms")
        self.assertEqual(watching.violations(subject), [])
        subject.resources["LedgerAlarm"]["Properties"]["AlarmActions"] = []
        self.assert_says(subject, "LedgerAlarm does not tell the alarm topic")

    def test_a_dashboard_that_is_no_json_is_caught(self):
        subject = stack()
        self.misspell(subject, '{"widgets": [', '{"widgets": [,')
        with self.assertRaises(json.JSONDecodeError):
            watching.violations(subject)

    def test_every_metric_of_the_function_is_on_the_dashboard_or_in_an_alarm(self):
        seen = {name for _, namespace, name, _ in watching.watched(stack()) if namespace == "AvroIngest"}
        self.assertEqual(seen, watching.OWN.keys())

    def test_another_namespace_and_service_reach_every_graph(self):
        subject = stack(MetricsNamespace="Shop", ServiceName="orders")
        self.assertEqual(watching.violations(subject), [])
        self.assertNotIn("AvroIngest", watching.dashboard_body(subject))

    def test_the_series_that_are_billed_are_those_of_the_function(self):
        series = sum(metric["dimensions"] == ["Service"] for metric in watching.OWN.values())
        self.assertIn(f"0.115741*{series}*PERIOD(handled)", watching.dashboard_body(stack()))

    def test_the_targets_of_the_requirements_are_lines(self):
        targets = {
            (widget["properties"]["title"], line["value"])
            for widget in watching.widgets(stack())
            for line in widget["properties"].get("annotations", {}).get("horizontal", [])
        }
        required = {
            ("Delivery latency, ms", 50),
            ("End-to-end latency, ms", 100),
            ("Decoding per message, ms", 1),
            ("Stored, in percent of received", 99.9),
            ("Dollars per million messages (us-east-1, estimate)", 1),
        }
        self.assertLessEqual(required, targets)
        # The queue of a single team is not the fleet for which these targets are defined.
        self.assertFalse({100_000, 500_000, 10_000} & {value for _, value in targets})


class SeriesTest(unittest.TestCase):
    """Tests the alarms on the function's metrics of one minute. Counters that are zero are not written."""

    HEALTHY = {"MessagesReceived": 100, "MessagesStored": 100, "EndToEndLatency": 20}
    TROUBLE = {
        "MessagesReceived": 100,
        "MessagesStored": 99,
        "MessagesReturned": 1,
        "MessagesFailed": 1,
        "EndToEndLatency": 5_000,
        "Throttles": 1_000,
        "LedgerImbalance": 1,
    }
    COMPARE = {
        "LessThanThreshold": lambda value, threshold: value < threshold,
        "GreaterThanThreshold": lambda value, threshold: value > threshold,
        "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    }

    def alarms(self):
        """Yields the alarms that use only metrics of the function."""
        for name, alarm in stack().resources.items():
            if alarm["Type"] != "AWS::CloudWatch::Alarm":
                continue
            properties = alarm["Properties"]
            metrics = [metric["MetricStat"]["Metric"] for metric in properties.get("Metrics", []) if "MetricStat" in metric]
            if all(metric["Namespace"] == "AvroIngest" for metric in metrics or [properties]):
                yield name, properties

    def value(self, properties, series):
        if "MetricName" in properties:
            return series.get(properties["MetricName"])
        ids = {
            metric["Id"]: series.get(metric["MetricStat"]["Metric"]["MetricName"])
            for metric in properties["Metrics"]
            if "MetricStat" in metric
        }
        expression = next(metric["Expression"] for metric in properties["Metrics"] if "Expression" in metric)
        used = [ids[name] for name in re.findall("[a-z]+", expression)]
        return None if None in used else eval(expression, {}, ids)  # noqa: S307

    def breaches(self, properties, series):
        value = self.value(properties, series)
        if value is None:
            return properties["TreatMissingData"] == "breaching"
        return self.COMPARE[properties["ComparisonOperator"]](value, properties["Threshold"])

    def test_no_alarm_takes_a_missing_value_for_trouble_and_each_sees_trouble(self):
        alarms = dict(self.alarms())
        self.assertEqual(set(alarms), {"SuccessAlarm", "EndToEndAlarm", "WriteThrottlesAlarm", "LedgerAlarm"})
        for name, properties in alarms.items():
            self.assertFalse(self.breaches(properties, self.HEALTHY), f"{name} in health")
            self.assertFalse(self.breaches(properties, {}), f"{name} without traffic")
            self.assertTrue(self.breaches(properties, self.TROUBLE), f"{name} in trouble")
