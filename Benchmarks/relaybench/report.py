"""The results as Markdown, and as JSON."""

from __future__ import annotations

import json

from .axes import AXES, Axis, Metric
from .lab import Effort
from .promises import Verdict
from .results import FAIRLEAD, Results


def as_markdown(machine: dict[str, str], effort: Effort, results: Results, verdicts: list[Verdict]) -> str:
    parts = [
        "# Fairlead beside its peers\n",
        "Made by `make bench`; see [the benchmarks](../../Benchmarks/README.md) for what each axis is and how far its "
        "figures carry. Client, balancer and backend share this machine: only ratios within a run count.\n"
        if not effort.quick
        else "Made by `make bench-quick`: short rounds, few of them. A glance, not a result.\n",
        _table([["on", ""], *([key, value] for key, value in machine.items())]),
        f"Up to {effort.rounds} rounds of {effort.seconds} s, interleaved, in random order: "
        "median (least-most). Bold: errors.\n",
    ]
    if results.failures:
        parts.append("**NOT MEASURED:**\n\n" + "\n".join(f"- {each}" for each in results.failures) + "\n")
    parts.append("![What a request, a connection and a gigabyte cost](results.svg)\n")
    parts += [_section(AXES[name], results) for name in results.samples]
    parts += ["## Promises\n", _table([
        ["promise", "measured", ""],
        *([each.promise, each.measured, _word(each)] for each in verdicts),
    ])]
    return "\n".join(parts)


def as_json(machine: dict[str, str], effort: Effort, results: Results, verdicts: list[Verdict]) -> str:
    return json.dumps(
        {
            "machine": machine,
            "rounds": effort.rounds,
            "seconds": effort.seconds,
            "quick": effort.quick,
            "failures": results.failures,
            "samples": {
                axis: {
                    target: {key: [float(f"{value:.6g}") for value in values] for key, values in metrics.items()}
                    for target, metrics in targets.items()
                }
                for axis, targets in results.samples.items()
            },
            "promises": [vars(each) for each in verdicts],
        },
        indent=1,
    ) + "\n"


def verdict_lines(verdicts: list[Verdict]) -> str:
    """The promises for a terminal."""
    width = max(len(each.promise) for each in verdicts)
    return "\n".join(f"{each.promise:{width}}  {_word(each):6}  {each.measured}" for each in verdicts)


def _section(axis: Axis, results: Results) -> str:
    metrics = [metric for metric in axis.metrics if any(
        results.values(axis.name, target, metric.key) for target in results.targets(axis.name)
    )]
    rows = [[axis.name, *(metric.title for metric in metrics)]]
    rows += [
        [target, *(_cell(results, axis, target, metric) for metric in metrics)]
        for target in sorted(results.targets(axis.name), key=_order)
    ]
    rows.append(["Fairlead / best peer", *(_ratio(results, axis, metric) for metric in metrics)])
    if "floor" in results.targets(axis.name):
        rows.append(["Fairlead / floor", *(_to_floor(results, axis, metric) for metric in metrics)])
    return f"## {axis.title}\n\n{_table(rows)}"


def _order(target: str) -> int:
    return ("direct", "haproxy", "haproxy-auto", "nginx", "fairlead", "floor").index(target)


def _cell(results: Results, axis: Axis, target: str, metric: Metric) -> str:
    values = results.values(axis.name, target, metric.key)
    if not values:
        return "-"
    if metric.better == "none":
        failed = sum(values)
        return f"**{failed:.0f} FAILED**" if failed else "0"
    middle = results.median(axis.name, target, metric.key)
    return f"{middle:,.{metric.digits}f} ({min(values):,.{metric.digits}f}-{max(values):,.{metric.digits}f})"


def _ratio(results: Results, axis: Axis, metric: Metric) -> str:
    found = None if metric.better == "none" else results.ratio(axis.name, metric)
    return f"{found[1]:.2f} ({found[0]})" if found else ""


def _to_floor(results: Results, axis: Axis, metric: Metric) -> str:
    ours, floor = (results.median(axis.name, target, metric.key) for target in (FAIRLEAD, "floor"))
    return f"{ours / floor:.2f}" if metric.better != "none" and ours is not None and floor else ""


def _word(verdict: Verdict) -> str:
    return "-" if verdict.held is None else "held" if verdict.held else "MISSED"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
