"""Where the processor time of a balancer goes: by the system call that it was in, and by what the kernel did there."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

from .axes import Axis
from .backend import run
from .failure import Failure
from .lab import Lab

EXPLANATION = """\
Sampled by perf from the processor clock while the axis was measured, with call chains: each sample belongs to the system
call that the balancer was in. Whole processors are sampled, not the process alone: for that the kernel would set a timer at
each of its sleeps and wake-ups, and show them dearer than they are. *Wake-ups*: waking the process at the other end, which
in a virtual machine may be a trip to the hypervisor. *TCP of the receiver*: on loopback the receiving side's work is done
within the send. *Sleeping*: going to sleep and coming back. A kernel that is interrupted only where it allows it puts some
samples a little late."""
FREQUENCY = 2500
SYSTEM_CALL = "__x64_sys_"
WAKING = ("__wake_up", "__wake_up_sync_key", "ep_poll_callback", "sock_def_readable", "try_to_wake_up")
RECEIVING = ("handle_softirqs", "net_rx_action", "process_backlog")
SLEEPING = ("schedule", "schedule_hrtimeout_range", "schedule_hrtimeout_range_clock")
COLUMNS = ("wake-ups", "TCP of the receiver", "sleeping", "the rest")
USER, OTHER = "user space", "interrupts, faults"
# What is less than this part of all goes into one line.
LEAST_SHARE = 0.01

Chain = list[str]


def profile(lab: Lab, axis: Axis, target: str) -> str:
    """Measures the axis once under perf; a Markdown table."""
    data = lab.work / f"{axis.name}-{target}.perf"
    if not shutil.which("perf"):
        raise Failure("there is no perf: apt-get install linux-perf")
    recorder = subprocess.Popen(
        ["perf", "record", "-q", "-g", "-F", str(FREQUENCY), "-o", str(data), "-a"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        axis.measure(lab, target)
    finally:
        recorder.terminate()
        _, words = recorder.communicate()
    if not data.exists():
        raise Failure(f"perf has recorded nothing: {words}")
    return as_markdown(axis.name, target, _chains(data, lab.processes(target)))


def _chains(data: Path, processes: list[int]) -> list[Chain]:
    """The symbols of each sample of the processes, the innermost first."""
    text = run("perf", "script", "-i", str(data), "-F", "ip,sym", "--pid", ",".join(map(str, processes)))
    return [
        [words[1] if len(words := line.split(maxsplit=1)) > 1 else "?" for line in block.splitlines() if line.strip()]
        for block in text.split("\n\n")
        if block.strip()
    ]


def _place(chain: Chain) -> tuple[str, str]:
    """The row and the column of a sample."""
    names = [symbol.partition("+")[0] for symbol in chain]
    calls = [name.removeprefix(SYSTEM_CALL) for name in names if name.startswith(SYSTEM_CALL)]
    if not calls:
        in_kernel = any(name.startswith(("asm_", "irqentry", "exc_", "entry_", "do_syscall")) for name in names)
        return (OTHER, COLUMNS[-1]) if in_kernel else (USER, COLUMNS[-1])
    for column, marks in zip(COLUMNS, (WAKING, RECEIVING, SLEEPING)):
        if any(name in marks for name in names):
            return calls[-1], column
    return calls[-1], COLUMNS[-1]


def as_markdown(axis: str, target: str, chains: list[Chain]) -> str:
    places = Counter(map(_place, chains))
    total = sum(places.values())
    if not total:
        raise Failure(f"perf has no sample of {target} on {axis}")
    rows = Counter({row: 0 for row, _ in places})
    for (row, _), count in places.items():
        rows[row] += count
    small = [row for row, count in rows.items() if count < LEAST_SHARE * total]
    lines = [
        f"| {axis}, {target}, % of {total:,} samples | all | {' | '.join(COLUMNS)} |",
        f"| --- {'| ---: ' * (len(COLUMNS) + 1)}|",
    ]
    for row, _ in rows.most_common():
        if row not in small:
            lines.append(_line(row, [places[row, column] for column in COLUMNS], total))
    if small:
        lines.append(_line("all others", [sum(places[row, column] for row in small) for column in COLUMNS], total))
    lines.append(_line("**all**", [sum(places[row, column] for row in rows) for column in COLUMNS], total))
    return "\n".join(lines) + "\n"


def _line(name: str, counts: list[int], total: int) -> str:
    cells = [sum(counts), *counts]
    return f"| {name} | " + " | ".join(f"{100 * count / total:.1f}" if count else "" for count in cells) + " |"
