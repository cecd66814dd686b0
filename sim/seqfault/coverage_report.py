"""Coverage as a record for JSON and as tables: functional points with their holes, and the RTL's lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .coverage import MergedCoverage, bins_reached, coverage_problems, coverage_summary
from .coverage_code import code_summary
from .errors import CheckFailed

__all__ = ["check_coverage", "coverage_line", "coverage_record", "coverage_tables"]

WORST = 12
"""Files of the table of lines."""


def coverage_record(merged: MergedCoverage) -> dict[str, Any]:
    """percent of all functional bins; points: of `coverage_summary`; problems: see `coverage_problems`; code: of `code_summary`, or None."""
    points = coverage_summary(merged)
    hit, bins = bins_reached(points)
    return {
        "percent": round(100 * hit / bins, 2), "points": points, "problems": coverage_problems(merged),
        "code": None if merged.code is None else code_summary(merged.code),
    }  # fmt: skip


def check_coverage(record: Mapping[str, Any], goal: float) -> None:
    """Raises `CheckFailed` for a problem, or if less than `goal` % of all bins are hit: with the holes' names."""
    if problems := record["problems"]:
        raise CheckFailed(f"coverage: {problems[0]}" + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))
    if record["percent"] < goal:
        holes = _holes(record["points"])
        raise CheckFailed(f"coverage is {record['percent']:.2f} %, not {goal:g} %: {len(holes)} holes, the first is {holes[0]}")


def coverage_line(points: Sequence[Mapping[str, Any]]) -> str:
    """What was reached, and the first bins that were not."""
    hit, bins = bins_reached(points)
    holes = _holes(points)
    more = f"; not met: {', '.join(holes[:5])}{f' and {len(holes) - 5:,} more' if len(holes) > 5 else ''}" if holes else ""
    return f"functional coverage: {hit:,} of {bins:,} bins{more}"


def _holes(points: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{point['name']}: {hole}" for point in points for hole in point["holes"]]


def coverage_tables(record: Mapping[str, Any]) -> RenderableType:
    """What a terminal shows of a record."""
    parts: list[RenderableType] = [_points(record["points"]), Text(f"{record['percent']:.2f} % of all functional bins")]
    parts += [Text(f"{row['name']}: {', '.join(row['holes'])}") for row in record["points"] if row["holes"]]
    parts += [Text(problem) for problem in record["problems"]]
    if record["code"] is not None:
        parts.append(_code(record["code"]))
    return Group(*parts)


def _points(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE, title="functional coverage")
    table.add_column("point")
    for name in ("reached", "bins", "excluded", "%"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row["name"], str(row["hit"]), str(row["bins"]), str(len(row["excluded"])), f"{row['percent']:.1f}")
    return table


def _code(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines, hit, bits, toggled = (sum(row[name] for row in rows) for name in ("lines", "hit", "bits", "toggled"))
    caption = f"{hit} of {lines} lines under a condition, {toggled} of {bits} bits; the worst files first"
    table = Table(box=box.SIMPLE, title="RTL", caption=caption)
    table.add_column("file")
    for name in ("lines %", "toggled %"):
        table.add_column(name, justify="right")
    table.add_column("lines that never ran")
    for row in [row for row in rows if row["holes"]][:WORST]:
        holes = ", ".join(str(hole["line"]) for hole in row["holes"])
        table.add_row(row["file"], f"{row['percent']:.1f}", f"{row['toggle_percent']:.1f}", holes)
    return table
