"""What is compared: each balancer's configuration, start and reload; and no balancer at all."""

from __future__ import annotations

import itertools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

from .backend import PEERS, Backend, run
from .ports import answers, connects, free_ports, wait_until
from .process import Process

REPOSITORY = Path(__file__).parent.parent.parent
# After the start, before anything is measured.
SETTLE_SECONDS = 0.3
REST_SECONDS, REST_SAMPLE_SECONDS = 5.0, 0.2
_instances = itertools.count(1)


def fairlead_binary() -> str:
    return os.environ.get("FAIRLEAD_BINARY") or str(REPOSITORY / ".build/release/fairlead")


@dataclass(frozen=True)
class Ports:
    """Where clients connect to."""

    plain: int
    tls: int
    bulk: int


@dataclass(frozen=True)
class Kind:
    """One of the programs that are compared. In a command, `{file}` is its configuration, `{fairlead}` the binary, and
    `{work}` the folder of the run, with what was compiled for it."""

    name: str
    template: str
    command: tuple[str, ...]
    # A backend in its configuration: number and address are filled in.
    server: str
    # Between two of them.
    separator: str = "\n"
    # The command that can be told to reload, where it differs, and how it is told.
    reloadable: tuple[str, ...] = ()
    reload_signal: signal.Signals = signal.SIGHUP


_HAPROXY = ("haproxy", "-db", "-f", "{file}")
_HAPROXY_MASTER = ("haproxy", "-W", "-db", "-f", "{file}")
_HAPROXY_SERVER = "  server s{number} {address}"

KINDS = {
    kind.name: kind
    for kind in (
        Kind("haproxy", "haproxy.cfg", _HAPROXY, _HAPROXY_SERVER, reloadable=_HAPROXY_MASTER, reload_signal=signal.SIGUSR2),
        Kind("haproxy-auto", "haproxy-auto.cfg", _HAPROXY, _HAPROXY_SERVER, reloadable=_HAPROXY_MASTER, reload_signal=signal.SIGUSR2),
        Kind("nginx", "nginx.conf", ("nginx", "-c", "{file}"), "    server {address};"),
        Kind(
            "fairlead", "fairlead.yaml", ("{fairlead}", "run", "--config", "{file}"),
            '  - {{name: s{number}, address: "{address}"}}',
        ),
        Kind("floor", "floor.conf", ("{work}/floor", "{file}"), "{address}", " "),
    )
}
NAMES = ["direct", *KINDS]
# What nobody would run, and so no peer: the backend itself, and a relay that does nothing but relay.
YARDSTICKS = ("direct", "floor")


class Balancer:
    """A balancer that runs."""

    def __init__(
        self, kind: Kind, work: Path, backend: Backend, plain: list[str] | None = None, reloadable: bool = False
    ) -> None:
        self.kind = kind
        self._work = work
        self._backend = backend
        self._plain = plain or backend.plain
        self._name = f"{kind.name}-{next(_instances)}"
        self.ports = Ports(*free_ports(3))
        self._file = work / f"{self._name}{Path(kind.template).suffix}"
        self.configure(self._plain)
        command = kind.reloadable if reloadable and kind.reloadable else kind.command
        self.process = Process(
            kind.name,
            [part.format(file=self._file, fairlead=fairlead_binary(), work=work) for part in command],
            work / f"{self._name}.log",
        )
        try:
            wait_until(self._serves, f"{kind.name} serves")
            time.sleep(SETTLE_SECONDS)
            self.await_rest()
        except BaseException:
            self.stop()
            raise

    def configure(self, plain: list[str]) -> None:
        """Writes the configuration, with these as the backends of plain requests."""
        template = Template((PEERS / self.kind.template).read_text())
        self._file.write_text(template.substitute(
            work=self._work, name=self._name,
            plain=self.ports.plain, tls=self.ports.tls, bulk=self.ports.bulk,
            plain_servers=self._servers(plain),
            tls_servers=self._servers(self._backend.tls),
            bulk_servers=self._servers(self._backend.bulk),
        ))

    def await_rest(self) -> None:
        """Waits, with a bound, until the work of starting is done."""
        deadline = time.monotonic() + REST_SECONDS
        while time.monotonic() < deadline:
            before = self.process.cpu_nanoseconds()
            time.sleep(REST_SAMPLE_SECONDS)
            if (self.process.cpu_nanoseconds() - before) / 1e9 < REST_SAMPLE_SECONDS / 10:
                return

    def reload(self) -> None:
        os.kill(self.process.pid, self.kind.reload_signal)

    def stop(self) -> None:
        self.process.stop()

    def _serves(self) -> bool:
        self.process.require_running()
        return answers(self.ports.plain) and connects(self.ports.tls) and connects(self.ports.bulk)

    def _servers(self, addresses: list[str]) -> str:
        return self.kind.separator.join(
            self.kind.server.format(number=number, address=address) for number, address in enumerate(addresses, 1)
        )


def versions() -> dict[str, str]:
    """What each program calls itself."""
    return {
        "fairlead": run(fairlead_binary(), "--version").strip().splitlines()[0],
        "haproxy": run("haproxy", "-v").splitlines()[0].split(" - ")[0],
        "nginx": run("bash", "-c", "nginx -v 2>&1").strip(),
        "wrk": run("bash", "-c", "wrk -v 2>&1 || true").splitlines()[0].split(" Copyright")[0].split(" [")[0],
        "h2load": run("h2load", "--version").strip(),
    }
