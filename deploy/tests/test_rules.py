import unittest

from deploy import rules
from deploy.check import lint
from deploy.tests import stack, without

MAPPING = "AWS::Lambda::EventSourceMapping"
FUNCTION = "AWS::Lambda::Function"
ROLE = "AWS::IAM::Role"
POLLERS = {"ScalingMode": "pollers"}


class RulesTest(unittest.TestCase):
    def assert_allows(self, rule, subject):
        self.assertEqual(list(rule(subject)), [])

    def assert_catches(self, rule, subject, saying):
        self.assertRegex("\n".join(rule(subject)), saying)

    def assert_bounds(self, rule, cases, change, **parameters):
        """Checks each case, a value and whether it is allowed. `change` applies the value to a stack."""
        for value, allowed in cases:
            with self.subTest(value=value):
                subject = stack(**parameters)
                change(subject, value)
                (self.assert_allows if allowed else lambda r, s: self.assert_catches(r, s, str(value)))(rule, subject)

    def test_maximum_concurrency_together_with_pollers_is_caught(self):
        subject = stack(**POLLERS)
        self.assert_allows(rules.scaling_modes_exclude_each_other, subject)
        subject.only(MAPPING)["ScalingConfig"] = {"MaximumConcurrency": 10}
        self.assert_catches(rules.scaling_modes_exclude_each_other, subject, "together")

    def test_maximum_concurrency_is_bounded_on_both_sides(self):
        def change(subject, value):
            subject.only(MAPPING)["ScalingConfig"]["MaximumConcurrency"] = value

        cases = [(1, False), (2, True), (3, True), (999, True), (1000, True), (1001, False)]
        self.assert_bounds(rules.maximum_concurrency_is_in_range, cases, change)

    def test_minimum_pollers_are_bounded_on_both_sides(self):
        def change(subject, value):
            subject.only(MAPPING)["ProvisionedPollerConfig"]["MinimumPollers"] = value

        cases = [(1, False), (2, True), (3, True), (199, True), (200, True), (201, False)]
        self.assert_bounds(rules.pollers_are_in_range, cases, change, **POLLERS)

    def test_maximum_pollers_are_bounded_on_both_sides(self):
        def change(subject, value):
            subject.only(MAPPING)["ProvisionedPollerConfig"]["MaximumPollers"] = value

        cases = [(1, False), (2, True), (3, True), (1999, True), (2000, True), (2001, False)]
        self.assert_bounds(rules.pollers_are_in_range, cases, change, **POLLERS)

    def test_more_pollers_at_least_than_at_most_are_caught(self):
        subject = stack(MinimumPollers=3, MaximumPollers=3, **POLLERS)
        self.assert_allows(rules.pollers_are_in_range, subject)
        subject.only(MAPPING)["ProvisionedPollerConfig"]["MinimumPollers"] = 4
        self.assert_catches(rules.pollers_are_in_range, subject, "MinimumPollers 4 is over MaximumPollers 3")

    def test_batches_over_ten_thousand_are_caught(self):
        def change(subject, value):
            subject.only(MAPPING)["BatchSize"] = value

        cases = [(0, False), (1, True), (9999, True), (10000, True), (10001, False)]
        self.assert_bounds(rules.batches_fit_their_queue_and_window, cases, change, BatchingWindowSeconds=1)

    def test_batches_over_ten_need_a_window(self):
        def change(subject, value):
            subject.only(MAPPING)["BatchSize"] = value

        cases = [(9, True), (10, True), (11, False)]
        self.assert_bounds(rules.batches_fit_their_queue_and_window, cases, change)
        self.assert_bounds(
            rules.batches_fit_their_queue_and_window, [(11, True)], change, BatchingWindowSeconds=1
        )

    def test_windows_over_three_hundred_seconds_are_caught(self):
        def change(subject, value):
            subject.only(MAPPING)["MaximumBatchingWindowInSeconds"] = value

        cases = [(-1, False), (0, True), (1, True), (299, True), (300, True), (301, False)]
        self.assert_bounds(rules.batches_fit_their_queue_and_window, cases, change)

    def test_fifo_batches_over_ten_are_caught(self):
        def change(subject, value):
            subject.only(MAPPING)["BatchSize"] = value

        cases = [(9, True), (10, True), (11, False)]
        self.assert_bounds(rules.batches_fit_their_queue_and_window, cases, change, QueueType="fifo")

    def test_a_fifo_window_is_caught(self):
        subject = stack(QueueType="fifo")
        subject.only(MAPPING)["MaximumBatchingWindowInSeconds"] = 1
        self.assert_catches(rules.batches_fit_their_queue_and_window, subject, "no batching window")

    def test_missing_batch_item_failures_are_caught(self):
        for missing in ([], None):
            subject = stack()
            self.assert_allows(rules.batch_item_failures_are_reported, subject)
            subject.only(MAPPING)["FunctionResponseTypes"] = missing
            self.assert_catches(rules.batch_item_failures_are_reported, subject, "ReportBatchItemFailures is missing")

    def test_visibility_under_six_timeouts_and_the_window_is_caught(self):
        def change(subject, value):
            subject.resources["Queue"]["Properties"]["VisibilityTimeout"] = value

        rule = rules.messages_stay_hidden_while_they_are_worked_on
        self.assert_bounds(rule, [(184, False), (185, True), (186, True)], change, BatchingWindowSeconds=5)
        self.assert_bounds(rule, [(43199, True), (43200, True), (43201, False)], change)

    def test_dead_lettering_before_five_deliveries_is_caught(self):
        def change(subject, value):
            subject.resources["Queue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] = value

        cases = [(4, False), (5, True), (6, True), (999, True), (1000, True), (1001, False)]
        self.assert_bounds(rules.failed_messages_are_dead_lettered_late_and_kept, cases, change)

    def test_a_queue_without_dead_letters_is_caught(self):
        rule = rules.failed_messages_are_dead_lettered_late_and_kept
        self.assert_catches(rule, without(stack(), "DeadLetterQueue"), "no dead-letter queue")

    def test_dead_letters_that_expire_with_the_messages_are_caught(self):
        def change(subject, value):
            subject.resources["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"] = value

        rule = rules.failed_messages_are_dead_lettered_late_and_kept
        for value, allowed in [(345599, False), (345600, False), (345601, True)]:
            with self.subTest(value=value):
                subject = stack()
                change(subject, value)
                self.assertEqual(not list(rule(subject)), allowed)

    def test_a_standard_dead_letter_queue_of_a_fifo_queue_is_caught(self):
        subject = stack(QueueType="fifo")
        del subject.resources["DeadLetterQueue"]["Properties"]["FifoQueue"]
        self.assert_catches(rules.failed_messages_are_dead_lettered_late_and_kept, subject, "both be fifo")

    def test_a_fifo_queue_by_another_name_is_caught(self):
        for kind, name in (("fifo", "orders"), ("fifo", None), ("standard", "orders.fifo")):
            with self.subTest(kind=kind, name=name):
                subject = stack(QueueType=kind)
                self.assert_allows(rules.fifo_queues_are_named_so, subject)
                subject.resources["Queue"]["Properties"]["QueueName"] = name
                self.assert_catches(rules.fifo_queues_are_named_so, subject, "Queue: a queue is fifo if")

    def test_a_fifo_setting_of_false_is_caught(self):
        subject = stack()
        subject.resources["Queue"]["Properties"]["FifoQueue"] = False
        self.assert_catches(rules.fifo_queues_are_named_so, subject, "only be true or absent")

    def test_more_messages_in_flight_than_a_queue_holds_are_caught(self):
        def change(subject, value):
            subject.only(MAPPING)["BatchSize"] = value

        cases = [(59, True), (60, True)]
        self.assert_bounds(rules.messages_in_flight_fit_the_queue, cases, change, MaxInstances=1000)
        subject = stack(MaxInstances=1000)
        change(subject, 61)
        self.assert_catches(rules.messages_in_flight_fit_the_queue, subject, "122000 messages can be in flight")

    def test_dead_lettering_everything_in_an_outage_of_five_minutes_is_caught(self):
        rule = rules.dead_lettering_outlasts_an_outage
        # A timeout of 10 s results in a visibility timeout of 60 s. There is no wait after the last delivery.
        for count, allowed in [(5, False), (6, True), (7, True)]:
            with self.subTest(count=count):
                subject = stack(TimeoutSeconds=10, MaxReceiveCount=count)
                subject.only(FUNCTION)["Environment"]["Variables"]["RETURN_BACKOFF_SECONDS"] = 0
                self.assertEqual(not list(rule(subject)), allowed)
        for count, allowed in [(10, False), (11, True)]:
            with self.subTest(count=count, backoff=1):
                subject = stack(MaxReceiveCount=count)
                subject.only(FUNCTION)["Environment"]["Variables"]["RETURN_BACKOFF_SECONDS"] = 1
                self.assertEqual(not list(rule(subject)), allowed)

    def test_a_hidden_platform_report_is_caught(self):
        for level, allowed in [("DEBUG", True), ("INFO", True), ("WARN", False)]:
            with self.subTest(level=level):
                subject = stack()
                subject.only(FUNCTION)["LoggingConfig"]["SystemLogLevel"] = level
                self.assertEqual(not list(rules.the_platform_reports(subject)), allowed)

    def test_a_topic_that_may_not_send_or_wraps_bodies_is_caught(self):
        rule = rules.a_topic_may_send_what_it_is_subscribed_for
        subject = stack(SnsTopicArn="arn:aws:sns:eu-west-1:123456789012:orders")
        self.assert_allows(rule, subject)
        self.assertEqual(subject.only("AWS::SNS::Subscription")["Region"], "eu-west-1")
        subject.only("AWS::SNS::Subscription")["RawMessageDelivery"] = False
        self.assert_catches(rule, subject, "without raw delivery")
        self.assert_catches(rule, without(subject, "QueuePolicy"), "no policy lets .*:orders send")

    def test_an_existing_fifo_queue_is_held_to_fifo_batches(self):
        subject = stack(ExistingQueueArn="arn:aws:sqs:us-east-1:123456789012:orders.fifo")
        self.assert_allows(rules.batches_fit_their_queue_and_window, subject)
        self.assertNotIn("MaximumBatchingWindowInSeconds", subject.only(MAPPING))
        subject.only(MAPPING)["MaximumBatchingWindowInSeconds"] = 1
        self.assert_catches(rules.batches_fit_their_queue_and_window, subject, "no batching window")

    def test_reserved_concurrency_under_the_mapping_is_caught(self):
        def change(subject, value):
            subject.only(FUNCTION)["ReservedConcurrentExecutions"] = value

        rule = rules.reserved_concurrency_covers_the_mapping
        self.assert_bounds(rule, [(19, False), (20, True), (21, True)], change, MaxInstances=20)
        self.assert_bounds(rule, [(199, False), (200, True), ("200", True)], change, MaximumPollers=20, **POLLERS)

    def test_an_unbounded_mapping_reaches_what_lambda_scales_to(self):
        subject = stack()
        del subject.only(MAPPING)["ScalingConfig"]
        for value, allowed in [(1249, False), (1250, True), (1251, True)]:
            subject.only(FUNCTION)["ReservedConcurrentExecutions"] = value
            self.assertEqual(not list(rules.reserved_concurrency_covers_the_mapping(subject)), allowed)

    def test_more_warm_instances_than_the_maximum_are_caught(self):
        rule = rules.warm_instances_fit_the_maximum
        for warm, allowed in [(9, True), (10, True), (11, False)]:
            with self.subTest(warm=warm):
                subject = stack(MinInstances=warm, MaxInstances=10)
                self.assertEqual(not list(rule(subject)), allowed)

    def test_less_warm_throughput_than_every_table_has_is_caught(self):
        rule = rules.warm_throughput_is_more_than_a_table_has_anyway
        for units, allowed in [(0, True), (3999, False), (4000, True), (4001, True)]:
            with self.subTest(units=units):
                self.assertEqual(not list(rule(stack(WarmWriteUnits=units))), allowed)

    def test_a_log_level_that_drops_the_metrics_is_caught(self):
        for level, allowed in [("TRACE", True), ("DEBUG", True), ("INFO", True), ("WARN", False), ("ERROR", False)]:
            with self.subTest(level=level):
                subject = stack()
                subject.only(FUNCTION)["LoggingConfig"]["ApplicationLogLevel"] = level
                self.assertEqual(not list(rules.metrics_pass_the_log_level(subject)), allowed)


class PoliciesTest(unittest.TestCase):
    def statements(self, subject):
        return subject.only(ROLE)["Policies"][0]["PolicyDocument"]["Statement"]

    def assert_says(self, subject, saying):
        self.assertRegex("\n".join(rules.policies_are_what_the_code_calls(subject)), saying)

    def test_one_action_more_than_called_is_caught(self):
        subject = stack()
        self.statements(subject)[1]["Action"].append("dynamodb:GetItem")
        self.assert_says(subject, "dynamodb:GetItem on .*Table.* is granted and never called")

    def test_one_action_less_than_called_is_caught(self):
        subject = stack()
        self.statements(subject)[1]["Action"].remove("dynamodb:PutItem")
        self.assert_says(subject, "dynamodb:PutItem on .*Table.* is called and not granted")

    def test_an_action_on_everything_is_caught(self):
        subject = stack()
        self.statements(subject)[1]["Resource"] = "*"
        self.assert_says(subject, r"dynamodb:BatchWriteItem on \* is granted and never called")

    def test_a_managed_policy_is_caught(self):
        subject = stack()
        subject.only(ROLE)["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AmazonSQSFullAccess"]
        self.assert_says(subject, "managed policies allow more")

    def test_sending_is_granted_only_with_a_quarantine_queue(self):
        self.assertNotIn("SendMessage", str(self.statements(stack())))
        subject = stack(Quarantine="true")
        self.assertIn("SendMessage", str(self.statements(subject)))
        subject.only(FUNCTION)["Environment"]["Variables"]["QUARANTINE_QUEUE_URL"] = ""
        self.assert_says(subject, "sqs:SendMessage on .*QuarantineQueue.* is granted and never called")

    def test_keys_are_granted_only_if_one_is_given(self):
        self.assertNotIn("kms", str(self.statements(stack())))
        key = "arn:aws:kms:us-east-1:123456789012:key/k"
        self.assertNotIn("GenerateDataKey", str(self.statements(stack(KmsKeyArn=key))))
        self.assertIn("GenerateDataKey", str(self.statements(stack(KmsKeyArn=key, Quarantine="true"))))

    def test_the_network_is_granted_only_in_a_vpc(self):
        self.assertNotIn("ec2:", str(self.statements(stack())))
        subject = stack(SubnetIds="subnet-01234567", SecurityGroupIds="sg-01234567")
        self.assertEqual(list(rules.policies_are_what_the_code_calls(subject)), [])
        del subject.only(FUNCTION)["VpcConfig"]
        self.assert_says(subject, r"ec2:CreateNetworkInterface on \* is granted and never called")

    def test_an_existing_table_is_granted_by_its_arn(self):
        other = "arn:aws:dynamodb:eu-west-1:210987654321:table/orders"
        for name, arn in [("orders", "arn:aws:dynamodb:us-east-1:123456789012:table/orders"), (other, other)]:
            subject = stack(ExistingTableName=name)
            self.assertEqual(subject.of_type("AWS::DynamoDB::Table"), {})
            self.assertEqual(self.statements(subject)[1]["Resource"], arn)
            self.assertEqual(list(rules.policies_are_what_the_code_calls(subject)), [])
            self.statements(subject)[1]["Resource"] = "arn:aws:dynamodb:us-east-1:123456789012:table/another"
            self.assert_says(subject, "table/another is granted and never called")

    def test_keys_of_existing_tables_and_of_the_function_are_granted(self):
        keys = [f"arn:aws:kms:us-east-1:123456789012:key/{name}" for name in "ab"]
        subject = stack(AdditionalKmsKeyArns=keys[0], FunctionKmsKeyArn=keys[1])
        self.assertEqual(list(rules.policies_are_what_the_code_calls(subject)), [])
        self.assertEqual(subject.only("AWS::Logs::LogGroup")["KmsKeyId"], keys[1])
        subject.parameters["AdditionalKmsKeyArns"] = []
        self.assert_says(subject, "kms:Decrypt on .*key/a is granted and never called")

    def test_further_tables_are_granted_one_by_one(self):
        arns = [f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}" for name in "ab"]
        subject = stack(AdditionalTableArns=",".join(arns))
        self.assertEqual(list(rules.policies_are_what_the_code_calls(subject)), [])
        subject.parameters["AdditionalTableArns"] = arns[:1]
        self.assert_says(subject, "table/b is granted and never called")


class LintTest(unittest.TestCase):
    def test_a_wrong_value_is_found_in_the_resolved_stack(self):
        subject = stack()
        self.assertEqual(lint(subject), [])
        subject.only(FUNCTION)["Runtime"] = "provided.al2099"
        self.assertRegex("\n".join(lint(subject)), "E3030.*Runtime")
