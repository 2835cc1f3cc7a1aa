"""Upgrades in place of the service under load."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .failure import expect, until
from .unit import Service, configuration

REPOSITORY = Path(__file__).resolve().parents[3]
PORTS = (7101, 7102, 7103)
PAIRS = 4000
ROUNDS = 10
# The longest that a byte may be late, in milliseconds.
LONGEST_PAUSE = 200
OUTPUT = "/var/tmp/streams.out"


def upgrades_under_load(service: Service) -> None:
    """Ten upgrades in a row with 4,000 pairs: same process, no connection or byte lost, no stream paused for 200 ms."""
    root = service.container.root
    subprocess.run(
        ["cc", "-O2", "-static", "-o", root / "usr/local/bin/streams", REPOSITORY / "Tests/Streams/streams.c"],
        check=True,
    )
    service.configure(configuration(PORTS))
    service.systemctl("reload", "fairlead")
    listen = ",".join(f"127.0.0.1:{port}" for port in PORTS)
    streams = service.container.start(
        "sh", "-c",
        f"exec streams --listen {listen} --connect 127.0.0.1:6443 --pairs {PAIRS} --busy 400 --bulk 8 > {OUTPUT}",
    )  # fmt: skip
    assert streams.stdin is not None
    until("the pairs to stand", lambda: "established" in _output(service), lambda: _output(service))
    service.await_text(f"3/3 backends up, {PAIRS} connections")
    pid = service.pid
    descriptors: list[int] = []
    carried: list[int] = []
    for number in range(1, ROUNDS + 1):
        streams.stdin.write(f"upgrade {number}\n".encode())
        streams.stdin.flush()
        text = service.container.run("fairlead", "upgrade").stdout
        found = re.search(rf"pid {pid}: (\d+) connections went on after a pause of (\d+) ms", text)
        expect(found is not None, f"fairlead upgrade says {text!r}")
        carried.append(int(found[2]) if found else 0)
        until(
            "systemd to know that it is ready",
            lambda: service.show("ActiveState") == "active", lambda: service.show("ActiveState"),
        )  # fmt: skip
        expect(service.pid == pid, "it is another process")
        descriptors.append(len(service.container.run("ls", f"/proc/{pid}/fd").stdout.split()))
    service.await_text(f"3/3 backends up, {PAIRS} connections")
    status = service.status
    expect(status["upgrade"]["count"] == ROUNDS, f"it counts {status['upgrade']}")
    expect(status["frontends"][0]["connections"]["reset"] == 0, "connections were reset")
    streams.stdin.write(b"end\n")
    streams.stdin.close()
    expect(streams.wait(60) == 0, "the load has failed")
    phases = [json.loads(line) for line in _output(service).splitlines()][1:]
    for phase in phases:
        what = f"{phase['name']}: {phase}"
        expect(phase["dropped"] == 0 and phase["alive"] == PAIRS, f"connections were lost, {what}")
        expect(phase["wrongBytes"] == 0 and phase["lostBytes"] == 0, f"bytes were lost, {what}")
    # The last phase ends in the end of the load.
    pauses = [max(phase["longestPauseMs"].values()) for phase in phases if phase["name"].startswith("upgrade")]
    print(f"    longest pause of a stream {max(pauses):.0f} ms, of the relay {max(carried)} ms; {descriptors} descriptors")
    expect(max(pauses) <= LONGEST_PAUSE, f"a stream has paused for {max(pauses)} ms")
    # The admin port's clients and the probes come and go.
    expect(max(descriptors) - min(descriptors) < 16, f"descriptors are left open: {descriptors}")
    service.configure(configuration())
    service.systemctl("reload", "fairlead")
    service.await_serving()


def bad_upgrades_are_refused(service: Service) -> None:
    """What cannot take over does not: the exit status and the status line tell why, and the old process goes on."""
    pid, generation = service.pid, service.generation
    program = "/usr/bin/fairlead"
    service.container.run("cp", program, "/usr/bin/fairlead.good")
    for script, reason in (
        ("this is no program", "cannot be started"),
        ("#!/bin/sh\necho no; exit 3", "finds the configuration not valid"),
        ("#!/bin/sh\ntest $1 = check || exit 64", "cannot go on with the connections"),
    ):
        service.container.write(f"{program}.new", script + "\n", 0o755)
        service.container.run("mv", f"{program}.new", program)
        result = service.container.run("/usr/bin/fairlead.good", "upgrade", check=False)
        expect(result.returncode == 1, f"fairlead upgrade exits {result.returncode}")
        expect(reason in result.stderr, f"fairlead upgrade says {result.stderr!r}")
        text = service.show("StatusText")
        expect(text.startswith("upgrade failed:") and reason in text, f"the status line is {text!r}")
        expect(service.show("ActiveState") == "active" and service.pid == pid, "it does not go on")
        expect(service.has_logged(reason), "the journal does not have the reason")
    service.container.run("mv", "/usr/bin/fairlead.good", program)
    service.container.run("fairlead", "upgrade")
    expect(service.pid == pid and service.generation == generation + 1, "the good one has not taken over")
    service.await_serving()


def _output(service: Service) -> str:
    file = service.container.root / OUTPUT.lstrip("/")
    return file.read_text() if file.exists() else ""
