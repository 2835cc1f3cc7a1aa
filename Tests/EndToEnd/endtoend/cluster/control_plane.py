"""Three masters, a host for the balancer and a host for clients."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..failure import Failure
from ..waiting import wait_until
from .master import API_PORT, Master, Trust
from .network import Host, Network
from .pki import Authority, Identity, signing_key, write_kubeconfig
from .programs import Programs

MASTERS = ("master-1", "master-2", "master-3")
# What the two hosts of pair/ share; the apiservers' certificates are for it too.
SHARED_ADDRESS = "10.77.0.30"
PEERS = ("haproxy", "nginx")


class ControlPlane:
    """Everything that exists before the balancer does."""

    def __init__(self, programs: Programs, work: Path) -> None:
        """`work`: where logs and keys of this run go."""
        self.work = work
        self.programs = programs
        self.network = Network()
        self.balancer_host = self.network.add_host("balancer", 10)
        self.client_host = self.network.add_host("clients", 20)
        hosts = {name: self.network.add_host(name, 11 + index) for index, name in enumerate(MASTERS)}
        self.pair_hosts = (self.network.add_host("pair-1", 31), self.network.add_host("pair-2", 32))
        # Hosts for the balancers that Fairlead is compared with, which are there for some scenarios only.
        self.peer_hosts = {name: self.network.add_host(name, 41 + index) for index, name in enumerate(PEERS)}
        peers = {name: host.address for name, host in hosts.items()}

        self.trust = _make_trust(work / "pki")
        self.prober = self.trust.kubernetes.issue("fairlead", "/CN=fairlead")
        self.etcd_prober = self.trust.etcd.issue("fairlead", "/CN=fairlead")
        balancers = [self.balancer_host.address, SHARED_ADDRESS, *(host.address for host in self.peer_hosts.values())]
        self.masters = {
            name: Master(host, peers, balancers, self.trust, programs, work)
            for name, host in hosts.items()
        }
        self.server = f"https://{self.balancer_host.address}:{API_PORT}"
        # Like config/kubernetes-access.yaml has it: a user that may read leases and endpoints, and nothing else.
        self.reader_kubeconfig = write_kubeconfig(
            work / "reader.kubeconfig", self.server, self.trust.kubernetes, self.prober
        )
        self.kubeconfig = write_kubeconfig(work / "kubeconfig", self.server, self.trust.kubernetes, self.trust.admin)
        self.shared_kubeconfig = write_kubeconfig(
            work / "shared.kubeconfig", f"https://{SHARED_ADDRESS}:{API_PORT}", self.trust.kubernetes, self.trust.admin
        )

    def kubeconfig_for(self, host: Host) -> Path:
        """An administrator's kubeconfig whose server is `host`: a balancer, or a master for clients that use none."""
        server = f"https://{host.address}:{API_PORT}"
        return write_kubeconfig(self.work / f"{host.name}.kubeconfig", server, self.trust.kubernetes, self.trust.admin)

    def start(self) -> None:
        """Starts etcd, then the apiservers, then the controllers; returns when every apiserver is ready."""
        for master in self.masters.values():
            master.etcd.start()
        for master in self.masters.values():
            wait_until(master.etcd_healthy, f"{master.name}'s etcd is healthy", within=30, log=master.etcd.log)
        self.restore()

    def restore(self) -> None:
        """Starts whatever does not run, wakes what is stopped, mends cables, and awaits three ready apiservers.

        Controllers end themselves when they lose their lease, as they do under a kubelet, which starts them again.
        """
        for master in self.masters.values():
            self.network.mend(master.name)
            master.etcd.start()
            master.apiserver.start()
        for master in self.masters.values():
            wait_until(master.ready, f"{master.name}'s apiserver is ready", within=60, log=master.apiserver.log)
        for master in self.masters.values():
            master.controller_manager.start()
            master.scheduler.start()

    def etcd_leader(self) -> Master:
        return wait_until(
            lambda: next((master for master in self.masters.values() if master.leads_etcd()), None),
            "etcd has a leader",
            within=15,
        )

    def kubectl(self, *arguments: str, within: float = 20, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kubectl on the clients' host, through the balancer."""
        command = self.client_host.command(*self.kubectl_command(*arguments))
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=within, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as expired:
            raise Failure(f"kubectl {' '.join(arguments)}: no end within {within:.0f} s") from expired
        if check and result.returncode != 0:
            raise Failure(f"kubectl {' '.join(arguments)}: exit {result.returncode}: {result.stderr.strip()}")
        return result

    def kubectl_command(self, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        return [
            str(self.programs.kubectl),
            f"--kubeconfig={kubeconfig or self.kubeconfig}",
            f"--cache-dir={self.work / 'kubectl-cache'}",
            *arguments,
        ]

    def connections(self, host: Host) -> set[str]:
        """The peers `address:port` of established connections to the apiserver on `host` that come through the
        balancer, as the kernel of that master counts them (ss(8))."""
        found = subprocess.run(
            host.command("ss", "-Htn", "state", "established", f"( sport = :{API_PORT} )"),
            capture_output=True,
            text=True,
            check=True,
        )
        peers = (line.split()[3].replace("[::ffff:", "").replace("]", "") for line in found.stdout.splitlines())
        return {peer for peer in peers if peer.startswith(f"{self.balancer_host.address}:")}

    def stop(self) -> None:
        """Ends every program on the masters."""
        for master in self.masters.values():
            for process in reversed(master.processes):
                process.stop(within=0.2)


def _make_trust(folder: Path) -> Trust:
    kubernetes = Authority(folder, "kubernetes")
    etcd = Authority(folder / "etcd", "etcd-ca")
    front_proxy = Authority(folder / "front-proxy", "front-proxy-ca")
    service_accounts: Identity = signing_key(folder)
    return Trust(
        kubernetes=kubernetes,
        etcd=etcd,
        front_proxy=front_proxy,
        service_accounts=service_accounts,
        admin=kubernetes.issue("admin", "/O=system:masters/CN=kubernetes-admin"),
        apiserver_etcd_client=etcd.issue("apiserver-etcd-client", "/O=system:masters/CN=kube-apiserver-etcd-client"),
        front_proxy_client=front_proxy.issue("front-proxy-client", "/CN=front-proxy-client"),
        controller_manager=kubernetes.issue("controller-manager", "/CN=system:kube-controller-manager"),
        scheduler=kubernetes.issue("scheduler", "/CN=system:kube-scheduler"),
    )
