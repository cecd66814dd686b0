"""What `seqfault mutate` tells a person and a program: the score by module and by kind of change, and where the survivors are."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqfault_tb.mutants.transform import Mutant

from .errors import CheckFailed
from .mutate import Campaign, Tried

__all__ = ["check_score", "likely", "list_table", "mutant_record", "place", "result_record", "result_table", "score", "scores", "survivors"]

SHOWN = 40
NORMAL = 1.96
"""Standard deviations around the mean of a normal distribution that hold 95 % of it."""


def score(tried: Sequence[Tried]) -> float:
    """Percentage of killed mutants; 0 of none."""
    return 100 * sum(item.killed for item in tried) / len(tried) if tried else 0.0


def check_score(tried: Sequence[Tried], at_least: float | None) -> None:
    """Raises `CheckFailed` for a score below `at_least` percent."""
    if at_least is not None and score(tried) < at_least:
        raise CheckFailed(f"{score(tried):.1f} % of {len(tried)} mutants were killed, less than {at_least:g} %")


def likely(tried: Sequence[Tried]) -> tuple[float, float]:
    """Between which percentages the score of all mutants is, if those tried are a random sample: Wilson's interval for 95 %."""
    count, part = len(tried), score(tried) / 100
    middle = part + NORMAL**2 / (2 * count)
    half = NORMAL * math.sqrt(part * (1 - part) / count + NORMAL**2 / (4 * count**2))
    return tuple(100 * (middle + side) / (1 + NORMAL**2 / count) for side in (-half, half))  # type: ignore[return-value]


def scores(tried: Sequence[Tried], key: Callable[[Tried], str]) -> list[tuple[str, int, int]]:
    """Name, tried, killed of each group, in the order of the names."""
    every, killed = Counter(map(key, tried)), Counter(key(item) for item in tried if item.killed)
    return [(name, every[name], killed[name]) for name in sorted(every)]


def survivors(tried: Sequence[Tried]) -> list[Tried]:
    """By place."""
    return sorted((item for item in tried if not item.killed), key=lambda item: (item.mutant.file, item.mutant.line, item.mutant.column))


def place(mutant: Mutant) -> str:
    """`file:line:column`."""
    return f"{mutant.file}:{mutant.line}:{mutant.column}"


def mutant_record(mutant: Mutant) -> dict[str, Any]:
    """For JSON."""
    return asdict(mutant)


def result_record(campaign: Campaign, tried: Sequence[Tried]) -> dict[str, Any]:
    """The JSON of `mutate`."""
    return {
        "modules": list(campaign.modules), "mutants": len(campaign.found), "chosen": len(campaign.chosen), "tried": len(tried),
        "killed": sum(item.killed for item in tried), "score": round(score(tried), 2),
        "outcomes": dict(Counter(item.verdict["outcome"] for item in tried)),
        "survivors": [{**asdict(item.mutant), "events": item.verdict["events"]} for item in survivors(tried)],
        "killers": [{"mutant": item.mutant.number, "by": item.verdict["by"], "message": item.verdict["message"]} for item in tried if item.killed],
    }  # fmt: skip


def list_table(mutants: Sequence[Mutant]) -> RenderableType:
    """All, in the order of the RTL."""
    table = Table("place", "change", "of", "into", title=f"{len(mutants)} mutants")
    for mutant in sorted(mutants, key=lambda mutant: mutant.number):
        table.add_row(place(mutant), mutant.operator, Text(mutant.before), Text(mutant.after))
    return table


def result_table(campaign: Campaign, tried: Sequence[Tried]) -> RenderableType:
    """The score by module, and the survivors."""
    if not tried:
        return "no mutant was tried"
    table = Table("module", "tried", "killed", "score %", title=f"{len(tried)} of {len(campaign.found)} mutants")
    for name, every, killed in scores(tried, lambda item: item.mutant.file):
        table.add_row(name, str(every), str(killed), f"{100 * killed / every:.1f}")
    table.add_section()
    table.add_row("all", str(len(tried)), str(sum(item.killed for item in tried)), f"{score(tried):.1f}")
    alive = survivors(tried)
    rows = Table("survivor", "change", "of", "into", "events")
    for item in alive[:SHOWN]:
        rows.add_row(place(item.mutant), item.mutant.operator, Text(item.mutant.before), Text(item.mutant.after), item.verdict["events"])
    more = [Text(f"and {len(alive) - SHOWN} more (--json)")] if len(alive) > SHOWN else []
    return Group(table, rows, *more) if alive else table
