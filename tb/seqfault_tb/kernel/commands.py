"""Commands of the engine: their encoding, and the queue that carries them. [docs/software-contract.md, Command queue]"""

from collections import Counter, deque

from ..errors import HangError
from ..machine import Machine
from .constants import Register
from .tasks import Future

__all__ = [
    "MOST_BLOCKS", "Command", "CommandQueue", "fence", "invalidate_page", "invalidate_range", "invalidate_space", "mm_lock", "mm_unlock",
    "page_response", "protect", "sequence_begin", "sequence_end", "set_table", "set_vmas", "srcu_call", "zap",
]  # fmt: skip

Command = tuple[str, int, int]
"""Name, word 0, word 1."""

OP_INVALIDATE, OP_FENCE, OP_ATS, OP_SEQUENCE, OP_ENTRIES, OP_MM, OP_SPACE, OP_SRCU = 1, 2, 4, 64, 65, 66, 67, 68
SPACE_AT, FUNC3_AT, COUNT_AT, DATA_AT = 12, 7, 32, 32
RESPONSE_SUCCESS, RESPONSE_INVALID, RESPONSE_FAILURE = 0, 1, 15
INVALIDATE_AV, INVALIDATE_PSCV, INVALIDATE_S, INVALIDATE_ADDR_AT = 1 << 10, 1 << 32, 1 << 9, 10
FENCE_AV, FENCE_PR, FENCE_PW = 1 << 10, 1 << 12, 1 << 13
RIGHTS_AT = 28
SHARE = 1 << 31
RESPONSE_PV, RESPONSE_PORT_AT, RESPONSE_TAG_AT, RESPONSE_CODE_AT = 1 << 32, 40, 32, 44
ADUE_AT = 28
CQEN, CQMF, CMD_ILL = 1, 1 << 8, 1 << 10
"""Of cqcsr. [IOMMU 6.18]"""
MOST_BLOCKS = 8
"""Ranges that need more aligned blocks than this are invalidated by one block that covers them."""


def _custom(name: str, opcode: int, func3: int, space: int, word0: int = 0, word1: int = 0) -> Command:
    return name, opcode | func3 << FUNC3_AT | space << SPACE_AT | word0, word1


def sequence_begin(space: int, vma_id: int) -> Command:
    return _custom("SEQ.BEGIN", OP_SEQUENCE, 0, space, word1=vma_id)


def sequence_end(space: int, vma_id: int) -> Command:
    return _custom("SEQ.END", OP_SEQUENCE, 1, space, word1=vma_id)


def zap(space: int, vpn: int, count: int) -> Command:
    return _custom("ZAP", OP_ENTRIES, 0, space, count << COUNT_AT, vpn)


def protect(space: int, vpn: int, count: int, rights: int, *, share: bool = False) -> Command:
    """`rights`: bit 0 R, 1 W, 2 X; not none. `share`: EXCLUSIVE is cleared."""
    return _custom("PROTECT", OP_ENTRIES, 1, space, count << COUNT_AT | rights << RIGHTS_AT | SHARE * share, vpn)


def mm_lock(space: int) -> Command:
    return _custom("MM.LOCK", OP_MM, 0, space)


def mm_unlock(space: int) -> Command:
    return _custom("MM.UNLOCK", OP_MM, 1, space)


def set_table(space: int, satp: int, *, adue: bool = False) -> Command:
    """`adue`: hardware sets A and D."""
    return _custom("SPACE.TABLE", OP_SPACE, 0, space, adue << ADUE_AT, satp)


def set_vmas(space: int, pointer: int) -> Command:
    return _custom("SPACE.VMAS", OP_SPACE, 1, space, word1=pointer)


def srcu_call(space: int, cookie: int) -> Command:
    """`cookie` comes back in the completion ring when all faults that had begun before have been answered."""
    return _custom("SRCU.CALL", OP_SRCU, 0, space, word1=cookie)


def page_response(space: int, port: int, tag: int, code: int = RESPONSE_SUCCESS) -> Command:
    """Tell `port` that software is done with its page request `tag`."""
    word0 = RESPONSE_PV | port << RESPONSE_PORT_AT
    return _custom("ATS.PRGR", OP_ATS, 1, space, word0, tag << RESPONSE_TAG_AT | code << RESPONSE_CODE_AT)


def fence(address: int, data: int, previous_reads: bool) -> Command:
    """IOFENCE.C that writes `data` (32 bits) at `address` (8-byte aligned); `previous_reads`: PR."""
    word0 = OP_FENCE | FENCE_AV | FENCE_PW | (FENCE_PR if previous_reads else 0) | data << DATA_AT
    return "IOFENCE.C", word0, address >> 2


def invalidate_space(space: int) -> Command:
    return "IOTINVAL.VMA", OP_INVALIDATE | space << SPACE_AT | INVALIDATE_PSCV, 0


