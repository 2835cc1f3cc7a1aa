"""Clients with a fixed amount of work, each waiting for the answer to what it said last."""

from __future__ import annotations

import select
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

Address = tuple[str, int]

# Where the backends listen, all on one port.
BACKEND_HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
# A small request and its answer: one segment, one read.
MESSAGE = b"x" * 64
TIMEOUT_SECONDS = 60


@contextmanager
def kept_alive(address: Address, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which a first request was answered, so that each has its backend."""
    connections = [socket.create_connection(address, TIMEOUT_SECONDS) for _ in range(count)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        exchange(connections, requests=count)
        yield connections
    finally:
        _finish(connections)


def exchange(connections: list[socket.socket], requests: int) -> None:
    """Sends requests on all connections at once: the next on each as soon as its last was answered."""
    epoll = select.epoll()
    missing = {}
    for connection in connections[:requests]:
        epoll.register(connection, select.EPOLLIN)
        missing[connection.fileno()] = (connection, len(MESSAGE))
        connection.sendall(MESSAGE)
    unsent = requests - len(missing)
    while missing:
        events = epoll.poll(TIMEOUT_SECONDS)
        if not events:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} s")
        for descriptor, _ in events:
            connection, left = missing[descriptor]
            left -= _receive(connection, left)
            if left == 0 and unsent > 0:
                unsent -= 1
                left = len(MESSAGE)
                connection.sendall(MESSAGE)
            if left == 0:
                del missing[descriptor]
            else:
                missing[descriptor] = (connection, left)


def bulk(connection: socket.socket, count: int) -> None:
    """Sends so many bytes and receives them back, both at once."""
    chunk = memoryview(bytes(1 << 18))
    buffer = bytearray(1 << 18)
    unsent, missing = count, count
    poll = select.poll()
    connection.setblocking(False)
    while missing > 0:
        poll.register(connection, select.POLLIN | (select.POLLOUT if unsent > 0 else 0))
        ready = poll.poll(TIMEOUT_SECONDS * 1000)
        if not ready:
            raise TimeoutError(f"no byte within {TIMEOUT_SECONDS} s")
        if ready[0][1] & select.POLLOUT:
            unsent -= connection.send(chunk[: min(unsent, len(chunk))])
        if ready[0][1] & ~select.POLLOUT:
            received = connection.recv_into(buffer)
            if received == 0:
                raise ConnectionError("the connection has ended in the middle of a transfer")
            missing -= received
    connection.settimeout(TIMEOUT_SECONDS)


def short(address: Address, count: int, at_once: int = 1) -> None:
    """Opens connections, has a TLS ClientHello answered on each, and ends them: so many at a time."""
    hello = client_hello()
    for _ in range(count // at_once):
        connections = [socket.create_connection(address, TIMEOUT_SECONDS) for _ in range(at_once)]
        for connection in connections:
            # With random bytes of its own (RFC 8446 section 4.1.2): the same ones at once would be a loop.
            connection.sendall(hello[:11] + os.urandom(32) + hello[43:])
        for connection in connections:
            left = len(hello)
            while left > 0:
                left -= _receive(connection, left)
        _finish(connections)


def client_hello() -> bytes:
    """A whole ClientHello as a Kubernetes client sends it."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="kubernetes").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


def _receive(connection: socket.socket, limit: int) -> int:
    received = len(connection.recv(limit))
    if received == 0:
        raise ConnectionError("the connection has ended before the answer")
    return received


def _finish(connections: list[socket.socket]) -> None:
    """Ends connections and waits until the other side has too: nothing of them is left to be counted later."""
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
    for connection in connections:
        while connection.recv(1 << 16):
            pass
        connection.close()
