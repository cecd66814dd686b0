"""How busy the engine was over time: sums over equal pieces of a run, few enough to be drawn, that can be added up over runs."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["COLUMNS", "POINTS", "Occupancy", "merge_occupancy"]

POINTS = 256
"""Pieces at the most; when there would be more, two become one."""
FIRST_WIDTH = 64
"""Cycles of a piece at first."""
COLUMNS = ("cycles", "busy", "waiting", "commands", "faults")


class Occupancy:
    """Contexts busy and requests waiting, as levels that `contexts` and `requests` move, and counts of what happened.

    Attributes
    ----------
    levels : cycles by number of busy contexts.
    """

    def __init__(self) -> None:
        self.levels: Counter[int] = Counter()
        self._width, self._at, self._until = FIRST_WIDTH, 0, FIRST_WIDTH
        self._busy = self._waiting = 0
        self._piece = dict.fromkeys(COLUMNS, 0)
        self._columns: dict[str, list[int]] = {name: [] for name in COLUMNS}

    def contexts(self, cycle: int, change: int) -> None:
        self.advance(cycle)
        self._busy += change

    def requests(self, cycle: int, change: int) -> None:
        self.advance(cycle)
        self._waiting += change

    def count(self, cycle: int, column: str) -> None:
        """One of `commands`, `faults` has happened."""
        if cycle >= self._until:
            self.advance(cycle)
        self._piece[column] += 1

    def advance(self, cycle: int) -> None:
        """What holds since the last call holds until this cycle."""
        while cycle >= self._until:
            self._pass(self._until - self._at)
            self._next_piece()
        self._pass(cycle - self._at)

    def _pass(self, cycles: int) -> None:
        if cycles > 0:
            piece = self._piece
            piece["cycles"] += cycles
            piece["busy"] += self._busy * cycles
            piece["waiting"] += self._waiting * cycles
            self.levels[self._busy] += cycles
            self._at += cycles

    def _next_piece(self) -> None:
        for name, value in self._piece.items():
            self._columns[name].append(value)
            self._piece[name] = 0
        if len(self._columns["cycles"]) == POINTS:
            self._columns = _halved(self._columns)
            self._width *= 2
        self._until = self._at + self._width

    def result(self) -> dict[str, Any]:
        """`width`: cycles of a piece. Then per piece, from reset on: `cycles` that it has, sums over these of `busy` contexts and `waiting` requests,
        and numbers of `commands` (events of the command unit) and of `faults` that ended."""
        return {"width": self._width, **{name: [*values, self._piece[name]] for name, values in self._columns.items()}}


def merge_occupancy(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sums over runs that all began at cycle 0. `cycles` of a piece divided by `width` is how many runs lasted so long."""
    merged: dict[str, Any] = {"width": FIRST_WIDTH, **{name: [0] for name in COLUMNS}}
    for one in results:
        columns, width = {name: one[name] for name in COLUMNS}, one["width"]
        while merged["width"] < width:
            merged = {"width": merged["width"] * 2, **_halved(merged)}
        while width < merged["width"]:
            columns, width = _halved(columns), width * 2
        for name in COLUMNS:
            merged[name] = _added(merged[name], columns[name])
    return merged


def _halved(columns: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [sum(columns[name][index : index + 2]) for index in range(0, len(columns[name]), 2)] for name in COLUMNS}


def _added(left: list[int], right: list[int]) -> list[int]:
    length = max(len(left), len(right))
    return [a + b for a, b in zip(left + [0] * (length - len(left)), right + [0] * (length - len(right)), strict=True)]
