"""What is checked of the service, in this order: each begins with the service as the one before has left it, serving three backends."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .failure import expect
from .unit import BACKEND_PORTS, Service, configuration
from .upgrade import bad_upgrades_are_refused, upgrades_under_load

REPOSITORY = Path(__file__).resolve().parents[3]
CAP_NET_BIND_SERVICE = 1 << 10
BAD = configuration().replace("rise: 1", "rise: many").replace("listen:", "lisen:")


def starts(service: Service) -> None:
    """Enabled and started, it runs as its own user without capabilities, and says how it does."""
    service.systemctl("enable", "--now", "fairlead")
    service.await_serving()
    expect(service.show("User") == "fairlead", "it has another user than fairlead")
    expect(_process_line(service, "Uid").split()[0] != "0", "it runs as root")
    expect(_capabilities(service) == 0, f"it has the capabilities {_capabilities(service):x}")
    owner = service.container.run("stat", "--format=%U", "/run/fairlead", "/var/lib/fairlead").stdout.split()
    expect(owner == ["fairlead"] * 2, f"its folders belong to {owner}")


def status_is_live(service: Service) -> None:
    """The status line follows connections and backends."""
    client = service.container.start(
        "python3", "-c",
        "import socket, sys; s = socket.create_connection(('127.0.0.1', 6443)); "
        "s.sendall(b'GET /livez HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n'); s.recv(1); sys.stdin.read()",
    )  # fmt: skip
    service.await_text("3/3 backends up, 1 connection")
    client.communicate()
    service.await_text("3/3 backends up, 0 connections")
    service.systemctl("stop", f"backend@{BACKEND_PORTS[2]}")
    service.await_text("2/3 backends up, 0 connections")
    service.systemctl("start", f"backend@{BACKEND_PORTS[2]}")
    service.await_text("3/3 backends up, 0 connections")


def journal_has_fields(service: Service) -> None:
    """Transitions are entries of the journal with fields of their own."""
    entries = service.entries(f"FAIRLEAD_BACKEND=m{BACKEND_PORTS[2]}", "FAIRLEAD_TO=down")
    expect(bool(entries), "no entry tells that the backend went down")
    entry = entries[0]
    for name, value in {"FAIRLEAD_FRONTEND": "api", "PRIORITY": "5", "SYSLOG_IDENTIFIER": "fairlead"}.items():
        expect(entry.get(name) == value, f"{name} is {entry.get(name)!r}, not {value!r}")
    expect(bool(entry.get("FAIRLEAD_REASON")), "the entry has no FAIRLEAD_REASON")
    expect(" is down" in entry["MESSAGE"] and "frontend=" not in entry["MESSAGE"], f"odd message: {entry['MESSAGE']}")


def reload_applies(service: Service) -> None:
    """`systemctl reload` applies a changed file in the same process, and so does SIGHUP."""
    pid, generation = service.pid, service.generation
    service.configure(configuration(BACKEND_PORTS[:2]))
    service.systemctl("reload", "fairlead")
    # It has been applied by the time that systemctl returns.
    expect(service.generation == generation + 1, "the file has not been applied")
    service.await_serving("2/2 backends up, 0 connections")
    service.configure(configuration())
    service.systemctl("kill", "--kill-whom=main", "--signal=HUP", "fairlead")
    service.await_serving()
    expect(service.generation == generation + 2, "SIGHUP has not been applied once")
    expect(service.pid == pid, "it is another process")


def bad_reload_fails(service: Service) -> None:
    """`systemctl reload` fails with a bad file, everybody can see why, and the former configuration goes on."""
    pid, generation = service.pid, service.generation
    service.configure(BAD)
    code = service.systemctl("reload", "fairlead", check=False)
    expect(code != 0, "systemctl reload has succeeded with a bad file")
    text = service.show("StatusText")
    expect(text.startswith(f"reload failed: {Service.FILE}:"), f"the status line is {text!r}")
    expect(service.show("ActiveState") == "active" and service.pid == pid, "it does not go on")
    for fault in ("frontends[0].lisen", "frontends[0].health.rise"):
        expect(service.has_logged(fault), f"the journal does not have the fault {fault}")
    expect(service.generation == generation, "a bad file has been applied")
    expect(service.container.run("fairlead", "reload", check=False).returncode == 78, "fairlead reload does not exit 78")
    service.configure(configuration())
    service.systemctl("reload", "fairlead")
    service.await_serving()


def restarts(service: Service) -> None:
    """`systemctl restart` brings another process, at once and without a failure."""
    former = service.pid
    service.systemctl("restart", "fairlead")
    service.await_serving()
    expect(service.pid != former, "it is the same process")
    expect(service.show("Result") == "success", f"the result is {service.show('Result')}")


def comes_back_after_a_kill(service: Service) -> None:
    """SIGKILL: systemd brings it back."""
    former = service.pid
    service.systemctl("kill", "--kill-whom=main", "--signal=KILL", "fairlead")
    service.await_restart(former, restarts=1)
    service.await_serving()


def comes_back_after_a_hang(service: Service) -> None:
    """SIGSTOP: the watchdog ends it, and systemd brings it back."""
    former = service.pid
    service.systemctl("kill", "--kill-whom=main", "--signal=STOP", "fairlead")
    service.await_restart(former, restarts=2)
    service.await_serving()
    expect(service.has_logged("Watchdog timeout"), "the journal does not tell of a watchdog")


def bad_start_fails(service: Service) -> None:
    """With a bad file it does not start, the journal tells why, and it starts by itself once the file is right."""
    service.systemctl("stop", "fairlead")
    expect(service.show("Result") == "success", f"the stop's result is {service.show('Result')}")
    service.configure(BAD)
    expect(service.systemctl("start", "fairlead", check=False) != 0, "it starts with a bad file")
    expect(service.has_logged("frontends[0].lisen"), "the journal does not have the fault")
    service.configure(configuration())
    service.await_serving()


def low_port(service: Service) -> None:
    """With the drop-in of the examples it listens on a port below 1024, with that one capability."""
    drop_in = "/etc/systemd/system/fairlead.service.d/low-port.conf"
    service.configure(configuration(listen="127.0.0.1:443"))
    service.container.run("mkdir", "-p", drop_in.rpartition("/")[0])
    service.container.run("cp", "/usr/share/fairlead/low-port.conf", drop_in)
    service.systemctl("daemon-reload")
    service.systemctl("restart", "fairlead")
    service.await_serving()
    expect(service.status["frontends"][0]["listen"] == ["127.0.0.1:443"], "it does not listen on port 443")
    expect(_capabilities(service) == CAP_NET_BIND_SERVICE, f"it has the capabilities {_capabilities(service):x}")
    service.container.run("rm", "-r", drop_in.rpartition("/")[0])
    service.configure(configuration())
    service.systemctl("daemon-reload")
    service.systemctl("restart", "fairlead")
    service.await_serving()


def is_hardened(service: Service) -> None:
    """systemd-analyze security says 1.5 or better of the unit as it is loaded, and nothing was denied that it needs."""
    text = service.container.run("systemd-analyze", "security", "--no-pager", "fairlead.service", check=False).stdout
    found = re.search(r"Overall exposure level for fairlead.service: ([0-9.]+)", text)
    expect(found is not None and float(found[1]) <= 1.5, f"systemd-analyze says {text[-200:]}")
    print(f"    exposure {found[1] if found else '?'}")


def stops(service: Service) -> None:
    """`systemctl stop` ends it cleanly."""
    service.systemctl("stop", "fairlead")
    expect(service.show("Result") == "success", f"the result is {service.show('Result')}")
    expect(service.show("ActiveState") == "inactive", f"it is {service.show('ActiveState')}")
    left = service.container.run("test", "-e", "/run/fairlead", check=False)
    expect(left.returncode != 0, "/run/fairlead is left")


CHECKS: list[Callable[[Service], None]] = [
    starts, status_is_live, journal_has_fields, reload_applies, bad_reload_fails, bad_upgrades_are_refused,
    upgrades_under_load, restarts, comes_back_after_a_kill, comes_back_after_a_hang, bad_start_fails, low_port,
    is_hardened,
]  # fmt: skip


def _process_line(service: Service, name: str) -> str:
    text = service.container.run("cat", f"/proc/{service.pid}/status").stdout
    return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:"))


def _capabilities(service: Service) -> int:
    return int(_process_line(service, "CapEff"), 16)
