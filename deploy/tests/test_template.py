import json
import tomllib
import unittest

from deploy import limits
from deploy.check import COMBINATIONS
from deploy.stack import ROOT, Refused, profiles, resolve
from deploy.tests import stack, template

MAPPING = "AWS::Lambda::EventSourceMapping"
FUNCTION = "AWS::Lambda::Function"
VERSION = "AWS::Lambda::Version"

# Read by `sam local` alone, where there are no versions.
LOCAL = ("DynamoDbEndpointUrl", "SqsEndpointUrl")

# A value other than the default, where one step up from it will not do.
OTHER = {
    "BatchSize": "9",
    "DefaultSchema": "order/1",
    "MetricsNamespace": "Shop",
    "ServiceName": "orders",
    "WireFormats": "datum",
}


def other(name: str, spec: dict) -> str:
    if name in OTHER:
        return OTHER[name]
    if "AllowedValues" in spec:
        return str(next(value for value in spec["AllowedValues"] if value != spec["Default"]))
    return str(spec["Default"] + 1) if spec["Type"] == "Number" else spec["Default"]


class VisibilityTest(unittest.TestCase):
    def test_every_timeout_and_window_has_six_timeouts_and_the_window(self):
        declared = template()["Parameters"]
        table = template()["Mappings"]["VisibilityTimeout"]
        timeouts, windows = (declared[name]["AllowedValues"] for name in ("TimeoutSeconds", "BatchingWindowSeconds"))
        expected = {str(t): {str(w): 6 * t + w for w in windows} for t in timeouts}
        self.assertEqual(table, expected)


class PublishingTest(unittest.TestCase):
    def versioned(self, subject):
        # Reserved concurrency is of the function, not of a version of it.
        return {k: v for k, v in subject.only(FUNCTION).items() if k != "ReservedConcurrentExecutions"}

    def version(self, subject):
        return [(name, r) for name, r in subject.resources.items() if r["Type"] == VERSION]

    def test_every_setting_that_reaches_the_function_publishes_a_new_version(self):
        before = stack()
        reaching = set()
        for name, spec in template()["Parameters"].items():
            if name in LOCAL:
                continue
            after = stack(**{name: other(name, spec)})
            if self.versioned(after) != self.versioned(before):
                reaching.add(name)
                with self.subTest(parameter=name):
                    self.assertNotEqual(self.version(after), self.version(before))
        self.assertIn("MaxInFlight", reaching)

    def test_new_schemas_publish_a_new_version(self):
        changed = json.loads(json.dumps(template()))
        changed["Resources"]["SchemasLayer"]["Properties"]["ContentUri"] = "s3://bucket/newer"
        self.assertNotEqual(self.version(resolve(changed, {})), self.version(stack()))

    def test_the_longest_settings_fit_a_versions_description(self):
        frames = "single-object,container,confluent,glue,datum,json"
        longest = stack(
            WireFormats=frames,
            DefaultSchema="s" * 40 + "/123456",
            MetricsNamespace="n" * 32,
            ServiceName="s" * 32,
            TargetLatencyMs=60000,
            MinInFlight=1000,
            MaxInFlight=1000,
            DeadlineMarginMs=60000,
            MaxDepth=256,
            MaxRecords=1000000,
            MaxInflatedBytes=1073741824,
            UseFipsEndpoint="true",
            UseDualStackEndpoint="true",
            MemoryMegabytes=10240,
        )
        self.assertLessEqual(len(longest.only(VERSION)["Description"]), 256)


