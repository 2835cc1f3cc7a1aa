"""What outlives the process, connections and listeners, over a restart and a kill, and what a stop ends all the same."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from .checks import REPOSITORY
from .failure import expect, until
from .streams import PORTS, Streams, longest_pause
from .unit import Service, configuration

PAIRS = 4000
BUSY = 400
# The bound of a restart's pause.
RESTART_PAUSE_MS = 500
# Long enough that what a machine does besides is in the baseline.
BASELINE_SECONDS = 3.0
SOCKET_UNIT = "fairlead.socket"

# Becomes `fairlead run` with descriptors as systemd passes them. Its argument says what is wrong with the state.
FORGED = """
import array, os, socket, sys
def memory(content, seals=0xf):
    import fcntl
    descriptor = os.memfd_create("forged", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    fcntl.fcntl(descriptor, 1033, seals)
    return descriptor
def header(part, total, count):
    return b"FLPARK01" + b"".join(number.to_bytes(4, "little") for number in (part, total, count))
whole = b"FAIRLEAD" + (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
client, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
states = {
    "newer": [(header(0, 1, 2), [memory(b"FAIRLEAD" + (99).to_bytes(4, "little") + whole[12:]), peer.fileno()])],
    "truncated": [(header(0, 1, 2), [memory(whole[:10]), peer.fileno()])],
    "empty": [(header(0, 1, 2), [memory(whole), peer.fileno()])],
    "garbage": [(header(0, 1, 1), [memory(os.urandom(4096))])],
    "unsealed": [(header(0, 1, 1), [memory(whole, 0x1)])],
    "incomplete": [(header(0, 2, 2), [memory(whole), peer.fileno()])],
    "foreign": [(b"something else", [peer.fileno()])],
    "no-memory": [(header(0, 1, 1), [peer.fileno()])],
}
entrance, leave = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
for content, descriptors in states[sys.argv[1]]:
    entrance.sendmsg([content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
peer.close()
passed = [entrance.fileno(), leave.fileno()]
copies = [os.dup2(os.dup(descriptor), 60 + number) for number, descriptor in enumerate(passed)]
for number, copy in enumerate(copies):
    os.dup2(copy, 3 + number, inheritable=True)
os.closerange(5, 100)
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="handover-0-in:handover-0-out", LISTEN_PID=str(os.getpid()))
os.execv("/usr/bin/fairlead", ["fairlead", "run", *sys.argv[2:]])
"""
FORGERIES = ("newer", "truncated", "empty", "garbage", "unsealed", "incomplete", "foreign", "no-memory")


def restart_keeps_connections(service: Service) -> None:
    """`systemctl restart` ends no connection, loses no byte, and stops none for more than half a second."""
    streams = _begin(service)
    former = service.pid
    baseline = streams.phase("restart")
    service.systemctl("restart", "fairlead")
    _await_connections(service, PAIRS)
    expect(service.pid != former, "it is the same process")
    restart = streams.phase("after")
    after = streams.end()
    _expect_intact(baseline, restart, after)
    pause = longest_pause(restart)
    print(f"    {PAIRS} pairs, {BUSY} of them busy: 0 dropped; longest pause {pause:.0f} ms, "
          f"{longest_pause(baseline):.0f} ms before")  # fmt: skip
    expect(pause < RESTART_PAUSE_MS, f"a stream has paused for {pause:.0f} ms")
    expect(service.has_logged(f"{PAIRS} connections go on"), "the journal does not tell of the connections")


def restarts_in_a_row(service: Service) -> None:
    """Five restarts one after the other: no connection ends, no byte is lost, and no descriptor stays behind."""
    streams = _begin(service)
    reports = [streams.phase("restarts")]
    open_before = _descriptors(service)
    for _ in range(5):
        service.systemctl("restart", "fairlead")
        _await_connections(service, PAIRS)
    until("the cover", lambda: _covered(service) == PAIRS, lambda: _covered(service))
    open_after = _descriptors(service)
    reports += [streams.phase("after"), streams.end()]
    _expect_intact(*reports)
    expect(abs(open_after - open_before) < 20, f"{open_before} descriptors were open, and {open_after} are")


def restart_does_not_wait_for_a_file_that_hangs(service: Service) -> None:
    """A reload that hangs over its file keeps no restart waiting, and no connection from outliving it."""
    service.configure(configuration())
    service.systemctl("restart", "fairlead")
    service.await_serving()
    client = service.container.start("python3", "-c", _CONNECT.replace("print", "str") + "; input()")
    service.await_text("3/3 backends up, 1 connection")
    service.container.run("rm", service.FILE)
    service.container.run("mkfifo", "--mode=644", service.FILE)
    service.systemctl("kill", "--kill-whom=main", "--signal=HUP", "fairlead")
    writer = service.container.start("python3", "-c", _HOLD_OPEN, service.FILE, output=subprocess.PIPE)
    assert writer.stdout is not None
    expect(writer.stdout.readline() == b"read\n", "nobody reads the file")
    service.container.run("rm", service.FILE)
    service.configure(configuration())
    started = time.monotonic()
    service.systemctl("restart", "fairlead")
    seconds = time.monotonic() - started
    service.await_serving("3/3 backends up, 1 connection")
    print(f"    restarted in {seconds:.1f} s")
    expect(seconds < 5, f"the restart has taken {seconds:.1f} s")
    writer.communicate()
    client.communicate(b"\n")
    service.await_serving()


def kill_keeps_what_was_clean(service: Service) -> None:
    """SIGKILL under thousands of idle watches: it is back within a second, with all that were clean at that moment."""
    streams = _begin(service, busy=0)
    until("the cover", lambda: _covered(service) == PAIRS, lambda: _covered(service))
    former = service.pid
    streams.phase("kill")
    started = time.monotonic()
    service.systemctl("kill", "--kill-whom=main", "--signal=KILL", "fairlead")
    until("another process", lambda: _is_back(service, former), lambda: service.show("ActiveState"))
    seen = time.monotonic() - started
    kill = streams.phase("after")
    after = streams.end()
    survivors = kill["alive"]
    pause = longest_pause(kill)
    print(f"    {survivors} of {PAIRS} have survived ({100 * survivors / PAIRS:.2f} %); longest pause of those "
          f"{pause:.0f} ms, answering after {1000 * seen:.0f} ms")  # fmt: skip
    expect(kill["wrongBytes"] == after["wrongBytes"] == 0, "bytes have changed")
    expect(after["lostBytes"] == 0 and after["dropped"] == 0, f"survivors are not well: {after}")
    expect(survivors == kill["serverAlive"], f"{survivors} clients live, and {kill['serverAlive']} servers")
    # A worker has one connection in hand at a time; there are two here, and the machine may have more.
    expect(survivors >= PAIRS - 16, f"only {survivors} have survived")
    expect(pause < 1000, f"it was away for {pause:.0f} ms")


def stop_ends_all(service: Service) -> None:
    """`systemctl stop` ends every connection, at once and for certain, though the store had them all."""
    streams = _begin(service, settings="shutdownGracePeriod: 0s\n")
    until("the cover", lambda: _covered(service) == PAIRS, lambda: _covered(service))
    streams.phase("stop")
    service.systemctl("stop", "fairlead")
    report = streams.phase("after")
    streams.end()
    print(f"    {report['dropped']} ended, the last {report['lastEndMs'] - report['firstEndMs']:.0f} ms after the first")
    expect(report["alive"] == 0, f"{report['alive']} clients are connected after the stop")
    expect(report["serverAlive"] == 0, f"{report['serverAlive']} backends are connected after the stop")
    expect(service.show("NFileDescriptorStore") == "0", "descriptors are left in the store")
    refused = service.container.run("python3", "-c", _CONNECT, check=False)
    expect(refused.returncode != 0, "somebody still listens")
    service.configure(configuration())
    service.systemctl("start", "fairlead")
    service.await_serving()


def a_state_that_cannot_be_used_is_refused(service: Service) -> None:
    """A newer, cut off, damaged or foreign state is refused with a reason, and the service starts without it."""
    service.container.write("/usr/local/lib/forged.py", FORGED)
    for forgery in FORGERIES:
        unit = f"forged-{forgery}"
        listen = "127.0.0.1:6444"
        path = f"/var/tmp/{unit}.yaml"
        admin = f"admin: {{listen: '127.0.0.1:6490', socket: /run/{unit}.sock}}\n"
        service.container.write(path, configuration(listen=listen) + admin)
        service.container.run(
            "systemd-run", f"--unit={unit}", "--service-type=notify", "--property=NotifyAccess=main",
            "/usr/bin/python3", "/usr/local/lib/forged.py", forgery, "--config", path,
        )  # fmt: skip
        # systemd-run has returned once it was ready.
        until(f"the reason for refusing a state that is {forgery}", lambda: _reason(service, unit), lambda: "none")
        print(f"    {forgery}: {_reason(service, unit)}")
        state = service.container.run("systemctl", "show", "--value", "--property=ActiveState", unit).stdout.strip()
        expect(state == "active", f"{forgery}: it is {state}")
        service.container.run("systemctl", "stop", unit)


def socket_activation(service: Service) -> None:
    """With fairlead.socket the first client starts the service, and a restart refuses nobody."""
    drop_in = f"/etc/systemd/system/{SOCKET_UNIT}.d/address.conf"
    service.systemctl("stop", "fairlead")
    # As it comes; a package may have installed it.
    service.container.write(f"/etc/systemd/system/{SOCKET_UNIT}", (REPOSITORY / "systemd" / SOCKET_UNIT).read_text())
    service.container.run("mkdir", "-p", drop_in.rpartition("/")[0])
    service.container.write(
        drop_in, "[Socket]\nListenStream=\nListenStream=127.0.0.1:6443\nListenStream=127.0.0.1:6445\n"
    )
    service.systemctl("daemon-reload")
    service.systemctl("start", SOCKET_UNIT)
    expect(service.show("ActiveState") == "inactive", "the service runs before anybody has asked for it")
    answer = service.container.run("python3", "-c", _CONNECT)
    expect("200" in answer.stdout, f"the first client gets {answer.stdout!r}")
    service.await_serving()
    expect(service.status["frontends"][0]["listen"] == ["127.0.0.1:6443"], "it listens elsewhere")
    expect(service.has_logged("127.0.0.1:6445"), "the journal does not tell of the address that nobody wants")
    for _ in range(2):
        service.systemctl("restart", "fairlead")
        answer = service.container.run("python3", "-c", _CONNECT)
        expect("200" in answer.stdout, f"after a restart a client gets {answer.stdout!r}")
    service.systemctl("stop", SOCKET_UNIT, "fairlead")
    service.container.run("rm", "-r", drop_in.rpartition("/")[0], f"/etc/systemd/system/{SOCKET_UNIT}")
    service.systemctl("daemon-reload")
    service.systemctl("start", "fairlead")
    service.await_serving()


CHECKS: list[Callable[[Service], None]] = [
    restart_keeps_connections, restarts_in_a_row, restart_does_not_wait_for_a_file_that_hangs,
    kill_keeps_what_was_clean, stop_ends_all, a_state_that_cannot_be_used_is_refused, socket_activation,
]  # fmt: skip

_CONNECT = (
    "import socket; s = socket.create_connection(('127.0.0.1', 6443), 30); "
    "s.sendall(b'GET /readyz HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n'); print(s.recv(100).decode())"
)
# Opens a FIFO, which waits for somebody to read it (fifo(7)), says so, and keeps it open.
_HOLD_OPEN = """
import os, sys
os.open(sys.argv[1], os.O_WRONLY)
print("read", flush=True)
sys.stdin.read()
"""
_METRICS = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:6480/metrics').read().decode())"


def _begin(service: Service, busy: int = BUSY, settings: str = "") -> Streams:
    """Thousands of connections through a service that was started afresh before the streams' own backends."""
    service.configure(configuration(PORTS) + settings)
    service.systemctl("restart", "fairlead")
    streams = Streams(service.container, PAIRS, busy)
    _await_connections(service, PAIRS)
    time.sleep(BASELINE_SECONDS)
    return streams


def _await_connections(service: Service, count: int) -> None:
    until(f"{count} connections", lambda: _connections(service) >= count, lambda: _connections(service))


def _connections(service: Service) -> int:
    text = service.container.run("fairlead", "status", "-o", "json", check=False).stdout
    return json.loads(text)["frontends"][0]["connections"]["active"] if text else -1


def _covered(service: Service) -> int:
    text = service.container.run("python3", "-c", _METRICS, check=False).stdout
    lines = [line for line in text.splitlines() if line.startswith("fairlead_covered_connections ")]
    return int(float(lines[0].split()[1])) if lines else -1


def _is_back(service: Service, former: int) -> bool:
    return service.pid not in (0, former) and service.show("ActiveState") == "active"


def _reason(service: Service, unit: str) -> str:
    """Why not all of a state can be used, as the journal has it; empty: it says nothing."""
    text = service.container.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout
    reasons = [line.partition("can be used: ")[2] for line in text.splitlines() if "can be used: " in line]
    return reasons[0] if reasons else ""


def _descriptors(service: Service) -> int:
    return len(service.container.run("ls", f"/proc/{service.pid}/fd").stdout.split())


def _expect_intact(*reports: dict) -> None:
    for report in reports:
        expect(report["dropped"] == 0, f"connections have ended: {report}")
        expect(report["wrongBytes"] == 0, f"bytes have changed: {report}")
        expect(report["alive"] == report["serverAlive"] == PAIRS, f"not all are there: {report}")
        expect(report["lostBytes"] == 0, f"bytes are lost: {report}")
