"""Awaiting conditions, so that nothing in the suite sleeps and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .failure import Failure

Value = TypeVar("Value")


def now() -> float:
    """Seconds on CLOCK_MONOTONIC: the clock of every time in the suite, the Go clients' records included."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def wait_until(
    condition: Callable[[], Value | None],
    what: str,
    within: float,
    every: float = 0.05,
    log: Path | None = None,
) -> Value:
    """Returns the first true value of `condition`, asked `every` seconds; fails with `what` after `within` seconds."""
    deadline = now() + within
    while True:
        value = condition()
        if value:
            return value
        if now() >= deadline:
            raise Failure(f"not within {within:.0f} s: {what}", log)
        time.sleep(every)


def observe(seconds: float) -> None:
    """Lets the load run: this is the measurement's own length, not a wait for something to happen."""
    time.sleep(seconds)
