"""What `seqfault regress` prints, and its JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group as Renderables
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .coverage_report import coverage_line, coverage_tables
from .regress import Regression
from .regress_pool import program_name
from .regress_tables import Group, summed

__all__ = ["failure_text", "regress_record", "regress_tables", "summary_line"]

COLUMNS = ("faults", "interleavings", "steps", "cycles")
SUMS = ("cycles", "steps", "faults", "interleavings", "interleaved", "failed_reads")
OUTCOMES = ("ok", "difference", "hang", "failed")


def regress_record(regression: Regression, *, command: str, coverage: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON: sums, outcomes, rates, coverage, and each failure with what repeats it and the files that it left."""
    results = regression.results
    outcomes = Counter(result["outcome"] for result in results)
    kept = ("seed", "profile", "preset", "policy", "outcome", "message", "ended", "repeat", "files")
    return {
        "command": command, "programs": len(regression.cases), "done": len(results), "outcomes": {name: outcomes[name] for name in OUTCOMES},
        **{name: regression.total(name) for name in SUMS}, "counts": summed(results, "counts"), "aborts": summed(results, "aborts"),
        "commands": summed(results, "commands"), "wall_s": round(regression.seconds, 3),
        "rates": {name: round(rate, 1) for name, rate in regression.rates().items()},
        "coverage": {name: coverage[name] for name in ("percent", "points", "problems")},
        "failures": [{name: result.get(name) for name in kept} for result in regression.failures],
    }  # fmt: skip


def regress_tables(regression: Regression, coverage: Mapping[str, Any], *, whole: bool = False) -> RenderableType:
    """A line for each profile and preset, then the sums, then coverage (of `coverage_record`): the `whole` of it, or a line."""
    table = Table(title="Programs, every step checked", title_justify="left", box=None, pad_edge=False)
    for name in ("profile", "preset"):
        table.add_column(name)
    for name in ("programs", "failed", *COLUMNS):
        table.add_column(name, justify="right")
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in regression.results:
        places.setdefault((result["profile"], result["preset"]), []).append(result)
    for place, results in sorted(places.items()):
        table.add_row(*place, *_columns(Group.of(results)))
    if len(places) > 1:
        table.add_row("all", "", *_columns(Group.of(regression.results)), style="bold")
    parts: list[RenderableType] = [table, Text(), Text(summary_line(regression))]
    if whole:
        parts.append(coverage_tables(coverage))
    else:
        parts += [Text(coverage_line(coverage["points"])), *(Text(problem) for problem in coverage["problems"])]
    return Renderables(*parts)


def _columns(group: Group) -> list[str]:
    return [f"{number:,}" for number in (group.programs, group.failed, *(group.sums[name] for name in COLUMNS))]


def summary_line(regression: Regression) -> str:
    """What was done, and how fast."""
    rates, done = regression.rates(), len(regression.results)
    left = f" of {len(regression.cases):,}" if done < len(regression.cases) else ""
    return (
        f"{done:,}{left} programs in {regression.seconds:,.1f} s: {rates['checked_faults_per_minute']:,.0f} checked faults a minute, "
        f"{rates['cycles_per_second']:,.0f} cycles a second"
    )


def failure_text(failures: Sequence[Mapping[str, Any]], files: Sequence[str]) -> str:
    """What failed, at least one, in lines as long as their commands; `files`: what the first left."""
    first, *others = failures
    lines = [
        f"first failure: {program_name(first)}: {first['outcome']} in cycle {first['ended']:,}",
        *(f"  {line}" for line in str(first["message"]).splitlines()[:12]),
        f"  again, with waves: {first['repeat']}",
    ]  # fmt: skip
    lines += [f"  left: {file}" for file in files]
    lines += [f"also: {program_name(other)}: {other['outcome']}; {other['repeat']}" for other in others[:8]]
    if len(others) > 8:
        lines.append(f"and {len(others) - 8:,} more failures")
    return "\n".join(["", *lines])
