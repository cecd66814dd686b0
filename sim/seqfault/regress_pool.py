"""What a regression keeps of its programs' statistics: however many they are, no more than the page needs."""

from collections.abc import Iterable, Mapping
from typing import Any

from seqfault_tb.regression.statistics import merge_statistics

__all__ = ["SINGLE_PROGRAMS", "StatisticsPool", "program_name"]

SINGLE_PROGRAMS = 8
"""Programs whose occupancy can be looked at alone: those that failed, then the longest."""

Result = Mapping[str, Any]


def program_name(result: Result) -> str:
    """How a program is called wherever it is shown."""
    return f"{result['profile']} seed {result['seed']}, {result['preset']}, {result['policy']}, L={result['latency']}"


class StatisticsPool:
    """Sums by latency of memory, and some programs' occupancy. Results without `statistics` are passed over.

    Attributes
    ----------
    by_latency : {L: statistics}, whose slowest faults say which `program` they are of. programs : that were added.
    """

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self.by_latency: dict[int, dict[str, Any]] = {}
        self.programs = 0
        self._single: list[tuple[tuple[bool, int], str, dict[str, Any]]] = []
        for result in results:
            self.add(result)

    def add(self, result: Result) -> None:
        """After this the result's `statistics` may be dropped."""
        statistics = result.get("statistics")
        if not statistics:
            return
        self.programs += 1
        name, latency = program_name(result), result["latency"]
        labelled = statistics | {"slowest": [{"program": name} | fault for fault in statistics["slowest"]]}
        self.by_latency[latency] = merge_statistics([*([self.by_latency[latency]] if latency in self.by_latency else []), labelled])
        self._single.append(((result["outcome"] == "ok", -result["cycles"]), name, statistics["occupancy"]))
        self._single.sort(key=lambda single: single[0])
        del self._single[SINGLE_PROGRAMS:]

    @property
    def total(self) -> dict[str, Any]:
        """Of all programs."""
        return merge_statistics(self.by_latency[latency] for latency in sorted(self.by_latency))

    @property
    def occupancy(self) -> dict[str, dict[str, Any]]:
        """Of single programs by name; none if there is but one program."""
        return {name: occupancy for _, name, occupancy in self._single} if self.programs > 1 else {}
