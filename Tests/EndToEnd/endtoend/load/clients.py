"""Starts and ends the Go program in ../../clients on the clients' host."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Self

from ..cluster.control_plane import ControlPlane
from ..cluster.process import Process
from ..failure import Failure
from ..waiting import wait_until
from .records import Records


class Load:
    """Twenty clients with ten new connections a second each, and thirty that keep one with a watch and GETs.

    The `with` block begins after three seconds in which every new connection was prompt: the time before the fault.
    """

    def __init__(self, program: Path, cluster: ControlPlane, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "records.jsonl"
        command = [str(program), "load", f"--kubeconfig={cluster.kubeconfig}", f"--output={self._output}"]
        self._process = Process("the load", cluster.client_host, command, folder / "load.log")

    def __enter__(self) -> Self:
        self._process.start()
        _wait_for_ready(self._process)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(within=1)

    def finish(self) -> Records:
        """Ends the load, awaits its last requests (they have ten seconds) and reads what happened."""
        self._process.signal(signal.SIGTERM)
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
