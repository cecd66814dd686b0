"""A fault context of the functional engine, and the request that it serves."""

from dataclasses import dataclass
from typing import NamedTuple

from ..layout import PAGE_BITS, VPN_MASK
from ..protocol.plain_world import PlainFault
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
class Context(PlainFault):
    """[Fault]; the rest is the context's own.

    Attributes
    ----------
    request : what it serves; None: the context is free.
    level : of the entry where R7 ended. pgoff, backing : of the VMA's record, from the snapshot.
    rounds : times that this attempt has parked. parked : the leaf table whose unlock it waits for; 0: none.
    waits_since : turn in which it began to wait for the mm lock; None: it does not wait.
    """

    request: Request | None = None
    level: int = 0
    pgoff: int = 0
    backing: int = 0
    rounds: int = 0
    parked: int = 0
    waits_since: int | None = None

    def serve(self, request: Request) -> None:
        """Begin with a request; the context is free."""
        self.request, self.id = request, 0
        self.space, self.vpn, self.access, self.flags = request.space, request.vpn, request.access, request.flags

    @property
    def doing(self) -> str:
        """The step that is next, in words."""
        if self.parked:
            return f"R10, when table {self.parked:#x} is unlocked"
        return "MM_READ_LOCK" if self.waits_since is not None else Phase(self.phase).name
