"""A thread's fault as it goes through the engine: made possible, issued, retried while software is asked, and judged."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import HangError
from ..machine import Answer, Request
from . import commands as cmd
from .constants import PTE_R, PTE_V, PTE_X, Access, Flags, How, Reason, Register, Status
from .entries import permits, shown
from .layout import LayoutChange
from .page_requests import Ticket, Verdict, install
from .page_table import AROUND_BITS
from .tasks import Future

if TYPE_CHECKING:
    from .address_space import AddressSpace
    from .kernel import Kernel

__all__ = ["FaultCall", "FaultReport", "Faults"]

MOST_TRIES, MOST_DROPPED = 16, 500
"""How often a fault is tried before it is a hang: heard of by software, and with its page request dropped."""
OUTCOME_OF_HOW = {How.SPECULATIVE: "speculative", How.RETRIED: "retried", How.CLASSIC: "classic"}
PQCSR_CLEAR = 1 | 1 << 8 | 1 << 9
"""Keeps the page-request queue on and clears pqmf and pqof."""


@dataclass(slots=True, kw_only=True)
class FaultCall:
    """A fault that Linux had.

    Attributes
    ----------
    port : the thread's requester port. va : in bytes. present : the page was mapped (copy on write, or a missing right).
    refused : Linux refused it. grow : enlarges the stack, when Linux did. label : names it in messages.
    flags : of the request. cached : if it is a page of a file, Linux had it in its page cache.
    """

    mm: "AddressSpace"
    port: int
    va: int
    access: int
    present: bool
    refused: bool
    grow: Callable[[], Awaitable[None]] | None
    label: str
    flags: int = Flags.ALLOW_RETRY
    cached: bool = False


@dataclass(slots=True, kw_only=True)
class FaultReport:
    """`outcome`: speculative, retried, classic, software or refused. `cycles`: from the first request to the last answer, which is `answer`."""

    outcome: str
    cycles: int
    tries: int
    answer: Answer


class Faults:
    """Issues faults. A (port, tag) belongs to one fault until it is done.

    Attributes
    ----------
    reconciled : pages whose state was first made what Linux' trace says: `unmapped` (was mapped here, not there: reclaim, truncation),
        `mapped` (fault-around, fork), `restricted` (had the right already), and `vma` (a VMA that had to be made up).
    already_mapped : faults answered without a fault: another thread's fault on the same page was faster. They count as `software`, because
        this fault was not resolved by any of the engine's paths.
    """

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        machine = kernel.machine
        self._tags = [list(range(machine.tags - 1, -1, -1)) for _ in range(machine.ports)]
        self._waiting: list[list[Future]] = [[] for _ in range(machine.ports)]
        self._answers: dict[tuple[int, int], Future] = {}
        self.reconciled: Counter[str] = Counter()
        self.already_mapped = 0

    @property
    def outstanding(self) -> int:
        """Requests that the engine has not answered."""
        return len(self._answers)

    def deliver(self, answer) -> None:
        """An answer of the engine."""
        self._answers.pop((answer.port, answer.tag)).resolve(answer)

    async def run(self, call: FaultCall, reconcile: bool = True) -> FaultReport:
        """Issue the fault until it is resolved or refused; `reconcile`: first make the page what Linux' trace says it was.

        Raises `HangError` after 16 tries.
        """
        mm, vpn = call.mm, call.va >> 12
        await self._kernel.spaces.hold(mm)
        around = vpn >> AROUND_BITS
        mm.faulting[around] = mm.faulting.get(around, 0) + 1
        if call.cached and not call.present and (vma := mm.layout.find(vpn)) is not None and vma.file_key is not None:
            self._kernel.frames.cache.add(vma.page(vpn))
        if reconcile:
            await self._reconcile(call)
        tags = self._tags[call.port]
        while not tags:
            turn = Future("a free tag")
            self._waiting[call.port].append(turn)
            await turn
        tag = tags.pop()
        report = await self._try(call, tag)
        tags.append(tag)
        if self._waiting[call.port]:
            self._waiting[call.port].pop(0).resolve()
        if mm.faulting[around] == 1:
            del mm.faulting[around]
        else:
            mm.faulting[around] -= 1
        self._kernel.spaces.drop(mm)
        return report

    async def _try(self, call: FaultCall, tag: int) -> FaultReport:
        mm, key, tickets = call.mm, (call.port, tag), self._kernel.page_requests.tickets
        flags, first, asked = call.flags, -1, False
        tries = dropped = 0
        while tries < MOST_TRIES and dropped < MOST_DROPPED:
            tries += 1
            verdict = Future("software's answer to a page request")
            tickets[key] = Ticket(mm=mm, refused=call.refused, grow=call.grow, verdict=verdict, tries=tries)
            await mm.settled(call.va >> 12)
            mm.table.touch(call.va >> 12)
            assert mm.slot is not None
            self._answers[key] = arrival = Future("an answer of the engine")
            self._kernel.machine.submit(Request(port=call.port, tag=tag, va=call.va, space=mm.slot, access=call.access, flags=flags))
            answer = await arrival
            if first < 0:
                first = answer.issued
            if answer.status != Status.RETRY:
                del tickets[key]
                return FaultReport(outcome=self._outcome(answer, asked), cycles=answer.cycle - first, tries=tries, answer=answer)
            asked, flags = True, call.flags | Flags.TRIED
            if answer.reason == Reason.QUEUE_FULL:  # software has not heard of it
                tries, dropped = tries - 1, dropped + 1
                self._kernel.machine.write_register(Register.PQCSR, PQCSR_CLEAR)
                continue
            decision = await verdict
            if decision == Verdict.GROW:
                assert call.grow is not None
                await call.grow()
            elif decision == Verdict.REFUSED:
                del tickets[key]
                return FaultReport(outcome="refused", cycles=answer.cycle - first, tries=tries, answer=answer)
        raise HangError(f"{call.label}: not resolved after {tries} tries and {dropped} dropped page requests; the last answer was {answer}")

    def _outcome(self, answer, asked: bool) -> str:
        if answer.status == Status.FAULT:
            return "refused"
        if asked:
            return "software"
        outcome = OUTCOME_OF_HOW.get(answer.how)
        if outcome is None:
            self.already_mapped += 1
            return "software"
        return outcome

    async def _reconcile(self, call: FaultCall) -> None:
        """Make the page what it was when Linux had the fault. Usually it is, and this only reads the entry."""
        mm, vpn = call.mm, call.va >> 12
        if self._difference(call, vpn) is None:
            return
        async with mm.lock:
            difference = self._difference(call, vpn)
            if difference is None:
                return
            self.reconciled[difference] += 1
            if difference == "vma":
                await self._make_up_vma(call, vpn)
            elif difference == "mapped":
                await self._show(mm, vpn)
            else:
                await self._restrict(mm, vpn, call.access if difference == "restricted" else None)

    def _difference(self, call: FaultCall, vpn: int) -> str | None:
        mm = call.mm
        word = mm.table.read(vpn)
        if not call.refused and call.grow is None:
            vma = mm.layout.find(vpn)
            if vma is None or not vma.permits(call.access):
                return "vma"
        if not word & PTE_V:
            if call.present:
                vma = mm.layout.find(vpn)
                return "mapped" if vma is not None and vma.rights and call.access == Access.STORE else None
            return None
        if not call.present:
            return "unmapped"
        if permits(word, call.access):
            return "unmapped" if call.access == Access.LOAD else "restricted"
        return None

    async def _make_up_vma(self, call: FaultCall, vpn: int) -> None:
        """One page of memory where Linux had some: should not be needed."""
        old = call.mm.layout.find(vpn)
        perm = {Access.LOAD: "r--p", Access.STORE: "rw-p", Access.FETCH: "r-xp"}[Access(call.access)]
        change = LayoutChange(op="prot" if old else "set", start=vpn, end=vpn + 1, perm=perm)
        await call.mm.change_locked([change])

    async def _show(self, mm: "AddressSpace", vpn: int) -> None:
        vma = mm.layout.find(vpn)
        assert vma is not None
        await install(self._kernel, mm, [(vma, vpn, Access.LOAD)], lambda vma, vpn, _, word: word or shown(self._kernel.frames, vma, vpn))

    async def _restrict(self, mm: "AddressSpace", vpn: int, access: int | None) -> None:
        """Take the right for `access` from the page, or (None) the page."""
        assert mm.slot is not None
        post, space = self._kernel.commands.post, mm.slot
        word = mm.table.read(vpn)
        post(cmd.mm_lock(space))
        if access is None:
            post(cmd.zap(space, vpn, 1))
        else:
            keep_execute = access == Access.STORE and word & PTE_X
            post(cmd.protect(space, vpn, 1, (PTE_R | (PTE_X if keep_execute else 0)) >> 1))
        post(cmd.invalidate_page(space, vpn))
        post(cmd.mm_unlock(space))
        await self._kernel.fence()
