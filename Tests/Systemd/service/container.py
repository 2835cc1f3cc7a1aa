"""A container with its own systemd, booted by systemd-nspawn."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from .failure import Failure, until


class Container:
    """A copy of a tree, to install into, then to boot and to run commands in."""

    def __init__(self, tree: Path, work: Path) -> None:
        self.root = work / "root"
        self.console = work / "console.log"
        subprocess.run(["cp", "--archive", "--reflink=auto", tree, self.root], check=True)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file into the container, running or not."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self) -> None:
        """Starts its systemd and waits until that has started all it should."""
        command = [
            "systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--private-network", "--quiet",
            "--link-journal=no", f"--directory={self.root}", "--machine=fairlead-test",
        ]  # fmt: skip
        with self.console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True
            )
        until("the container's systemd", self._find_leader, self._console_end)
        # Before its bus answers, systemctl fails.
        until("the end of the boot", self._has_booted, self._console_end)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command in the container; fails when it fails, unless `check` is false."""
        result = subprocess.run(self._enter(command), capture_output=True, text=True, timeout=180)
        if check and result.returncode != 0:
            raise Failure(f"{' '.join(command)} exits {result.returncode}: {result.stdout}{result.stderr}")
        return result

    def start(self, *command: str, output: int | None = None) -> subprocess.Popen[bytes]:
        """Starts a command in the container that goes on until it has read the end of its standard input."""
        # A signal would end nsenter and not the command.
        return subprocess.Popen(self._enter(command), stdin=subprocess.PIPE, stdout=output)

    def power_off(self) -> None:
        """Ends the container and removes its files."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _enter(self, command: tuple[str, ...]) -> list[str]:
        return [
            "nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
            "/usr/bin/env", "-i", "--chdir=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8", *command,
        ]  # fmt: skip

    def _find_leader(self) -> bool:
        """The container's process 1 is the child of systemd-nspawn that has become systemd."""
        nspawn = self._nspawn
        assert nspawn is not None
        if nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn has ended with {nspawn.returncode}: {self._console_end()}")
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                self._leader = int(child)
                return True
        return False

    def _has_booted(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _console_end(self) -> str:
        return self.console.read_text(errors="replace")[-2000:]
