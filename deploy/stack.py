"""Resolves one profile's stack as CloudFormation would. SAM transforms the template, then every parameter, condition, mapping
and rule is resolved. Only references between resources remain, because only AWS knows their values."""

import json
import logging
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402  (reads the region when imported)
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

# It logs a warning for each transformation because its usage metrics cannot be sent.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = Path(__file__).parent.parent

_PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/avro-ingest/1",
    "AWS::StackName": "avro-ingest",
    "AWS::URLSuffix": "amazonaws.com",
}
_ABSENT = object()
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")


class Refused(Exception):
    """CloudFormation would refuse to start: a parameter is unknown or out of range, or violates a rule."""


@dataclass(frozen=True)
class Stack:
    """A resolved stack. `resources` maps logical ids to {"Type", "Properties", ...}."""

    parameters: dict
    conditions: dict
    resources: dict
    outputs: dict

    def of_type(self, kind: str) -> dict:
        """Returns the properties of every resource of a type, by logical id."""
        return {name: r.get("Properties", {}) for name, r in self.resources.items() if r["Type"] == kind}

    def only(self, kind: str) -> dict:
        """Returns the properties of the only resource of a type."""
        (properties,) = self.of_type(kind).values()
        return properties

    def target(self, reference) -> dict:
        """Returns the properties of the resource that a Ref or GetAtt refers to, or an empty dict for anything else."""
        return self.resources.get(logical_id(reference), {}).get("Properties", {})

    def as_template(self) -> dict:
        """Returns the stack as a plain CloudFormation template."""
        return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": self.resources, "Outputs": self.outputs}


def logical_id(reference):
    """Returns the logical id that a Ref or GetAtt refers to, or None for anything else."""
    match reference:
        case {"Ref": name}:
            return name
        case {"Fn::GetAtt": [name, _]}:
            return name
    return None


def profiles(samconfig: Path = ROOT / "samconfig.toml") -> dict:
    """Returns the parameter overrides of each profile in samconfig.toml that deploys."""
    tables = tomllib.loads(samconfig.read_text())
    return {
        name: dict(pair.split("=", 1) for pair in table["deploy"]["parameters"].get("parameter_overrides", []))
        for name, table in tables.items()
        if isinstance(table, dict) and "deploy" in table
    }


