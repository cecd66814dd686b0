"""A table of `seqfault bench` for people, and what a row of it has to reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTHING", "Goal", "Record", "Sheet", "by_latency"]

Record = Mapping[str, Any]
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is to be reached. `text` shows it; `bound` is it for a memory latency; `peers` shows theirs."""

    text: str = NOTHING
    bound: Callable[[int], float] | None = None
    at_least: bool = False
    peers: str = NOTHING
    latencies: tuple[int, ...] | None = None

    def verdict(self, values: Mapping[int, float]) -> str:
        """About the values by latency; those with a goal must all reach it."""
        judged = {latency: value for latency, value in values.items() if self.latencies is None or latency in self.latencies}
        if self.bound is None or not judged:
            return NOTHING
        good = (value >= self.bound(latency) if self.at_least else value <= self.bound(latency) for latency, value in judged.items())
        return "reached" if all(good) else "MISSED"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of texts; the first `left` columns are no numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int
    notes: str


def by_latency(
    records: Sequence[Record], names: Sequence[str], goal_of: Callable[[Record], Goal], style: str, *, title: str, notes: str
) -> Sheet:  # fmt: skip
    """A row for each combination of the parameters `names`, a column for each latency."""
    rows: dict[tuple[Any, ...], dict[int, float]] = {}
    goals: dict[tuple[Any, ...], Goal] = {}
    for record in records:
        params = record["params"]
        key = tuple(params[name] for name in names)
        rows.setdefault(key, {})[params["latency"]] = record["value"]
        goals[key] = goal_of(params)
    latencies = sorted({latency for values in rows.values() for latency in values})
    texts = []
    for key, values in rows.items():
        measured = [f"{values[latency]:{style}}" for latency in latencies]
        texts.append((*map(str, key), *measured, goals[key].text, goals[key].peers, goals[key].verdict(values)))
    columns = (*(name.replace("_", " ") for name in names), *(f"L={latency}" for latency in latencies), "reach", "peers", "verdict")
    left = sum(isinstance(value, str) for value in next(iter(rows), ()))
    return Sheet(title=title, columns=columns, rows=texts, left=left, notes=notes)
