"""Fairlead itself: the built binary, with a configuration that leaves to defaults all that a user would."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster.control_plane import ControlPlane
from ..cluster.master import API_PORT
from ..cluster.network import Host
from ..failure import Failure
from .interface import BackendStatus, Balancer, Options

# The default of `etcd.interval`.
ETCD_INTERVAL_SECONDS = 2.0

ADMIN = ("127.0.0.1", 6480)


@dataclass(frozen=True)
class EtcdStatus:
    """What Fairlead says about etcd, and about the backends in front of it."""

    quorum: bool
    leader: str | None
    changes: int
    healthy: set[str]
    alarms: dict[str, list[str]]
    # Why backends are in use although their probes fail; None: no such backend.
    guard: str | None
    # State and reason by backend.
    backends: dict[str, tuple[str, str]]


class Fairlead(Balancer):
    name = "fairlead"

    def __init__(self, cluster: ControlPlane, repository: Path, host: Host | None = None) -> None:
        self.binary = Path(os.environ.get("FAIRLEAD_BINARY", repository / ".build/release/fairlead")).resolve()
        if not os.access(self.binary, os.X_OK):
            raise Failure(f"no fairlead binary at {self.binary}: run `make release`, or set FAIRLEAD_BINARY")
        super().__init__(cluster, host)

    def command(self) -> list[str]:
        return [str(self.binary), "run", "--config", str(self.configuration)]

    def write_configuration(self, options: Options) -> None:
        trust, prober = self.cluster.trust, options.prober or self.cluster.prober
        backends = "\n".join(
            f'  - {{name: {name}, address: "{master.host.address}:{API_PORT}", weight: {options.weight(name)}, '
            f"etcdMember: {name}}}"
            for name, master in self.cluster.masters.items()
            if options.listed is None or name in options.listed
        )
        members = "\n".join(
            f'  - {{name: {name}, url: "https://{master.host.address}:2379"}}'
            for name, master in self.cluster.masters.items()
        )
        etcd_prober = self.cluster.etcd_prober
        discovery, leases = "", ""
        if options.asks_kubernetes:
            discovery = f"  discovery: {{kubernetes: {{kubeconfig: {self.cluster.reader_kubeconfig}}}}}\n"
            leases = f"leases: {{kubeconfig: {self.cluster.reader_kubeconfig}}}\n"
        # slowStart is shorter than the default because its end is awaited before the next scenario.
        self.configuration.write_text(
            f"""\
apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerConfiguration
frontends:
- name: kube-apiserver
  listen: ["[::]:{API_PORT}"]
  balancing: {{algorithm: {options.algorithm}, slowStart: 3s, maxConnectionRate: {options.rate}}}
  connect: {{timeout: {options.patience}s}}
  health:
    tls: {{caFile: {trust.kubernetes.certificate}, certFile: {prober.certificate}, keyFile: {prober.key}}}
  backends:
{backends}
{discovery}{leases}\
etcd:
  members:
{members}
  tls: {{caFile: {trust.etcd.certificate}, certFile: {etcd_prober.certificate}, keyFile: {etcd_prober.key}}}
admin: {{listen: "{ADMIN[0]}:{ADMIN[1]}", socket: {self.work / "admin.sock"}}}
stateDirectory: {self.work / "state"}
shutdownGracePeriod: 1s
"""
        )

    def make_kubeconfig(self, source: Path, destination: Path) -> str:
        """Runs `fairlead kubeconfig` on the balancer's host, for the address that the configuration tells; returns what
        it says."""
        result = subprocess.run(
            self.cluster.balancer_host.command(
                *(str(self.binary), "kubeconfig", f"--config={self.configuration}", f"--kubeconfig={source}"),
                *(f"--output={destination}", "--force"),
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if result.returncode != 0:
            raise Failure(f"fairlead kubeconfig: exit {result.returncode}: {result.stderr.strip()}")
        return result.stderr

    def backends(self) -> dict[str, BackendStatus]:
        frontend = self.status()["frontends"][0]
        return {
            backend["name"]: BackendStatus(
                backend["state"], backend["reason"] or "", warming=backend["effectiveWeight"] < backend["weight"]
            )
            for backend in frontend["backends"]
        }

    def etcd(self) -> EtcdStatus:
        """What it says about etcd; OSError when it cannot be asked. Called on the balancer's host."""
        status = self.status()
        etcd, frontend = status["etcd"], status["frontends"][0]
        return EtcdStatus(
            quorum=etcd["quorum"],
            leader=etcd["leader"],
            changes=etcd["leaderChanges"],
            healthy={member["name"] for member in etcd["members"] if member["healthy"]},
            alarms={member["name"]: member["alarms"] for member in etcd["members"] if member["alarms"]},
            guard=frontend["guard"],
            backends={each["name"]: (each["state"], each["reason"]) for each in frontend["backends"]},
        )

    def host_fault(self) -> str:
        """The fault of its own host that it shows; empty: none. OSError when it cannot be asked. Called on the balancer's
        host."""
        return str(self.status()["frontends"][0].get("hostFault") or "")

    def status(self) -> dict[str, Any]:
        """All that it says of itself; OSError when it cannot be asked. Called on the balancer's host."""
        status, body = self._get("/v1/status")
        if status != 200:
            raise OSError(f"/v1/status answers {status}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def ready(self) -> bool:
        return self._get("/readyz")[0] == 200

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*ADMIN, timeout=2)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(f"{path}: {error!r}") from error
        finally:
            connection.close()
