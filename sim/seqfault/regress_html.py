"""The page of a regression: one file that needs nothing but itself, in the reader's colours, light or dark."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from .coverage import bins_reached
from .html_page import page_templates
from .regress_plots import PHASES, abort_plot, busy_plot, latency_plot, occupancy_plot, plotly_script, segments, slowest_plot
from .regress_pool import StatisticsPool, program_name
from .regress_tables import PERCENTILES, REASONS, STEPS, AbortRow, Group, Result, abort_rows, groups, kind_rows, summed

__all__ = ["regress_page"]

TEMPLATE = "regress.html"
HOW = ("speculative", "retried", "classic", "software", "refused")
CARDS = 40
"""Failures that are shown whole; the others have a line each."""
FEW_STEPS = 3
OUTCOMES = {"difference": "not as the golden model", "hang": "hangs", "failed": "the testbench failed"}


def regress_page(
    results: Sequence[Result], *, title: str, command: str, coverage: Sequence[Mapping[str, Any]] | None = None, wall_s: float | None = None,
    code: Sequence[Mapping[str, Any]] | None = None, notes: Sequence[str] = (), pool: StatisticsPool | None = None,
) -> str:  # fmt: skip
    """The page's HTML.

    Parameters
    ----------
    results : of the programs, as the jobs leave them, and where there are: `repeat`, the command that repeats it with waves; `files`, what it left,
        as paths relative to the page; `statistics` (`Statistics.result`).
    command : that made the run. coverage : of `coverage_summary`, code : of `code_summary`. None: none was taken.
    wall_s : seconds that the run took. notes : sentences under the title. pool : the programs' statistics, when the results have them no more.
    """
    pool = StatisticsPool(results) if pool is None else pool
    environment = page_templates()
    environment.filters |= {"count": _count, "path": lambda path: quote(str(path)), "share": _share, "short": _short}
    environment.globals |= {"program_name": program_name, "outcome_word": _outcome_word, "folder_of": _folder_of, "timeline": _timeline}
    statistics = pool.total
    latencies = {latency: pool.by_latency[latency] for latency in sorted(pool.by_latency) if pool.by_latency[latency]["kinds"]}
    failures = [result for result in results if result["outcome"] != "ok"]
    failures.sort(key=lambda result: (not result.get("files"), result.get("case", 0)))
    aborts, counts = abort_rows(statistics), summed(results, "counts")
    return environment.get_template(TEMPLATE).render(
        title=title, command=command, notes=notes, wall_s=wall_s, results=results, failures=failures[:CARDS], more_failures=failures[CARDS:],
        groups=groups(results), total=Group.of(results), percentiles=[name for name, _ in PERCENTILES] + ["max"], how=HOW,
        latencies={latency: kind_rows(one) for latency, one in latencies.items()}, kinds=kind_rows(statistics), aborts=aborts, steps=STEPS,
        reasons=REASONS, statistics=statistics, ended={how: counts[how] for how in HOW if how in counts}, operations=counts.get("operations", 0),
        commands=summed(results, "commands"), coverage=coverage, code=code, covered=_covered(coverage), exclusions=_exclusions(coverage or ()),
        holes=[point for point in coverage or () if point["holes"]], slowest=statistics["slowest"],
        plots=_plots(pool, statistics, latencies, aborts), plotly=Markup(plotly_script()),
    )  # fmt: skip


def _plots(pool: StatisticsPool, statistics: Result, latencies: Mapping[int, Result], aborts: Sequence[AbortRow]) -> dict[str, Any]:
    plots = {}
    if latencies:
        plots["latency"] = latency_plot(latencies)
    if aborts:
        plots["aborts"] = abort_plot(aborts)
    if sum(statistics["busy"].values()):
        plots["occupancy"] = occupancy_plot({"all programs, mean": statistics["occupancy"], **pool.occupancy})
        plots["busy"] = busy_plot(statistics["busy"])
    if statistics["slowest"]:
        plots["slowest"] = slowest_plot(statistics["slowest"])
    return plots


def _covered(coverage: Sequence[Mapping[str, Any]] | None) -> tuple[int, int, int] | None:
    """Bins reached, bins to be reached, and bins excluded, of all points."""
    if coverage is None:
        return None
    return *bins_reached(coverage), sum(len(point["excluded"]) for point in coverage)


def _exclusions(coverage: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """{point: {reason: bins}} of those that are not to be reached."""
    found: dict[str, dict[str, list[str]]] = {}
    for point in coverage:
        for left in point["excluded"]:
            found.setdefault(point["name"], {}).setdefault(left["reason"], []).append(left["bin"])
    return found


def _timeline(fault: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A fault's steps and the command unit's by time; `width`: of the time before it, in percent of the fault's."""
    lines: list[dict[str, Any]] = []
    for phase, start, cycle, steps, outcome in segments(fault):
        width = round(100 * (cycle - start) / max(fault["cycles"], 1), 2)
        lines.append({
            "cycle": cycle, "own": True, "after": cycle - start, "width": width, "colour": PHASES[phase][1],
            "steps": steps, "text": _step_text(steps), "why": _why(outcome),
        })  # fmt: skip
    if left_out := fault["events_left_out"]:
        lines.insert(len(lines) // 2, {"cycle": lines[len(lines) // 2 - 1]["cycle"], "left_out": f"{left_out:,} steps are not shown"})
    lines += [{"cycle": cycle, "own": False, "steps": steps, "why": _why(outcome)} for cycle, steps, outcome in fault["commands"]]
    lines.sort(key=lambda line: line["cycle"])
    if left_out := fault["commands_left_out"]:
        lines.append({"left_out": f"{left_out:,} events of the command unit, from their middle, are not shown"})
    return [{"left_out": "", **line} for line in lines]


def _step_text(steps: str) -> str:
    """In words: one step, or all of a range, if they are few."""
    first, _, last = steps.partition("-")
    if not last:
        return STEPS[first]
    names = [STEPS[f"R{number}"] for number in range(int(first[1:]), int(last[1:]) + 1)]
    return ", ".join(names) if len(names) <= FEW_STEPS else f"{names[0]}, {len(names) - 2} more, {names[-1]}"


def _folder_of(files: Sequence[str]) -> str:
    """Where they all are, if that is one place."""
    folders = {str(PurePosixPath(file).parent) for file in files}
    return f"in {folders.pop()}:" if len(folders) == 1 else ""


def _outcome_word(outcome: str) -> str:
    return OUTCOMES.get(outcome, outcome)


def _why(outcome: str) -> str:
    return "" if outcome == "OK" else outcome


def _count(value: float | None) -> str:
    """With thousands separated; None: a dash."""
    return "-" if value is None else f"{value:,.0f}"


def _short(value: float) -> str:
    """Of large numbers four digits."""
    for unit, name in ((10**9, "G"), (10**6, "M")):
        if value >= 10 * unit:
            return f"{value / unit:,.{max(0, 4 - len(str(int(value // unit))))}f} {name}"
    return _count(value)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"