def invalidate_page(space: int, vpn: int) -> Command:
    return "IOTINVAL.VMA", OP_INVALIDATE | space << SPACE_AT | INVALIDATE_PSCV | INVALIDATE_AV, vpn << INVALIDATE_ADDR_AT


def _invalidate_block(space: int, vpn: int, log2: int) -> Command:
    if log2 == 0:
        return invalidate_page(space, vpn)
    name, word0, _ = invalidate_page(space, 0)
    return name, word0, (vpn | (1 << log2 - 1) - 1) << INVALIDATE_ADDR_AT | INVALIDATE_S


def invalidate_range(space: int, vpn: int, count: int) -> list[Command]:
    """IOTINVAL.VMA of `count` pages, in aligned power-of-two blocks; it may cover more."""
    blocks, start, end = [], vpn, vpn + count
    while start < end:
        log2 = min((start & -start).bit_length() - 1 if start else 47, (end - start).bit_length() - 1)
        blocks.append(_invalidate_block(space, start, log2))
        start += 1 << log2
        if len(blocks) > MOST_BLOCKS:
            log2 = (vpn ^ end - 1).bit_length()
            return [_invalidate_block(space, vpn >> log2 << log2, log2)]
    return blocks


class CommandQueue:
    """Writes commands into the ring, in order; what has no room waits in `post`'s list until the engine has moved on.

    Parameters
    ----------
    base : address of the ring, aligned to its size. log2_entries : its size; one entry stays free.
    fence_word : address of the word that fences write their number to.
    """

    def __init__(self, machine: Machine, base: int, log2_entries: int, fence_word: int) -> None:
        self._machine = machine
        self._base, self._mask = base, (1 << log2_entries) - 1
        self._log2 = log2_entries
        self._fence_word = fence_word
        self._waiting: deque[Command] = deque()
        self._written: deque[str] = deque()
        self._tail = self._head = 0
        self._fences: deque[tuple[int, Future]] = deque()
        self._fence = self.fences_done = 0
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Tell the engine where the ring is and turn it on."""
        write = self._machine.write_register
        base = self._log2 - 1 | (self._base >> 12) << 10
        write(Register.CQB, base & 0xFFFFFFFF)
        write(Register.CQB + 4, base >> 32)
        write(Register.CQCSR, CQEN)
        self._machine.write64(self._fence_word, 0)

    def post(self, command: Command) -> None:
        """Queue a command; it reaches the ring at the next `pump`."""
        self.counts[command[0]] += 1
        self._waiting.append(command)

    def post_fence(self, previous_reads: bool = True) -> tuple[int, Future]:
        """Queue an IOFENCE.C; returns its number and a Future of its completion."""
        self._fence += 1
        done = Future("an IOFENCE.C")
        self.post(fence(self._fence_word, self._fence & 0xFFFFFFFF, previous_reads))
        self._fences.append((self._fence, done))
        return self._fence, done

    @property
    def busy(self) -> bool:
        """Commands are waiting or running."""
        return bool(self._waiting or self._written)

    def pump(self) -> None:
        """Move waiting commands into the ring as far as it has room, and ring the doorbell once."""
        waiting = self._waiting
        if not waiting:
            return
        write, written = self._machine.write64, self._written
        before = self._tail
        while waiting and self._tail - self._head < self._mask:
            name, word0, word1 = waiting.popleft()
            address = self._base + 16 * (self._tail & self._mask)
            write(address, word0)
            write(address + 8, word1)
            written.append(name)
            self._tail += 1
        if self._tail != before:
            self._machine.write_register(Register.CQT, self._tail & self._mask)

    def completed(self, head: int, cqcsr: int, *, bus_errors: bool = False) -> int:
        """The engine's head is at index `head`. Returns the number of the last completed fence.

        `bus_errors` : memory fails now and then; a command that the engine has met an error in is given to it again.
        Raises `HangError` if the engine has refused a command.
        """
        moved = head - self._head & self._mask
        for _ in range(moved):
            self._written.popleft()
        self._head += moved
        if cqcsr & CQMF and bus_errors:
            self._machine.write_register(Register.CQCSR, CQEN | CQMF)  # the command is given again
        elif cqcsr & (CQMF | CMD_ILL):
            name = self._written[0] if self._written else "nothing"
            address = self._base + 16 * (self._head & self._mask)
            words = self._machine.read64(address), self._machine.read64(address + 8)
            raise HangError(f"the engine stopped at {name} ({words[0]:#x}, {words[1]:#x}): cqcsr is {cqcsr:#x}")
        if self._fences and (done := self._machine.read64(self._fence_word)) != self.fences_done & 0xFFFFFFFF:
            while self._fences and (done - self._fences[0][0]) & 0x80000000 == 0:
                self.fences_done, future = self._fences.popleft()
                future.resolve()
        return self.fences_done
