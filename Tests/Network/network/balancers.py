"""Fairlead, HAProxy and nginx in front of the same two servers, each on a host of its own."""

from __future__ import annotations

import os
from pathlib import Path

from endtoend.cluster.network import Host, Network
from endtoend.cluster.process import Process
from endtoend.failure import Failure
from endtoend.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
PORTS = (7001, 7002)
SERVER_PORT = 7000
NAMES = ("fairlead", "haproxy", "nginx")
ADMIN_PORT = 6480


class Balancer:
    """One balancer: PORTS[0] leads to the first server, PORTS[1] to the second."""

    def __init__(self, name: str, host: Host, servers: tuple[str, str], work: Path) -> None:
        self.name = name
        self.host = host
        configuration = work / f"{name}.configuration"
        configuration.write_text(_CONFIGURATIONS[name](servers, work))
        self.process = Process(name, host, _command(name, configuration), work / f"{name}.log")

    def start(self) -> None:
        if self.name == "nginx":
            # proxy_socket_keepalive takes the times of the system.
            self.host.call(_tune_keepalive)
        self.process.start()
        wait_until(self._listens, f"{self.name} listens", within=15, log=self.process.log)

    def _listens(self) -> bool:
        self.process.require_running()
        found = self.host.call(
            lambda: "".join(Path(f"/proc/thread-self/net/{name}").read_text() for name in ("tcp", "tcp6"))
        )
        return all(f":{port:04X} " in found for port in PORTS)


def start_balancers(network: Network, servers: tuple[str, str], work: Path) -> dict[str, Balancer]:
    balancers = {}
    for number, name in enumerate(NAMES, 2):
        balancers[name] = Balancer(name, network.add_host(name, number), servers, work)
        balancers[name].start()
    return balancers


def _command(name: str, configuration: Path) -> list[str]:
    if name == "haproxy":
        return ["haproxy", "-db", "-f", str(configuration)]
    if name == "nginx":
        return ["nginx", "-c", str(configuration)]
    return [str(binary()), "run", "--config", str(configuration)]


def binary() -> Path:
    """The Fairlead that is measured."""
    path = Path(os.environ.get("FAIRLEAD_BINARY", REPOSITORY / ".build/release/fairlead")).resolve()
    if not os.access(path, os.X_OK):
        raise Failure(f"no fairlead binary at {path}: run `make release`, or set FAIRLEAD_BINARY")
    return path


def _tune_keepalive() -> None:
    for name, value in (("time", 15), ("intvl", 5), ("probes", 3)):
        Path(f"/proc/sys/net/ipv4/tcp_keepalive_{name}").write_text(str(value))


def _fairlead(servers: tuple[str, str], work: Path) -> str:
    """All times are the defaults. The probes are far apart: what TCP finds out is measured, not what probes do."""
    frontends = "\n".join(
        f"""\
- name: frontend-{port}
  listen: ["0.0.0.0:{port}"]
  health: {{protocol: tcp, interval: 1h}}
  backends:
  - {{name: server-{port}, address: "{server}:{SERVER_PORT}"}}"""
        for port, server in zip(PORTS, servers, strict=True)
    )
    return f"""\
apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerConfiguration
frontends:
{frontends}
admin: {{listen: "127.0.0.1:{ADMIN_PORT}", socket: {work / "admin.sock"}}}
stateDirectory: {work / "state"}
shutdownGracePeriod: 1s
"""


def _haproxy(servers: tuple[str, str], _: Path) -> str:
    """As in the end-to-end suite (`tcp-ut`), and with the times of keepalive."""
    proxies = "\n".join(
        f"listen proxy-{port}\n  bind :{port} tcp-ut 15s\n  server server {server}:{SERVER_PORT} tcp-ut 15s"
        for port, server in zip(PORTS, servers, strict=True)
    )
    return f"""\
global
  maxconn 8000
defaults
  mode tcp
  timeout connect 1s
  timeout client 24h
  timeout server 24h
  option clitcpka
  clitcpka-idle 15s
  clitcpka-intvl 5s
  clitcpka-cnt 3
  option srvtcpka
  srvtcpka-idle 15s
  srvtcpka-intvl 5s
  srvtcpka-cnt 3
{proxies}
"""


def _nginx(servers: tuple[str, str], work: Path) -> str:
    """As in the benchmarks."""
    proxies = "\n".join(
        f"  server {{ listen {port} so_keepalive=15s:5s:3; proxy_pass {server}:{SERVER_PORT}; }}"
        for port, server in zip(PORTS, servers, strict=True)
    )
    return f"""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
daemon off;
events {{ worker_connections 8000; }}
stream {{
  proxy_socket_keepalive on;
  proxy_half_close on;
  tcp_nodelay on;
  proxy_timeout 24h;
{proxies}
}}
"""


_CONFIGURATIONS = {"fairlead": _fairlead, "haproxy": _haproxy, "nginx": _nginx}
