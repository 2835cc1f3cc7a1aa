"""Runs the scenarios and prints the table. Started by ../run, which builds what this needs."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType

from . import table
from .balancer import Balancer, Fairlead, HAProxy, Nginx, Options
from .cluster.control_plane import ControlPlane
from .cluster.network import remove_leftovers, remove_networks
from .cluster.programs import Programs
from .failure import Failure
from .scenario import Result, Scenario, Stage
from .scenarios import SCENARIOS
from .waiting import now

REPOSITORY = Path(__file__).resolve().parents[3]


def main() -> int:
    options = _parse()
    if options.list:
        width = max(len(scenario.name) for scenario in SCENARIOS)
        print("\n".join(f"{scenario.name.ljust(width)}  {scenario.summary}" for scenario in SCENARIOS))
        return 0
    scenarios = [each for each in SCENARIOS if not options.scenarios or each.name in options.scenarios]
    # A kill of the suite is a Ctrl-C: everything is taken down again.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    if leftovers := remove_leftovers():
        _say(f"removed what a crashed run had left: {', '.join(leftovers)}")

    work = Path(tempfile.mkdtemp(prefix="fairlead-e2e-"))
    results: list[Result] = []
    versions = ""
    interrupted = False
    try:
        programs = Programs(options.kubernetes, options.etcd, options.kubectl)
        versions = programs.versions()
        _say(versions)
        _run(options, programs, scenarios, work, results)
    except KeyboardInterrupt:
        interrupted = True
        _say("interrupted")
    except Failure as failure:
        setup = Result("setup", findings=[str(failure)], log=failure.log)
        results.append(setup)
        _report(setup)

    failed = sum(not result.passed for result in results)
    if results:
        (work / "table.md").write_text(f"{versions}\n\n{table.as_markdown(results)}")
        print(f"\n{versions}\n\n{table.as_text(results)}\n")
    if failed or interrupted or options.keep:
        print(f"logs, keys and table.md: {work}")
    else:
        shutil.rmtree(work)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or interrupted else 0


def _run(
    options: argparse.Namespace, programs: Programs, scenarios: list[Scenario], work: Path, results: list[Result]
) -> None:
    started = now()
    cluster = None
    balancer: Balancer | None = None
    try:
        _say("starting three masters")
        cluster = ControlPlane(programs, work)
        balancer = _balancer(options.balancer, cluster)
        cluster.start()
        balancer.start(Options())
        _say(f"three masters and {balancer.name} are up after {now() - started:.0f} s")
        stage = Stage(cluster, balancer, options.clients, options.keepalived, REPOSITORY, work)
        for scenario in scenarios:
            results.append(_run_one(scenario, stage))
    finally:
        # A second Ctrl-C must not leave half a network behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if balancer is not None:
            balancer.stop()
        if cluster is not None:
            cluster.stop()
        remove_networks()
        _say(f"everything is taken down, after {now() - started:.0f} s")


def _balancer(name: str, cluster: ControlPlane) -> Balancer:
    match name:
        case "haproxy":
            return HAProxy(cluster)
        case "nginx":
            return Nginx(cluster)
        case _:
            return Fairlead(cluster, REPOSITORY)


def _run_one(scenario: Scenario, stage: Stage) -> Result:
    """Runs one scenario, and makes sure that the next begins with everything up again."""
    started = now()
    _say(f"{scenario.name}: {scenario.summary}")
    try:
        result = scenario.run(stage)
    except Failure as failure:
        result = Result(scenario.name, findings=[str(failure)], log=failure.log)
    except Exception:  # a fault of the suite itself must not cost the other rows
        result = Result(scenario.name, findings=[traceback.format_exc()])
    try:
        stage.cluster.restore()
        if not stage.balancer.process.running:
            result.findings.append(f"{stage.balancer.name} ended with exit code {stage.balancer.process.exit_code}")
            stage.balancer.start(Options())
        stage.balancer.wait_until_all_up()
    except Failure as failure:
        result.findings.append(f"afterwards: {failure}")
        result.log = failure.log or result.log
    _report(result, now() - started)
    return result


def _report(result: Result, seconds: float = 0) -> None:
    for note in result.notes:
        print(f"    {note}")
    for finding in result.findings:
        print(f"    FAILED: {finding}")
    if not result.passed and result.log is not None:
        print(Failure("", result.log).tail())
    _say(f"{result.scenario}: {'passed' if result.passed else 'FAILED'} in {seconds:.0f} s")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Tests/EndToEnd/run", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="only these (see --list)")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--keep", action="store_true", help="keep logs and keys of a run that passed, too")
    parser.add_argument("--balancer", choices=["fairlead", "haproxy", "nginx"], default="fairlead")
    parser.add_argument("--kubernetes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--etcd", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kubectl", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clients", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keepalived", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.scenarios) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))} (see --list)")
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    sys.exit(main())
