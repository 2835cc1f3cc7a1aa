"""The one table at the end, for a terminal and as Markdown."""

from __future__ import annotations

import math

from .scenario import Result

HEADER = (
    "scenario",
    "requests",
    "failed",
    "longest gap s",
    "longest wait of a new connection s",
    "state changed after s",
    "old connections reset after s",
    "result",
)


def as_text(results: list[Result]) -> str:
    """Columns aligned, headings wrapped over lines so that a row fits a terminal."""
    heads = [_wrapped(title) for title in HEADER]
    height = max(len(head) for head in heads)
    lines = [[head[index] if index < len(head) else "" for head in heads] for index in range(height)]
    rows = [_cells(result) for result in results]
    widths = [max(len(row[column]) for row in [*lines, *rows]) for column in range(len(HEADER))]

    def line(cells: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column in (0, 5, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=False))
        ).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*(line(each) for each in lines), rule, *(line(each) for each in rows)])


def as_markdown(results: list[Result]) -> str:
    rows = [list(HEADER), ["---"] * len(HEADER), *(_cells(result) for result in results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    details = "\n".join(
        f"\n**{result.scenario}**\n" + "\n".join(f"- {each}" for each in [*result.findings, *result.notes])
        for result in results
    )
    return f"{table}\n{details}\n"


def _cells(result: Result) -> list[str]:
    return [
        result.scenario,
        _count(result.requests),
        _count(result.failed),
        _seconds(result.longest_gap),
        _seconds(result.longest_wait),
        result.state_changes or "-",
        _seconds(result.old_reset),
        "passed" if result.passed else "FAILED",
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:.2f}"


def _wrapped(title: str, width: int = 16) -> list[str]:
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
