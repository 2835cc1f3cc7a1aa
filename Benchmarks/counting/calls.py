"""System calls of a worker, counted by strace on a fixed load."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import daemon, load
from .failure import Failure

ATTACH_SECONDS = 10
REQUESTS = 20_000
CONNECTIONS = 1_000
# A request is read, sent, and its answer read and sent. With one connection each way is one wake-up more. With 64 many
# events come with one wake-up: how many depends on the load. Under strace, which makes every call of the worker many
# times slower than the clients, all that can come has come: the batches are as large as they get.
CALLS_PER_REQUEST = {1: 6.0, 64: 4.3}
# As measured, and without the waits: whether the client's bytes, the end of the dial and the answer come with one wake-up
# or with three is a matter of time. The tenth is for what happens now and then.
CALLS_PER_CONNECTION = 16.1
# When a connection falls quiet the kernel is asked about either peer, once, and no more while it is idle.
QUIET_CONNECTIONS, QUIET_SECONDS, QUESTIONS_PER_QUIET = 64, 4, 2
QUESTION = "getsockopt"
# What epoll_wait(2) is to the kernel: see CLinux.h.
WAIT = "epoll_pwait"


def check() -> list[str]:
    """Counts and prints the tables. Returns what makes more calls than it may."""
    findings = []
    with daemon.running() as fairlead:
        for count, limit in CALLS_PER_REQUEST.items():
            name = f"a request, {count} connection{'s' if count > 1 else ''}"
            with load.kept_alive(fairlead.address, count) as connections:
                load.exchange(connections, requests=10 * count)
                calls = _traced(fairlead.worker, lambda: load.exchange(connections, REQUESTS))
            findings += _judge(name, calls, REQUESTS, limit)
        findings += _check_quiet(fairlead)
        load.short(fairlead.address, 10)
        calls = _traced(fairlead.worker, lambda: load.short(fairlead.address, CONNECTIONS))
        findings += _judge("a short connection", calls, CONNECTIONS, CALLS_PER_CONNECTION, without=WAIT)
    return findings


def _check_quiet(fairlead: daemon.Daemon) -> list[str]:
    """Counts what is asked about connections that were idle, have one request each, and are idle again."""
    with load.kept_alive(fairlead.address, QUIET_CONNECTIONS) as connections:
        # They settle, and leave the watch.
        time.sleep(QUIET_SECONDS)

        def fall_quiet() -> None:
            load.exchange(connections, QUIET_CONNECTIONS)
            time.sleep(QUIET_SECONDS)

        asked = _traced(fairlead.worker, fall_quiet)[QUESTION] / QUIET_CONNECTIONS
    print(f"{'a connection falls quiet':<28}{asked:>8.2f}  at most {QUESTIONS_PER_QUIET:.2f}, {QUESTION} alone")
    if asked <= QUESTIONS_PER_QUIET:
        return []
    return [f"{asked:.2f} questions about a connection that falls quiet, and {QUESTIONS_PER_QUIET} are allowed"]


def _judge(name: str, calls: Counter[str], units: int, limit: float, without: str = "") -> list[str]:
    """Prints one table, in which calls that are made less than once in a hundred units have no line."""
    total = round((calls.total() - calls[without]) / units, 2)
    print(f"{name:<28}{total:>8.2f}  at most {limit:.2f}{f', without {without}' if without else ''}")
    for call, count in calls.most_common():
        if count * 100 >= units:
            print(f"  {call:<26}{count / units:>8.2f}")
    if total <= limit:
        return []
    return [f"{name} takes {total:.2f} system calls, and may take {limit:.2f}: the table above tells which are new"]


def _traced(thread: int, work: Callable[[], None]) -> Counter[str]:
    """The system calls that a thread makes while work is done."""
    with tempfile.NamedTemporaryFile("r", prefix="fairlead-costs-") as summary:
        command = ["strace", "-c", "--summary-columns=calls,name", "-p", str(thread), "-o", summary.name]
        try:
            strace = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError as error:
            raise Failure("strace is not installed: run `make costs`, which installs it") from error
        with strace:
            _await_tracer(thread, strace)
            try:
                work()
            finally:
                strace.send_signal(signal.SIGINT)
        return _parsed(summary.read())


def _await_tracer(thread: int, strace: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + ATTACH_SECONDS
    while f"TracerPid:\t{strace.pid}\n" not in Path(f"/proc/{thread}/status").read_text():
        if strace.poll() is not None or time.monotonic() > deadline:
            strace.kill()
            raise Failure(f"strace cannot look at the worker: {strace.stderr.read() if strace.stderr else ''}")
        time.sleep(0.01)


def _parsed(summary: str) -> Counter[str]:
    """Reads strace's table: calls and name a line, between two rules."""
    calls: Counter[str] = Counter()
    for line in summary.splitlines():
        match line.split():
            case [count, name] if count.isdigit() and name != "total":
                calls[name] = int(count)
    if not calls:
        raise Failure(f"strace has counted nothing:\n{summary}")
    return calls
