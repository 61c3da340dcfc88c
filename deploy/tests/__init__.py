"""Tests of the checks: each rule must detect a violation."""

import copy
import dataclasses
import functools

from deploy.stack import Stack, read_template, resolve


@functools.cache
def template() -> dict:
    return read_template()


def stack(**overrides) -> Stack:
    """Returns a modifiable copy of the stack for some parameters."""
    return copy.deepcopy(resolve(template(), {name: str(value) for name, value in overrides.items()}))


def without(stack: Stack, logical_id: str) -> Stack:
    """Returns a stack without one resource."""
    return dataclasses.replace(stack, resources={k: v for k, v in stack.resources.items() if k != logical_id})
