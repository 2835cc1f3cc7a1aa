"""Ports that nobody uses, and waiting for somebody to answer on them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from .failure import Failure

HOST = "127.0.0.1"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


# Below the range that clients are given theirs from, so that none is taken before it is used.
_candidates = iter(range(20000, 32000))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each handed out once."""
    found: list[int] = []
    for port in _candidates:
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise Failure("no free ports between 20000 and 32000")


def connects(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(port: int) -> bool:
    """True when an HTTP request is answered with 200."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as client:
            client.sendall(REQUEST)
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"after {within:.0f} s still not: {what}")
        time.sleep(0.02)
