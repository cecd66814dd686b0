"""What software does about page requests: the slow path of the fault handler. [docs/software-contract.md, Page requests]

Most often it makes the fault possible and lets the requester come back: it reads the page into the page cache, makes it writable there (Linux'
page_mkwrite), enlarges the stack, fills a ring. It installs entries itself only where the engine may not: userfaults (UFFDIO_COPY), huge VMAs, and
entries that are neither empty nor what the VMA shows.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import HangError
from . import commands as cmd
from .constants import Access, Reason, Register, Slot, VmaFlag
from .entries import permits, resolve
from .layout import Vma
from .page_cache import Page
from .tasks import Future

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["PageRequest", "PageRequests", "Ticket", "Verdict", "install"]

BROKEN = frozenset({Reason.BAD_TABLE, Reason.BAD_TREE, Reason.BUS_ERROR, Reason.ILLEGAL})
"""Reasons that this kernel never gives cause for; memory may (`Kernel.bus_errors`)."""
INSTALLED = frozenset({Reason.UNSUPPORTED, Reason.HUGE, Reason.PRESENT, Reason.NO_TABLE, Reason.USERFAULT})
"""Reasons for which software resolves the fault itself."""
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
    """`port` and `tag` name the requester's request."""

    ticket: Ticket
    vpn: int
    access: int
    reason: int
    port: int
    tag: int


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
        if reason in BROKEN and not (reason == Reason.BUS_ERROR and self._kernel.bus_errors):
            raise HangError(f"a page request for page {vpn:#x} of mm {ticket.mm.number} says {Reason(reason).name}")
        mm = ticket.mm
        mm.requests.append(PageRequest(ticket, vpn, access, reason, port, tag))
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
            await self._respond(mm, batch, verdicts)
        mm.handling = False

    async def _respond(self, mm: "AddressSpace", batch: list[PageRequest], verdicts: list[str]) -> None:
        """Tell the requesters; they come back when they have got the response."""
        for request, verdict in zip(batch, verdicts, strict=True):
            code = cmd.RESPONSE_INVALID if verdict == Verdict.REFUSED else cmd.RESPONSE_SUCCESS
            self._kernel.commands.post(cmd.page_response(mm.space, request.port, request.tag, code))
        await self._kernel.fence(previous_reads=False)
        for request, verdict in zip(batch, verdicts, strict=True):
            request.ticket.verdict.resolve(verdict)

    def _judge(self, mm: "AddressSpace", vma: Vma | None, request: PageRequest) -> str | None:
        """The verdict, or None: software installs the page. What the engine lacks is then there."""
        ticket = request.ticket
        if vma is None:
            above = mm.layout.above(request.vpn)
            grows = ticket.grow is not None and above is not None and above.flags & VmaFlag.GROWSDOWN
            return Verdict.GROW if grows else Verdict.REFUSED
        if not vma.permits(request.access) or (ticket.refused and vma.file_key is not None):
            return Verdict.REFUSED
        if request.reason in INSTALLED or ticket.tries >= TRIES_BEFORE_INSTALL:
            return None
        if request.reason in (Reason.NOT_CACHED, Reason.PAGE_BUSY, Reason.NOT_WRITABLE) and vma.file_key is not None:
            self._offer(vma.page(request.vpn), Slot.WRITABLE if request.reason == Reason.NOT_WRITABLE else 0)
        return Verdict.AGAIN

    def _offer(self, page: Page, more: int) -> None:
        """The page is in the cache, nobody is busy with it, and it has these flags too."""
        cache = self._kernel.frames.cache
        cache.add(page)
        cache.change(page, add=Slot.UPTODATE | more, remove=Slot.LOCKED)


async def install(kernel: "Kernel", mm: "AddressSpace", pages: Collection[tuple[Vma, int, int]], make: Callable | None = None) -> None:
    """Write leaf entries for (VMA, VPN, access) in one section; the caller holds the lock of `mm` and a slot. Makes missing tables.

    `make(vma, vpn, access, word)` gives the new entry; without it the fault is resolved as the slow path does.
    """
    table = mm.table
    ids = sorted({vma.id for vma, _, _ in pages} | mm.ids_of_new_tables(vpn for _, vpn, _ in pages))
    mm.open_sections(ids)
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
        kernel.commands.post(cmd.invalidate_page(mm.space, vpn))
    mm.close_sections(ids)
    for _, word, new in replaced:
        if word >> 10 != new >> 10:
            kernel.frames.release(word)
    await kernel.fence(previous_reads=bool(replaced))


def _resolved(kernel: "Kernel", vma: Vma, vpn: int, access: int, word: int) -> int:
    """The entry after the fault; the same one if it permits the access already."""
    return word if permits(word, access) else resolve(kernel.frames, vma, vpn, access, word)
