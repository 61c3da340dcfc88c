"""The checks' own tests: each rule broken once and seen to be caught."""

import copy
import dataclasses
import functools

from deploy.stack import Stack, read_template, resolve


@functools.cache
def template() -> dict:
    return read_template()


def stack(**overrides) -> Stack:
    """The stack of some parameters, free to be changed."""
    return copy.deepcopy(resolve(template(), {name: str(value) for name, value in overrides.items()}))


def without(stack: Stack, logical_id: str) -> Stack:
    """A stack less one resource."""
    return dataclasses.replace(stack, resources={k: v for k, v in stack.resources.items() if k != logical_id})
