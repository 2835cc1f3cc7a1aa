"""Upgrades in place of the service, also under load."""

from __future__ import annotations

import re

from .failure import expect, until
from .streams import PORTS, Streams, longest_pause
from .unit import Service, configuration

PAIRS = 4000
ROUNDS = 10
# The longest that a byte may be late, in milliseconds.
LONGEST_PAUSE = 200


def upgrades_under_load(service: Service) -> None:
    """Ten upgrades in a row with 4,000 pairs: same process, no connection or byte lost, no stream paused for 200 ms."""
    service.configure(configuration(PORTS))
    service.systemctl("reload", "fairlead")
    streams = Streams(service.container, PAIRS, busy=400, bulk=8)
    try:
        service.await_text(f"3/3 backends up, {PAIRS} connections")
        pid = service.pid
        # Checks before this one have ended backends.
        before = service.status["frontends"][0]["connections"]["reset"]
        reports = [streams.phase("upgrade 1")]
        descriptors: list[int] = []
        carried: list[int] = []
        for number in range(1, ROUNDS + 1):
            text = service.container.run("fairlead", "upgrade").stdout
            found = re.search(rf"pid {pid}: (\d+) connections went on after a pause of (\d+) ms", text)
            expect(found is not None and int(found[1]) == PAIRS, f"fairlead upgrade says {text!r}")
            carried.append(int(found[2]) if found else 0)
            until(
                "systemd to know that it is ready",
                lambda: service.show("ActiveState") == "active", lambda: service.show("ActiveState"),
            )  # fmt: skip
            expect(service.pid == pid, "it is another process")
            descriptors.append(len(service.container.run("ls", f"/proc/{pid}/fd").stdout.split()))
            if number < ROUNDS:
                reports.append(streams.phase(f"upgrade {number + 1}"))
        service.await_text(f"3/3 backends up, {PAIRS} connections")
        status = service.status
        expect(status["upgrade"]["count"] >= ROUNDS, f"it counts {status['upgrade']}")
        reset = status["frontends"][0]["connections"]["reset"] - before
        expect(reset == 0, f"{reset} connections were reset")
        reports.append(streams.end())
    finally:
        streams.kill()
    for report in reports:
        expect(report["dropped"] == 0 and report["alive"] == PAIRS, f"connections were lost: {report}")
        expect(report["wrongBytes"] == 0 and report["lostBytes"] == 0, f"bytes were lost: {report}")
    pauses = ", ".join(f"{longest_pause(report):.0f}" for report in reports[1:])
    before = longest_pause(reports[0])
    print(f"    longest pauses of a stream {pauses} ms, before {before:.0f} ms; of the relay {carried}")
    expect(longest_pause(*reports[1:]) <= LONGEST_PAUSE, f"a stream has paused for {longest_pause(*reports[1:])} ms")
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
