"""Boots the container, runs the checks and prints what came of each. Started by ../run, which makes the tree."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from . import checks, package, store
from .container import Container
from .failure import Failure
from .unit import BACKEND, BACKEND_PORTS, BACKEND_UNIT, Service

# One file a topic. Each check begins with what the one before has left.
CHECKS = [
    *package.INSTALLATION, *checks.CHECKS, *store.CHECKS, *package.UPGRADE, checks.stops, *package.REMOVAL,
]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="Tests/Systemd/run", description="Fairlead as a service of a real systemd.")
    parser.add_argument("--tree", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="list the checks")
    parser.add_argument("--keep", action="store_true", help="keep the console's log and the journal")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{check.__name__:<42} {check.__doc__}" for check in CHECKS))
        return 0
    # A kill of the suite is a Ctrl-C: the container is taken down.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    work = Path(tempfile.mkdtemp(prefix="fairlead-systemd-"))
    container = Container(options.tree, work)
    failed = ""
    try:
        failed = _run(container)
        if failed or options.keep:
            journal = container.run("journalctl", "--no-pager", "--unit=fairlead", check=False).stdout
            (work / "journal.log").write_text(journal)
    except Failure as failure:
        failed = f"setup: {failure}"
    finally:
        container.power_off()
    print(failed or f"{len(CHECKS)} passed")
    if failed or options.keep:
        print(f"logs: {work}")
    else:
        shutil.rmtree(work)
    return 1 if failed else 0


def _run(container: Container) -> str:
    """Runs all checks, up to the first that fails: the next ones begin where it should have ended.

    Returns what failed, or nothing.
    """
    package.prepare(container)
    container.write("/usr/local/lib/backend.py", BACKEND)
    container.write("/etc/systemd/system/backend@.service", BACKEND_UNIT)
    service = Service(container)
    container.boot()
    service.systemctl("start", *(f"backend@{port}" for port in BACKEND_PORTS))
    for check in CHECKS:
        started = time.monotonic()
        try:
            check(service)
        except Failure as failure:
            print(f"FAIL {check.__name__}: {failure}")
            return f"failed: {check.__name__}"
        print(f"ok   {check.__name__} ({time.monotonic() - started:.1f} s)")
    return ""


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
