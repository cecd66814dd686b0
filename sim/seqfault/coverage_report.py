"""Coverage as a record for JSON and as tables: functional points with their holes, and the RTL's lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .coverage import coverage_problems, merge, summary_of, total_percent
from .coverage_code import code_summary, merge_code

__all__ = ["coverage_record", "coverage_tables"]

WORST = 12
"""Files of the table of lines."""


def coverage_record(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """percent of all functional bins; points: of `coverage_summary`; problems: see `coverage_problems`; code: of `code_summary`, or None."""
    merged = merge(results)
    points, code = summary_of(merged), merge_code(results)
    return {
        "percent": round(total_percent(points), 2), "points": points, "problems": coverage_problems(merged),
        "code": None if code is None else code_summary(code),
    }  # fmt: skip


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
