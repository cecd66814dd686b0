"""A fault context of the functional engine, and the request that it serves."""

from dataclasses import dataclass
from typing import NamedTuple

from ..layout import PAGE_BITS, VPN_MASK, Outcome
from ..protocol.world import Phase

__all__ = ["Context", "Request"]


class Request(NamedTuple):
    """A requester's translation request that needs a fault. [contract, Requests and answers]"""

    port: int
    tag: int
    va: int
    space: int
    access: int
    flags: int

    @property
    def vpn(self) -> int:
        """The page, 48 bits."""
        return self.va >> PAGE_BITS & VPN_MASK


@dataclass(slots=True)
class Context:
    """[Fault]; the rest is the context's own.

    Attributes
    ----------
    request : what it serves; None: the context is free.
    level : of the entry where R7 ended. invalidated : an INVALIDATE hit the page since the walk began.
    rounds : times that this attempt has parked. parked : the leaf table whose unlock it waits for; 0: none.
    waits_since : turn in which it began to wait for the mm lock; None: it does not wait.
    """

    agent: int
    request: Request | None = None
    phase: int = Phase.IDLE
    access: int = 0
    flags: int = 0
    attempt: int = 0
    classic: bool = False
    holds_read_lock: bool = False
    holds_vma: bool = False
    pinned: bool = False
    record: int = 0
    id: int = 0
    seq: int = 0
    vma_flags: int = 0
    page_prot: int = 0
    entry_address: int = 0
    entry: int = 0
    frame: int = 0
    owned: bool = False
    locked: int = 0
    pte: int = 0
    reason: int = Outcome.OK
    level: int = 0
    invalidated: bool = False
    rounds: int = 0
    parked: int = 0
    waits_since: int | None = None

    def serve(self, request: Request) -> None:
        """Begin with a request; the context is free."""
        self.request, self.access, self.flags, self.id = request, request.access, request.flags, 0

    @property
    def doing(self) -> str:
        """The step that is next, in words."""
        if self.parked:
            return f"R10, when table {self.parked:#x} is unlocked"
        return "MM_READ_LOCK" if self.waits_since is not None else Phase(self.phase).name
