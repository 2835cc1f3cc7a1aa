"""Runs the axes in interleaved rounds and writes what they say. Started by Benchmarks/run."""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import chart, machine, profile, promises, report
from .axes import AXES, Axis
from .failure import Failure
from .lab import Effort, Lab
from .results import Results
from .targets import NAMES, REPOSITORY, YARDSTICKS, fairlead_binary

GIBIBYTE = 1 << 30
# Two for each connection and some.
DESCRIPTORS = 17000
PROFILES_HEAD = f"""\
# Where the processor time goes

Made by `Benchmarks/run --profile`.

{profile.EXPLANATION}
"""


def main() -> int:
    options = _parse()
    if options.list:
        for axis in AXES.values():
            print(f"{axis.name:18} {axis.title}{'' if axis.in_quick else ' (not in quick mode)'}")
        print("targets:", *NAMES)
        return 0
    effort = _effort(options)
    output = options.output or REPOSITORY / (".build/bench" if options.quick else "docs/benchmarks")
    # An end by a signal is an end: what runs is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _require_means()
        described = machine.describe()
        with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as work:
            os.chmod(work, 0o755)  # The workers of nginx are another user.
            if options.profile:
                profiles = _profile(Path(work), effort, options.axis, options.target)
            else:
                results = _measure(Path(work), effort, options.axis, options.target)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    output.mkdir(parents=True, exist_ok=True)
    if options.profile:
        (output / "profiles.md").write_text("\n".join([PROFILES_HEAD, *profiles]))
        print(f"written to {output / 'profiles.md'}", file=sys.stderr)
        return 0

    verdicts = promises.judge(results)
    (output / "results.md").write_text(report.as_markdown(described, effort, results, verdicts))
    (output / "results.json").write_text(report.as_json(described, effort, results, verdicts))
    (output / "results.svg").write_text(chart.as_svg(results))
    print(report.verdict_lines(verdicts))
    print(f"written to {output}", file=sys.stderr)
    for failure in results.failures:
        print(f"NOT MEASURED: {failure}", file=sys.stderr)
    missed = any(verdict.held is False for verdict in verdicts)
    return 1 if results.failures or (options.strict and missed) else 0


def _measure(work: Path, effort: Effort, axes: list[str], targets: list[str]) -> Results:
    results = Results()
    lab = Lab(work, effort)
    begin = time.monotonic()
    try:
        for name in axes:
            axis = AXES[name]
            chosen = [target for target in targets if target not in YARDSTICKS or not axis.own_process]
            rounds = effort.own_process_rounds if axis.own_process else effort.rounds
            for number in range(min(rounds, axis.rounds_at_most)):
                _progress(f"{time.monotonic() - begin:5.0f} s  {name}, round {number + 1}")
                # Each in an order of its own: what one leaves behind in the kernel should not always meet the same next.
                for target in random.sample(chosen, len(chosen)):
                    _measure_once(lab, axis, target, results)
    finally:
        lab.close()
    return results


def _profile(work: Path, effort: Effort, axes: list[str], targets: list[str]) -> list[str]:
    """A table for each axis and balancer."""
    lab = Lab(work, effort)
    tables: list[str] = []
    try:
        for axis in (AXES[name] for name in axes if not AXES[name].own_process):
            for target in targets:
                if target != "direct":
                    _progress(f"{axis.name}, {target}")
                    tables.append(profile.profile(lab, axis, target))
    finally:
        lab.close()
    return tables


def _measure_once(lab: Lab, axis: Axis, target: str, results: Results) -> None:
    try:
        sample = axis.measure(lab, target)
    except Failure as failure:
        _progress(f"         {target}: {failure}")
        results.failures.append(f"{axis.name}, {target}: {str(failure).strip().splitlines()[0]}")
        return
    results.add(axis.name, target, sample)
    words = "  ".join(
        f"{metric.title} {sample[metric.key]:.{metric.digits}f}" for metric in axis.metrics if metric.key in sample
    )
    _progress(f"         {target:12} {words}{'  ERRORS' if sample.get('errors') else ''}")


def _require_means() -> None:
    """Fails before the first minute, not after it."""
    if not os.access(fairlead_binary(), os.X_OK):
        raise Failure(f"there is no {fairlead_binary()}: run `make release`, or set FAIRLEAD_BINARY")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < DESCRIPTORS:
        raise Failure(f"a process may open {most} descriptors, {DESCRIPTORS} are needed: raise ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _effort(options: argparse.Namespace) -> Effort:
    quick = options.quick
    return Effort(
        rounds=options.rounds or (2 if quick else 5),
        own_process_rounds=options.rounds or (1 if quick else 5),
        seconds=options.seconds or (1 if quick else 3),
        bulk_bytes=GIBIBYTE if quick else 4 * GIBIBYTE,
        idle=(1000, 4000) if quick else (1000, 4000, 8000),
        quick=quick,
    )


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/run", description="Measures Fairlead beside HAProxy and nginx.")
    parser.add_argument("--quick", action="store_true", help="under two minutes: short rounds, written to .build/bench")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds of each axis: 5, quick 2")
    parser.add_argument("--seconds", type=_positive, metavar="S", help="length of one measurement: 3, quick 1")
    parser.add_argument("--axis", nargs="+", action="extend", choices=AXES, metavar="NAME", help="only these axes")
    parser.add_argument("--target", nargs="+", action="extend", choices=NAMES, metavar="NAME", help="only these")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where results.md, .json and .svg are written")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a promise was missed")
    parser.add_argument("--profile", action="store_true", help="writes profiles.md instead: where the time goes")
    parser.add_argument("--list", action="store_true", help="lists axes and targets")
    options = parser.parse_args()
    options.axis = options.axis or [axis.name for axis in AXES.values() if axis.in_quick or not options.quick]
    options.target = options.target or NAMES
    return options


sys.exit(main())
