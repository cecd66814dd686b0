"""The requester ports of the `GoldenMachine`: translations kept until they are invalidated, walks, and faults on their way to a context."""

from collections import deque
from collections.abc import Callable, Iterator

from seqfault_golden import REASON, Access, Cause, Features, How, Outcome, PagingMode, Refusal, Status, translate
from seqfault_golden.layout import EVERY_SPACE, leaf_pa, permits, satp_levels
from seqfault_golden.replay import Engine, Request

__all__ = ["Ports"]

REFUSED = frozenset((Cause.NON_CANONICAL, Cause.BUS_ERROR))
"""What no fault can repair; everything else is a page fault, which the fault unit serves."""
PPN_MASK = (1 << 44) - 1
Reply = Callable[[Request, int, int, int, int], None]
"""Given request, status, how, reason, physical address."""


class Ports:
    """One agent of the engine: each turn one request is translated, or one fault given to a context.

    Parameters
    ----------
    read : of the machine's memory. reply : takes an answer that needed no fault. on_hit : told of every use of a kept translation.
    """

    def __init__(self, read: Callable[[int], int], reply: Reply, on_hit: Callable[[int, int, int], None]) -> None:
        self.engine: Engine | None = None
        self._read, self._reply, self._on_hit = read, reply, on_hit
        self._requests: deque[Request] = deque()
        self._faults: deque[Request] = deque()
        self._kept: dict[tuple[int, int, int], int] = {}

    def submit(self, request: Request) -> None:
        """A request is accepted."""
        self._requests.append(request)

    def turn(self) -> bool:
        """The agent's turn: new requests before faults that wait for a context."""
        assert self.engine is not None
        if self._requests:
            self._translate(self._requests.popleft())
            return True
        if self._faults and self.engine.begin(self._faults[0]):
            self._faults.popleft()
            return True
        return False

    def waiting(self) -> list[str]:
        """What waits here."""
        return [f"{len(self._faults)} faults wait for a context"] if self._faults else []

    def keep(self, space: int, vpn: int, level: int, pte: int) -> None:
        """A translation is known from now on."""
        self._kept[space, level, vpn >> 9 * level] = pte

    def invalidate(self, space: int, first: int, pages: int) -> None:
        """An INVALIDATE took effect; `pages` 0: all."""
        last = first + pages - 1
        for key in list(self._kept):
            kept_space, level, index = key
            hit = pages == 0 or first >> 9 * level <= index <= last >> 9 * level
            if hit and space in (EVERY_SPACE, kept_space):
                del self._kept[key]

    def _held(self, space: int, vpn: int) -> Iterator[tuple[int, int]]:
        """(level, leaf) of the kept translations of a page."""
        for level in range(5):
            pte = self._kept.get((space, level, vpn >> 9 * level))
            if pte is not None:
                yield level, pte

    def _translate(self, request: Request) -> None:
        assert self.engine is not None
        space, world = request.space, self.engine.world
        satp, features = world.tables[space], world.features[space]
        if not satp_levels(satp):
            return self._reply(request, Status.FAULT, How.TRANSLATED, Outcome.BAD_TABLE, 0)
        mode = PagingMode(satp >> 60)
        for level, pte in self._held(space, request.vpn):
            if permits(pte, request.access) and mode.is_canonical(request.va):
                pa = leaf_pa(pte, level, request.va)
                self._on_hit(space, request.vpn, pa)
                return self._reply(request, Status.OK, How.TRANSLATED, Outcome.OK, pa)
        end = translate(
            mode, satp & PPN_MASK, request.va, Access(request.access), self._read,
            features=Features(pbmte=bool(features & 2), napot=bool(features & 4)),
        )  # fmt: skip
        if not isinstance(end, Refusal):
            self.keep(space, request.vpn, end.level, end.pte)
            self._reply(request, Status.OK, How.TRANSLATED, Outcome.OK, end.pa)
        elif end.cause in REFUSED:
            self._reply(request, Status.FAULT, How.TRANSLATED, REASON[end.cause], 0)
        else:
            self._faults.append(request)
