"""The service in the container, as systemd and the admin port show it."""

from __future__ import annotations

import json

from .container import Container
from .failure import expect, until

BACKEND_PORTS = (7001, 7002, 7003)

# Answers /readyz and /livez, on the port that is its argument.
BACKEND = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

BACKEND_UNIT = """
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/backend.py %i
[Install]
WantedBy=multi-user.target
"""


def configuration(ports: tuple[int, ...] = BACKEND_PORTS, listen: str = "127.0.0.1:6443") -> str:
    """A file with one frontend before these backends."""
    backends = "\n".join(f'  - {{name: m{port}, address: "127.0.0.1:{port}"}}' for port in ports)
    return f"""apiVersion: fairlead.dev/v1alpha1
kind: LoadBalancerConfiguration
frontends:
- name: api
  listen: ["{listen}"]
  health: {{protocol: http, interval: 200ms, timeout: 5s, rise: 1, fall: 2}}
  backends:
{backends}
"""


class Service:
    """fairlead.service."""

    FILE = "/etc/fairlead/fairlead.yaml"

    def __init__(self, container: Container) -> None:
        self.container = container

    def configure(self, text: str) -> None:
        """Writes the configuration file."""
        self.container.write(self.FILE, text)

    def systemctl(self, *arguments: str, check: bool = True) -> int:
        """Runs systemctl and returns its exit status."""
        return self.container.run("systemctl", *arguments, check=check).returncode

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.container.run("systemctl", "show", "--value", f"--property={name}", "fairlead").stdout.strip()

    @property
    def pid(self) -> int:
        """Of the main process; 0 while there is none."""
        return int(self.show("MainPID"))

    @property
    def status(self) -> dict:
        """/v1/status."""
        return json.loads(self.container.run("fairlead", "status", "-o", "json", check=False).stdout)

    @property
    def generation(self) -> int:
        """Of the configuration in force."""
        return self.status["configuration"]["generation"]

    def entries(self, *matches: str) -> list[dict]:
        """Entries of the journal with these fields, the oldest first."""
        text = self.container.run("journalctl", "--output=json", "--no-pager", "--unit=fairlead", *matches).stdout
        return [json.loads(line) for line in text.splitlines()]

    def has_logged(self, text: str) -> bool:
        """Whether an entry of the unit, or of systemd about it, has this text."""
        return any(text in str(entry.get("MESSAGE")) for entry in self.entries())

    def await_text(self, text: str) -> None:
        """Waits until the status line is this one."""
        until(f"the status line {text!r}", lambda: self.show("StatusText") == text, lambda: self.show("StatusText"))

    def await_serving(self, text: str = "3/3 backends up, 0 connections") -> None:
        """Waits until the unit is active and its status line is this one."""
        until("the unit to be active", lambda: self.show("ActiveState") == "active", lambda: self.show("ActiveState"))
        self.await_text(text)

    def await_restart(self, former: int, restarts: int) -> None:
        """Waits until systemd has brought it back in another process, `restarts` times in all."""
        until(
            "another process",
            lambda: self.pid not in (0, former) and self.show("ActiveState") == "active",
            lambda: f"process {self.pid}, {self.show('ActiveState')}, {self.show('Result')}",
        )
        count = self.show("NRestarts")
        expect(count == str(restarts), f"systemd has restarted it {count} times, not {restarts}")
