"""What Fairlead promises of its speed, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .results import FAIRLEAD, Results, metric_of

PROMISED_IDLE = 8000


@dataclass(frozen=True)
class Verdict:
    promise: str
    measured: str
    # None: not measured in this run.
    held: bool | None


@dataclass(frozen=True)
class Promise:
    text: str
    # The value and a word about it; None where something was not measured.
    value: Callable[[Results], tuple[float, str] | None]
    limit: float
    at_least: bool = False

    def judge(self, results: Results) -> Verdict:
        sign = ">=" if self.at_least else "<="
        text = f"{self.text} {sign} {self.limit:g}"
        found = self.value(results)
        if found is None:
            return Verdict(text, "not measured", None)
        value, words = found
        held = value >= self.limit if self.at_least else value <= self.limit
        return Verdict(text, f"{value:.3g} {words}".strip(), held)


def _best(axis: str, key: str) -> Callable[[Results], tuple[float, str] | None]:
    """Fairlead over the best peer."""

    def value(results: Results) -> tuple[float, str] | None:
        found = results.ratio(axis, metric_of(axis, key))
        return found and (found[1], f"of {found[0]}")

    return value


def _beside(axis: str, key: str, other: str) -> Callable[[Results], tuple[float, str] | None]:
    """Fairlead over one target."""

    def value(results: Results) -> tuple[float, str] | None:
        ours, theirs = results.median(axis, FAIRLEAD, key), results.median(axis, other, key)
        return None if ours is None or not theirs else (ours / theirs, f"of {other}")

    return value


def _own(axis: str, key: str, scale: float = 1, unit: str = "") -> Callable[[Results], tuple[float, str] | None]:
    def value(results: Results) -> tuple[float, str] | None:
        ours = results.median(axis, FAIRLEAD, key)
        return None if ours is None else (ours * scale, unit)

    return value


def _errors(results: Results) -> tuple[float, str] | None:
    counts = [sum(results.values(axis, FAIRLEAD, "errors")) for axis in results.samples]
    return (sum(counts), "") if results.samples else None


def _idle_load(results: Results) -> tuple[float, str] | None:
    """Only with as many idle connections as were promised: the quick mode has fewer."""
    idle = results.median("idle-load", FAIRLEAD, "idle")
    return None if idle is None or idle < PROMISED_IDLE else _own("idle-load", "ratio")(results)


BULK = ("bulk-down", "bulk-up", "bulk-both")
PROMISES = [
    Promise("CPU a small request, 64 connections, to the best peer's", _best("keepalive-64", "cpu_us"), 0.95),
    Promise("CPU a small request, 512 connections, to the best peer's", _best("keepalive-512", "cpu_us"), 0.95),
    Promise("p50, 1 connection, to the best peer's", _best("keepalive-1", "p50_us"), 1.0),
    Promise("p99, 64 connections, to the best peer's", _best("keepalive-64", "p99_us"), 1.0),
    Promise("requests/s, 64 connections, to the best peer's", _best("keepalive-64", "per_second"), 1.05, True),
    Promise("requests/s, 512 connections, to the best peer's", _best("keepalive-512", "per_second"), 1.05, True),
    *(
        promise
        for kind in ("plain", "tls")
        for promise in (
            Promise(f"CPU a new connection, {kind}, to the best peer's", _best(f"connect-{kind}", "cpu_us"), 0.95),
            Promise(f"connections/s, {kind}, to the best peer's", _best(f"connect-{kind}", "per_second"), 1.0, True),
        )
    ),
    *(
        promise
        for axis in BULK
        for promise in (
            Promise(f"CPU a GB, {axis}, to HAProxy's, splicing forced", _beside(axis, "cpu_s_per_gb", "haproxy"), 1.0),
            Promise(f"CPU a GB, {axis}, to nginx's", _beside(axis, "cpu_s_per_gb", "nginx"), 0.35),
            Promise(f"throughput, {axis}, to direct", _beside(axis, "gb_per_second", "direct"), 0.95, True),
        )
    ),
    Promise("resident memory an idle connection, 8,000 of them, kB", _own("memory", "kb_at_8000", unit="kB"), 0.5),
    Promise("resident memory at start, MB", _own("memory", "start_kb", 1.024e-3, "MB"), 25),
    Promise("CPU a request with 8,000 idle connections to that with none", _idle_load, 1.05),
    Promise("errors on all axes", _errors, 0),
]


def judge(results: Results) -> list[Verdict]:
    return [promise.judge(results) for promise in PROMISES]
