"""A balancer that reaches itself: three TLS requests into each kind of loop.

    own address          among the backends of the file
    two frontends        of one file that dial each other
    address moves here   a backend's address that comes to this host while Fairlead runs
    two hosts            that list each other
    three hosts          in a ring
    NAT                  that leads the way to a backend back to this host

A loop that can be known is refused: `check` and `run` exit with 78, or the backend is not dialed. In any other the three
requests and the first probes may cost at most 50 connections, on all hosts together, and each client is reset within 1 s.

FAIRLEAD_BINARY names another binary than .build/release/fairlead.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from endtoend.cluster.network import Host, Network, remove_networks
from endtoend.cluster.process import Process
from endtoend.failure import Failure
from endtoend.waiting import now, observe, wait_until

from .balancers import binary

BINARY = str(binary())
REQUESTS = 3
CONNECTIONS_LIMIT = 50
RESET_SECONDS = 1.0
# How long a client waits, and how long the connections are counted after that.
CLIENT_SECONDS = 5.0
SETTLE_SECONDS = 1.0
EXIT_BAD_CONFIGURATION = 78
SHARED = "10.77.0.100"


@dataclass
class Outcome:
    """What three requests brought."""

    refused: bool = False
    connections: int = 0
    resets: list[float | None] = field(default_factory=list)
    remark: str = ""

    @property
    def is_bounded(self) -> bool:
        return self.refused or (
            self.connections <= CONNECTIONS_LIMIT
            and all(reset is not None and reset <= RESET_SECONDS for reset in self.resets)
        )


class Balancer:
    """Fairlead on a host, with frontends as (port, addresses of backends)."""

    def __init__(self, host: Host, folder: Path, frontends: list[tuple[int, list[str]]]) -> None:
        self.host = host
        self.frontends = frontends
        self.file = folder / f"{host.name}.yaml"
        self.log = folder / f"{host.name}.log"
        # Probes would add their own connections: there is one at the start, and none while requests are counted.
        self.file.write_text(
            json.dumps(
                {
                    "apiVersion": "fairlead.dev/v1alpha1",
                    "kind": "LoadBalancerConfiguration",
                    "frontends": [
                        {
                            "name": f"port-{port}",
                            "listen": [f"0.0.0.0:{port}"],
                            "health": {
                                "interval": "60s",
                                "suspectInterval": "60s",
                                "tls": {"insecureSkipVerify": True},
                            },
                            "backends": [
                                {"name": f"b{index}", "address": address} for index, address in enumerate(backends)
                            ],
                        }
                        for port, backends in frontends
                    ],
                    "admin": {"listen": "127.0.0.1:6480", "socket": ""},
                    "stateDirectory": str(folder / host.name),
                }
            )
        )
        self.process = Process(host.name, host, [BINARY, "run", "--config", str(self.file)], self.log)

    def start(self) -> bool:
        """Starts it. False when it refuses its file, as `check` must then, too."""
        checked = subprocess.run(
            self.host.command(BINARY, "check", "--config", str(self.file)), capture_output=True, check=False
        ).returncode
        self.process.start()
        wait_until(lambda: not self.process.running or self._answers(), f"{self.host.name} serves or ends", 20)
        refuses = not self.process.running and self.process.exit_code == EXIT_BAD_CONFIGURATION
        if refuses != (checked == EXIT_BAD_CONFIGURATION):
            raise Failure(f"check exits with {checked}, run with {self.process.exit_code}", self.log)
        return not refuses

    def accepted(self) -> int:
        """Connections accepted so far."""
        name = "fairlead_frontend_connections_accepted_total{"
        return sum(int(line.split()[-1]) for line in self._get("/metrics").splitlines() if line.startswith(name))

    def reasons(self) -> list[str]:
        """Why each backend is in its state."""
        frontends = json.loads(self._get("/v1/status"))["frontends"]
        return [backend["reason"] for frontend in frontends for backend in frontend["backends"]]

    def _get(self, path: str) -> str:
        def work() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:6480{path}", timeout=5) as answer:
                return answer.read().decode()

        return self.host.call(work)

    def _answers(self) -> bool:
        try:
            self._get("/livez")
        except OSError:
            return False
        return True


def request(client: Host, address: str) -> float | None:
    """One TLS handshake; how long it took until its end, or None when there was none."""

    def work() -> float | None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        begin = now()
        try:
            with socket.create_connection((address, 6443), CLIENT_SECONDS) as connection:
                context.wrap_socket(connection).close()
        except TimeoutError:
            return None
        except OSError:
            pass
        return now() - begin

    return client.call(work)


def measure(client: Host, balancers: list[Balancer], address: str) -> Outcome:
    """Sends the requests side by side, and counts all connections since the start: the first probes', too."""
    _await_quiet(balancers)
    outcome = Outcome(resets=[None] * REQUESTS)

    def send(index: int) -> None:
        outcome.resets[index] = request(client, address)

    threads = [threading.Thread(target=send, args=(index,)) for index in range(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observe(SETTLE_SECONDS)
    outcome.connections = sum(balancer.accepted() for balancer in balancers)
    return outcome


def _await_quiet(balancers: list[Balancer]) -> None:
    """Waits for the first probes to be over. In a loop without end they never are."""
    for _ in range(5):
        before = sum(balancer.accepted() for balancer in balancers)
        observe(SETTLE_SECONDS)
        if sum(balancer.accepted() for balancer in balancers) == before:
            return


class Lab:
    """Three hosts and a client, anew for each loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        network = Network()
        self.a = network.add_host("a", 11)
        self.b = network.add_host("b", 12)
        self.c = network.add_host("c", 13)
        self.client = network.add_host("client", 21)

    def run(self, *balancers: Balancer) -> Outcome:
        if not all([balancer.start() for balancer in balancers]):
            return Outcome(refused=True)
        return measure(self.client, list(balancers), balancers[0].host.address)

    def own_address(self) -> Outcome:
        return self.run(Balancer(self.a, self.folder, [(6443, [f"{self.a.address}:6443"])]))

    def two_frontends(self) -> Outcome:
        own = self.a.address
        return self.run(Balancer(self.a, self.folder, [(6443, [f"{own}:7443"]), (7443, [f"{own}:6443"])]))

    def address_moves_here(self) -> Outcome:
        balancer = Balancer(self.a, self.folder, [(6443, [f"{SHARED}:6443"])])
        if not balancer.start():
            return Outcome(refused=True)
        _address(self.a, "add")
        observe(SETTLE_SECONDS)
        outcome = measure(self.client, [balancer], self.a.address)
        outcome.remark = balancer.reasons()[0]
        known = "leads back to this host"
        if known in outcome.remark:
            _address(self.a, "delete")
            wait_until(lambda: known not in balancer.reasons()[0], "the backend is dialed again", 5)
        return outcome

    def two_hosts(self) -> Outcome:
        return self.run(
            Balancer(self.a, self.folder, [(6443, [f"{self.b.address}:6443"])]),
            Balancer(self.b, self.folder, [(6443, [f"{self.a.address}:6443"])]),
        )

    def three_hosts(self) -> Outcome:
        ring = [(self.a, self.b), (self.b, self.c), (self.c, self.a)]
        return self.run(*(Balancer(host, self.folder, [(6443, [f"{next.address}:6443"])]) for host, next in ring))

    def nat(self) -> Outcome:
        rules = f"""
            table ip loop {{
                chain output {{
                    type nat hook output priority -100;
                    ip daddr {SHARED} tcp dport 6443 redirect to :6443
                }}
            }}
            """
        done = subprocess.run(self.a.command("nft", "-f", "-"), input=rules, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            return Outcome(refused=True, remark=f"left out, nft cannot: {done.stderr.splitlines()[0]}")
        return self.run(Balancer(self.a, self.folder, [(6443, [f"{SHARED}:6443"])]))


def _address(host: Host, what: str) -> None:
    subprocess.run(host.command("ip", "address", what, f"{SHARED}/24", "dev", "eth0"), check=True)


def main() -> int:
    loops = {
        "own address": Lab.own_address,
        "two frontends": Lab.two_frontends,
        "address moves here": Lab.address_moves_here,
        "two hosts": Lab.two_hosts,
        "three hosts": Lab.three_hosts,
        "NAT": Lab.nat,
    }
    print(f"{BINARY}\n{'loop':<20}{'connections':>12}  {'clients reset after':<28}")
    unbounded = []
    for name, loop in loops.items():
        with tempfile.TemporaryDirectory(prefix="fairlead-loops-") as folder:
            try:
                outcome = loop(Lab(Path(folder)))
            finally:
                remove_networks()
        resets = ", ".join("never" if reset is None else f"{reset * 1000:.0f} ms" for reset in outcome.resets)
        verdict = "refused" if outcome.refused else resets
        print(f"{name:<20}{outcome.connections:>12}  {verdict:<28}{outcome.remark}", flush=True)
        if not outcome.is_bounded:
            unbounded.append(name)
    for name in unbounded:
        print(f"{name}: more than {CONNECTIONS_LIMIT} connections, or a reset after more than 1 s", file=sys.stderr)
    return 1 if unbounded else 0


if __name__ == "__main__":
    sys.exit(main())
