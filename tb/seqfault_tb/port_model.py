"""What a PortLookup does with its requests, cycle by cycle, in plain Python. It is exact while its TLB holds all that it was filled with."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .page_walk import PAGE_BITS, physical, refusal
from .tlb_model import Invalidation, TlbModel, Translation

__all__ = ["PortModel", "PortRequest"]

PBMT_SHIFT = 61
MAX_LOST_TURNS = 1
"""Answers that may pass one that waits in the other queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PortRequest:
    """A requester's question; fields as in `messages.Request`, `flags` as a number."""

    va: int
    space: int
    access: int
    flags: int
    tag: int
    supervisor: int
    sum: int
    mxr: int


@dataclass(kw_only=True, slots=True)
class Waiting:
    """Answers of one kind that wait, oldest first, and how often in turn the other kind went before them."""

    answers: deque[dict[str, Any]] = field(default_factory=deque)
    lost_turns: int = 0


class PortModel:
    """Expected outputs of one port.

    A cycle is: `resolve`, then the checks of the outputs, then `end`. An answer is a dictionary of the fields that are not 0, a miss a pair of
    the request and the reason for which the entry refuses it (0: none is held).
    """

    def __init__(self, *, levels: int, spaces: int, port_misses: int) -> None:
        self.tlb = TlbModel(levels=levels, spaces=spaces)
        self._port_misses = port_misses
        self._looked_up: tuple[PortRequest, Translation | None] | None = None
        self.hits, self.returned = Waiting(), Waiting()
        self.misses: deque[tuple[PortRequest, int]] = deque()
        self._refused: tuple[PortRequest, int] | None = None
        self.outstanding = self.withdrawn = 0
        self.draining = False
        self._offered: Waiting | None = None

    def resolve(self, returned: dict[str, Any] | None) -> None:
        """The start of a cycle: the last lookup ends, an answer of a miss comes back."""
        self.draining = self.withdrawn > 0
        if returned is not None:
            self.outstanding -= 1
            if self.withdrawn:
                self.withdrawn -= 1
            else:
                self.returned.answers.append(returned)
        if self._refused:
            self.misses.append(self._refused)
            self._refused = None
        if self._looked_up is None:
            return
        request, entry = self._looked_up
        if entry is None or not any(entry is held for held in self.tlb.held):
            self.misses.append((request, 0))
            return
        reason = refusal(entry.pte, request.access, supervisor=bool(request.supervisor), sum_bit=bool(request.sum), mxr=bool(request.mxr))
        if reason:
            self._refused = (request, reason)
        else:
            pa = physical(entry.pte, PAGE_BITS[entry.size], request.va)
            self.hits.answers.append({"pa": pa, "tag": request.tag, "pbmt": entry.pte >> PBMT_SHIFT & 3})

    @property
    def miss(self) -> tuple[PortRequest, int] | None:
        """The miss that must be offered now."""
        places = self._port_misses - self.outstanding - len(self.returned.answers)
        return self.misses[0] if self.misses and places > 0 and not self.draining else None

    @property
    def idle(self) -> bool:
        """Nothing waits for anything."""
        waiting = (self.hits.answers, self.returned.answers, self.misses, self._refused, self._looked_up, self.outstanding)
        return not any(waiting)

    def check_answer(self, valid: bool, matches: Any, taken: bool) -> None:
        """One answer is offered if one waits: that offered before, or the oldest of a kind; `matches` says whether it is this one."""
        kinds = (self.hits, self.returned)
        waiting = [kind for kind in kinds if kind.answers]
        assert valid == bool(waiting), f"answers.valid is {valid}, {sum(len(kind.answers) for kind in kinds)} wait"
        if not waiting:
            self._offered = None
            return
        candidates = [self._offered] if self._offered else waiting
        offered = next((kind for kind in candidates if matches(kind.answers[0])), None)
        assert offered is not None, f"the answer is none of {[kind.answers[0] for kind in candidates]}"
        self._offered = None if taken else offered
        if taken:
            offered.answers.popleft()
            offered.lost_turns = 0
            for other in waiting:
                if other is not offered:
                    other.lost_turns += 1
                    assert other.lost_turns <= MAX_LOST_TURNS, "answers of one kind keep the others waiting"

    def end(
        self, *, asked: PortRequest | None, gone: bool, withdraw: bool, fill: Translation | None, invalidation: Invalidation | None
    ) -> None:  # fmt: skip
        """The strobes of this cycle: a request and a miss were taken, all is withdrawn, the TLB changes."""
        if gone:
            self.misses.popleft()
            self.outstanding += 1
        if withdraw:
            self.hits, self.returned = Waiting(), Waiting()
            self.misses.clear()
            self._refused = self._offered = None
            self.withdrawn = self.outstanding
        found = None if asked is None else self.tlb.find(asked.space, asked.va >> 12)
        self.tlb.cycle(fill, invalidation)
        self._looked_up = None if asked is None else (asked, found)
