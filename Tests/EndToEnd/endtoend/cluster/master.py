"""One master in stacked topology: etcd, and a kube-apiserver that talks to this etcd member only.

The flags are those of kubeadm. What differs: etcd does not wait for the disk, and nothing is restarted behind the
suite's back, because there is no kubelet.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .network import Host
from .pki import Authority, Identity, write_kubeconfig
from .process import Process
from .programs import Programs

API_PORT = 6443
SERVICE_RANGE = "10.96.0.0/12"


@dataclass(frozen=True)
class Trust:
    """What all masters share: authorities, client identities, the key of the service accounts."""

    kubernetes: Authority
    etcd: Authority
    front_proxy: Authority
    service_accounts: Identity
    admin: Identity
    apiserver_etcd_client: Identity
    front_proxy_client: Identity
    controller_manager: Identity
    scheduler: Identity


class Master:
    """The four programs of one master, and questions to its apiserver and etcd that bypass the balancer."""

    def __init__(
        self, host: Host, peers: dict[str, str], balancers: list[str], trust: Trust, programs: Programs, work: Path
    ) -> None:
        """`peers`: name to address of every master; `balancers`: the addresses that clients use."""
        self.host = host
        self.name = host.name
        self._trust = trust
        self._programs = programs
        self._folder = work / host.name
        self._folder.mkdir(parents=True, exist_ok=True)
        names = [f"IP:{host.address}", "IP:127.0.0.1", "DNS:localhost"]
        self._serving = trust.kubernetes.issue(
            f"{self.name}-apiserver",
            f"/CN={self.name}",
            [*names, *(f"IP:{each}" for each in balancers), "IP:10.96.0.1", "DNS:kubernetes", "DNS:kubernetes.default.svc"],
        )
        self._etcd_identity = trust.etcd.issue(f"{self.name}-etcd", f"/CN={self.name}", names)

        self.etcd = self._process("etcd", [str(programs.etcd), *self._etcd_flags(peers)])
        self.apiserver = self._process("apiserver", [programs.apiserver, *self._apiserver_flags()])
        self.controller_manager = self._process(
            "controller-manager", [programs.controller_manager, *self._controller_manager_flags()]
        )
        self.scheduler = self._process("scheduler", [programs.scheduler, *self._scheduler_flags()])
        self._context = ssl.create_default_context(cafile=str(trust.kubernetes.certificate))
        self._context.load_cert_chain(str(trust.admin.certificate), str(trust.admin.key))
        self._etcd_context = ssl.create_default_context(cafile=str(trust.etcd.certificate))
        self._etcd_context.load_cert_chain(
            str(trust.apiserver_etcd_client.certificate), str(trust.apiserver_etcd_client.key)
        )

    @property
    def processes(self) -> list[Process]:
        return [self.etcd, self.apiserver, self.controller_manager, self.scheduler]

    def ready(self) -> bool:
        """Whether the apiserver itself says that it is ready. May be asked from any thread."""
        return self.host.call(self.ready_from_here)

    def ready_from_here(self) -> bool:
        """The same, asked by a thread that is on this master's host already."""
        return self._get(API_PORT, "/readyz", self._context) is not None

    def etcd_healthy(self) -> bool:
        return self.host.call(lambda: self._get(2379, "/health", self._etcd_context) is not None)

    def leads_etcd(self) -> bool:
        """Whether this master's etcd member leads (v3 gateway: `leader` is the member's own id)."""
        status = self.host.call(self.etcd_status_from_here)
        return status is not None and bool(status.get("leader") == status["header"]["member_id"])

    def etcd_status_from_here(self) -> dict[str, Any] | None:
        """The member's own status; asked by a thread that is on this master's host already."""
        return self._ask_etcd("/v3/maintenance/status", {})

    def ask_etcd(self, path: str, question: dict[str, Any]) -> dict[str, Any] | None:
        """What the member's v3 gateway answers to a POST; None for anything but a 200."""
        return self.host.call(lambda: self._ask_etcd(path, question))

    def _ask_etcd(self, path: str, question: dict[str, Any]) -> dict[str, Any] | None:
        answer = self._get(2379, path, self._etcd_context, method="POST", body=json.dumps(question))
        return None if answer is None else json.loads(answer)

    def _get(
        self, port: int, path: str, context: ssl.SSLContext, method: str = "GET", body: str | None = None
    ) -> bytes | None:
        """The body of a 200, or None for anything else. On loopback, so a cut cable does not matter."""
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=context)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
            return answer if response.status == 200 else None
        except OSError:
            return None
        except http.client.HTTPException:
            return None
        finally:
            connection.close()

    def _process(self, name: str, command: list[str]) -> Process:
        return Process(f"{self.name}'s {name}", self.host, command, self._folder / f"{name}.log")

    def _etcd_flags(self, peers: dict[str, str]) -> list[str]:
        address, identity = self.host.address, self._etcd_identity
        return [
            f"--name={self.name}",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379",
            f"--advertise-client-urls=https://{address}:2379",
            f"--listen-peer-urls=https://{address}:2380",
            f"--initial-advertise-peer-urls=https://{address}:2380",
            "--initial-cluster=" + ",".join(f"{name}=https://{peer}:2380" for name, peer in peers.items()),
            "--initial-cluster-state=new",
            f"--cert-file={identity.certificate}",
            f"--key-file={identity.key}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={self._trust.etcd.certificate}",
            f"--peer-cert-file={identity.certificate}",
            f"--peer-key-file={identity.key}",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={self._trust.etcd.certificate}",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--unsafe-no-fsync",
        ]

    def _apiserver_flags(self) -> list[str]:
        trust = self._trust
        return [
            f"--advertise-address={self.host.address}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={trust.kubernetes.certificate}",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            f"--etcd-cafile={trust.etcd.certificate}",
            f"--etcd-certfile={trust.apiserver_etcd_client.certificate}",
            f"--etcd-keyfile={trust.apiserver_etcd_client.key}",
            "--etcd-servers=https://127.0.0.1:2379",
            *(["--insecure-port=0"] if self._programs.has_insecure_ports else []),
            f"--proxy-client-cert-file={trust.front_proxy_client.certificate}",
            f"--proxy-client-key-file={trust.front_proxy_client.key}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--requestheader-client-ca-file={trust.front_proxy.certificate}",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--secure-port={API_PORT}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={trust.service_accounts.certificate}",
            f"--service-account-signing-key-file={trust.service_accounts.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
        ]

    def _controller_manager_flags(self) -> list[str]:
        trust, kubeconfig = self._trust, self._kubeconfig("controller-manager", self._trust.controller_manager)
        return [
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--client-ca-file={trust.kubernetes.certificate}",
            f"--cluster-signing-cert-file={trust.kubernetes.certificate}",
            f"--cluster-signing-key-file={trust.kubernetes.identity.key}",
            "--controllers=*,bootstrapsigner,tokencleaner",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=true",
            *(["--port=0"] if self._programs.has_insecure_ports else []),
            f"--requestheader-client-ca-file={trust.front_proxy.certificate}",
            f"--root-ca-file={trust.kubernetes.certificate}",
            f"--service-account-private-key-file={trust.service_accounts.key}",
            "--use-service-account-credentials=true",
        ]

    def _scheduler_flags(self) -> list[str]:
        kubeconfig = self._kubeconfig("scheduler", self._trust.scheduler)
        return [
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=true",
            *(["--port=0"] if self._programs.has_insecure_ports else []),
        ]

    def _kubeconfig(self, name: str, user: Identity) -> Path:
        """For this master's own controllers: like kubeadm since 1.19, they talk to their own apiserver."""
        server = f"https://{self.host.address}:{API_PORT}"
        return write_kubeconfig(self._folder / f"{name}.kubeconfig", server, self._trust.kubernetes, user)
