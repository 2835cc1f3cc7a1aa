"""What is measured. An axis measures one target once; rounds and medians are made elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import clients
from .lab import Lab
from .reloading import reload
from .standing import idle_load, memory, thousand_backends

Sample = dict[str, float]


@dataclass(frozen=True)
class Metric:
    """A column of the table."""

    key: str
    title: str
    digits: int = 1
    # Which is better: less or more. Errors are not compared but shouted: none.
    better: str = "less"


@dataclass(frozen=True)
class Axis:
    name: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Lab, str], Sample]
    # Measured on a process that has done nothing else: there must be a balancer, and each round takes longer.
    own_process: bool = False
    # What says the same each time need not be said so often.
    rounds_at_most: int = 1000
    in_quick: bool = True


ERRORS = Metric("errors", "errors", 0, "none")
REQUESTS = Metric("per_second", "requests/s", 0, "more")
CPU_REQUEST = Metric("cpu_us", "CPU us/request", 2)
LATENCY = (Metric("p50_us", "p50 us", 0), Metric("p99_us", "p99 us", 0), Metric("p999_us", "p99.9 us", 0))
CPU_CONNECTION = Metric("cpu_us", "CPU us/connection", 2)
CONNECTIONS = Metric("per_second", "connections/s", 0, "more")
KEEPALIVE = (CPU_REQUEST, REQUESTS, *LATENCY, ERRORS)
CONNECT = (CPU_CONNECTION, CONNECTIONS, Metric("p99_us", "p99 us", 0), ERRORS)
BULK = (Metric("cpu_s_per_gb", "CPU s/GB", 3), Metric("gb_per_second", "GB/s", 2, "more"), ERRORS)


def _requests(lab: Lab, target: str, load: Callable[[], clients.Requests]) -> Sample:
    before = lab.cpu_nanoseconds(target)
    seen = load()
    spent = lab.cpu_nanoseconds(target) - before
    sample: Sample = {"per_second": seen.per_second, "errors": seen.errors}
    if seen.p50:
        sample |= {"p50_us": seen.p50, "p99_us": seen.p99, "p999_us": seen.p999}
    if target != "direct":
        sample["cpu_us"] = spent / 1e3 / max(seen.done, 1)
    return sample


def _keepalive(connections: int) -> Callable[[Lab, str], Sample]:
    def measure(lab: Lab, target: str) -> Sample:
        port = lab.ports(target).plain
        return _requests(lab, target, lambda: clients.wrk(port, connections, lab.effort.seconds))

    return measure


def _h2(lab: Lab, target: str) -> Sample:
    port = lab.ports(target).tls
    return _requests(lab, target, lambda: clients.h2load(port, lab.effort.seconds))


def _connect(tls: bool) -> Callable[[Lab, str], Sample]:
    def measure(lab: Lab, target: str) -> Sample:
        ports = lab.ports(target)
        port = ports.tls if tls else ports.plain
        return _requests(lab, target, lambda: clients.wrk(port, 64, lab.effort.seconds, close=True, tls=tls))

    return measure


def _bulk(mode: str) -> Callable[[Lab, str], Sample]:
    def measure(lab: Lab, target: str) -> Sample:
        port = lab.ports(target).bulk
        before = lab.cpu_nanoseconds(target)
        moved = clients.bulk(lab.backend.bulk_program, port, lab.effort.bulk_bytes, mode)
        sample: Sample = {"gb_per_second": moved.gigabytes / moved.seconds, "errors": moved.errors}
        if target != "direct":
            sample["cpu_s_per_gb"] = (lab.cpu_nanoseconds(target) - before) / 1e9 / moved.gigabytes
        return sample

    return measure


AXES = {
    axis.name: axis
    for axis in (
        Axis("keepalive-1", "Small requests, 1 connection", KEEPALIVE, _keepalive(1)),
        Axis("keepalive-64", "Small requests, 64 connections", KEEPALIVE, _keepalive(64)),
        Axis("keepalive-512", "Small requests, 512 connections", KEEPALIVE, _keepalive(512)),
        Axis("h2", "HTTP/2 over TLS, 16 connections, 4 streams each", (CPU_REQUEST, REQUESTS, ERRORS), _h2),
        Axis("connect-plain", "A new connection for each request, 64 at once", CONNECT, _connect(tls=False)),
        Axis("connect-tls", "A new TLS connection for each request, 64 at once", CONNECT, _connect(tls=True)),
        Axis("bulk-down", "Bulk from the backend, 4 connections", BULK, _bulk("down")),
        Axis("bulk-up", "Bulk to the backend, 4 connections", BULK, _bulk("up")),
        Axis("bulk-both", "Bulk in both directions at once, 4 connections", BULK, _bulk("both")),
        Axis(
            "memory", "Resident memory",
            (
                Metric("start_kb", "at start kB", 0),
                Metric("kb_at_1000", "kB/connection, 1,000 idle", 2),
                Metric("kb_at_4000", "kB/connection, 4,000 idle", 2),
                Metric("kb_at_8000", "kB/connection, 8,000 idle", 2),
            ),
            memory, own_process=True, rounds_at_most=3,
        ),
        Axis(
            "idle-load", "Small requests, 64 connections, while idle connections stand",
            (
                Metric("without_us", "CPU us/request, none idle", 2),
                Metric("with_us", "CPU us/request, all idle", 2),
                Metric("ratio", "with / without", 3),
                ERRORS,
            ),
            idle_load, own_process=True,
        ),
        Axis(
            "reload", "Five reloads, each with a backend more or less",
            (Metric("cpu_ms", "CPU ms, all five", 1), Metric("growth_kb", "memory growth kB", 0)),
            reload, own_process=True, rounds_at_most=3, in_quick=False,
        ),
        Axis(
            "thousand-backends", "A new connection for each request, 1,000 backends configured", CONNECT,
            thousand_backends, own_process=True,
        ),
    )
}
