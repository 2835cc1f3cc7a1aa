"""The load: wrk, h2load, bulk.c, and clients that do nothing."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .backend import run
from .failure import Failure
from .ports import HOST, REQUEST

BULK_CONNECTIONS = 4


@dataclass(frozen=True)
class Requests:
    """What wrk or h2load saw. Latencies in microseconds, where the program tells them."""

    done: int
    per_second: float
    errors: int
    p50: float = 0
    p99: float = 0
    p999: float = 0


@dataclass(frozen=True)
class Transfer:
    """What bulk.c saw."""

    gigabytes: float
    seconds: float
    errors: int


def wrk(port: int, connections: int, seconds: int, close: bool = False, tls: bool = False) -> Requests:
    script = str(Path(__file__).with_name("wrk.lua"))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script]
    if close:
        command += ["-H", "Connection: close"]
    output = run(*command, f"{'https' if tls else 'http'}://{HOST}:{port}/")
    done, microseconds, p50, p99, p999, errors = (float(each) for each in _result(output, "wrk"))
    return Requests(int(done), done / microseconds * 1e6, int(errors), p50, p99, p999)


def h2load(port: int, seconds: int) -> Requests:
    output = run("h2load", "-c16", "-m4", "-D", str(seconds), f"https://{HOST}:{port}/")
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", output)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if not rate or not counts or "Application protocol: h2" not in output:
        raise Failure(f"h2load has measured nothing over HTTP/2:\n{output}")
    done, _, failed, errored, timeout = (int(each) for each in counts.groups())
    return Requests(done, float(rate[1]), failed + errored + timeout)


def bulk(program: str, port: int, total_bytes: int, mode: str) -> Transfer:
    output = run(program, "load", str(port), str(BULK_CONNECTIONS), str(total_bytes), mode)
    for line in output.splitlines():
        if not line.startswith("RESULT"):
            print(f"         {line}", file=sys.stderr)
    moved, seconds, errors = _result(output, "bulk")
    return Transfer(int(moved) / 1e9, float(seconds), int(errors))


class Idle:
    """Connections that have done one request each and then stand."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def grow(self, count: int) -> None:
        """Opens connections until there are `count`."""
        while len(self._sockets) < count:
            client = socket.create_connection((HOST, self._port), timeout=5)
            self._sockets.append(client)
            client.sendall(REQUEST)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failure(f"connection {len(self._sockets)} on port {self._port} got no answer")

    def require_standing(self) -> None:
        """Fails when one of them was closed meanwhile."""
        for client in self._sockets:
            client.setblocking(False)
            try:
                if client.recv(1) == b"":
                    raise Failure("an idle connection was closed")
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise Failure(f"an idle connection was lost: {error}") from error

    def close(self) -> None:
        for client in self._sockets:
            client.close()
        self._sockets.clear()


@contextmanager
def idle(port: int) -> Iterator[Idle]:
    clients = Idle(port)
    try:
        yield clients
    except OSError as error:
        raise Failure(f"an idle connection could not be opened: {error}") from error
    finally:
        clients.close()


def _result(output: str, program: str) -> list[str]:
    found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if not found:
        raise Failure(f"{program} has printed no result:\n{output}")
    return found[1].split()
