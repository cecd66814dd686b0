"""The fault path of the `FakeMachine`: TLB, walk, and a fault in two phases: look, and some cycles later check and commit."""

from typing import TYPE_CHECKING

from .fake_walks import Leaf, Record, find_vma, walk
from .machine import Answer, Request

if TYPE_CHECKING:
    from .fake_machine import FakeMachine

__all__ = ["FakeFaults"]

OK, NO_VMA, ODD, CHANGED, RACED, BOUNDS, ACCESS, UNSUPPORTED, NO_TABLE = 0, 1, 2, 3, 8, 9, 10, 11, 12
PRESENT, POOL_EMPTY, QUEUE_FULL, MAPPED = 14, 15, 18, 23
"""Outcomes."""
RETRIED = (ODD, CHANGED, RACED)
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
TLB_ENTRIES = 64
POLL = 4
"""Cycles until something that waits is looked at again."""


class Attempt:
    """A fault in the engine."""

    __slots__ = ("classic", "issued", "number", "record", "request", "sequence", "vpn", "word")

    def __init__(self, request: Request, issued: int) -> None:
        self.request, self.issued, self.number, self.classic = request, issued, 0, False
        self.vpn = request.va >> 12
        self.record: Record | None = None
        self.sequence = 0
        self.word: Leaf | None = None


class FakeFaults:
    """Resolves requests; `active`: attempts in progress. `latency`: cycles between the phases."""

    def __init__(self, machine: "FakeMachine", latency: int, max_retries: int) -> None:
        self._machine = machine
        self._latency, self._max_retries = latency, max_retries
        self.active: set[Attempt] = set()
        self.tlb: dict[tuple[int, int], int] = {}

    def submit(self, request: Request) -> None:
        """A request has been accepted."""
        self._machine.after(2, lambda: self._translate(Attempt(request, self._machine.cycle)))

    @staticmethod
    def _permits(word: int, access: int) -> bool:
        need = (V | U | A | R, V | U | A | W | D, V | U | A | X)[access]
        return word & need == need

    def _translate(self, attempt: Attempt) -> None:
        request = attempt.request
        key = request.space, attempt.vpn
        word = self.tlb.get(key, 0)
        if self._permits(word, request.access):
            self._machine.rules.translated(request.space, attempt.vpn, request.access, word)
            self._answer(attempt, 0, 0, OK, word)
        elif not self._machine.tables[request.space]:
            self._answer(attempt, 2, 0, OK, 0)
        else:
            word = walk(self._machine.read64, self._machine.tables[request.space], attempt.vpn).entry
            if self._permits(word, request.access):
                self._fill(key, word)
                self._answer(attempt, 0, 0, OK, word)
            else:
                self._look(attempt)

    def _fill(self, key: tuple[int, int], word: int) -> None:
        self.tlb.pop(key, None)
        self.tlb[key] = word
        if len(self.tlb) > TLB_ENTRIES:
            del self.tlb[next(iter(self.tlb))]

    def _look(self, attempt: Attempt) -> None:
        """The first phase: find the VMA, snapshot, walk."""
        request = attempt.request
        self.active.add(attempt)
        record = find_vma(self._machine.read64, self._machine.vmas[request.space], attempt.vpn)
        attempt.record = record
        reason = NO_VMA
        if record is not None:
            attempt.sequence = self._machine.sequence(record.id)
            reason = self._judge(attempt, record)
        self._machine.after(self._latency, lambda: self._commit(attempt, reason))

    def _judge(self, attempt: Attempt, record: Record) -> int:
        access = attempt.request.access
        if attempt.sequence & 1 and not attempt.classic:
            return ODD
        if record.flags & 16 == 0 or record.flags & (8 | 32 | 64 | 256):
            return UNSUPPORTED
        if not record.start <= attempt.vpn < record.end:
            return BOUNDS
        if not record.flags & (7, 2, 4)[access]:
            return ACCESS
        leaf = attempt.word = walk(self._machine.read64, self._machine.tables[attempt.request.space], attempt.vpn)
        self._machine.rules.leaf_seen(attempt.request.space, attempt.vpn, leaf)
        if leaf.level:
            return NO_TABLE
        if self._permits(leaf.entry, access):
            return MAPPED
        if leaf.entry & V:
            return PRESENT
        return POOL_EMPTY if access == 1 and not self._machine.has_frames else OK

    def _commit(self, attempt: Attempt, reason: int) -> None:
        """The second phase: check that nothing has changed, and install."""
        request, record, leaf = attempt.request, attempt.record, attempt.word
        if reason == OK:
            assert record is not None
            assert leaf is not None
            if not attempt.classic and self._machine.sequence(record.id) != attempt.sequence:
                reason = CHANGED
            elif walk(self._machine.read64, self._machine.tables[request.space], attempt.vpn) != leaf:
                reason = RACED
            elif request.access == 1 and not self._machine.has_frames:
                reason = POOL_EMPTY
        self.active.discard(attempt)
        if reason == OK:
            assert record is not None
            assert leaf is not None
            self._install(attempt, record, leaf)
        elif reason == MAPPED:
            assert leaf is not None
            self._finish(attempt, 0, 0, OK, leaf.entry)
        elif reason in RETRIED and not attempt.classic:
            attempt.number += 1
            if attempt.number < self._max_retries:
                self._machine.after(POLL, lambda: self._look(attempt))
            else:
                self._read_lock(attempt)
        else:
            self._hand_over(attempt, reason)

    def _read_lock(self, attempt: Attempt) -> None:
        space = attempt.request.space
        if space in self._machine.locked:
            self._machine.after(POLL, lambda: self._read_lock(attempt))
            return
        self._machine.readers[space] += 1
        attempt.classic = True
        self._look(attempt)

    def _install(self, attempt: Attempt, record: Record, leaf: Leaf) -> None:
        store = attempt.request.access == 1
        frame = self._machine.take_frame() if store else self._machine.zero_frame
        word = record.page_prot | A | frame << 10 | (D if store else 0)
        if not store:
            word &= ~W
        self._machine.memory[leaf.address] = word
        self._fill((attempt.request.space, attempt.vpn), word)
        how = 3 if attempt.classic else 2 if attempt.number else 1
        self._finish(attempt, 0, how, OK, word)

    def _hand_over(self, attempt: Attempt, reason: int) -> None:
        request = attempt.request
        word0 = reason | request.space << 12 | 1 << 32 | (request.access == 2) << 34 | request.port << 40
        word1 = (request.access != 1) | (request.access == 1) << 1 | 4 | request.tag << 3 | attempt.vpn << 12
        written = self._machine.put_page_request(word0, word1)
        self._finish(attempt, 1, 4, reason if written else QUEUE_FULL, 0)

    def _finish(self, attempt: Attempt, status: int, how: int, reason: int, word: int) -> None:
        if attempt.classic:
            self._machine.readers[attempt.request.space] -= 1
        self._answer(attempt, status, how, reason, word)

    def _answer(self, attempt: Attempt, status: int, how: int, reason: int, word: int) -> None:
        request = attempt.request
        self._machine.answer(
            Answer(
                port=request.port, tag=request.tag, status=status, how=how, reason=reason, pa=word >> 10 << 12 | request.va & 4095,
                issued=attempt.issued, cycle=self._machine.cycle,
            )
        )  # fmt: skip

    def invalidate(self, space: int, vpn: int, mask: int, everything: bool) -> None:
        """Drop TLB entries of a space: all, or those whose VPN equals `vpn` outside `mask`."""
        for key in [key for key in self.tlb if key[0] == space and (everything or (key[1] ^ vpn) & ~mask == 0)]:
            del self.tlb[key]
