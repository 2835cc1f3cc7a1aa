"""Starts and ends the Go program in ../../clients on the clients' host."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..cluster.control_plane import ControlPlane
from ..cluster.process import Process
from ..failure import Failure
from ..waiting import wait_until
from .records import Records


@dataclass(frozen=True)
class LoadSize:
    """How many clients of each kind there are, and how often they ask."""

    fresh: int = 20
    # New connections a second and fresh client.
    rate: int = 10
    kept: int = 30
    # Milliseconds between two GETs of a kept client.
    interval: int = 500
    # Clients that create one object after the other.
    creates: int = 0


class Load:
    """Twenty clients with ten new connections a second each, and thirty that keep one with a watch and GETs, unless
    another size is given.

    The `with` block begins after three seconds in which every new connection was prompt: the time before the fault.
    """

    def __init__(
        self,
        program: Path,
        cluster: ControlPlane,
        folder: Path,
        size: LoadSize | None = None,
        kubeconfig: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        size = size or LoadSize()
        self._output = folder / "records.jsonl"
        command = [
            *(str(program), "load", f"--kubeconfig={kubeconfig or cluster.kubeconfig}", f"--output={self._output}"),
            *(f"--fresh={size.fresh}", f"--rate={size.rate}", f"--kept={size.kept}", f"--interval={size.interval}ms"),
            f"--creates={size.creates}",
        ]
        self._process = Process("the load", cluster.client_host, command, folder / "load.log")

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process.start()

    def wait_until_ready(self) -> None:
        _wait_for_ready(self._process)

    def stop(self) -> None:
        self._process.stop(within=1)

    def finish(self) -> Records:
        """Ends the load, awaits its last requests (they have ten seconds) and reads what happened."""
        self.end()
        return self.read()

    def end(self) -> None:
        """Starts nothing more."""
        self._process.signal(signal.SIGTERM)

    def read(self) -> Records:
        """Awaits the last requests of a load that was ended, and reads what happened."""
        if self._process.wait_for_exit(within=15) != 0:
            raise Failure("the load program failed", self._process.log)
        return Records.read(self._output)


class Holding:
    """Idle TLS connections through the balancer, open while the `with` block runs.

    With `returns` a client whose connection is taken away opens another at once, and writes down when it had it.
    """

    def __init__(
        self, program: Path, cluster: ControlPlane, folder: Path, count: int, *, returns: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "records.jsonl"
        command = [str(program), "hold", f"--kubeconfig={cluster.kubeconfig}", f"--count={count}"]
        if returns:
            command.append(f"--output={self._output}")
        self._process = Process("the held connections", cluster.client_host, command, folder / "hold.log")

    def __enter__(self) -> Self:
        self._process.start()
        _wait_for_ready(self._process, within=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def release(self) -> None:
        """Closes the connections; fails when one of them had been taken away."""
        self._process.signal(signal.SIGTERM)
        if self._process.wait_for_exit(within=10) != 0:
            raise Failure("held connections were lost", self._process.log)

    def finish(self) -> Records:
        """Closes the connections and reads what happened to them; only with `returns`."""
        self.release()
        return Records.read(self._output)


def _wait_for_ready(process: Process, within: float = 45) -> None:
    def ready() -> bool:
        process.require_running()
        return any(line.startswith("ready") for line in process.log.read_text().splitlines())

    wait_until(ready, f"{process.name} runs at full size, and is answered promptly", within, log=process.log)
