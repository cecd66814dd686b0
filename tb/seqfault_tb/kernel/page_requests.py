"""What software does about page requests: the slow path of the fault handler. [docs/software-contract.md, Page requests]"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import HangError
from . import commands as cmd
from .constants import Access, Reason, Register, VmaFlag
from .entries import permits, resolve
from .layout import Vma
from .tasks import Future

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["PageRequest", "PageRequests", "Ticket", "Verdict", "install", "is_served"]

NOT_SERVED = VmaFlag.SHARED | VmaFlag.GROWSDOWN | VmaFlag.UFFD | VmaFlag.HUGE
BROKEN = frozenset({Reason.HUGE, Reason.BAD_TABLE, Reason.BAD_TREE, Reason.BUS_ERROR, Reason.ILLEGAL})
"""Reasons that this kernel never gives cause for."""
TRIES_BEFORE_INSTALL = 4
"""After so many tries software installs a page that the engine could."""


class Verdict:
    """What became of a page request."""

    AGAIN = "again"
    REFUSED = "refused"
    GROW = "grow"


@dataclass(slots=True, kw_only=True)
class Ticket:
    """A request in flight at (port, tag), as the kernel knows the faulting thread.

    Attributes
    ----------
    refused : Linux refused this access for a reason that the layout does not show (the end of a file).
    grow : enlarges the stack, if Linux did for this fault.
    verdict : resolved with a `Verdict` when software is done.
    """

    mm: "AddressSpace"
    refused: bool
    grow: Callable[[], Awaitable[None]] | None
    verdict: Future
    tries: int = 0


@dataclass(frozen=True, slots=True)
class PageRequest:
    ticket: Ticket
    vpn: int
    access: int
    reason: int


def is_served(vma: Vma) -> bool:
    """The engine resolves faults of this VMA."""
    return bool(vma.flags & VmaFlag.ANON) and not vma.flags & NOT_SERVED


class PageRequests:
    """Reads the page-request queue; one handler per address space at a time takes all that has come for it."""

    def __init__(self, kernel: "Kernel", base: int, log2: int) -> None:
        self._kernel = kernel
        self._base, self._mask, self._log2 = base, (1 << log2) - 1, log2
        self._head = 0
        self.tickets: dict[tuple[int, int], Ticket] = {}
        self.reasons: Counter[str] = Counter()

    def start(self) -> None:
        base = self._log2 - 1 | (self._base >> 12) << 10
        write = self._kernel.machine.write_register
        write(Register.PQB, base & 0xFFFFFFFF)
        write(Register.PQB + 4, base >> 32)
        write(Register.PQCSR, 1)

    def read(self, tail: int) -> None:
        """Take the records up to index `tail`."""
        if tail == self._head:
            return
        read = self._kernel.machine.read64
        while self._head != tail:
            address = self._base + 16 * self._head
            self._accept(read(address), read(address + 8))
            self._head = self._head + 1 & self._mask
        self._kernel.machine.write_register(Register.PQH, self._head)

    def _accept(self, word0: int, word1: int) -> None:
        reason, space, fetch, port = word0 & 31, word0 >> 12 & 0xFFFFF, word0 >> 34 & 1, word0 >> 40 & 0xFFFFFF
        access = Access.FETCH if fetch else Access.STORE if word1 & 2 else Access.LOAD
        tag, vpn = word1 >> 3 & 0x1FF, word1 >> 12
        self.reasons[Reason(reason).name] += 1
        ticket = self.tickets.get((port, tag))
        if ticket is None or ticket.mm.slot != space:
            where = f"port {port}, tag {tag}, space {space}"
            raise HangError(f"a page request ({word0:#x}, {word1:#x}) names {where}: no such request is outstanding")
        if reason in BROKEN:
            raise HangError(f"a page request for page {vpn:#x} of mm {ticket.mm.number} says {Reason(reason).name}")
        mm = ticket.mm
        mm.requests.append(PageRequest(ticket, vpn, access, reason))
        if not mm.handling:
            mm.handling = True
            self._kernel.scheduler.spawn(self._handle(mm), f"the page requests of mm {mm.number}")

    async def _handle(self, mm: "AddressSpace") -> None:
        while mm.requests:
            async with mm.lock:
                batch, mm.requests = mm.requests, []
                verdicts, pages = [], []
                for request in batch:
                    vma = mm.layout.find(request.vpn)
                    verdict = self._judge(mm, vma, request)
                    if verdict is None:
                        assert vma is not None
                        pages.append((vma, request.vpn, request.access))
                        verdict = Verdict.AGAIN
                    verdicts.append(verdict)
                if pages:
                    await install(self._kernel, mm, pages)
            for request, verdict in zip(batch, verdicts, strict=True):
                request.ticket.verdict.resolve(verdict)
        mm.handling = False

    def _judge(self, mm: "AddressSpace", vma: Vma | None, request: PageRequest) -> str | None:
        """The verdict, or None: software installs the page. Makes missing tables."""
        ticket = request.ticket
        if vma is None:
            above = mm.layout.above(request.vpn)
            grows = ticket.grow is not None and above is not None and above.flags & VmaFlag.GROWSDOWN
            return Verdict.GROW if grows else Verdict.REFUSED
        if not vma.permits(request.access) or (ticket.refused and not is_served(vma)):
            return Verdict.REFUSED
        if is_served(vma) and request.reason not in (Reason.PRESENT, Reason.MM_BUSY) and ticket.tries < TRIES_BEFORE_INSTALL:
            mm.table.ensure(request.vpn)
            return Verdict.AGAIN
        return None


async def install(kernel: "Kernel", mm: "AddressSpace", pages: Iterable[tuple[Vma, int, int]], make: Callable | None = None) -> None:
    """Write leaf entries for (VMA, VPN, access) in one section; the caller holds the lock of `mm` and a slot.

    `make(vma, vpn, access, word)` gives the new entry; without it the fault is resolved as the slow path does.
    """
    assert mm.slot is not None
    post, space, table = kernel.commands.post, mm.slot, mm.table
    ids = sorted({vma.id for vma, _, _ in pages})
    post(cmd.mm_lock(space))
    for vma_id in ids:
        post(cmd.sequence_begin(space, vma_id))
    await kernel.fence()
    replaced = []
    for vma, vpn, access in pages:
        word = table.read(vpn)
        new = make(vma, vpn, access, word) if make is not None else _resolved(kernel, vma, vpn, access, word)
        if new != word:
            table.write(vpn, new)
            if word:
                replaced.append((vpn, word, new))
    for vpn, _, _ in replaced:
        post(cmd.invalidate_page(space, vpn))
    for vma_id in ids:
        post(cmd.sequence_end(space, vma_id))
    post(cmd.mm_unlock(space))
    for _, word, new in replaced:
        if word >> 10 != new >> 10:
            kernel.frames.release(word)
    await kernel.fence(previous_reads=bool(replaced))


def _resolved(kernel: "Kernel", vma: Vma, vpn: int, access: int, word: int) -> int:
    """The entry after the fault; the same one if it permits the access already."""
    return word if permits(word, access) else resolve(kernel.frames, vma, vpn, access, word)
