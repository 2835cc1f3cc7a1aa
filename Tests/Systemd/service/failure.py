"""What a check ends with when something is not as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable


class Failure(Exception):
    """In words, with what was seen instead."""


def expect(condition: bool, otherwise: str) -> None:
    """Fails with `otherwise` unless the condition holds."""
    if not condition:
        raise Failure(otherwise)


def until(what: str, condition: Callable[[], bool], seen: Callable[[], object], patience: float = 60) -> None:
    """Waits until a condition holds; fails with what was seen last."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited {patience:g} s in vain for {what}; seen last: {seen()}")
        time.sleep(0.1)
