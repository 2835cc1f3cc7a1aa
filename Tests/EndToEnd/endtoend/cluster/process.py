"""A long-running program on a host: started, signalled, restarted and ended by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from ..failure import Failure
from ..waiting import now, wait_until
from .network import Host

# nice(2) value of everything that the suite starts.
SUITE_PRIORITY = -10


def prefer(pid: int) -> None:
    """Gives a process of the suite precedence over other work on the machine: a compiler beside it would look like a
    slow master. All get the same, so none has an advantage over another.

    Where autogrouping is on (sched(7)), a nice value counts only inside the session, and the session has its own.
    """
    os.setpriority(os.PRIO_PROCESS, pid, SUITE_PRIORITY)
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(SUITE_PRIORITY))


class Process:
    """One program with one log, which restarts append to."""

    def __init__(self, name: str, host: Host, command: list[str], log: Path) -> None:
        self.name = name
        self.host = host
        self.command = command
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise Failure(f"{self.name} was never started", self.log)
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Starts the program when it does not run, and wakes it when it was stopped (SIGSTOP)."""
        if self.running:
            self.signal(signal.SIGCONT)
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._child = subprocess.Popen(
                self.host.command(*self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        prefer(self._child.pid)

    def require_running(self) -> None:
        """Fails, with the log, when the program has ended or was never started."""
        if not self.running:
            raise Failure(f"{self.name} is not running (exit code {self.exit_code})", self.log)

    def signal(self, number: signal.Signals) -> float:
        """Sends a signal; returns the moment at which it was sent."""
        self.require_running()
        moment = now()
        assert self._child is not None
        self._child.send_signal(number)
        return moment

    def kill(self) -> float:
        """SIGKILL, awaited; returns the moment at which it was sent."""
        moment = self.signal(signal.SIGKILL)
        assert self._child is not None
        self._child.wait()
        return moment

    def stop(self, within: float = 5) -> None:
        """Ends the program: SIGTERM, then SIGKILL after `within` seconds. A stopped (SIGSTOP) one is woken first."""
        if not self.running:
            return
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(within)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def wait_for_exit(self, within: float) -> int:
        """Awaits the end of the program; returns its exit code."""
        wait_until(lambda: not self.running, f"{self.name} has ended", within, log=self.log)
        assert self._child is not None
        return self._child.returncode
