"""Writes the generated part of a document: what stands between two marker comments is replaced, the prose around it stays."""

import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqfault_golden.explore import catalogue

from .document_parts import split_document
from .errors import UsageError
from .explore_cases import CaseResult
from .explore_report import race_text
from .explore_timeline import NONE, seconds_text, totals_line
from .processors import processors

__all__ = ["BEGIN", "END", "generated_part", "phase_diagram", "replaced"]

BEGIN = "<!-- seqfault explore: begin -->"
END = "<!-- seqfault explore: end -->"
COMMAND = "seqfault explore --all --document docs/protocol.md"
Edge = tuple[str, str, str]
"""Phase before, phase after, label."""


def replaced(path: Path, part: str) -> str:
    """The file's text with `part` between the markers.

    Raises `UsageError` when the file cannot be read, or has not each marker once, in order.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--document: cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    before, _, after = split_document(text, f"--document: {path}", BEGIN, END)
    return f"{before}\n{part.strip()}\n{after}"


def generated_part(results: Sequence[CaseResult], *, jobs: int, seconds: float, edges: Iterable[Edge]) -> str:
    """State spaces, races, and the reader's phases, in Markdown. `seconds`: wall time of all cases with `jobs` at a time."""
    return "\n\n".join(
        [
            f"Made by `{COMMAND}`; do not edit by hand.",
            f"{totals_line(results, jobs=jobs, seconds=seconds)}. Measured on {_machine()}.",
            "### State spaces",
            _case_table(results),
            "### Races of section 8",
            _markdown(["race", "what happens", "explored as"], [[race.number, race.title, race_text(race)] for race in catalogue.RACES]),
            "### Phases of a reader",
            "Every edge was taken in one of the explorations; its label says by what.",
            phase_diagram(edges),
        ]
    )


def _machine() -> str:
    return f"{platform.machine()}, {processors()} cores, {platform.python_implementation()} {platform.python_version()}"


def _case_table(results: Iterable[CaseResult]) -> str:
    rows = []
    for result in results:
        case, found = result.case, result.found
        if found is None:
            continue
        rate = f"{found.states / found.seconds:,.0f}" if found.seconds else NONE
        agents = ", ".join(catalogue.SCENARIOS[case.scenario].agents) if case.scenario in catalogue.SCENARIOS else ""
        rows.append(
            [
                f"`{case.scenario}`", agents, f"`{case.mutation}`" if case.mutation else NONE, found.verdict, case.expected,
                found.invariant or NONE, f"{found.states:,}", seconds_text(found.seconds), rate, "; ".join(filter(None, (case.row, case.note))),
            ]
        )  # fmt: skip
    headings = ["scenario", "agents", "without", "verdict", "expected", "breaks", "states", "seconds", "states/s", "row"]
    return _markdown(headings, rows, right=("states", "seconds", "states/s"))


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    rule = ["--:" if heading in right else ":--" for heading in headings]
    lines = [headings, rule, *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def phase_diagram(edges: Iterable[Edge]) -> str:
    """A Mermaid state diagram; edges between the same two phases are one, in the order in which they come."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, after, label in edges:
        known = labels.setdefault((before, after), [])
        if label and label not in known:
            known.append(label)
    phases = dict.fromkeys(phase for edge in labels for phase in edge)
    # an id of letters and digits, so that no phase is a word of Mermaid's ("end", "note")
    ids = {phase: f"s{number}" for number, phase in enumerate(phases)}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{_plain(phase)}" as {ids[phase]}' for phase in phases]
    for (before, after), texts in labels.items():
        label = f" : {_plain(', '.join(texts))}" if texts else ""
        lines.append(f"    {ids[before]} --> {ids[after]}{label}")
    return "\n".join([*lines, "```"])


def _plain(text: str) -> str:
    """Without what Mermaid gives a meaning to."""
    return re.sub(r"\s+", " ", re.sub(r'[":;#<>{}\[\]%]', " ", text)).strip()
