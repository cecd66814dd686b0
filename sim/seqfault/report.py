"""What a person reads after `seqfault run`: tables made from the result's JSON.

Besides the keys of `run` in the formats, the result has `clock_mhz`, `by_kind` {kind: {outcome: n}}, `latency_by_outcome`
{outcome: {count, p50, p99, p999, max}} in cycles, `time_unit` (what these, `cycles` and `cycles_per_s` count: cycles, or the golden engine's turns),
`engine`, `cycles_per_s`, `faults_per_s`, `mismatched` (answers unlike Linux'),
`threads`, `processes`, `address_spaces`, and `reconciled` {what: n}: page states that the testbench kernel first made what the recording says
they were (see `seqfault_tb.kernel.faults`). A key that is missing leaves its line out.
"""

import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = ["KINDS", "OUTCOME_NAMES", "failures", "progress_bar", "run_table"]

KINDS = ("anon", "heap", "stack", "file_priv", "file_shared", "shm", "special", "none")
"""VMA kinds of a trace, in the order of the table."""
OUTCOME_NAMES = ("speculative", "retried", "classic", "software", "refused")
PERCENTILES = (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max"))
PATIENCE = 2.0
"""Seconds before a progress bar appears."""
GLUE = "\0"
"""Stands for a blank at which no line is broken."""
COUNTS_WIDTH = 56
"""Columns for lists of counts: an 80-column console less their heading."""
Progressing = Callable[[int, int], None]
"""Called with what is done and the total."""


CYCLES = "cycles"
TURNS_NOTE = "No cycles were simulated: a turn is one step group of one agent and says nothing about time."

RECONCILED = {
    "mapped": "mapped without a fault (fault-around, fork)", "unmapped": "unmapped (reclaim, truncation)", "restricted": "write-protected",
    "vma": "VMAs made up",
}  # fmt: skip
"""What the testbench kernel did to pages before a fault, in a reader's words."""


def failures(result: Mapping[str, Any]) -> list[str]:
    """Every check of a run that did not hold, one line each; empty when all held."""
    found = []
    golden = result["golden"]
    if not golden["agreed"]:
        found.append(f"the golden model disagrees: {golden['first_difference']}")
    elif not golden["steps_checked"]:
        found.append("the golden model checked no step")
    faults = result["faults"]
    if sum(faults[name] for name in OUTCOME_NAMES) != faults["total"]:
        found.append("the outcomes of the faults do not add up to their total")
    if result.get("mismatched"):
        found.append(f"{result['mismatched']} fault(s) ended unlike in the recording")
    return found


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=bool(index))
    return table


def _faults(result: Mapping[str, Any]) -> Table:
    faults = result["faults"]
    by_kind = result.get("by_kind", {})
    table = _table("Faults by kind of mapping", "kind", "total", *OUTCOME_NAMES)
    for kind in (*KINDS, *(kind for kind in by_kind if kind not in KINDS)):
        row = by_kind.get(kind, {})
        counts = [row.get(name, 0) for name in OUTCOME_NAMES]
        if sum(counts):
            table.add_row(kind, _number(sum(counts)), *(_number(count) if count else "." for count in counts))
    table.add_section()
    table.add_row("all", *(_number(faults[name]) for name in ("total", *OUTCOME_NAMES)), style="bold")
    total = faults["total"] or 1
    table.add_row("share", "", *(f"{faults[name] / total:.1%}" for name in OUTCOME_NAMES), style="dim")
    return table


def _latencies(result: Mapping[str, Any]) -> Table:
    clock, unit = result.get("clock_mhz", 100.0), result.get("time_unit", CYCLES)
    table = _table("Latency of a fault, from request to answer", "", "count", *(label for _key, label in PERCENTILES), "unit")

    def add(name: str, row: Mapping[str, Any], *, scale: float, unit: str, style: str = "") -> None:
        count = row.get("count")
        table.add_row(name, _number(count) if count is not None else "", *_scaled(row, scale), unit, style=style)

    table.columns[0].no_wrap = True
    all_faults = {"count": result["faults"]["total"], **result["latency_cycles"]}
    by_outcome = result.get("latency_by_outcome", {})
    for name in OUTCOME_NAMES:
        if by_outcome.get(name, {}).get("count"):
            add(name, by_outcome[name], scale=1, unit=unit)
    add("all", all_faults, scale=1, unit=unit, style="bold")
    table.add_section()
    if unit == CYCLES:
        for name in OUTCOME_NAMES:
            if by_outcome.get(name, {}).get("count"):
                add(f"{name}, at {clock:g} MHz", by_outcome[name], scale=1000 / clock, unit="ns")
        add(f"all, at {clock:g} MHz", all_faults, scale=1000 / clock, unit="ns", style="bold")
    if result.get("linux_ns"):
        add("Linux, as recorded", result["linux_ns"], scale=1, unit="ns")
    return table


