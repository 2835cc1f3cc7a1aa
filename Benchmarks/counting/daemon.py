"""Fairlead with one worker, in front of backends that say back what they are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .build import REPOSITORY, program
from .failure import Failure
from .load import BACKEND_HOSTS, Address

START_SECONDS = 30


@dataclass(frozen=True)
class Daemon:
    """A daemon that serves."""

    pid: int
    # Where clients connect to.
    address: Address

    @property
    def worker(self) -> int:
        """The thread of its one worker."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("relay-"):
                return int(task.name)
        raise Failure("fairlead has no thread whose name begins with relay-")


@contextmanager
def running(environment: dict[str, str] | None = None) -> Iterator[Daemon]:
    """Runs backends and daemon.

    The daemon's probes are bare connections, a minute apart: while load runs, nothing else happens in it.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-costs-") as folder, _backend() as port:
        work = Path(folder)
        (work / "fairlead.yaml").write_text(_configuration(work, port))
        with (work / "log").open("w") as log:
            process = subprocess.Popen(
                [program("fairlead"), "run", "--config", work / "fairlead.yaml"],
                env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        try:
            yield Daemon(process.pid, _await_address(process, work))
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _backend() -> Iterator[int]:
    """Runs the echo server; the value is its port."""
    command = [sys.executable, "-B", "-m", f"{__package__}.echo"]
    server = subprocess.Popen(
        command, cwd=REPOSITORY / "Benchmarks", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout
        yield int(server.stdout.readline())


def _configuration(work: Path, port: int) -> str:
    backends = "\n".join(
        f'  - {{name: master-{number}, address: "{host}:{port}"}}' for number, host in enumerate(BACKEND_HOSTS, 1)
    )
    return f"""\
apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerConfiguration
frontends:
- name: kube-apiserver
  listen: ["127.0.0.1:0"]
  health: {{protocol: tcp, interval: 60s}}
  backends:
{backends}
admin: {{listen: "", socket: {work / "admin.sock"}}}
stateDirectory: {work / "state"}
workers: 1
shutdownGracePeriod: 1s
"""


def _await_address(process: subprocess.Popen[bytes], work: Path) -> Address:
    """Waits until every backend is up; returns where the frontend listens."""
    command = [program("fairlead"), "status", "--admin", f"unix:{work / 'admin.sock'}", "-o", "json"]
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0:
            frontend = json.loads(answer.stdout)["frontends"][0]
            if all(backend["state"] == "up" for backend in frontend["backends"]):
                host, port = frontend["listen"][0].rsplit(":", 1)
                return host, int(port)
        time.sleep(0.05)
    raise Failure(f"fairlead does not serve:\n{(work / 'log').read_text()}")
