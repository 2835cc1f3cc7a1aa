"""Thousands of established connections through the service, watched from inside the container (../../Streams/streams.c)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .container import Container
from .failure import Failure

SOURCES = Path(__file__).resolve().parents[2] / "Streams"
PROGRAM = "/usr/local/bin/streams"
PORTS = (7101, 7102, 7103)


class Streams:
    """The program, from the moment at which all its connections stand."""

    def __init__(self, container: Container, pairs: int, busy: int, bulk: int = 0) -> None:
        program = container.root / PROGRAM.lstrip("/")
        if not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cc", "-O2", "-static", "-o", program, *SOURCES.glob("*.c")], check=True)
        listen = ",".join(f"127.0.0.1:{port}" for port in PORTS)
        self._process = container.start(
            PROGRAM, "--listen", listen, "--connect", "127.0.0.1:6443", "--pairs", str(pairs), "--busy", str(busy),
            "--bulk", str(bulk), output=subprocess.PIPE,
        )  # fmt: skip
        self._read("established")

    def phase(self, name: str) -> dict:
        """Ends the phase under way and begins another. Returns what came of the one that ended."""
        return self._say(name)

    def end(self) -> dict:
        """Ends the last phase, waits for all that is on its way, and returns what came of that phase."""
        report = self._say("end")
        self._process.communicate()
        return report

    def kill(self) -> None:
        """Ends it whatever it does."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)

    def _say(self, line: str) -> dict:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{line}\n".encode())
        stdin.flush()
        return self._read("phase")

    def _read(self, event: str) -> dict:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise Failure(f"the streams have ended with {self._process.wait()} before they were {event}")
        report = json.loads(line)
        if report["event"] != event:
            raise Failure(f"the streams say {report}")
        return report


def longest_pause(*reports: dict) -> float:
    """Of any stream, either way, in milliseconds."""
    return max(max(report["longestPauseMs"].values()) for report in reports)
