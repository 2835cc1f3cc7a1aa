"""Axes on a balancer of their own: what standing connections and many backends cost."""

from __future__ import annotations

import time

from . import clients
from .lab import Lab

# Until memory and processor have come to rest.
SETTLE_SECONDS = 0.3


def memory(lab: Lab, target: str) -> dict[str, float]:
    """Resident memory at start, and what each idle connection adds to it."""
    with lab.fresh(target) as balancer, clients.idle(balancer.ports.plain) as standing:
        start = balancer.process.resident_kilobytes()
        sample: dict[str, float] = {"start_kb": start}
        for count in lab.effort.idle:
            standing.grow(count)
            time.sleep(SETTLE_SECONDS)
            sample[f"kb_at_{count}"] = (balancer.process.resident_kilobytes() - start) / count
        standing.require_standing()
        return sample


def idle_load(lab: Lab, target: str) -> dict[str, float]:
    """The same load on the same process, without and with idle connections."""
    with lab.fresh(target) as balancer, clients.idle(balancer.ports.plain) as standing:

        def cost() -> tuple[float, int]:
            before = balancer.process.cpu_nanoseconds()
            seen = clients.wrk(balancer.ports.plain, 64, lab.effort.seconds)
            return (balancer.process.cpu_nanoseconds() - before) / 1e3 / max(seen.done, 1), seen.errors

        without, errors = cost()
        standing.grow(lab.effort.idle[-1])
        time.sleep(SETTLE_SECONDS)
        crowded, more = cost()
        standing.require_standing()
        return {
            "without_us": without,
            "with_us": crowded,
            "ratio": crowded / without,
            "idle": lab.effort.idle[-1],
            "errors": errors + more,
        }


def thousand_backends(lab: Lab, target: str) -> dict[str, float]:
    """New connections, each of which chooses among a thousand backends."""
    with lab.fresh(target, plain=lab.thousand()) as balancer:
        before = balancer.process.cpu_nanoseconds()
        seen = clients.wrk(balancer.ports.plain, 64, lab.effort.seconds, close=True)
        spent = balancer.process.cpu_nanoseconds() - before
        return {
            "cpu_us": spent / 1e3 / max(seen.done, 1),
            "per_second": seen.per_second,
            "p99_us": seen.p99,
            "errors": seen.errors,
        }
