"""A `Machine` without hardware: the contract played in Python, for tests of the testbench kernel and of the replay.

It resolves faults in two phases some cycles apart (look and commit), so that commands come in between as they do in the engine, and it walks
the tables and trees that it finds in its memory. What software must not do it collects in `violations`; `audit` looks at the whole state.
"""

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from itertools import pairwise

from .errors import HangError
from .fake_rules import Rules
from .fake_walks import Leaf, Record, find_vma, leaves, records, walk
from .machine import Answer, Machine, QueuePointers, Request

__all__ = ["FakeMachine"]

OK, NO_VMA, ODD, CHANGED, RACED, BOUNDS, ACCESS, UNSUPPORTED, NO_TABLE = 0, 1, 2, 3, 8, 9, 10, 11, 12
PRESENT, POOL_EMPTY, QUEUE_FULL, MAPPED = 14, 15, 18, 23
RETRIED = (ODD, CHANGED, RACED)
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
CQB, CQT, PQB, PQH, CQCSR, FFB, FFT, RFB, RFH, ZERO = 0x18, 0x24, 0x38, 0x40, 0x48, 0x2B8, 0x2C4, 0x2C8, 0x2D0, 0x2E0
TLB_ENTRIES = 64
POLL = 4
"""Cycles after which a command that waits is looked at again."""
MASK48 = (1 << 48) - 1


class _Attempt:
    """A fault in the engine."""

    __slots__ = ("classic", "issued", "number", "record", "request", "sequence", "vpn", "word")

    def __init__(self, request: Request, issued: int) -> None:
        self.request, self.issued, self.number, self.classic = request, issued, 0, False
        self.vpn = request.va >> 12
        self.record: Record | None = None
        self.sequence = 0
        self.word: Leaf | None = None


