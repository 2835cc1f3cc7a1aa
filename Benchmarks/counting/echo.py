"""The backend: says back what it is told, and ends a connection when its client has.

Listens on one port of several loopback addresses, prints the port, and runs until its standard input ends.
"""

from __future__ import annotations

import select
import socket
import sys

from .load import BACKEND_HOSTS


def main() -> None:
    listeners = _listen()
    print(listeners[0].getsockname()[1], flush=True)
    epoll = select.epoll()
    sockets = {listener.fileno(): listener for listener in listeners}
    for descriptor in [*sockets, sys.stdin.fileno()]:
        epoll.register(descriptor, select.EPOLLIN)
    buffer = memoryview(bytearray(1 << 18))
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == sys.stdin.fileno():
                return
            ready = sockets[descriptor]
            if ready in listeners:
                connection, _ = ready.accept()
                sockets[connection.fileno()] = connection
                epoll.register(connection, select.EPOLLIN)
                continue
            try:
                count = ready.recv_into(buffer)
                ready.sendall(buffer[:count])
            except ConnectionError:
                count = 0
            if count == 0:
                # Closing takes it out of the epoll set too.
                sockets.pop(descriptor).close()


def _listen() -> list[socket.socket]:
    first = socket.create_server((BACKEND_HOSTS[0], 0), backlog=512)
    port = first.getsockname()[1]
    return [first] + [socket.create_server((host, port), backlog=512) for host in BACKEND_HOSTS[1:]]


if __name__ == "__main__":
    main()
