"""What kind of fault a sequence of events was, in the words of docs/performance.md, and how each of its attempts ended."""

from dataclasses import dataclass, field

from seqfault_golden import Access, Outcome, Step

__all__ = ["KINDS", "WITH_TABLE", "FaultStory", "tell"]

KINDS = (
    "anon-read", "anon-write", "anon-write-unzeroed", "file-read", "shared-write", "file-write", "cow", "cow-zero", "upgrade",
    "upgrade-shared", "mapped", "software", "refused",
)  # fmt: skip
"""`cow-zero`: a store to a page that shows the zero frame. `upgrade-shared`: of an entry that shows a file's page, a store through a shared mapping.
`mapped`: the walk found an entry that suffices. The last two are not committed."""
WITH_TABLE = " + table"
"""Added to a kind: the fault made at least one table first."""
FIRST, LAST, OUTCOME, DATA = 2, 3, 5, 11
"""Words of a record. [watch.py]"""
PTE_V = 1
ANON, SHARED = 1 << 4, 1 << 3
"""Flags of a VMA. [contract, VMA tree]"""
FROM_POOL = COPIED = 1 << 63
RETRY = 1
WAYS_OUT = frozenset((Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK))
"""Steps that tell why an attempt failed before."""
GOES_ON = frozenset((Step.AROUND,))
"""What fails here does not end the attempt."""
OK, MAPPED, PTL_WAIT = int(Outcome.OK), int(Outcome.MAPPED), int(Outcome.PTL_WAIT)
R0, R3, R7, R9, PAGE, ANSWER, FILL, CLEAR, TABLE = (int(step) for step in (
    Step.R0, Step.R3, Step.R7, Step.R9, Step.PAGE, Step.ANSWER, Step.FILL, Step.CLEAR, Step.TABLE,
))  # fmt: skip
"""Plain numbers: comparing with members of an enum takes three times as long, some 20 times a fault."""
STORE = int(Access.STORE)


@dataclass(slots=True)
class FaultStory:
    """What became of a fault.

    Attributes
    ----------
    kind : one of `KINDS`, perhaps with `WITH_TABLE`. how : "speculative", "retried", "classic", "software" or "refused". reason : why it was not
        committed, if so; for a page request that was dropped, why that was. attempts : begun; none if the mm lock was not to be had.
    failures : (step, outcome) that ended an attempt, in order; the last one of a fault that was not committed ended it. waits : times it was
        parked on a PTE lock. key : port and tag of its request as in R0's data [22:6], or None. access, flags : of the request; 0 without R0.
    """

    kind: str = ""
    how: str = ""
    reason: int = OK
    attempts: int = 0
    failures: list[tuple[int, int]] = field(default_factory=list)
    waits: int = 0
    key: int | None = None
    access: int = 0
    flags: int = 0


def tell(events: list[list[int]]) -> FaultStory:
    """The story of a fault from its events, the first to that of its answer (R18 or ANSWER)."""
    story, attempt = FaultStory(), _Attempt()
    data = tables = 0
    for record in events:
        last, outcome = record[LAST], record[OUTCOME]
        if last == R0:
            data, attempt = record[DATA], _Attempt()
            story.attempts += 1
        elif outcome == OK:
            if last == TABLE:
                tables += 1
                attempt.entry = attempt.filled = None
                attempt.cleared = False
            else:
                attempt.see(record)
        elif outcome == PTL_WAIT:
            story.waits += 1
        elif outcome != MAPPED and last not in WAYS_OUT and last not in GOES_ON:
            story.failures.append((last, outcome))
    if story.attempts:
        story.key, story.access, story.flags = data >> 6 & 0x1FFFF, data & 3, data >> 2 & 15
    _end(story, attempt, data, events[-1])
    if tables and story.how not in ("software", "refused"):
        story.kind += WITH_TABLE
    return story


class _Attempt:
    """What the steps of the attempt have told: the VMA's flags, the entry (None: the walk has not ended at one), the frame."""

    __slots__ = ("cleared", "entry", "filled", "from_pool", "looked_up", "vma")

    def __init__(self) -> None:
        self.vma = 0
        self.entry: int | None = None
        self.from_pool = self.looked_up = self.cleared = False
        self.filled: int | None = None

    def see(self, record: list[int]) -> None:
        first, last, data = record[FIRST], record[LAST], record[DATA]
        if first <= R3 <= last:
            self.vma = data & 0xFFFF
        elif first <= R9 <= last:
            self.from_pool = bool(data & FROM_POOL)
            if first == R7:  # "when it ended at an empty leaf entry"
                self.entry = 0
        elif last == R7:
            self.entry = data
        elif last == PAGE:
            self.looked_up = True
        elif last == FILL:
            self.filled = data
        elif last == CLEAR:
            self.cleared = True

    def kind(self, access: int) -> str:
        if self.entry is not None and self.entry & PTE_V:
            if not self.cleared:
                return "upgrade-shared" if self.looked_up else "upgrade"
            return "cow" if self.filled is not None and self.filled & COPIED else "cow-zero"
        if self.vma & (ANON | SHARED) == ANON:
            if not self.from_pool:
                return "anon-read"
            return "anon-write" if self.filled is None else "anon-write-unzeroed"
        if access != STORE:
            return "file-read"
        return "shared-write" if self.vma & SHARED else "file-write"


def _end(story: FaultStory, attempt: _Attempt, data: int, final: list[int]) -> None:
    """Kind, how and reason, by the event that answers."""
    status = final[DATA] & 3 if final[LAST] == ANSWER else 0
    if status:
        story.kind = story.how = "software" if status == RETRY else "refused"
        story.reason = final[OUTCOME]
        return
    story.how = "classic" if data >> 26 & 1 else "retried" if data >> 23 & 7 else "speculative"
    story.kind = "mapped" if final[LAST] == ANSWER else attempt.kind(story.access)
