"""What stands behind the balancers: nginx for requests, bulk.c for transfers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from string import Template

from .failure import Failure
from .ports import HOST, answers, connects, free_ports, wait_until
from .process import Process

PEERS = Path(__file__).parent.parent / "peers"
# As a control plane has masters.
BACKENDS = 3


def run(*command: str) -> str:
    """Runs a program to its end; its output is returned."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Backend:
    """All servers behind the balancers. `plain`, `tls` and `bulk` are their addresses."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._processes: list[Process] = []
        self.bulk_program = str(work / "bulk")
        plain, tls, bulk = free_ports(BACKENDS), free_ports(BACKENDS), free_ports(1)
        self.plain = [f"{HOST}:{port}" for port in plain]
        self.tls = [f"{HOST}:{port}" for port in tls]
        self.bulk = [f"{HOST}:{port}" for port in bulk]
        run("cc", "-O2", "-pthread", "-o", self.bulk_program, str(Path(__file__).with_name("bulk.c")))
        run("cc", "-O2", "-o", str(work / "floor"), str(Path(__file__).with_name("floor.c")))
        run(
            "openssl", "req", "-batch", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{HOST}",
            "-keyout", str(work / "backend.key"), "-out", str(work / "backend.crt"),
        )
        try:
            self._start_nginx("backend", [
                *(f"{address} backlog=4096" for address in self.plain),
                *(f"{address} ssl http2 backlog=4096" for address in self.tls),
            ])
            self._start("bulk", [self.bulk_program, "serve", str(bulk[0])])
            wait_until(lambda: answers(plain[0]) and connects(tls[0]) and connects(bulk[0]), "the backends answer")
        except BaseException:
            self.stop()
            raise

    def wildcard(self) -> int:
        """Starts one more server, on every address of the machine (127.x.y.z each count as a backend); its port."""
        [port] = free_ports(1)
        self._start_nginx("wildcard", [f"0.0.0.0:{port} backlog=4096"])
        wait_until(lambda: answers(port), "the backend on every address answers")
        return port

    def stop(self) -> None:
        for process in self._processes:
            process.stop()

    def _start_nginx(self, name: str, listen: list[str]) -> None:
        template = Template((PEERS / "backend.conf").read_text())
        lines = "\n".join(f"    listen {each};" for each in listen)
        file = self._work / f"{name}.conf"
        file.write_text(template.substitute(work=self._work, name=name, listen=lines))
        self._start(name, ["nginx", "-c", str(file)])

    def _start(self, name: str, command: list[str]) -> None:
        self._processes.append(Process(name, command, self._work / f"{name}.log"))
