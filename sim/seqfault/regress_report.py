"""What `seqfault regress` prints, and its JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .coverage_report import coverage_tables
from .regress import Regression
from .regress_tables import summed

__all__ = ["failure_text", "regress_record", "regress_tables", "summary_line"]

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
    for name in ("programs", "failed", "faults", "interleavings", "steps", "cycles"):
        table.add_column(name, justify="right")
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in regression.results:
        places.setdefault((result["profile"], result["preset"]), []).append(result)
    for place, results in sorted(places.items()):
        table.add_row(*place, *_columns(results))
    if len(places) > 1:
        table.add_row("all", "", *_columns(regression.results), style="bold")
    parts: list[RenderableType] = [table, Text(), Text(summary_line(regression))]
    if whole:
        parts.append(coverage_tables(coverage))
    else:
        parts += [Text(_coverage_line(coverage["points"])), *(Text(problem) for problem in coverage["problems"])]
    return Group(*parts)


def _columns(results: Sequence[Mapping[str, Any]]) -> list[str]:
    failed = sum(result["outcome"] != "ok" for result in results)
    return [
        f"{len(results):,}",
        f"{failed:,}",
        *(f"{sum(result[name] for result in results):,}" for name in ("faults", "interleavings", "steps", "cycles")),
    ]


def summary_line(regression: Regression) -> str:
    """What was done, and how fast."""
    rates, done = regression.rates(), len(regression.results)
    left = f" of {len(regression.cases):,}" if done < len(regression.cases) else ""
    return (
        f"{done:,}{left} programs in {regression.seconds:,.1f} s: {rates['checked_faults_per_minute']:,.0f} checked faults a minute, "
        f"{rates['cycles_per_second']:,.0f} cycles a second"
    )


def _coverage_line(coverage: Sequence[Mapping[str, Any]]) -> str:
    bins, hit = (sum(point[name] for point in coverage) for name in ("bins", "hit"))
    holes = [f"{point['name']}: {hole}" for point in coverage for hole in point["holes"]]
    more = f"; not met: {', '.join(holes[:5])}{f' and {len(holes) - 5:,} more' if len(holes) > 5 else ''}" if holes else ""
    return f"functional coverage: {hit:,} of {bins:,} bins{more}"


def failure_text(failures: Sequence[Mapping[str, Any]], files: Sequence[str]) -> str:
    """What failed, at least one, in lines as long as their commands; `files`: what the first left."""
    first, *others = failures
    lines = [
        f"first failure: {first['profile']} seed {first['seed']}, {first['preset']}: {first['outcome']} in cycle {first['ended']:,}",
        *(f"  {line}" for line in str(first["message"]).splitlines()[:12]),
        f"  again, with waves: {first['repeat']}",
    ]  # fmt: skip
    lines += [f"  left: {file}" for file in files]
    lines += [f"also: {other['profile']} seed {other['seed']}, {other['preset']}: {other['outcome']}; {other['repeat']}" for other in others[:8]]
    if len(others) > 8:
        lines.append(f"and {len(others) - 8:,} more failures")
    return "\n".join(["", *lines])
