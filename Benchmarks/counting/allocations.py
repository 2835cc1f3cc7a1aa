"""Allocations of a worker in steady state, counted by a preloaded library (allocations.c): nothing needs one each time."""

from __future__ import annotations

import mmap
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import daemon, load
from .failure import Failure
from .stack import Stack, Symbols

SOURCE = Path(__file__).with_suffix(".c")
# As in allocations.c: count, depth and 30 frames, 512 times.
ENTRY = struct.Struct("=QQ30Q")
ENTRIES = 512

REQUESTS = 20_000
CONNECTIONS = 4_000
BULK_BYTES = 1 << 30
# A worker keeps what it has once needed. Before anything is counted it has met as much at once as it will meet later.
WARM_UP_BYTES = 1 << 26
# Before a flow counts as bulk it goes through the worker's buffer, and what the receiver's socket refuses then has memory of
# its own (`Remainder`) until it is sent: now and then once in a transfer, and never for each piece of it.
REMAINDERS_PER_TRANSFER = 4
# As many places as are worth looking at before the first of them are mended.
PLACES_SHOWN = 12


def check() -> list[str]:
    """Counts each kind of load; prints the table, and where it allocates. Returns the kinds of load that do."""
    with tempfile.TemporaryDirectory(prefix="fairlead-costs-") as folder:
        library, counts = Path(folder) / "allocations.so", Path(folder) / "counts"
        _compile(library)
        counts.write_bytes(bytes(ENTRY.size * ENTRIES))
        environment = {"LD_PRELOAD": str(library), "FAIRLEAD_ALLOCATIONS": str(counts)}
        with daemon.running(environment) as fairlead, counts.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stacks:
                return _check(fairlead, stacks)


def _check(fairlead: daemon.Daemon, stacks: mmap.mmap) -> list[str]:
    if not _read(stacks):
        raise Failure("not one allocation of the worker's start was seen: the preloaded library does not count")
    findings: list[str] = []
    everywhere: Counter[Stack] = Counter()
    print(f"{'load':<44}{'allocations':>12}{'at most':>12}")

    def count(name: str, work: Callable[[], None], limit: int = 0) -> None:
        before = _read(stacks)
        work()
        new = _read(stacks) - before
        print(f"{name:<44}{new.total():>12,}{limit:>12}", flush=True)
        if new.total() > limit:
            everywhere.update(new)
            findings.append(f"{name}: a worker has allocated {new.total():,} times, and may {limit} times")

    _warm_up(fairlead)
    for connections in (1, 64):
        with load.kept_alive(fairlead.address, connections) as clients:
            count(
                f"{REQUESTS:,} requests, kept-alive connections: {connections}",
                lambda: load.exchange(clients, REQUESTS),
            )
    with load.kept_alive(fairlead.address, 1) as [client]:
        count(f"{BULK_BYTES >> 20:,} MiB each way", lambda: load.bulk(client, BULK_BYTES), REMAINDERS_PER_TRANSFER)
    for at_once in (1, 16):
        count(
            f"{CONNECTIONS:,} short connections, at once: {at_once}",
            lambda: load.short(fairlead.address, CONNECTIONS, at_once),
        )
    if everywhere:
        _print_places(everywhere, Symbols(fairlead.pid))
    return findings


def _print_places(stacks: Counter[Stack], symbols: Symbols) -> None:
    """Prints the stacks, those of the same lines as one, the most frequent first."""
    places: Counter[str] = Counter()
    for stack, times in stacks.items():
        places[symbols.text(stack)] += times
    for place, times in places.most_common(PLACES_SHOWN):
        print(f"{times:,} times in all:\n{place}")
    if len(places) > PLACES_SHOWN:
        print(f"and in {len(places) - PLACES_SHOWN} other places")


def _warm_up(fairlead: daemon.Daemon) -> None:
    with load.kept_alive(fairlead.address, 64) as clients:
        load.exchange(clients, requests=640)
        load.bulk(clients[0], WARM_UP_BYTES)
    load.short(fairlead.address, 640, at_once=64)


def _compile(library: Path) -> None:
    command = ["clang", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE]
    compiled = subprocess.run(command, capture_output=True, text=True)
    if compiled.returncode != 0:
        raise Failure(f"{SOURCE.name} does not compile:\n{compiled.stderr}")


def _read(stacks: mmap.mmap) -> Counter[Stack]:
    """How often each stack has allocated since the start."""
    found: Counter[Stack] = Counter()
    for count, depth, *frames in ENTRY.iter_unpack(stacks[:]):
        if count > 0:
            found[tuple(frames[:depth])] = count
    return found
