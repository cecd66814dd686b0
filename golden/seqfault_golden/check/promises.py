"""What the engine owes software outside the page tables: cookies of SRCU calls that come back, page requests that are responded to."""

from collections import Counter, deque
from collections.abc import Iterable

from ..layout import Outcome
from ..protocol.world import NotAllowed, Phase
from .state import Fault

__all__ = ["PageRequests", "SrcuCalls"]


class SrcuCalls:
    """The calls whose cookie has not come back, and for each the faults that had begun before it. [contract, SRCU]

    "A fault is a reader from its first R0 to its answer."
    """

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._pending: deque[tuple[int, set[int]]] = deque()
        self._completed = 0

    def began(self, agent: int) -> None:
        """R0 of a context; its further attempts are of the same fault."""
        self._readers.add(agent)

    def ended(self, agent: int) -> None:
        """The context's fault is answered."""
        self._readers.discard(agent)
        for _, readers in self._pending:
            readers.discard(agent)

    def called(self, cookie: int) -> None:
        """SRCU_CALL was taken."""
        self._pending.append((cookie, set(self._readers)))

    def completed(self, cookie: int) -> None:
        """ "its cookie comes back in the completion ring [..] when all faults that had begun before it have been answered": once, and in order."""
        if not self._pending or self._pending[0][0] != cookie:
            awaited = f"the next one is {self._pending[0][0]:#x}" if self._pending else "none is awaited"
            raise NotAllowed(f"cookie {cookie:#x} came back, {awaited}")
        readers = self._pending[0][1]
        if readers:
            raise NotAllowed(f"cookie {cookie:#x} came back, and context {min(readers)} runs a fault that had begun before its SRCU_CALL")
        self._pending.popleft()
        self._completed += 1

    def check_all_back(self) -> None:
        """At quiescence, if anybody looks at the completion ring at all (the checker of a recorded trace is told of none)."""
        if self._completed and self._pending:
            raise NotAllowed(f"cookie {self._pending[0][0]:#x} of an SRCU_CALL has not come back")


class PageRequests:
    """Page requests that software has not responded to, by space, port and tag. [contract, Page requests]

    Those of a fault that was refused the mm lock before R0 are known by space alone: no event says whose they were.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = faults
        self._written: Counter[tuple[int, ...]] = Counter()

    def handed_over(self, fault: Fault, named: bool, outcome: int) -> None:
        """HANDOVER of a fault; `named`: R0 has said which request it serves. A bus error may have hit the fault or its page request."""
        if outcome != Outcome.QUEUE_FULL:
            self._written[_key(fault, named)] += 1

    def responded(self, space: int, port: int, tag: int) -> None:
        """PAGE_RESPONSE: "software is done with a page request". Its record is in memory some cycles before HANDOVER, so that may be yet to come."""
        for key in ((space, port, tag), (space,)):
            about_to = [fault for fault in self._faults if fault.phase in (Phase.UNDONE, Phase.REFUSED) and _key(fault, fault.known) == key]
            if self._written[key] + len(about_to) > 0:
                self._written[key] -= 1
                return
        raise NotAllowed(f"PAGE_RESPONSE to tag {tag} of port {port}, space {space}, which has no page request")


def _key(fault: Fault, named: bool) -> tuple[int, ...]:
    return (fault.space, fault.port, fault.tag) if named else (fault.space,)
