"""What a person reads after `seqfault explore --all` and `--list`: the catalogue, the races, and the totals; and the JSON of the list."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqfault_golden.explore import catalogue
from seqfault_golden.explore.catalogue import Case, Race

from .explore_cases import CaseResult
from .explore_timeline import COLOURS, NONE, seconds_text, totals_line, verdict_cell

__all__ = ["catalogue_tables", "list_record", "list_tables", "race_text"]


def race_text(race: Race) -> str:
    """How a race is explored, or why it cannot be."""
    if not race.cases and not race.reason:
        return "not in the catalogue"
    if not race.cases:
        return f"cannot be expressed because {race.reason.removeprefix('because ')}"
    return "; ".join(scenario if mutation is None else f"{scenario} without {mutation}" for scenario, mutation in race.cases)


def _table(title: str, *headings: str, right: Sequence[str] = ()) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in right else "left", no_wrap=heading in right)
    return table


def list_tables() -> RenderableType:
    """What there is to explore."""
    parts: list[RenderableType] = []
    for scenario in catalogue.SCENARIOS.values():
        parts.append(Text.assemble((scenario.name, "bold"), f": {scenario.title}"))
        parts.append(Text(f"protocol.md {scenario.section}; agents: {', '.join(scenario.agents)}", style="dim"))
        table = _table("", "without", "expected", "row of protocol.md", "")
        for case in catalogue.CASES:
            if case.scenario == scenario.name:
                table.add_row(case.mutation or NONE, Text(case.expected, style=COLOURS[case.expected]), case.row, case.note)
        parts += [table, Text("")]
    return Group(*parts, _races())


def list_record() -> dict[str, Any]:
    """The JSON of the list."""
    scenarios = [
        {
            "scenario": scenario.name, "title": scenario.title, "agents": list(scenario.agents), "section": scenario.section,
            "cases": [_case_record(case) for case in catalogue.CASES if case.scenario == scenario.name],
        }
        for scenario in catalogue.SCENARIOS.values()
    ]  # fmt: skip
    races = [
        {
            "race": race.number, "title": race.title, "reason": race.reason or None,
            "cases": [{"scenario": scenario, "mutation": mutation} for scenario, mutation in race.cases],
        }
        for race in catalogue.RACES
    ]  # fmt: skip
    return {"scenarios": scenarios, "races": races}


def _case_record(case: Case) -> dict[str, Any]:
    return {"mutation": case.mutation, "expected": case.expected, "row": case.row, "note": case.note}


def _races() -> Table:
    table = _table("Races of protocol.md 8", "race", "what happens", "explored as")
    for race in catalogue.RACES:
        table.add_row(race.number, race.title, Text(race_text(race), style="" if race.cases else "dim"))
    return table


def catalogue_tables(results: Sequence[CaseResult], *, jobs: int, seconds: float) -> RenderableType:
    """All cases, the races, and the totals. `jobs`: processes; `seconds`: from the first to the last of them."""
    table = _table(
        "Every interleaving of every case", "scenario\n- removed safeguard", "verdict", "expected", "breaks", "states", "seconds",
        "row of protocol.md", right=("states", "seconds"),
    )  # fmt: skip
    for column in table.columns[:3]:
        column.no_wrap = True
    before = None
    for result in results:
        case, found = result.case, result.found
        if before is not None and case.scenario != before:
            table.add_section()
        if case.scenario != before and case.mutation:
            table.add_row(case.scenario)
        before = case.scenario
        states = f"{found.states:,}" if found else f">{result.limit:,}"
        table.add_row(
            "- " + case.mutation.replace("+", "\n  + ") if case.mutation else case.scenario, verdict_cell(result), case.expected,
            (found.invariant if found else None) or NONE, states, seconds_text(found.seconds) if found else NONE, case.row,
        )  # fmt: skip
    wrong = [result for result in results if not result.holds]
    verdict = f"{len(wrong)} of {len(results)} cases did not end as expected" if wrong else f"all {len(results)} verdicts are the expected ones"
    totals = Text(totals_line(results, jobs=jobs, seconds=seconds))
    return Group(table, Text(""), _races(), Text(""), totals, Text(verdict, style="bold red" if wrong else "green"))
