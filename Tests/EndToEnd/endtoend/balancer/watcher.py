"""The balancer's view of the masters over time, asked twenty times a second."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Self

from ..waiting import now
from .interface import BackendStatus, Balancer

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Change:
    """The moment at which a new state was first seen."""

    moment: float
    status: BackendStatus


class StatusWatcher:
    """Polls while its `with` block runs; answers questions about what it saw."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._samples: list[tuple[float, dict[str, BackendStatus]]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="status-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def changes(self, master: str, since: float) -> list[Change]:
        """The states that `master` went through after `since`, beginning with the first that is new."""
        found: list[Change] = []
        last: str | None = None
        for moment, states in list(self._samples):
            if master not in states:
                continue
            status = states[master]
            if moment > since and last is not None and status.state != last:
                found.append(Change(moment, status))
            last = status.state
        return found

    def called(self, state: str, since: float) -> set[str]:
        """The masters that the balancer said to be in this state at any time after `since`."""
        return {
            name
            for moment, states in list(self._samples)
            if moment > since
            for name, status in states.items()
            if status.state == state
        }

    def first_with_nothing_usable(self, since: float) -> float | None:
        """When the balancer first said, after `since`, that no master is usable."""
        for moment, states in list(self._samples):
            if moment > since and states and not any(status.usable for status in states.values()):
                return moment
        return None

    def _poll(self) -> None:
        self._balancer.host.enter()
        while not self._end.wait(POLL_SECONDS):
            try:
                states = self._balancer.backends()
            except OSError:
                continue  # seen as a gap between samples; a balancer that ended is reported by its process
            self._samples.append((now(), states))
