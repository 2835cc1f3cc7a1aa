"""Instructions of the micro-benchmarks, counted by valgrind's callgrind and held against thresholds.

Each case runs twice, with different numbers of iterations. The difference is what the iterations alone have cost:
start-up, preparation and what happens only the first time are in both counts.
"""

from __future__ import annotations

import platform
import re
import subprocess
import tempfile
from pathlib import Path

from .build import REPOSITORY, program
from .failure import Failure

THRESHOLDS = REPOSITORY / "Benchmarks/Micro/thresholds.txt"
# The share by which a count may differ from its threshold: compilers and C libraries move it by a little.
TOLERANCE = 0.10
UPDATE = 'make costs ARGS="instructions --update"'
HEADER = f"""\
# Instructions an iteration, as callgrind counts them: `make costs` fails where one has grown by more than a tenth.
# `{UPDATE}` writes this file. Commit it with the change that moved a count, and say why.
"""


def check() -> list[str]:
    """Counts every case and prints the table. Returns what has grown."""
    counted_with, thresholds = _read()
    counts = _count()
    findings = []
    print(f"{'case':<28}{'instructions':>14}{'threshold':>14}")
    for name, count in counts.items():
        threshold = thresholds.get(name)
        if threshold is None:
            print(f"{name:<28}{count:>14,}{'-':>14}")
            findings.append(f"{name} has no threshold: run `{UPDATE}`")
            continue
        change = count / threshold - 1
        print(f"{name:<28}{count:>14,}{threshold:>14,}{change:>+8.1%}")
        if change > TOLERANCE:
            findings.append(
                f"{name} costs {count:,} instructions, {change:+.0%} against its threshold of {threshold:,}: make it"
                " cheaper again, or raise the threshold and say in the commit what the instructions are spent on"
            )
        elif change < -TOLERANCE:
            print(f"  lower the threshold, to keep what was won: {UPDATE}")
    findings += [
        f"{name} has a threshold but does not exist: run `{UPDATE}`"
        for name in sorted(thresholds.keys() - counts.keys())
    ]
    if findings and counted_with != _counted_with():
        findings.append(f"(the thresholds are from {counted_with}; this is {_counted_with()})")
    return findings


def update() -> None:
    """Counts every case and makes the counts the thresholds."""
    counts = _count()
    lines = [f"{name:<28}{count:>12}\n" for name, count in counts.items()]
    THRESHOLDS.write_text(f"{HEADER}# counted with: {_counted_with()}\n\n{''.join(lines)}")
    print(THRESHOLDS.read_text(), end="")


def _read() -> tuple[str, dict[str, int]]:
    """What the thresholds were counted with, and the thresholds."""
    counted_with, thresholds = "an unknown compiler", {}
    for line in THRESHOLDS.read_text().splitlines():
        if line.startswith("# counted with: "):
            counted_with = line.removeprefix("# counted with: ")
        elif line and not line.startswith("#"):
            name, count = line.split()
            thresholds[name] = int(count)
    return counted_with, thresholds


def _counted_with() -> str:
    version = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"Swift version (\S+)", version)
    return f"{platform.machine()}, Swift {number.group(1) if number else 'unknown'}"


def _count() -> dict[str, int]:
    """Instructions an iteration of every case, in the order of the program."""
    with tempfile.TemporaryDirectory(prefix="fairlead-costs-") as folder:
        # Valgrind 3.19, that of Debian 12, gives up on the debug information of Swift.
        stripped = Path(folder) / "microbenchmarks"
        subprocess.run(["strip", "--strip-debug", "-o", stripped, program("microbenchmarks")], check=True)
        listing = subprocess.run([stripped], capture_output=True, text=True, check=True).stdout
        counts = {}
        for name, iterations in map(str.split, listing.splitlines()):
            few, many = int(iterations), 3 * int(iterations)
            counts[name] = round((_run(stripped, name, many) - _run(stripped, name, few)) / (many - few))
        return counts


def _run(binary: Path, name: str, iterations: int) -> int:
    """Instructions of one run from start to end."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, name, str(iterations)]
    # Swift seeds its hash tables at random, which would make the length of a probe a matter of luck.
    environment = {"SWIFT_DETERMINISTIC_HASHING": "1"}
    try:
        run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failure("valgrind is not installed: run `make costs`, which installs it") from error
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected:
        raise Failure(f"{name} could not be counted:\n{run.stderr}")
    return int(collected.group(1))
