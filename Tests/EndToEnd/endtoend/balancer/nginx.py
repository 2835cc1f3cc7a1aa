"""nginx's stream module, tuned for this job as well as it can be, so that the three can be compared.

The free version probes nothing: a backend is left out for a while after failed connects, and is never said to be down.
"""

from __future__ import annotations

import socket

from ..cluster.master import API_PORT
from ..failure import Failure
from .interface import BackendStatus, Balancer, Options

METHODS = {"leastConnections": "least_conn;", "roundRobin": "", "sourceHash": "hash $remote_addr consistent;"}


class Nginx(Balancer):
    name = "nginx"
    tells_states = False

    def command(self) -> list[str]:
        return ["nginx", "-p", str(self.work), "-c", str(self.configuration), "-e", "stderr"]

    def write_configuration(self, options: Options) -> None:
        if 0 in options.weights.values():
            raise Failure("nginx has no weight 0")
        # A backend that failed is tried again soon: with the default of 10 s a short fault of this host would leave no
        # backend for long.
        servers = "\n".join(
            f"    server {master.host.address}:{API_PORT} weight={options.weight(name)} max_fails=2 fail_timeout=2s;"
            for name, master in self.cluster.masters.items()
        )
        self.configuration.write_text(
            f"""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
pid {self.work}/nginx.pid;
worker_processes 2;
worker_rlimit_nofile 19000;
events {{ worker_connections 9000; multi_accept on; }}
stream {{
  proxy_connect_timeout 1s;
  proxy_next_upstream on;
  proxy_next_upstream_tries 3;
  proxy_next_upstream_timeout 3s;
  proxy_socket_keepalive on;
  proxy_half_close on;
  proxy_timeout 24h;
  tcp_nodelay on;
  upstream masters {{
    zone masters 256k;
    {METHODS[options.algorithm]}
{servers}
  }}
  server {{ listen [::]:{API_PORT} ipv6only=off reuseport backlog=4096 so_keepalive=15s:5s:3; proxy_pass masters; }}
}}
"""
        )

    def backends(self) -> dict[str, BackendStatus]:
        return {name: BackendStatus("up", "nginx tells no state") for name in self.cluster.masters}

    def ready(self) -> bool:
        socket.create_connection((self.host.address, API_PORT), timeout=1).close()
        return True
