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

# Parameters that only `sam local` uses, where there are no versions.
LOCAL = ("DynamoDbEndpointUrl", "SqsEndpointUrl")

# Values to use instead of the default incremented by one, for parameters where that is not valid.
_ACCOUNT = "us-east-1:123456789012"
OTHER = {
    "AdditionalKmsKeyArns": f"arn:aws:kms:{_ACCOUNT}:key/k",
    "AdditionalTableArns": f"arn:aws:dynamodb:{_ACCOUNT}:table/a",
    "AlarmTopicArn": f"arn:aws:sns:{_ACCOUNT}:alarms",
    "BatchSize": "9",
    "ExistingQueueArn": f"arn:aws:sqs:{_ACCOUNT}:orders",
    "ExistingTableName": "orders",
    "FunctionKmsKeyArn": f"arn:aws:kms:{_ACCOUNT}:key/f",
    "KmsKeyArn": f"arn:aws:kms:{_ACCOUNT}:key/q",
    "PartitionKeyName": "tenant",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "SnsTopicArn": f"arn:aws:sns:{_ACCOUNT}:orders",
    "SortKeyName": "id",
    "TtlAttribute": "expires",
    "WarmWriteUnits": "4000",
    "DefaultSchema": "order/1",
    "MetricsNamespace": "Shop",
    "ServiceName": "orders",
    "WireFormats": "datum",
}


def other(name: str, spec: dict) -> str:
    if name in OTHER:
        return OTHER[name]
    if name in TOGETHER:
        return TOGETHER[name][name]
    if "AllowedValues" in spec:
        return str(next(value for value in spec["AllowedValues"] if value != spec["Default"]))
    return str(spec["Default"] + 1)


# Parameters that have an effect only in combination.
TOGETHER = {
    "ExistingDeadLetterQueueName": {"ExistingQueueArn": OTHER["ExistingQueueArn"], "ExistingDeadLetterQueueName": "dead"},
    "SecurityGroupIds": {"SubnetIds": "subnet-01234567", "SecurityGroupIds": "sg-01234568"},
    "SortKeyType": {"SortKeyName": "id", "SortKeyType": "N"},
    "SubnetIds": {"SubnetIds": "subnet-01234568", "SecurityGroupIds": "sg-01234567"},
}


class VisibilityTest(unittest.TestCase):
    def test_every_timeout_and_window_has_six_timeouts_and_the_window(self):
        declared = template()["Parameters"]
        table = template()["Mappings"]["VisibilityTimeout"]
        timeouts, windows = (declared[name]["AllowedValues"] for name in ("TimeoutSeconds", "BatchingWindowSeconds"))
        expected = {str(t): {str(w): 6 * t + w for w in windows} for t in timeouts}
        self.assertEqual(table, expected)


