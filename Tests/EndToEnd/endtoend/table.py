"""The one table at the end, for a terminal and as Markdown."""

from __future__ import annotations

import math

from .scenario import Result, Row

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


SIDE_BY_SIDE = (
    "scenario",
    "balancer",
    "GETs",
    "failed",
    "of these started after the fault",
    "longest wait of a new connection s",
    "watches",
    "of these ended by the balancer",
    "creates answered with 201",
    "backends called down",
)


def as_text(results: list[Result]) -> str:
    """One line a scenario, and below it one line a scenario and balancer where balancers were compared."""
    tables = [_aligned(HEADER, [_cells(result) for result in results], left=(0, 5, 7))]
    if rows := [_row_cells(row) for result in results for row in result.rows]:
        tables.append(_aligned(SIDE_BY_SIDE, rows, left=(0, 1)))
    return "\n\n".join(tables)


def _aligned(header: tuple[str, ...], rows: list[list[str]], left: tuple[int, ...]) -> str:
    """Columns aligned, headings wrapped over lines so that a row fits a terminal."""
    heads = [_wrapped(title) for title in header]
    height = max(len(head) for head in heads)
    lines = [[head[index] if index < len(head) else "" for head in heads] for index in range(height)]
    widths = [max(len(row[column]) for row in [*lines, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=False))
        ).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*(line(each) for each in lines), rule, *(line(each) for each in rows)])


def as_markdown(results: list[Result]) -> str:
    tables = [_markdown(HEADER, [_cells(result) for result in results])]
    if rows := [_row_cells(row) for result in results for row in result.rows]:
        tables.append(_markdown(SIDE_BY_SIDE, rows))
    details = "\n".join(
        f"\n**{result.scenario}**\n" + "\n".join(f"- {each}" for each in [*result.findings, *result.notes])
        for result in results
    )
    return "\n\n".join(tables) + f"\n{details}\n"


def _markdown(header: tuple[str, ...], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), ["---"] * len(header), *rows])


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


def _row_cells(row: Row) -> list[str]:
    return [
        row.scenario,
        row.balancer,
        _count(row.requests),
        _count(row.failed),
        _count(row.failed_later),
        _seconds(row.longest_wait),
        _count(row.watches),
        _count(row.watches_reset),
        row.creates,
        row.called_down,
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
