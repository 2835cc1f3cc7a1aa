"""What it costs to be told a new configuration."""

from __future__ import annotations

import time

from .lab import Lab
from .ports import answers, wait_until
from .process import cpu_by_process

RELOADS = 5
# Within so long a reload, and the end of the processes that it replaces, are over.
RELOAD_SECONDS = 1.0
SAMPLE_SECONDS = 0.005


class Ledger:
    """Processor time of a family of processes, of which some end: what each had when it was last seen."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._begin = cpu_by_process(root)
        self._seen: dict[int, int] = {}

    def watch(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._seen |= cpu_by_process(self._root)
            time.sleep(SAMPLE_SECONDS)

    @property
    def milliseconds(self) -> float:
        return sum(spent - self._begin.get(pid, 0) for pid, spent in self._seen.items()) / 1e6


def reload(lab: Lab, target: str) -> dict[str, float]:
    """Five reloads without clients; each takes a backend away or brings it back."""
    with lab.fresh(target, reloadable=True) as balancer:
        start = balancer.process.resident_kilobytes()
        ledger = Ledger(balancer.process.pid)
        for number in range(RELOADS):
            balancer.configure(lab.backend.plain[number % 2 == 0 :])
            balancer.reload()
            ledger.watch(RELOAD_SECONDS)
            balancer.process.require_running()
            wait_until(lambda: answers(balancer.ports.plain), f"{target} serves after a reload")
        growth = balancer.process.resident_kilobytes() - start
        return {"cpu_ms": ledger.milliseconds, "growth_kb": growth}