class ParametersTest(unittest.TestCase):
    def assert_refused(self, saying, **overrides):
        with self.assertRaisesRegex(Refused, saying):
            stack(**overrides)

    def test_values_out_of_range_are_refused(self):
        self.assert_refused("MaxInstances=1001 is outside 2 to 1000", MaxInstances=1001)
        self.assert_refused("MaxInstances=1 is outside", MaxInstances=1)
        self.assert_refused("TimeoutSeconds=31 is not one of", TimeoutSeconds=31)
        self.assert_refused("WireFormats=avro does not match", WireFormats="avro")
        self.assert_refused("LogLevel=WARN is not one of", LogLevel="WARN")

    def test_an_unknown_parameter_is_refused(self):
        self.assert_refused("unknown parameters: MaxInstance", MaxInstance=10)

    def test_large_batches_without_a_window_are_refused(self):
        self.assert_refused("LargeBatchesNeedAWindow", BatchSize=11)
        stack(BatchSize=11, BatchingWindowSeconds=1)
        stack(BatchSize=10)

    def test_large_or_delayed_fifo_batches_are_refused(self):
        self.assert_refused("at most 10 messages", QueueType="fifo", BatchSize=11, BatchingWindowSeconds=1)
        self.assert_refused("no batching window", QueueType="fifo", BatchingWindowSeconds=1)
        stack(QueueType="fifo", BatchSize=10)

    def test_every_parameter_is_described_and_in_one_group(self):
        groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        self.assertEqual(sorted(grouped), sorted(template()["Parameters"]))
        for name, spec in template()["Parameters"].items():
            self.assertTrue(spec.get("Description"), name)


class ProfilesTest(unittest.TestCase):
    def test_the_four_profiles_are_there(self):
        self.assertEqual(sorted(profiles()), ["default", "latency", "peak", "throughput"])

    def test_development_provisions_nothing(self):
        development = stack(**profiles()["default"])
        self.assertEqual(development.of_type("AWS::ApplicationAutoScaling::ScalableTarget"), {})
        self.assertNotIn("ReservedConcurrentExecutions", development.only(FUNCTION))
        self.assertNotIn("ProvisionedPollerConfig", development.only(MAPPING))
        self.assertNotIn("WarmThroughput", development.only("AWS::DynamoDB::Table"))

    def test_latency_is_small_batches_without_a_window_on_warm_instances(self):
        latency = stack(**profiles()["latency"])
        self.assertEqual(latency.only(MAPPING)["BatchSize"], 10)
        self.assertEqual(latency.only(MAPPING)["MaximumBatchingWindowInSeconds"], 0)
        self.assertEqual(latency.only(MAPPING)["ScalingConfig"], {"MaximumConcurrency": 1000})
        warm = latency.only("AWS::Lambda::Alias")["ProvisionedConcurrencyConfig"]
        self.assertEqual(warm, {"ProvisionedConcurrentExecutions": 10})

    def test_throughput_reaches_the_sustained_target(self):
        throughput = stack(**profiles()["throughput"]).only(MAPPING)
        batches = throughput["ScalingConfig"]["MaximumConcurrency"] * limits.INVOCATIONS_PER_INSTANCE.value
        self.assertGreaterEqual(batches * throughput["BatchSize"], 100_000)

    def test_peak_reaches_its_target_with_ten_records_a_message(self):
        pollers = stack(**profiles()["peak"]).only(MAPPING)["ProvisionedPollerConfig"]["MaximumPollers"]
        messages = pollers * limits.POLLS_PER_POLLER.value * limits.MESSAGES_PER_POLL.value
        self.assertGreaterEqual(messages * 10, 500_000)

    def test_a_window_is_part_of_the_latency_targets(self):
        for name, overrides in profiles().items():
            with self.subTest(profile=name):
                chosen = stack(**overrides).parameters
                window = chosen["BatchingWindowSeconds"] * 1000
                self.assertGreaterEqual(chosen["DeliveryTargetMs"], 50 + window)
                self.assertGreaterEqual(chosen["EndToEndTargetMs"], 100 + window)

    def test_combinations_and_profiles_take_every_branch_of_the_template(self):
        taken = {name: set() for name in template()["Conditions"]}
        for overrides in [*profiles().values(), *COMBINATIONS.values()]:
            resolved = stack(**overrides)
            for name in taken:
                taken[name].add(resolved.conditions[name])
        self.assertEqual({name: both for name, both in taken.items() if both != {True, False}}, {})


class BuildTest(unittest.TestCase):
    def test_panics_unwind_in_the_built_function(self):
        # cargo-lambda turns a profile that does not say so into one that aborts.
        profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["release"]
        self.assertEqual(profile["panic"], "unwind")

    def test_the_tools_are_pinned(self):
        for line in (ROOT / "requirements.txt").read_text().splitlines():
            self.assertRegex(line, r"^[a-z-]+==[0-9.]+$")
