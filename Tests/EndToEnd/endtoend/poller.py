"""One question asked again and again on one host, with the time of each answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from .cluster.network import Host
from .waiting import now

Answer = TypeVar("Answer")

POLL_SECONDS = 0.05


class Poller(Generic[Answer]):
    """Asks while its `with` block runs. A question that fails with OSError has no answer: a gap between samples."""

    def __init__(self, host: Host, question: Callable[[], Answer], every: float = POLL_SECONDS) -> None:
        self._host = host
        self._question = question
        self._every = every
        self._samples: list[tuple[float, Answer]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"poller-on-{host.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def first(self, since: float, condition: Callable[[Answer], bool]) -> float | None:
        """The moment of the first answer after `since` that meets the condition."""
        return next((moment for moment, answer in list(self._samples) if moment > since and condition(answer)), None)

    def between(self, start: float, end: float) -> list[Answer]:
        return [answer for moment, answer in list(self._samples) if start <= moment <= end]

    @property
    def last(self) -> Answer | None:
        return self._samples[-1][1] if self._samples else None

    def _poll(self) -> None:
        self._host.enter()
        while not self._end.wait(self._every):
            try:
                answer = self._question()
            except OSError:
                continue
            self._samples.append((now(), answer))
