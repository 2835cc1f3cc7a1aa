"""Hosts as network namespaces on one bridge.

The bridge lives in a namespace of its own, and every veth pair is created between two namespaces: the machine's own
network sees no interface, no address and no route of the suite, and removing the namespaces removes everything.

    fairlead-e2e-PID-switch:  br0 -- port-master-1 -- port-master-2 -- ...
                                         |                 |
    fairlead-e2e-PID-master-1:         eth0 10.77.0.11     |
    fairlead-e2e-PID-master-2:                           eth0 10.77.0.12
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..failure import Failure
from ..waiting import wait_until

PREFIX = "fairlead-e2e-"
NAMESPACE_FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000

Value = TypeVar("Value")


class Host:
    """One namespace with one address."""

    def __init__(self, namespace: str, name: str, subnet: str, number: int) -> None:
        """`subnet`: the first three numbers of every address."""
        self.namespace = namespace
        self.name = name
        self.address = f"{subnet}.{number}"
        # Arguments of `ip route`. No host has the router's address.
        self.subnet_route = (f"{subnet}.0/24", "dev", "eth0", "proto", "kernel", "scope", "link", "src", self.address)
        self.default_route = ("default", "via", f"{subnet}.1", "dev", "eth0")

    def command(self, *command: str) -> list[str]:
        """`command`, run on this host. It is killed when the suite dies, however the suite dies (prctl(2)
        PR_SET_PDEATHSIG); nsenter and setpriv exec, so the process that is started is the command itself."""
        return [
            "nsenter",
            f"--net={NAMESPACE_FOLDER / self.namespace}",
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            *command,
        ]

    def call(self, work: Callable[[], Value]) -> Value:
        """Runs `work` on a thread that has moved to this host: a socket opened there stays there (setns(2))."""
        outcome: list[Value] = []
        failure: list[BaseException] = []

        def body() -> None:
            try:
                self.enter()
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
                failure.append(error)

        thread = threading.Thread(target=body, name=f"on-{self.name}", daemon=True)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def ip(self, *arguments: str) -> None:
        """ip(8) on this host's network."""
        _ip("-n", self.namespace, *arguments)

    def interface_down(self) -> None:
        """Takes the host's own interface down: its routes vanish."""
        self.ip("link", "set", "eth0", "down")

    def interface_up(self) -> None:
        """Takes it up again. The kernel brings the route of the subnet back by itself, and no other."""
        self.ip("link", "set", "eth0", "up")
        self.ip("route", "replace", *self.default_route)

    def kill_everything(self) -> None:
        """SIGKILL to every program on this host."""
        for pid in _programs(self.namespace):
            _kill(pid)

    def enter(self) -> None:
        """Moves the calling thread to this host, for good: only for threads that do nothing else."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(NAMESPACE_FOLDER / self.namespace) as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.namespace}")


class Network:
    """The bridge and its hosts."""

    def __init__(self, subnet: str = "10.77.0") -> None:
        self._subnet = subnet
        self._switch = f"{PREFIX}{os.getpid()}-switch"
        self.hosts: dict[str, Host] = {}
        _add_namespace(self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")

    def add_host(self, name: str, number: int) -> Host:
        """A host called `name` (at most nine characters, it names an interface) at address `number`."""
        host = Host(f"{PREFIX}{os.getpid()}-{name}", name, self._subnet, number)
        _add_namespace(host.namespace)
        port = f"port-{name}"
        _ip(
            *("-n", self._switch, "link", "add", port, "type", "veth"),
            *("peer", "name", "eth0", "netns", host.namespace),
        )
        _ip("-n", self._switch, "link", "set", port, "master", "br0", "up")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("link", "set", "lo", "up")
        # Apiservers look for the default route to learn the address that they advertise.
        host.ip("route", "add", *host.default_route)
        self.hosts[name] = host
        return host

    def cut(self, name: str) -> None:
        """Pulls the host's cable out of the switch: frames vanish, nobody is told."""
        _ip("-n", self._switch, "link", "set", f"port-{name}", "down")

    def isolate(self, name: str) -> None:
        """Cuts the host off further away: its own cable looks well, and frames vanish all the same."""
        _ip("-n", self._switch, "link", "set", f"port-{name}", "nomaster")

    def mend(self, name: str) -> None:
        _ip("-n", self._switch, "link", "set", f"port-{name}", "master", "br0")
        _ip("-n", self._switch, "link", "set", f"port-{name}", "up")


def remove_networks() -> None:
    """Removes every host and bridge of this process, also half-made ones, and kills what still runs there."""
    for path in sorted(NAMESPACE_FOLDER.glob(f"{PREFIX}{os.getpid()}-*")):
        _remove_namespace(path.name)


def remove_leftovers() -> list[str]:
    """Removes the namespaces of runs whose process is gone, and what runs in them; returns their names."""
    removed = []
    for path in sorted(NAMESPACE_FOLDER.glob(f"{PREFIX}*")):
        owner = re.match(rf"{PREFIX}(\d+)-", path.name)
        if owner and Path(f"/proc/{owner[1]}").exists():
            continue
        _remove_namespace(path.name)
        removed.append(path.name)
    return removed


def _add_namespace(namespace: str) -> None:
    _ip("netns", "add", namespace)


def _remove_namespace(namespace: str) -> None:
    if not (NAMESPACE_FOLDER / namespace).exists():
        return

    def emptied() -> bool:
        pids = _programs(namespace)
        for pid in pids:
            _kill(pid)
        return not pids

    wait_until(emptied, f"the processes in {namespace} have ended", within=10)
    _ip("netns", "delete", namespace)


def _programs(namespace: str) -> list[int]:
    """What runs in a namespace, without the suite's own threads, which visit hosts."""
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split() if int(pid) != os.getpid()]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise Failure(f"ip {' '.join(arguments)}: {result.stderr.strip()}")
