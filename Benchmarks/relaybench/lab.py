"""Where measurements take place: the backends, and the balancers that run all the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .backend import Backend
from .process import tree
from .targets import KINDS, Balancer, Ports


@dataclass(frozen=True)
class Effort:
    """How much is done for one measurement."""

    rounds: int
    # Of axes that start a process for each measurement.
    own_process_rounds: int
    seconds: int
    bulk_bytes: int
    # Numbers of idle connections, ascending.
    idle: tuple[int, ...]
    quick: bool


class Lab:
    def __init__(self, work: Path, effort: Effort) -> None:
        self.work = work
        self.effort = effort
        self.backend = Backend(work)
        self._running: dict[str, Balancer] = {}
        self._thousand: list[str] = []

    def ports(self, target: str) -> Ports:
        """Where the clients of a target connect to."""
        if target == "direct":
            first = (self.backend.plain[0], self.backend.tls[0], self.backend.bulk[0])
            return Ports(*(int(address.rpartition(":")[2]) for address in first))
        return self._standing(target).ports

    def cpu_nanoseconds(self, target: str) -> int:
        """What the balancer has cost so far; without one, nothing."""
        return 0 if target == "direct" else self._standing(target).process.cpu_nanoseconds()

    def processes(self, target: str) -> list[int]:
        """The balancer's process and its children."""
        return tree(self._standing(target).process.pid)

    @contextmanager
    def fresh(self, target: str, plain: list[str] | None = None, reloadable: bool = False) -> Iterator[Balancer]:
        """A balancer that has done nothing yet, for one measurement."""
        balancer = Balancer(KINDS[target], self.work, self.backend, plain, reloadable)
        try:
            yield balancer
        finally:
            balancer.stop()

    def thousand(self) -> list[str]:
        """The addresses of a thousand backends."""
        if not self._thousand:
            port = self.backend.wildcard()
            self._thousand = [f"127.1.{number // 250}.{number % 250 + 1}:{port}" for number in range(1000)]
        return self._thousand

    def close(self) -> None:
        for balancer in self._running.values():
            balancer.stop()
        self.backend.stop()

    def _standing(self, target: str) -> Balancer:
        if target not in self._running:
            self._running[target] = Balancer(KINDS[target], self.work, self.backend)
        balancer = self._running[target]
        balancer.process.require_running()
        return balancer
