"""The command `seqfault explore`. Imports what it needs when it runs, like the others."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import json_output, report
from .errors import CheckFailed, UsageError
from .output import optional_file

if TYPE_CHECKING:
    from seqfault_golden.explore.catalogue import Case

    from .explore_cases import CaseResult

__all__ = ["explore"]

NAMED = 3
"""Differing cases that the line on standard error names."""


def explore(
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="The scenario to explore.")] = None,
    mutate: Annotated[
        list[str] | None, typer.Option("--mutate", metavar="NAME", help="Remove this safeguard; may be repeated, or several joined by +.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Explore every case of the catalogue.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name scenarios, safeguards and races; explore nothing.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a lane for each agent.")] = None,
    document: Annotated[
        Path | None, typer.Option("--document", metavar="FILE", help="With --all: replace the generated part of this Markdown file.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, max=256, metavar="JOBS", help="With --all: cases at a time; default: one per processor.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="STATES", help="Give a case up when it has more states.")] = None,
) -> None:
    """Explore every interleaving of a scenario in the golden model, and show the shortest way to what must not be."""
    if (scenario is not None) + everything + listed != 1:
        raise UsageError("name one scenario (`seqfault explore SCENARIO`), or all of them (--all), or ask for their names (--list)")
    if mutate and scenario is None:
        raise UsageError("--mutate goes with a scenario: `seqfault explore SCENARIO --mutate NAME`")
    if document is not None and (not everything or limit is not None):
        raise UsageError("--document goes with --all, and without --limit: it states whole state spaces")
    if listed and html_path is not None:
        raise UsageError("--html goes with a scenario or --all")
    from .explore_report import catalogue_tables, list_record, list_tables
    from .explore_timeline import case_tables
    from .processors import processors

    with json_output(json_path) as json_file, optional_file(html_path) as html_file, optional_file(document) as document_file:
        if listed:
            report(list_record(), list_tables(), json_path, json_file)
            return
        if document is not None:
            from .explore_document import generated_part, replaced

            replaced(document, "")  # the markers are there, before the work begins
        cases = _cases(scenario, mutate)
        jobs = min(jobs or processors(), len(cases))
        began = time.monotonic()
        results = _explore(cases, everything, jobs, limit)
        seconds = time.monotonic() - began
        finished = [result for result in results if result.found]
        if html_file is not None:
            from .explore_html import page

            html_file.write_text(page(results, whole=everything, jobs=jobs, seconds=seconds))
        if document is not None and document_file is not None:
            from seqfault_golden.explore import phase_edges

            part = generated_part(finished, jobs=jobs, seconds=seconds, edges=phase_edges())
            document_file.write_text(replaced(document, part))  # read again: the prose may have been edited meanwhile
        tables = catalogue_tables(results, jobs=jobs, seconds=seconds) if everything else case_tables(results[0])
        report([result.record() for result in finished], tables, json_path, json_file)
    wrong = [result.complaint() for result in results if not result.holds]
    if wrong:
        raise CheckFailed("; ".join(wrong[:NAMED]) + (f" (and {len(wrong) - NAMED} more)" if len(wrong) > NAMED else ""))


def _explore(cases: "list[Case]", everything: bool, jobs: int, limit: int | None) -> "list[CaseResult]":
    """The results in the order of the cases."""
    from .explore_cases import case_name, explore_case, explore_cases
    from .explore_progress import case_progress, catalogue_progress

    if everything:
        with catalogue_progress() as progress_of_all:
            return explore_cases(cases, jobs=jobs, limit=limit, progress=progress_of_all)
    (case,) = cases
    with case_progress(case_name(case)) as progress:
        return [explore_case(case, limit=limit, progress=progress)]


def _cases(scenario: str | None, mutate: Iterable[str] | None) -> "list[Case]":
    """The case that is asked for, or all. Raises `UsageError` for a scenario or safeguard that does not exist."""
    from seqfault_golden.explore import catalogue
    from seqfault_golden.protocol import Safeguard

    if scenario is None:
        return list(catalogue.CASES)
    if scenario not in catalogue.SCENARIOS:
        raise UsageError(f"unknown scenario {scenario!r}{_near(scenario, catalogue.SCENARIOS)}; known: {', '.join(catalogue.SCENARIOS)}")
    wanted = [name for names in mutate or [] for name in names.split("+")]
    for name in wanted:
        if name not in list(Safeguard):
            used = dict.fromkeys(each for case in catalogue.CASES if case.scenario == scenario and case.mutation for each in case.mutation.split("+"))
            raise UsageError(
                f"--mutate: unknown safeguard {name!r}{_near(name, Safeguard)}; removed from {scenario} are: {', '.join(used) or 'none'}"
            )
    try:
        return [catalogue.find_case(scenario, "+".join(wanted) or None)]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(near)}?" if near else ""
