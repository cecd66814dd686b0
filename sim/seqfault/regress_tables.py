"""The tables of a regression's page, from the results of its programs: who passed, latencies by kind of fault, failed attempts by step."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqfault_tb.regression.fault_kinds import KINDS, WITH_TABLE

__all__ = [
    "PERCENTILES", "REASONS", "STEPS", "AbortRow", "Group", "KindRow", "abort_rows", "groups", "kind_order", "kind_rows", "percentile", "summed",
]  # fmt: skip

Result = Mapping[str, Any]
SUMS = ("faults", "steps", "interleavings", "cycles", "seconds")
PERCENTILES = (("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999))
"""Names, and thousandths of all values."""
STEPS = {
    "MM_READ_LOCK": "mm lock", "R0": "begin", "R1": "find the VMA", "R2": "snapshot of the sequence", "R3": "kind of VMA", "R4": "snapshot of fields",
    "R5": "bounds", "R6": "rights", "R7": "walk", "PAGE": "page cache", "R8": "early re-check", "R9": "take a frame", "FILL": "fill the frame",
    "R10": "pin", "R11": "C1", "R12": "C2", "R13": "PTE lock", "R14": "C3", "R15": "unpin", "R16": "C4", "CLEAR": "C4, clear", "R17": "commit",
    "FLUSH": "flush", "AROUND": "fault-around", "TABLE": "table made", "R18": "unlock, answer", "UNDO": "undo", "HANDOVER": "page request",
    "ANSWER": "answer", "MM_READ_UNLOCK": "mm unlock",
}  # fmt: skip
"""In the order of the protocol, with a word for each. [software-contract.md, Steps and outcomes]"""
REASONS = {
    "ODD": "a writer changes the VMA", "CHANGED": "the VMA changed since the snapshot", "CHANGED_C1": "the VMA changed before C1",
    "WALK_C2": "an invalidation after the walk", "PTL_BUSY": "the PTE lock was not to be had", "CHANGED_C3": "the VMA changed before C3",
    "RACED": "the entry is no longer the one walked", "NO_VMA": "no VMA there", "BOUNDS": "outside the VMA", "ACCESS": "the VMA forbids it",
    "UNSUPPORTED": "a kind of VMA for software", "NO_TABLE": "no table, and none may be made", "HUGE": "a huge page or VMA",
    "PRESENT": "an entry for software", "POOL_EMPTY": "no free frame", "BUS_ERROR": "memory answered with an error",
    "QUEUE_FULL": "the page-request queue is full", "MM_BUSY": "a writer holds the mm lock", "BAD_TABLE": "a malformed entry",
    "BAD_TREE": "a malformed VMA tree", "NOT_CACHED": "the page is not in the cache", "PAGE_BUSY": "the page is locked",
    "NOT_WRITABLE": "page_mkwrite is software's", "USERFAULT": "a userfault", "RELEASED_FULL": "no room in the released ring",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some programs, added up. `name`: profile, preset, policy, L, if they have these in common. `sums`: by the names of `SUMS`."""

    name: tuple[str, str, str, int]
    programs: int
    failed: int
    sums: Mapping[str, float]

    @classmethod
    def of(cls, results: Sequence[Result], name: tuple[str, str, str, int] = ("", "", "", 0)) -> "Group":
        sums = {key: sum(result[key] for result in results) for key in SUMS}
        return cls(name=name, programs=len(results), failed=sum(result["outcome"] != "ok" for result in results), sums=sums)

    def rate(self, key: str) -> float | None:
        """Per second of the jobs' own time (a core's, as a job runs on one); None: no time has passed."""
        return self.sums[key] / self.sums["seconds"] if self.sums["seconds"] else None


def groups(results: Sequence[Result]) -> list[Group]:
    """In ascending order of their names."""
    found: dict[tuple[str, str, str, int], list[Result]] = defaultdict(list)
    for result in results:
        found[result["profile"], result["preset"], result["policy"], result["latency"]].append(result)
    return [Group.of(found[name], name) for name in sorted(found)]


def percentile(histogram: Mapping[str, int], thousandths: int) -> int | None:
    """The smallest value with at least this share of all at or below it (nearest rank); None of nothing."""
    rank, seen = -(-sum(histogram.values()) * thousandths // 1000), 0
    for value, count in sorted((int(value), count) for value, count in histogram.items()):
        seen += count
        if count and seen >= rank:
            return value
    return None


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """Latencies of a kind of fault, in cycles, as `PERCENTILES` and the maximum; `how`: faults by how they ended; `retries`: further attempts."""

    kind: str
    faults: int
    how: Mapping[str, int]
    retries: int
    latency: Sequence[int | None]
    at_port: Sequence[int | None]


def kind_order(kinds: Collection[str]) -> list[str]:
    """Those that are there, as `KINDS`, each with what made a table first behind it."""
    return [kind for name in KINDS for kind in (name, name + WITH_TABLE) if kind in kinds]


def kind_rows(statistics: Result) -> list[KindRow]:
    """A row for each kind that was seen."""
    rows = []
    for name in kind_order(statistics["kinds"]):
        kind = statistics["kinds"][name]
        retries = sum(max(int(number) - 1, 0) * count for number, count in kind["attempts"].items())
        latency, at_port = (_percentiles(kind[part], kind["max"][place]) for place, part in enumerate(("latency", "at_port")))
        faults = sum(kind["latency"].values())
        rows.append(KindRow(kind=name, faults=faults, how=kind["how"], retries=retries, latency=latency, at_port=at_port))
    return rows


def _percentiles(histogram: Mapping[str, int], largest: int) -> list[int | None]:
    return [*(percentile(histogram, share) for _name, share in PERCENTILES), largest if histogram else None]


@dataclass(frozen=True, kw_only=True)
class AbortRow:
    """Attempts that failed at a step for a reason: those after which another began, and those that ended the fault."""

    step: str
    reason: str
    retried: int
    ended: int


def abort_rows(statistics: Result) -> list[AbortRow]:
    """In the order of the protocol's steps, then of the counts."""
    rows = []
    for name, counts in statistics["aborts"].items():
        step, reason = name.split()
        rows.append(AbortRow(step=step, reason=reason, retried=counts["retried"], ended=counts["ended"]))
    order = list(STEPS)
    return sorted(rows, key=lambda row: (order.index(row.step), -row.retried - row.ended, row.reason))


def summed(results: Sequence[Result], name: str) -> dict[str, int]:
    """A counter of the results added up, most frequent first."""
    sums: Counter[str] = Counter()
    for result in results:
        sums.update(result.get(name) or {})
    return dict(sums.most_common())
