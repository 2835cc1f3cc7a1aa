"""HAProxy, tuned for this job as well as it can be, so that the two can be compared in the same scenarios."""

from __future__ import annotations

import csv
import socket

from ..cluster.master import API_PORT
from ..cluster.pki import Identity
from .interface import BackendStatus, Balancer, Options

ALGORITHMS = {"leastConnections": "leastconn", "roundRobin": "roundrobin", "sourceHash": "source"}


class HAProxy(Balancer):
    name = "haproxy"

    def command(self) -> list[str]:
        return ["haproxy", "-db", "-f", str(self.configuration)]

    def write_configuration(self, options: Options) -> None:
        bundle = self.work / "prober.pem"
        bundle.write_text(_bundle(options.prober or self.cluster.prober))
        servers = "\n".join(
            f"  server {name} {master.host.address}:{API_PORT} weight {options.weight(name)}"
            for name, master in self.cluster.masters.items()
        )
        self.configuration.write_text(
            f"""\
global
  stats socket {self.work}/stats.sock mode 600 level admin
  maxconn 8000
  log stderr format raw local0 notice
defaults
  mode tcp
  log global
  timeout connect 1s
  timeout client 24h
  timeout server 24h
  timeout check 1s
  retries 3
  option redispatch 1
  option clitcpka
  option srvtcpka
frontend kube-apiserver
  bind :::{API_PORT} v4v6 tcp-ut 15s
  default_backend masters
backend masters
  balance {ALGORITHMS[options.algorithm]}
  option httpchk GET /readyz
  http-check expect status 200
  default-server check check-ssl verify required ca-file {self.cluster.trust.kubernetes.certificate} crt {bundle} \
inter 1s fastinter 200ms downinter 200ms fall 2 rise 2 tcp-ut 15s on-marked-down shutdown-sessions
{servers}
"""
        )

    def use_renewed_prober(self, prober: Identity) -> None:
        """Over the runtime API, without a reload (`set ssl cert` in HAProxy's management guide)."""
        bundle = self.work / "prober.pem"
        self._ask(f"set ssl cert {bundle} <<\n{_bundle(prober)}\n")
        self._ask(f"commit ssl cert {bundle}\n")

    def backends(self) -> dict[str, BackendStatus]:
        rows = csv.DictReader(self._ask("show stat\n").removeprefix("# ").splitlines())
        return {
            row["svname"]: BackendStatus("up" if row["status"].startswith("UP") else "down", row["last_chk"] or "")
            for row in rows
            if row["pxname"] == "masters" and row["svname"] in self.cluster.masters
        }

    def ready(self) -> bool:
        return bool(self.backends())

    def _ask(self, command: str) -> str:
        """The answer of the runtime API."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(self.work / "stats.sock"))
            connection.sendall(command.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer.decode()


def _bundle(prober: Identity) -> str:
    return prober.certificate.read_text() + prober.key.read_text()