class FakeMachine(Machine):
    """An engine in Python.

    Parameters
    ----------
    ports, tags, spaces : as of the engine. latency : cycles between a fault's look at memory and its commit. max_retries : speculative
    attempts. strict : also check every write to a VMA tree (slow).
    """

    def __init__(
        self, *, ports: int = 4, tags: int = 8, spaces: int = 64, latency: int = 40, max_retries: int = 3, strict: bool = False
    ) -> None:
        self.ports, self.tags = ports, tags
        self.memory: dict[int, int] = {}
        self._cycle = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._latency, self._max_retries = latency, max_retries
        self.tables = [0] * spaces
        self.vmas = [0] * spaces
        self.generation: dict[int, int] = {}
        self.writers: dict[int, int] = {}
        self.locked: set[int] = set()
        self.readers = [0] * spaces
        self._registers: dict[int, int] = {}
        self._cq_head = self._pq_tail = self._free_head = self._released_tail = self._cqcsr = 0
        self._command: Generator[int, None, None] | None = None
        self._active: set[_Attempt] = set()
        self._outstanding: set[tuple[int, int]] = set()
        self._answers: list[Answer] = []
        self._moved = False
        self._tlb: dict[tuple[int, int], int] = {}
        self.rules = Rules(self, strict)

    @property
    def violations(self) -> list[str]:
        """What software did against the contract."""
        return self.rules.violations

    @property
    def cycle(self) -> int:
        return self._cycle

    def read64(self, address: int) -> int:
        return self.memory.get(address, 0)

    def write64(self, address: int, value: int) -> None:
        self.rules.software_writes(address, value)
        self.memory[address] = value

    def write_register(self, offset: int, value: int) -> None:
        self._registers[offset] = value
        if offset in (CQT, RFH) and self._command is None:
            self._start_command()

    def submit(self, request: Request) -> None:
        key = request.port, request.tag
        assert key not in self._outstanding and 0 <= request.port < self.ports and 0 <= request.tag < self.tags, request
        self._outstanding.add(key)
        self._after(2, lambda: self._translate(_Attempt(request, self._cycle)))

    def pointers(self) -> QueuePointers:
        return QueuePointers(
            cq_head=self._cq_head, pq_tail=self._pq_tail, free_head=self._free_head, released_tail=self._released_tail, cqcsr=self._cqcsr
        )

    async def wait(self, cycles: int | None = None) -> list[Answer]:
        end = None if cycles is None else self._cycle + cycles
        self._moved = False
        for _ in range(2_000_000):
            if self._answers or self._moved:
                break
            if not self._events or (end is not None and self._events[0][0] > end):
                if end is None:
                    raise HangError(f"nothing happens after cycle {self._cycle}: {len(self._outstanding)} requests are not answered")
                self._cycle = end
                break
            self._cycle, _, action = heappop(self._events)
            action()
        else:
            raise HangError(f"no progress until cycle {self._cycle}: {len(self._outstanding)} requests are not answered")
        answers, self._answers = self._answers, []
        return answers

    def _after(self, cycles: int, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (self._cycle + cycles, self._count, action))

    def _ring(self, register: int) -> tuple[int, int]:
        """Base address and index mask of a ring."""
        word = self._registers.get(register, 0) | self._registers.get(register + 4, 0) << 32
        return (word >> 10) << 12, (1 << (word & 31) + 1) - 1

    def sequence(self, vma_id: int) -> int:
        """The 32-bit sequence of an id."""
        return self.generation.get(vma_id, 0) << 1 | (self.writers.get(vma_id, 0) != 0)

    # --- faults ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _permits(word: int, access: int) -> bool:
        need = (V | U | A | R, V | U | A | W | D, V | U | A | X)[access]
        return word & need == need

    def _translate(self, attempt: _Attempt) -> None:
        request = attempt.request
        key = request.space, attempt.vpn
        word = self._tlb.get(key, 0)
        if self._permits(word, request.access):
            self.rules.translated(request.space, attempt.vpn, request.access, word)
            self._answer(attempt, 0, 0, OK, word)
        elif not self.tables[request.space]:
            self._answer(attempt, 2, 0, OK, 0)
        else:
            word = walk(self.read64, self.tables[request.space], attempt.vpn).entry
            if self._permits(word, request.access):
                self._fill(key, word)
                self._answer(attempt, 0, 0, OK, word)
            else:
                self._look(attempt)

    def _fill(self, key: tuple[int, int], word: int) -> None:
        self._tlb.pop(key, None)
        self._tlb[key] = word
        if len(self._tlb) > TLB_ENTRIES:
            del self._tlb[next(iter(self._tlb))]

    def _look(self, attempt: _Attempt) -> None:
        """The first phase: find the VMA, snapshot, walk."""
        request = attempt.request
        self._active.add(attempt)
        record = find_vma(self.read64, self.vmas[request.space], attempt.vpn)
        attempt.record = record
        reason = NO_VMA
        if record is not None:
            attempt.sequence = self.sequence(record.id)
            reason = self._judge(attempt, record)
        self._after(self._latency, lambda: self._commit(attempt, reason))

    def _judge(self, attempt: _Attempt, record: Record) -> int:
        access = attempt.request.access
        if attempt.sequence & 1 and not attempt.classic:
            return ODD
        if record.flags & 16 == 0 or record.flags & (8 | 32 | 64 | 256):
            return UNSUPPORTED
        if not record.start <= attempt.vpn < record.end:
            return BOUNDS
        if not record.flags & (7, 2, 4)[access]:
            return ACCESS
        leaf = attempt.word = walk(self.read64, self.tables[attempt.request.space], attempt.vpn)
        self.rules.leaf_seen(attempt.request.space, attempt.vpn, leaf)
        if leaf.level:
            return NO_TABLE
        if self._permits(leaf.entry, access):
            return MAPPED
        if leaf.entry & V:
            return PRESENT
        return POOL_EMPTY if access == 1 and self._free_head == self._free_tail() else OK

    def _free_tail(self) -> int:
        return self._registers.get(FFT, 0)

    def _commit(self, attempt: _Attempt, reason: int) -> None:
        """The second phase: check that nothing has changed, and install."""
        request, record, leaf = attempt.request, attempt.record, attempt.word
        if reason == OK:
            assert record is not None and leaf is not None
            if not attempt.classic and self.sequence(record.id) != attempt.sequence:
                reason = CHANGED
            elif walk(self.read64, self.tables[request.space], attempt.vpn) != leaf:
                reason = RACED
            elif request.access == 1 and self._free_head == self._free_tail():
                reason = POOL_EMPTY
        self._active.discard(attempt)
        if reason == OK:
            assert record is not None and leaf is not None
            self._install(attempt, record, leaf)
        elif reason == MAPPED:
            assert leaf is not None
            self._finish(attempt, 0, 0, OK, leaf.entry)
        elif reason in RETRIED and not attempt.classic:
            attempt.number += 1
            if attempt.number < self._max_retries:
                self._after(POLL, lambda: self._look(attempt))
            else:
                self._read_lock(attempt)
        else:
            self._hand_over(attempt, reason)

    def _read_lock(self, attempt: _Attempt) -> None:
        space = attempt.request.space
        if space in self.locked:
            self._after(POLL, lambda: self._read_lock(attempt))
            return
        self.readers[space] += 1
        attempt.classic = True
        self._look(attempt)

    def _install(self, attempt: _Attempt, record: Record, leaf: Leaf) -> None:
        store = attempt.request.access == 1
        if store:
            base, mask = self._ring(FFB)
            frame = self.read64(base + 8 * self._free_head)
            self._free_head = self._free_head + 1 & mask
            self._moved = True
        else:
            frame = self._registers.get(ZERO, 0) | self._registers.get(ZERO + 4, 0) << 32
        word = record.page_prot | A | frame << 10 | (D if store else 0)
        if not store:
            word &= ~W
        self.memory[leaf.address] = word
        self._fill((attempt.request.space, attempt.vpn), word)
        how = 3 if attempt.classic else 2 if attempt.number else 1
        self._finish(attempt, 0, how, OK, word)

    def _hand_over(self, attempt: _Attempt, reason: int) -> None:
        request = attempt.request
        base, mask = self._ring(PQB)
        if (self._pq_tail + 1 & mask) == self._registers.get(PQH, 0):
            self._finish(attempt, 1, 4, QUEUE_FULL, 0)
            return
        at = base + 16 * self._pq_tail
        self.memory[at] = reason | request.space << 12 | 1 << 32 | (request.access == 2) << 34 | request.port << 40
        self.memory[at + 8] = (request.access != 1) | (request.access == 1) << 1 | 4 | request.tag << 3 | attempt.vpn << 12
        self._pq_tail = self._pq_tail + 1 & mask
        self._finish(attempt, 1, 4, reason, 0)

    def _finish(self, attempt: _Attempt, status: int, how: int, reason: int, word: int) -> None:
        if attempt.classic:
            self.readers[attempt.request.space] -= 1
        self._answer(attempt, status, how, reason, word)

    def _answer(self, attempt: _Attempt, status: int, how: int, reason: int, word: int) -> None:
        request = attempt.request
        self._outstanding.remove((request.port, request.tag))
        self._moved = True
        self._answers.append(
            Answer(
                port=request.port, tag=request.tag, status=status, how=how, reason=reason, pa=word >> 10 << 12 | request.va & 4095,
                issued=attempt.issued, cycle=self._cycle,
            )
        )  # fmt: skip

    # --- commands -------------------------------------------------------------------------------------------------

    def _start_command(self) -> None:
        if self._cq_head == self._registers.get(CQT, 0) or not self._registers.get(CQCSR, 0) & 1:
            return
        base, _ = self._ring(CQB)
        address = base + 16 * self._cq_head
        self._command = self._execute(self.read64(address), self.read64(address + 8))
        self._after(POLL, self._step_command)

    def _step_command(self) -> None:
        assert self._command is not None
        try:
            cycles = next(self._command)
        except StopIteration:
            _, mask = self._ring(CQB)
            self._cq_head = self._cq_head + 1 & mask
            self._moved = True
            self._command = None
            self._start_command()
        except ValueError as error:
            self._cqcsr |= 1 << 10
            self._moved = True
            self.violations.append(str(error))
        else:
            self._after(cycles, self._step_command)

    def _execute(self, word0: int, word1: int) -> Generator[int, None, None]:
        """One command; yields the cycles until it is to go on. Raises `ValueError` for an illegal one."""
        operation, space = (word0 & 127, word0 >> 7 & 7), word0 >> 12 & 0xFFFF
        if operation == (1, 0):
            self._invalidate(word0, word1)
        elif operation == (2, 0):
            yield from self._fence(word0, word1)
        elif operation == (64, 0):
            self._in_lock(space, "SEQ.BEGIN")
            self.generation[word1] = self.generation.get(word1, 0) + 1
            self.writers[word1] = self.writers.get(word1, 0) + 1
            self.rules.sequence_begun(word1)
        elif operation == (64, 1):
            self._in_lock(space, "SEQ.END")
            if not self.writers.get(word1):
                raise ValueError(f"SEQ.END of VMA {word1} without SEQ.BEGIN")
            self.writers[word1] -= 1
        elif operation == (65, 0):
            yield from self._zap(space, word1, word0 >> 32)
        elif operation == (65, 1):
            yield from self._protect(space, word1, word0 >> 32, word0 >> 28 & 7)
        elif operation == (66, 0):
            if space in self.locked:
                raise ValueError(f"MM.LOCK of space {space}, which is locked")
            self.locked.add(space)
            while self.readers[space]:
                yield POLL
        elif operation == (66, 1):
            self._in_lock(space, "MM.UNLOCK")
            self.locked.remove(space)
        elif operation == (67, 0):
            self.tables[space] = word1
        elif operation == (67, 1):
            self.vmas[space] = word1
            self.rules.published(space)
        else:
            raise ValueError(f"unknown command {word0:#x}")

    def _in_lock(self, space: int, what: str) -> None:
        if space not in self.locked:
            raise ValueError(f"{what} of space {space} without MM.LOCK")

    def _fence(self, word0: int, word1: int) -> Generator[int, None, None]:
        marks = self.rules.fence_started()
        if word0 >> 12 & 1:
            running = set(self._active)
            while running & self._active:
                yield POLL
            self.rules.fence_done(marks)
        if word0 >> 10 & 1:
            self.memory[word1 << 2] = word0 >> 32

    def _invalidate(self, word0: int, word1: int) -> None:
        space = word0 >> 12 & 0xFFFFF
        vpn, mask = word1 >> 10 & (1 << 52) - 1, 0
        if word1 >> 9 & 1:
            mask = vpn ^ vpn + 1
        everything = not word0 >> 10 & 1
        for key in [key for key in self._tlb if key[0] == space and (everything or (key[1] ^ vpn) & ~mask == 0)]:
            del self._tlb[key]

    def _valid(self, space: int, vpn: int, count: int, what: str) -> list[Leaf]:
        self._in_lock(space, what)
        found, page = [], vpn
        while page < vpn + count:
            leaf = walk(self.read64, self.tables[space], page)
            if leaf.level:
                page = (page >> 9 * leaf.level) + 1 << 9 * leaf.level
                continue
            if leaf.entry & V:
                found.append((page, leaf))
            page += 1
        return found

    def _zap(self, space: int, vpn: int, count: int) -> Generator[int, None, None]:
        base, mask = self._ring(RFB)
        for page, leaf in self._valid(space, vpn & MASK48, count, "ZAP"):
            while (self._released_tail + 1 & mask) == self._registers.get(RFH, 0):
                yield POLL
            entry = self.read64(leaf.address)
            self.memory[leaf.address] = 0
            at = base + 16 * self._released_tail
            self.memory[at], self.memory[at + 8] = entry, page | space << 48
            self._released_tail = self._released_tail + 1 & mask
            self._moved = True
        yield count >> 3

    def _protect(self, space: int, vpn: int, count: int, rights: int) -> Generator[int, None, None]:
        if not rights:
            raise ValueError("PROTECT without any right")
        for _, leaf in self._valid(space, vpn & MASK48, count, "PROTECT"):
            self.memory[leaf.address] = leaf.entry & ~(R | W | X) | rights << 1
        yield count >> 3

    # --- the whole state ------------------------------------------------------------------------------------------

    def audit(self) -> list[str]:
        """What is wrong with the tables and trees now; nothing should be in progress. [protocol.md I3, I4]"""
        wrong, writable = [], dict.fromkeys(self._free_frames(), "the free ring")
        for space, satp in enumerate(self.tables):
            if not satp:
                continue
            found = list(records(self.read64, self.vmas[space]))
            for start, vma_id, record in found:
                if (start, vma_id) != (record.start, record.id) or record.start >= record.end:
                    wrong.append(f"space {space}: the tree names VMA {vma_id} at {start:#x}, the record is {record}")
            for (_, _, left), (_, _, right) in pairwise(found):
                if left.end > right.start:
                    wrong.append(f"space {space}: VMAs {left.id} and {right.id} overlap")
            for vpn, entry in leaves(self.read64, satp):
                wrong += self._wrong_entry(space, vpn, entry, writable)
        return wrong

    def _free_frames(self) -> list[int]:
        base, mask = self._ring(FFB)
        tail = self._free_tail()
        return [self.read64(base + 8 * (self._free_head + index & mask)) for index in range(tail - self._free_head & mask)]

    def _wrong_entry(self, space: int, vpn: int, entry: int, owners: dict[int, str]) -> list[str]:
        name = f"space {space}, page {vpn:#x}"
        record = find_vma(self.read64, self.vmas[space], vpn)
        if record is None or not record.start <= vpn < record.end:
            return [f"{name} is mapped, no VMA covers it"]
        wrong = []
        if entry & (R | W | X) & ~record.page_prot:
            wrong.append(f"{name} has more rights ({entry:#x}) than its VMA ({record.page_prot:#x})")
        frame = entry >> 10
        if entry & W and not record.flags & 8:
            if frame in owners:
                wrong.append(f"{name} writes frame {frame:#x}, which belongs to {owners[frame]}")
            owners[frame] = name
        elif owners.get(frame) == "the free ring":
            wrong.append(f"{name} maps frame {frame:#x}, which is free")
        return wrong
