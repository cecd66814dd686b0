"""One explored case for a person: verdict, states, and the shortest counter-example as a timeline with a lane for each agent."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqfault_golden.explore import catalogue
from seqfault_golden.explore.catalogue import Case
from seqfault_golden.explore.result import Exploration, TraceStep

from .explore_cases import CaseResult

__all__ = [
    "COLOURS", "INVARIANTS", "NONE", "busy_of", "case_tables", "changes_of", "invariant_text", "is_removed", "lanes_of", "seconds_text",
    "timeline", "title_of", "totals_line", "verdict_cell", "verdict_text",
]  # fmt: skip

COLOURS = {"ok": "green", "violation": "yellow", "deadlock": "yellow"}
NONE = "-"
INVARIANTS = {
    "I1": "no access (walk, PTE lock, entry) to a page table after it was freed",
    "I2": "after an unmap no entry of the range is present",
    "I3": "at rest every entry is what one single version of its VMA would give; none is writable in a read-only VMA",
    "I4": "each allocated page is mapped exactly once or freed exactly once",
    "I5": "an entry that is set is never silently overwritten",
    "I6": "nobody waits for a pinned walker while holding a PTE lock that the walker may wait for",
    "I7": "after a fork no TLB has a writable entry for a page that is shared with the child",
    "I8": "the memory of a VMA is not reused while a reader has it pinned",
    "protocol": "no step is taken that the protocol forbids",
}
"""The invariants of protocol.md 0.4 in words; others have names that say it."""


def invariant_text(invariant: str | None) -> str:
    """An invariant by name and in words."""
    if invariant is None:
        return NONE
    return f"{invariant}: {INVARIANTS[invariant]}" if invariant in INVARIANTS else invariant


def verdict_text(found: Exploration) -> str:
    """The verdict as a sentence."""
    extent = "every state that can be reached was looked at" if found.complete else "the shortest way there follows"
    what = {
        "ok": "no invariant is broken",
        "violation": "an invariant is broken",
        "deadlock": "nobody can take a step, and not everybody is done",
    }[found.verdict]
    return f"{what}; {extent}"


def seconds_text(seconds: float) -> str:
    """A duration, exact enough to compare."""
    return f"{seconds:,.1f}" if seconds >= 10 else f"{seconds:.2f}"


def totals_line(results: Iterable[CaseResult], *, jobs: int, seconds: float) -> str:
    """States, time and rate of all cases together.

    `seconds`: from the start of the first to the end of the last, `jobs` at a time. The rate is by the time of the cases added up: that of one core.
    """
    found = [result.found for result in results if result.found]
    states, busy = sum(each.states for each in found), sum(each.seconds for each in found)
    rate = f"{states / busy:,.0f}" if busy else NONE
    return (
        f"{len(found)} cases, {states:,} states in {seconds_text(seconds)} s with {jobs} process{'' if jobs == 1 else 'es'}: "
        f"{rate} states a second and core"
    )


def verdict_cell(result: CaseResult) -> Text:
    """The verdict, red when it is not the expected one."""
    return Text(result.verdict, style=COLOURS.get(result.verdict, "red") if result.holds else "bold red")


def title_of(case: Case) -> str:
    """What happens in the scenario, in one line."""
    return catalogue.SCENARIOS[case.scenario].title if case.scenario in catalogue.SCENARIOS else ""


def case_tables(result: CaseResult) -> RenderableType:
    """One case: verdict, states, and the counter-example."""
    case, found = result.case, result.found
    if found is None:
        return Text(result.complaint(), style="bold red")
    title = title_of(case)
    heading = Text.assemble((case.scenario, "bold"), f": {title}" if title else "")
    row = f"  (protocol.md {case.row})" if case.row else ""
    removed = Text(f"without: {case.mutation.replace('+', ', ')}{row}" if case.mutation else "with all safeguards")
    rate = f", {found.states / found.seconds:,.0f} states a second" if found.seconds else ""
    states = Text(f"{found.states:,} states, {found.transitions:,} steps between them, {seconds_text(found.seconds)} s{rate}")
    verdict = Text.assemble("verdict: ", verdict_cell(result), f": {verdict_text(found)}", "" if result.holds else f" (expected {case.expected})")
    parts = [heading, removed, states, verdict]
    if case.note:
        parts.append(Text(case.note, style="dim"))
    return Group(*parts, *([Text(""), timeline(found), *_ending(found)] if found.trace else []))


def timeline(found: Exploration) -> RenderableType:
    """The counter-example: a column for each agent, time downwards, what changed to the right."""
    lanes = lanes_of(found)
    busy = busy_of(found)
    table = Table(box=box.MINIMAL, show_lines=True, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for lane in lanes:
        table.add_column(lane, overflow="fold", ratio=3 if lane in busy else None)
    table.add_column("changed", overflow="fold", ratio=3)
    for number, step in enumerate(found.trace, 1):
        shared, own = changes_of(step)
        style = "red" if number == len(found.trace) else "" if shared else "dim"
        removed = (" (removed)", "yellow") if is_removed(step, found) else ""
        sentence = Text.assemble((step.step, "bold"), f" {step.text}", removed, style=style)
        cells = [sentence if lane == step.agent else Text("") for lane in lanes]
        table.add_row(str(number), *cells, Text("\n").join([*map(Text, shared), *(Text(change, style="dim") for change in own)]))
    return table


def changes_of(step: TraceStep) -> tuple[list[str], list[str]]:
    """The changes that others can see, and those of the agent's own fields."""
    own = [change for change in step.changes if change.startswith(f"{step.agent} ")]
    return [change for change in step.changes if change not in own], own


def is_removed(step: TraceStep, found: Exploration) -> bool:
    """The step is the safeguard that was taken away ("C3" without c3), so what it asks is not asked."""
    return found.mutation is not None and step.step.lower() in found.mutation.split("+")


def busy_of(found: Exploration) -> set[str]:
    """The agents that take a step in the counter-example."""
    return {step.agent for step in found.trace}


def lanes_of(found: Exploration) -> tuple[str, ...]:
    """The agents in order; whoever took a step without being announced comes last."""
    return tuple(dict.fromkeys([*found.agents, *(step.agent for step in found.trace)]))


def _ending(found: Exploration) -> list[Text]:
    heading = "Deadlock" if found.verdict == "deadlock" else "Broken"
    return [Text.assemble((f"{heading}: ", "bold red"), invariant_text(found.invariant)), Text(found.explanation)]