def read_template(path: Path = ROOT / "template.yaml") -> dict:
    """Returns the template with local folders replaced by the locations to which sam package would upload them."""
    template = yaml_parse(path.read_text())
    for resource in template["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://bucket/{resource['Properties'][key]}"
    return template


def resolve(template: dict, overrides: dict) -> Stack:
    """Resolves a template with a profile's overrides. Raises Refused if CloudFormation would refuse to start."""
    parameters = _parameters(template, overrides)
    transformed = transform(
        json.loads(json.dumps(template)), {name: str(value) for name, value in overrides.items()}, _NoManagedPolicies()
    )
    resolver = _Resolver(transformed, parameters)
    resolver.apply_rules(transformed.get("Rules", {}))
    conditions = {name: resolver.condition(name) for name in transformed["Conditions"]}
    return Stack(parameters, conditions, resolver.section("Resources"), resolver.section("Outputs"))


class _NoManagedPolicies:
    """Stub loader. The template defines the role itself, so SAM has no managed policies to look up."""

    def load(self) -> dict:
        return {}


def _parameters(template: dict, overrides: dict) -> dict:
    declared = template["Parameters"]
    if unknown := sorted(overrides.keys() - declared.keys()):
        raise Refused(f"unknown parameters: {', '.join(unknown)}")
    return {name: _parameter(name, spec, overrides.get(name, spec.get("Default"))) for name, spec in declared.items()}


def _parameter(name: str, spec: dict, value):
    """Converts a parameter's value to its type. Raises Refused if CloudFormation would refuse the value."""
    text = str(value)
    allowed = [str(a) for a in spec.get("AllowedValues", [text])]
    if value is None or text not in allowed:
        raise Refused(f"{name}={value} is not one of {', '.join(allowed)}")
    if not re.search(spec.get("AllowedPattern", ""), text):
        raise Refused(f"{name}={value} does not match {spec['AllowedPattern']}")
    if spec["Type"] == "CommaDelimitedList":
        return text.split(",")
    if spec["Type"] != "Number":
        return text
    number = int(text)
    if not spec.get("MinValue", number) <= number <= spec.get("MaxValue", number):
        raise Refused(f"{name}={value} is outside {spec.get('MinValue')} to {spec.get('MaxValue')}")
    return number


class _Resolver:
    def __init__(self, template: dict, parameters: dict):
        self._template = template
        self._values = {**_PSEUDO, **parameters, "AWS::NoValue": _ABSENT}

    def section(self, name: str) -> dict:
        """Returns a section without the entries whose condition is false."""
        return {
            key: self.value({k: v for k, v in entry.items() if k != "Condition"})
            for key, entry in self._template.get(name, {}).items()
            if "Condition" not in entry or self.condition(entry["Condition"])
        }

    def apply_rules(self, rules: dict) -> None:
        for name, rule in rules.items():
            if "RuleCondition" in rule and not self.value(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self.value(assertion["Assert"]):
                    raise Refused(f"{name}: {assertion['AssertDescription']}")

    def condition(self, name: str) -> bool:
        """Returns whether a condition of the template is true."""
        return self.value(self._template["Conditions"][name])

    def value(self, node):
        """Returns a node with everything resolved except references to resources."""
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not _ABSENT]
        if not isinstance(node, dict):
            return node
        match node:
            case {"Ref": name}:
                return self._values.get(name, node)
            case {"Condition": str(name)} if len(node) == 1:
                return self.condition(name)
            case {"Fn::If": [condition, yes, no]}:
                return self.value(yes if self.condition(condition) else no)
            case {"Fn::Equals": [left, right]}:
                return str(self.value(left)) == str(self.value(right))
            case {"Fn::Not": [one]}:
                return not self.value(one)
            case {"Fn::And": parts}:
                return all(map(self.value, parts))
            case {"Fn::Or": parts}:
                return any(map(self.value, parts))
            case {"Fn::Contains": [members, one]}:
                return str(self.value(one)) in [str(self.value(m)) for m in members]
            case {"Fn::FindInMap": [mapping, row, column]}:
                return self._template["Mappings"][mapping][str(self.value(row))][str(self.value(column))]
            case {"Fn::GetAtt": str(path)}:
                return {"Fn::GetAtt": path.split(".", 1)}
            case {"Fn::GetAtt": _}:
                return node
            case {"Fn::Split": [separator, text]}:
                text = self.value(text)
                return text.split(separator) if isinstance(text, str) else {"Fn::Split": [separator, text]}
            case {"Fn::Select": [index, members]}:
                members = self.value(members)
                return members[int(index)] if isinstance(members, list) else {"Fn::Select": [index, members]}
            case {"Fn::Join": [separator, parts]}:
                return _text(separator.join(map(_written, self.value(parts))))
            case {"Fn::Sub": [str(text), dict(variables)]}:
                return self._substitute(text, {name: self.value(v) for name, v in variables.items()})
            case {"Fn::Sub": str(text)}:
                return self._substitute(text, {})
        return {k: v for k, v in ((k, self.value(v)) for k, v in node.items()) if v is not _ABSENT}

    def _substitute(self, text: str, variables: dict):
        known = {**self._values, **variables}
        return _text(_REFERENCE.sub(lambda m: _written(known.get(m[1], {"Fn::Sub": m[0]})), text))


def _written(value) -> str:
    """Returns a value inside a text. References remain in ${...} form."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": text}:
            return text
        case {"Fn::Select": [_, {"Fn::Split": [_, whole]}]}:
            return _written(whole)
    return str(value)


def _text(text: str):
    return {"Fn::Sub": text} if _REFERENCE.search(text) else text