def _scaled(row: Mapping[str, Any], scale: float) -> list[str]:
    return [_number(row[key] * scale) if row.get(key) is not None else "-" for key, _label in PERCENTILES]


def _counted(heading: str, counts: Mapping[str, int]) -> Table:
    """Names and counts, most frequent first, on few lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=22)
    table.add_column()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    # a name and its count stay on one line
    text = ", ".join(f"{name}{GLUE}{_number(count)}" for name, count in ordered if count)
    lines = [line.replace(GLUE, " ") for line in textwrap.wrap(text, COUNTS_WIDTH, break_on_hyphens=False)]
    table.add_row(Text(heading, style="bold"), Text("\n".join(lines) or "none"))
    return table


def _checks(result: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=22)
    table.add_column()
    golden = result["golden"]
    agreed = golden["agreed"]
    verdict = Text("agreed" if agreed else "DISAGREED", style="green" if agreed else "bold red")
    table.add_row(Text("golden model", style="bold"), Text.assemble(f"{_number(golden['steps_checked'])} steps checked, ", verdict))
    if golden["first_difference"]:
        table.add_row(Text("first difference", style="bold red"), Text(str(golden["first_difference"])))
    if "mismatched" in result:
        count = result["mismatched"]
        text = f"{_number(count)} fault(s) ended unlike there" if count else "every fault ended as there"
        table.add_row(Text("the recording", style="bold"), Text(text, style="bold red" if count else ""))
    reconciled = result.get("reconciled", {})
    if reconciled:
        counts = ", ".join(f"{_number(count)} {RECONCILED.get(what, what)}" for what, count in reconciled.items())
        table.add_row(Text("pages set up first", style="bold"), Text(f"{counts} (what a recording of faults cannot show)"))
    return table


def _speed(result: Mapping[str, Any]) -> Text:
    unit = result.get("time_unit", CYCLES)
    parts = [f"{_number(result['cycles'])} {unit} in {result['wall_s']:.1f} s"]
    if result.get("cycles_per_s"):
        parts.append(f"{_number(result['cycles_per_s'])} {unit}/s")
    if result.get("faults_per_s"):
        parts.append(f"{_number(result['faults_per_s'])} checked faults/s")
    note = "" if unit == CYCLES else f"\n{TURNS_NOTE}"
    return Text(", ".join(parts) + note)


def _heading(result: Mapping[str, Any]) -> Text:
    counted = [
        (result["events"], "event"),
        (result.get("threads"), "thread"),
        (result.get("processes"), "process"),
        (result.get("address_spaces"), "address space"),
    ]
    plural = {"process": "processes"}
    what = ", ".join(f"{_number(count)} {name if count == 1 else plural.get(name, name + 's')}" for count, name in counted if count is not None)
    engine = ", engine golden" if result.get("engine") == "golden" else ""
    return Text.assemble((str(result["trace"]), "bold"), f": {what}; policy {result['policy']}, preset {result['preset']}{engine}")


def run_table(result: Mapping[str, Any]) -> RenderableType:
    """The whole report of a run, for a console of 80 columns or more."""
    return Group(
        _heading(result),
        _speed(result),
        Text(""),
        _faults(result),
        _latencies(result),
        _counted("aborted attempts", result["aborts"]),
        _counted("commands executed", result["commands"]),
        _checks(result),
    )


@contextmanager
def progress_bar(what: str, *, unit: str = "events") -> Iterator[Progressing]:
    """A callback `progress(done, total)` that draws a bar on standard error: only on a terminal, and only after two seconds."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    timer = threading.Timer(PATIENCE, bar.start)  # a timer: while the model is built nobody calls `progress`
    timer.daemon = True
    timer.start()

    def progress(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
