"""A packet filter on the balancer's host that rejects new connections to one of two backends.

The kernel reports it on the connecting socket by an error without writability. The backend must be found refusing or
unreachable at once, what stands to one that refuses must be kept, and the probes must not take a processor meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endtoend.cluster.network import Host, Network, remove_networks
from endtoend.cluster.process import Process
from endtoend.failure import Failure
from endtoend.waiting import now, observe, wait_until

from .balancers import SERVER_PORT, binary

FRONTEND_PORT = 7001
MEASURED_SECONDS = 5.0
# Of one processor. Without a fault it is a fiftieth of that.
PROCESSOR_LIMIT = 0.1


@dataclass(frozen=True)
class Rule:
    """What nftables does with a SYN, what the status must say, and whether the standing connections are kept."""

    action: str
    reason: str
    keeps: bool


RULES = (
    Rule("reject with tcp reset", "Connection refused", True),
    Rule("reject", "Connection refused", True),
    # As a router or a failed neighbour discovery would say it: a host that is gone looks like that.
    Rule("reject with icmpx type admin-prohibited", "No route to host", False),
)


class Server:
    """Answers each piece with itself."""

    def __init__(self, host: Host) -> None:
        self.listener = host.call(lambda: socket.create_server((host.address, SERVER_PORT)))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        try:
            while piece := connection.recv(64):
                connection.sendall(piece)
        except OSError:
            pass
        connection.close()


class Lab:
    """Fairlead before two servers, and a client with a connection to each."""

    def __init__(self, folder: Path) -> None:
        network = Network()
        self.balancer = network.add_host("balancer", 11)
        servers = [network.add_host(f"server-{number}", 20 + number) for number in (1, 2)]
        self.client = network.add_host("client", 31)
        self.victim = servers[0]
        self.servers = [Server(host) for host in servers]
        configuration = folder / "fairlead.yaml"
        backends = [{"name": host.name, "address": f"{host.address}:{SERVER_PORT}"} for host in servers]
        configuration.write_text(
            json.dumps(
                {
                    "apiVersion": "fairlead.dev/v1alpha1",
                    "kind": "LoadBalancerConfiguration",
                    "frontends": [
                        {
                            "name": "frontend",
                            "listen": [f"0.0.0.0:{FRONTEND_PORT}"],
                            "balancing": {"algorithm": "roundRobin", "slowStart": "0s"},
                            "health": {"protocol": "tcp"},
                            "backends": backends,
                        }
                    ],
                    "admin": {"listen": "127.0.0.1:6480", "socket": ""},
                    "stateDirectory": str(folder),
                }
            )
        )
        command = [str(binary()), "run", "--config", str(configuration)]
        self.process = Process("fairlead", self.balancer, command, folder / "log")

    def start(self) -> None:
        self.process.start()
        wait_until(lambda: self._state() == "up", "both servers are up", 10, log=self.process.log)

    def try_rule(self, rule: Rule) -> tuple[str, list[str]]:
        """What was measured, and what was wrong with it."""
        findings = []
        clients = [self._connect() for _ in range(4)]
        if not self._backend()["connections"]["active"]:
            raise Failure("no connection leads to the server: nothing would be tested", self.process.log)
        self._nft("add table inet lab")
        self._nft("add chain inet lab output { type filter hook output priority 0; }")
        self._nft(f"add rule inet lab output ip daddr {self.victim.address} tcp flags & (syn | ack) == syn {rule.action}")
        begin = now()
        wait_until(lambda: self._state() == "down", "the server is down", 5, log=self.process.log)
        known = now() - begin
        before = self._processor_seconds()
        observe(MEASURED_SECONDS)
        used = (self._processor_seconds() - before) / MEASURED_SECONDS
        reason = self._backend()["reason"]
        kept = sum(self._answers(each) for each in clients)
        self._nft("delete table inet lab")
        wait_until(lambda: self._state() == "up", "the server is up again", 10, log=self.process.log)
        for each in clients:
            each.close()
        if rule.reason not in reason:
            findings.append(f"the reason is \"{reason}\"")
        if used > PROCESSOR_LIMIT:
            findings.append(f"{used:.0%} of a processor for the probes of one backend")
        if rule.keeps and kept < len(clients):
            findings.append(f"{len(clients) - kept} standing connections were cut")
        return f"{known:>10.2f}  {used:>10.1%}  {kept} of {len(clients):<10} {reason}", findings

    def _connect(self) -> socket.socket:
        def work() -> socket.socket:
            connection = socket.create_connection((self.balancer.address, FRONTEND_PORT), 5)
            connection.sendall(b"?")
            assert connection.recv(1) == b"?"
            return connection

        return self.client.call(work)

    @staticmethod
    def _answers(connection: socket.socket) -> bool:
        try:
            connection.sendall(b"!")
            return connection.recv(1) == b"!"
        except OSError:
            return False

    def _backend(self) -> dict[str, Any]:
        def work() -> bytes:
            with urllib.request.urlopen("http://127.0.0.1:6480/v1/status", timeout=5) as answer:
                return answer.read()

        return json.loads(self.balancer.call(work))["frontends"][0]["backends"][0]

    def _state(self) -> str:
        try:
            return str(self._backend()["state"])
        except OSError:
            return "not known"

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _nft(self, command: str) -> None:
        subprocess.run(self.balancer.command("nft", command), check=True)


def main() -> int:
    failed = []
    print(f"{'rule':<42}{'down after':>10}  {'processor':>10}  {'kept':<15} reason")
    with tempfile.TemporaryDirectory(prefix="fairlead-rejected-") as folder:
        try:
            lab = Lab(Path(folder))
            lab.start()
            for rule in RULES:
                line, findings = lab.try_rule(rule)
                print(f"{rule.action:<42}{line}", flush=True)
                failed += [f"{rule.action}: {finding}" for finding in findings]
            lab.process.stop()
        finally:
            remove_networks()
    for finding in failed:
        print(finding, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
