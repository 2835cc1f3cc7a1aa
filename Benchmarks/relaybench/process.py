"""Programs that run for the length of a measurement, and what the kernel says that they cost."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from .failure import Failure

_libc = ctypes.CDLL(None)
PAGE_KILOBYTES = os.sysconf("SC_PAGE_SIZE") // 1024


class Process:
    """One program with its log. What it costs includes its child processes: nginx and HAProxy may work in one."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def require_running(self) -> None:
        if self._child.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise Failure(f"{self.name} has ended with exit code {self._child.returncode}:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL, the children too; nothing survives."""
        family = tree(self.pid)
        self._child.terminate()
        try:
            self._child.wait(3)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pid in family[1:]:
            with suppress(ProcessLookupError):
                # Its session tells that this is still the child, and not a stranger with its number.
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)

    def cpu_nanoseconds(self) -> int:
        """Processor time so far, by the scheduler's own count."""
        return sum(cpu_by_process(self.pid).values())

    def resident_kilobytes(self) -> int:
        """Resident memory, summed over the processes. What they share counts in each."""
        return sum(_resident(pid) for pid in tree(self.pid))


def cpu_by_process(root: int) -> dict[int, int]:
    """Nanoseconds on a processor, of a process and each of its descendants."""
    spent: dict[int, int] = {}
    for pid in tree(root):
        with suppress(OSError):  # It has ended meanwhile.
            spent[pid] = time.clock_gettime_ns(_clock(pid))
    return spent


def _clock(pid: int) -> int:
    """The processor clock of a process, clock_getcpuclockid(3): all its threads, also those that have ended."""
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


def tree(root: int) -> list[int]:
    """A process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _parent_or_none(int(entry))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    family = [root]
    for pid in family:
        family += children.get(pid, [])
    return family


def _parent_or_none(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE_KILOBYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0
