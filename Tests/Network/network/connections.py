"""Connections of which a measurement holds both ends, and what can happen to them."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
import zlib
from dataclasses import dataclass, field

from endtoend.cluster.network import Host
from endtoend.failure import Failure
from endtoend.waiting import now, wait_until

# <asm-generic/socket.h>, and the index of the drops in what SO_MEMINFO gives (<linux/sock_diag.h>).
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO, SK_MEMINFO_DROPS = 26, 27, 55, 8
IDENTITY = struct.Struct("!Q")


@dataclass
class Connection:
    """The client's end and the server's."""

    client: socket.socket
    server: socket.socket

    def end(self, side: str) -> socket.socket:
        return self.client if side == "client" else self.server

    def other(self, side: str) -> socket.socket:
        return self.server if side == "client" else self.client


class Server:
    """Accepts on a host, and knows each connection by the number that its client has sent first."""

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self.port = port
        self._accepted: dict[int, socket.socket] = {}
        self._next = 0
        self._listener = host.call(lambda: socket.create_server((host.address, port), backlog=1024))
        threading.Thread(target=self._accept, daemon=True).start()

    def connect(self, client: Host, address: tuple[str, int], small_window: bool = False) -> Connection:
        """A connection from a host to this server, directly or over the balancer at `address`."""
        self._next += 1
        identity = self._next

        def open_client() -> socket.socket:
            end = socket.socket()
            if small_window:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            end.settimeout(5)
            end.connect(address)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.sendall(IDENTITY.pack(identity))
            return end

        end = client.call(open_client)
        server = wait_until(
            lambda: self._accepted.pop(identity, None), "the server has the connection", within=10, every=0.01
        )
        if small_window:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(end, server)
        # A byte back: the connection stands from end to end.
        server.sendall(b"!")
        if end.recv(1) != b"!":
            raise Failure("a connection ended before it began")
        return connection

    def _accept(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            threading.Thread(target=self._identify, args=(accepted,), daemon=True).start()

    def _identify(self, accepted: socket.socket) -> None:
        """A probe of a balancer says nothing and ends."""
        identity = accepted.recv(IDENTITY.size)
        if len(identity) == IDENTITY.size:
            self._accepted[IDENTITY.unpack(identity)[0]] = accepted
        else:
            accepted.close()


def keep_alive(end: socket.socket) -> None:
    """The times of Fairlead's defaults."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        end.setsockopt(socket.IPPROTO_TCP, option, value)


class Loss:
    """Packets that are lost on their way to an end: its kernel drops them before TCP sees them, behind all queues of
    the sender (a classic BPF filter that keeps nothing)."""

    def __init__(self, end: socket.socket, count: int) -> None:
        self._end = end
        self._instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HL", 1, ctypes.addressof(self._instruction))
        self._until = self._drops() + count
        end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self.is_over = False

    def check(self) -> None:
        """Ends the loss after so many packets. To be called more often than packets come."""
        if not self.is_over and self._drops() >= self._until:
            self._end.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            self.is_over = True

    def _drops(self) -> int:
        found = self._end.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        return struct.unpack_from("I", found, 4 * SK_MEMINFO_DROPS)[0]


class Watcher:
    """Remembers when ends have seen the end of their connection."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ends: dict[int, socket.socket] = {}
        self.died: dict[socket.socket, float] = {}

    def add(self, end: socket.socket) -> None:
        self._ends[end.fileno()] = end
        self._epoll.register(end.fileno(), select.EPOLLRDHUP)

    def turn(self, seconds: float) -> None:
        for number, _ in self._epoll.poll(seconds):
            self.died[self._ends[number]] = now()
            self._epoll.unregister(number)


@dataclass
class Transfer:
    """Bytes for an end that reads nothing for a while."""

    sender: socket.socket
    receiver: socket.socket
    pieces: int
    piece: bytes
    sent: int = 0
    failed: bool = False
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.sender.settimeout(None)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            for _ in range(self.pieces):
                self.sender.sendall(self.piece)
                self.sent += 1
        except OSError:
            self.failed = True

    def finish(self, within: float) -> bool:
        """Reads now. Whether every byte came."""
        received, checksum, deadline = 0, 0, now() + within
        expected = self.pieces * len(self.piece)
        self.receiver.settimeout(5)
        try:
            while received < expected and now() < deadline:
                some = self.receiver.recv(1 << 20)
                if not some:
                    return False
                received += len(some)
                checksum = zlib.crc32(some, checksum)
        except OSError:
            return False
        wanted = 0
        for _ in range(self.pieces):
            wanted = zlib.crc32(self.piece, wanted)
        return received == expected and checksum == wanted
