"""A page about explored cases that needs nothing but itself: the catalogue, and a swim-lane diagram for each counter-example."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from seqfault_golden.explore import catalogue

from .explore_cases import CaseResult, case_name
from .explore_report import race_text
from .explore_timeline import (
    busy_of,
    changes_of,
    invariant_text,
    is_removed,
    lanes_of,
    seconds_text,
    title_of,
    totals_line,
    verdict_text,
)  # fmt: skip
from .html_page import page_templates

__all__ = ["page"]

TEMPLATE = "explore.html"
AGENT_COLOURS = 6
"""Colours of lanes that the template has."""


def anchor(scenario: str, mutation: str | None) -> str:
    """Where on the page a case is; the same for any order of its safeguards."""
    removed = ["without", *sorted(mutation.split("+"))] if mutation else []
    return re.sub(r"[^a-z0-9]+", "-", " ".join([scenario, *removed]).lower())


def page(results: Sequence[CaseResult], *, whole: bool, jobs: int, seconds: float) -> str:
    """The page's HTML. `whole`: with the tables of the catalogue and the races; `seconds`: wall time, `jobs` cases at a time."""
    environment = page_templates()
    environment.globals |= {
        "anchor": anchor, "busy_of": busy_of, "changes_of": changes_of, "coded": _coded, "colour_of": _colour_of, "invariant_text": invariant_text,
        "is_removed": is_removed, "lanes_of": lanes_of, "race_text": race_text, "seconds_text": seconds_text, "title_of": title_of,
        "verdict_text": verdict_text,
    }  # fmt: skip
    finished = [result for result in results if result.found]
    return environment.get_template(TEMPLATE).render(
        title="Every interleaving of every case" if whole else case_name(results[0].case), whole=whole, results=finished,
        wrong=[result for result in finished if not result.holds], given_up=[result.complaint() for result in results if not result.found],
        races=catalogue.RACES if whole else (), shown={anchor(result.case.scenario, result.case.mutation) for result in finished},
        totals=totals_line(results, jobs=jobs, seconds=seconds),
    )  # fmt: skip


def _coded(text: str) -> Markup:
    """With what stands between backquotes as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _colour_of(number: int) -> int:
    return number % AGENT_COLOURS