class PublishingTest(unittest.TestCase):
    def versioned(self, subject):
        # Reserved concurrency belongs to the function, not to a version.
        return {k: v for k, v in subject.only(FUNCTION).items() if k != "ReservedConcurrentExecutions"}

    def version(self, subject):
        """Returns what makes a version differ: its resource, and the description of the layer whose version its own description
        starts with."""
        layers = subject.of_type("AWS::Lambda::LayerVersion")
        versions = [(name, r) for name, r in subject.resources.items() if r["Type"] == VERSION]
        text = str(versions[0][1]["Properties"]["Description"])
        return versions, [layer["Description"] for name, layer in layers.items() if f"${{{name}}} " in text]

    def test_every_setting_that_reaches_the_function_publishes_a_new_version(self):
        before = stack()
        reaching = set()
        for name, spec in template()["Parameters"].items():
            if name in LOCAL:
                continue
            after = stack(**TOGETHER.get(name, {}), **({} if name in TOGETHER else {name: other(name, spec)}))
            if self.versioned(after) != self.versioned(before):
                reaching.add(name)
                with self.subTest(parameter=name):
                    self.assertNotEqual(self.version(after), self.version(before))
        self.assertLessEqual({"MaxInFlight", "ExistingTableName", "SubnetIds", "SecurityGroupIds", "FunctionKmsKeyArn"}, reaching)

    def test_a_replaced_table_publishes_a_new_version(self):
        _, (layer,) = self.version(stack())
        self.assertIn("${Table}", str(layer))

    def test_new_schemas_publish_a_new_version(self):
        changed = json.loads(json.dumps(template()))
        changed["Resources"]["SchemasLayer"]["Properties"]["ContentUri"] = "s3://bucket/newer"
        self.assertNotEqual(self.version(resolve(changed, {})), self.version(stack()))

    def test_the_longest_settings_fit_a_versions_description(self):
        frames = "single-object,container,confluent,glue,datum,json"
        longest = stack(
            ExistingTableName="arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/" + "t" * 32,
            SubnetIds=",".join([f"subnet-{'0' * 17}"] * 3),
            SecurityGroupIds=",".join([f"sg-{'0' * 17}"] * 2),
            FunctionKmsKeyArn="arn:aws:kms:us-east-1:123456789012:key/01234567-0123-0123-0123-0123456789ab",
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
        layer = next(name for name, r in longest.resources.items() if r["Type"] == "AWS::Lambda::LayerVersion")
        description = longest.only(VERSION)["Description"]["Fn::Sub"].replace(f"${{{layer}}}", "10000")
        self.assertLessEqual(len(description), 256)
        self.assertLessEqual(len(longest.resources[layer]["Properties"]["Description"]), 256)


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

    def test_an_existing_table_with_settings_of_a_new_one_is_refused(self):
        for name, value in [
            ("PartitionKeyName", "id"),
            ("PartitionKeyType", "N"),
            ("SortKeyName", "id"),
            ("StreamViewType", "KEYS_ONLY"),
            ("MaxWriteUnits", 10),
            ("WarmWriteUnits", 4000),
        ]:
            with self.subTest(parameter=name):
                self.assert_refused(f"AnExistingTableIsTakenAsItIs.*{name}", ExistingTableName="orders", **{name: value})
                stack(**({"SortKeyName": "id"} if name == "SortKeyType" else {}), **{name: value})

    def test_a_sort_key_type_without_a_name_and_two_keys_of_one_name_are_refused(self):
        self.assert_refused("ASortKeyTypeNeedsAName", SortKeyType="N")
        self.assert_refused("KeysHaveTwoNames", SortKeyName="message_id")

    def test_an_existing_queue_with_settings_of_a_new_one_is_refused(self):
        queue, topic = OTHER["ExistingQueueArn"], OTHER["SnsTopicArn"]
        self.assert_refused("SnsTopicArn must be empty", ExistingQueueArn=queue, SnsTopicArn=topic)
        self.assert_refused("QueueType must keep its default", ExistingQueueArn=queue, QueueType="fifo")
        self.assert_refused("needs ExistingQueueArn", ExistingDeadLetterQueueName="dead")

    def test_subnets_without_security_groups_are_refused(self):
        self.assert_refused("both set or both empty", SubnetIds="subnet-01234567")
        self.assert_refused("both set or both empty", SecurityGroupIds="sg-01234567")

    def test_the_tables_keys_are_those_asked_for(self):
        table = stack(PartitionKeyName="tenant", SortKeyName="id", SortKeyType="N").only("AWS::DynamoDB::Table")
        self.assertEqual(
            table["KeySchema"],
            [{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
        )
        self.assertEqual(
            table["AttributeDefinitions"],
            [{"AttributeName": "tenant", "AttributeType": "S"}, {"AttributeName": "id", "AttributeType": "N"}],
        )
        self.assertEqual(len(stack().only("AWS::DynamoDB::Table")["KeySchema"]), 1)

    def test_an_existing_queue_is_read_and_watched_by_its_name(self):
        queue = OTHER["ExistingQueueArn"]
        subject = stack(ExistingQueueArn=queue, ExistingDeadLetterQueueName="dead")
        self.assertEqual(subject.of_type("AWS::SQS::Queue"), {})
        self.assertEqual(subject.only(MAPPING)["EventSourceArn"], queue)
        alarms = subject.of_type("AWS::CloudWatch::Alarm")
        self.assertIn({"Name": "QueueName", "Value": "orders"}, alarms["OldestMessageAlarm"]["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"])
        self.assertEqual(alarms["DeadLetterAlarm"]["Dimensions"], [{"Name": "QueueName", "Value": "dead"}])
        self.assertNotIn("DeadLetterAlarm", stack(ExistingQueueArn=queue).resources)

    def test_every_output_but_the_dashboard_is_exported(self):
        outputs = stack(Quarantine="true", StreamViewType="KEYS_ONLY").outputs
        self.assertEqual(sorted(outputs), sorted(template()["Outputs"]))
        for name, output in outputs.items():
            exported = {"Name": f"avro-ingest-{name}"} if name != "DashboardUrl" else None
            self.assertEqual(output.get("Export"), exported, name)

    def test_every_parameter_is_described_and_in_one_group(self):
        groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        self.assertEqual(sorted(grouped), sorted(template()["Parameters"]))
        for name, spec in template()["Parameters"].items():
            self.assertTrue(spec.get("Description"), name)


class AlarmsTest(unittest.TestCase):
    def alarm(self, name, **parameters):
        return stack(**parameters).of_type("AWS::CloudWatch::Alarm")[name]

    def test_a_single_cold_start_is_no_breach_of_the_p95(self):
        self.assertEqual(self.alarm("EndToEndAlarm")["EvaluateLowSampleCountPercentile"], "ignore")

    def test_a_message_that_waits_for_a_batch_or_is_returned_once_is_not_too_old(self):
        for window, visibility in [(0, 180), (60, 240), (300, 480)]:
            alarm = self.alarm("OldestMessageAlarm", BatchingWindowSeconds=window)
            self.assertEqual(alarm["Metrics"][0]["Expression"], f"oldest - {visibility}")
            self.assertGreater(alarm["Threshold"], 0)

    def test_further_dead_letters_are_told_while_the_first_are_still_there(self):
        alarm = self.alarm("DeadLetterArrivalsAlarm")
        self.assertEqual(alarm["Metrics"][0]["Expression"], "DIFF(FILL(visible, 0) + FILL(hidden, 0))")


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
        # cargo-lambda changes a profile without this setting to abort on panics.
        profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["release"]
        self.assertEqual(profile["panic"], "unwind")

    def test_the_tools_are_pinned(self):
        for line in (ROOT / "requirements.txt").read_text().splitlines():
            self.assertRegex(line, r"^[a-z-]+(\[[a-z]+\])?==[0-9.]+$")
