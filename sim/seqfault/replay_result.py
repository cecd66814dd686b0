"""What a replay measures: outcomes, latencies, and what had to be put right."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

__all__ = ["OUTCOMES", "Percentiles", "ReplayResult"]

OUTCOMES = ("speculative", "retried", "classic", "software", "refused")


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Each is a measured value: the smallest with at least this share of all at or below it (inverted CDF). 0 of nothing."""

    p50: int
    p99: int
    p999: int
    max: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Percentiles":
        if len(values) == 0:
            return cls(p50=0, p99=0, p999=0, max=0)
        ordered = np.sort(values)
        p50, p99, p999 = (int(ordered[-(-len(values) * thousandths // 1000) - 1]) for thousandths in (500, 990, 999))
        return cls(p50=p50, p99=p99, p999=p999, max=int(ordered[-1]))


@dataclass(kw_only=True)
class ReplayResult:
    """What a replay found.

    Attributes
    ----------
    faults : count per outcome; they add up to the faults of the trace. already_mapped : of `software`, those that were answered without a
        fault because another thread's fault on the page was faster.
    mismatched : faults that the engine refused and Linux did not, or the reverse; `first_mismatch` names one.
    reconciled : page states that were first made what the trace says (see `seqfault_tb.kernel.faults`).
    page_requests : by reason. commands : by name. evictions : times a space was taken from an idle mm.
    cycles : of the whole replay. recorded : per fault, in order of completion: latency in cycles, outcome (index into
        `OUTCOMES`), kind of VMA, Linux' time in ns.
    """

    trace: str
    events: int
    cycles: int = 0
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    already_mapped: int = 0
    mismatched: int = 0
    first_mismatch: str | None = None
    reconciled: Counter[str] = field(default_factory=Counter)
    page_requests: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    evictions: int = 0
    recorded: list[tuple[int, int, str, int]] = field(default_factory=list, repr=False)

    @property
    def total(self) -> int:
        return sum(self.faults.values())

    def latency(self, *, kind: str | None = None, outcome: str | None = None) -> Percentiles:
        """Cycles from the first request to the last answer, of the faults that were resolved (or had this outcome, at this kind of VMA)."""
        return Percentiles.of(self._select(0, kind, outcome))

    def linux_ns(self, *, kind: str | None = None, outcome: str | None = None) -> Percentiles:
        """What the recorded machine took for the same faults, in ns."""
        return Percentiles.of(self._select(3, kind, outcome))

    def _select(self, column: int, kind: str | None, outcome: str | None) -> np.ndarray:
        refused = OUTCOMES.index("refused")
        wanted = None if outcome is None else OUTCOMES.index(outcome)
        rows = [
            row[column] for row in self.recorded
            if (kind is None or row[2] == kind) and (row[1] == wanted if wanted is not None else row[1] != refused)
        ]  # fmt: skip
        return np.array(rows, dtype=np.int64)
