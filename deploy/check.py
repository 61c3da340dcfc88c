"""Checks every profile of samconfig.toml, and some parameter combinations that no profile uses, as AWS would process them.

    .venv/bin/python -m deploy.check

Each is transformed by SAM and resolved (stack.py). The result is checked against the rules of AWS (rules.py) and against the
existing metrics (watching.py), and linted by cfn-lint, which finds more in the resolved values than in the template."""

import json
import sys

import cfnlint.api

from deploy import rules, watching
from deploy.stack import Refused, Stack, profiles, read_template, resolve

_ACCOUNT = "us-east-1:123456789012"

# Parameter values that no profile uses, so that every branch of the template is checked at least once.
COMBINATIONS = {
    "fifo": {"QueueType": "fifo", "Quarantine": "true"},
    "encrypted": {"KmsKeyArn": f"arn:aws:kms:{_ACCOUNT}:key/k", "Quarantine": "true", "Tracing": "Active"},
    "existing": {
        "ExistingTableName": "orders",
        "ExistingQueueArn": f"arn:aws:sqs:{_ACCOUNT}:orders",
        "ExistingDeadLetterQueueName": "orders-dead-letters",
        "AdditionalKmsKeyArns": f"arn:aws:kms:{_ACCOUNT}:key/k",
        "FunctionKmsKeyArn": f"arn:aws:kms:{_ACCOUNT}:key/f",
    },
    "existing-fifo": {
        "ExistingTableName": "arn:aws:dynamodb:us-east-1:210987654321:table/orders",
        "ExistingQueueArn": f"arn:aws:sqs:{_ACCOUNT}:orders.fifo",
        "Quarantine": "true",
    },
    "own-keys": {
        "PartitionKeyName": "tenant",
        "SortKeyName": "id",
        "SortKeyType": "N",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        "SnsTopicArn": f"arn:aws:sns:{_ACCOUNT}:orders",
    },
    "network": {
        "SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
        "SecurityGroupIds": "sg-0123456789abcdef0",
        "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    },
    "bounded": {
        "AdditionalTableArns": f"arn:aws:dynamodb:{_ACCOUNT}:table/a,arn:aws:dynamodb:{_ACCOUNT}:table/b",
        "AlarmTopicArn": f"arn:aws:sns:{_ACCOUNT}:alarms",
        "Architecture": "x86_64",
        "MaxWriteUnits": "40000",
        "ServiceName": "orders",
        "UseDualStackEndpoint": "true",
        "UseFipsEndpoint": "true",
        "WarmWriteUnits": "4000",
    },
    "reserved-pollers": {"ScalingMode": "pollers", "MaximumPollers": "100", "ReserveConcurrency": "true"},
}


def main() -> int:
    template = read_template()
    failed = False
    for name, overrides in {**profiles(), **COMBINATIONS}.items():
        problems = _problems(template, overrides)
        failed = failed or bool(problems)
        print(f"{name}: {'fine' if not problems else f'{len(problems)} problems'}")
        for problem in problems:
            print(f"  {problem}")
    return int(failed)


def _problems(template: dict, overrides: dict) -> list[str]:
    try:
        stack = resolve(template, overrides)
    except Refused as refused:
        return [str(refused)]
    return [*rules.violations(stack), *watching.violations(stack), *lint(stack)]


def lint(stack: Stack) -> list[str]:
    """Returns the findings of cfn-lint for a resolved stack."""
    matches = cfnlint.api.lint(json.dumps(stack.as_template()), config=cfnlint.api.ManualArgs(regions=["us-east-1"]))
    return [f"{match.rule.id} at {'/'.join(map(str, match.path or []))}: {match.message}" for match in matches]


if __name__ == "__main__":
    sys.exit(main())
