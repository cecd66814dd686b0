"""The command queue of the `FakeMachine`: one command after the other, each taking some cycles."""

from collections.abc import Generator
from typing import TYPE_CHECKING

from .fake_walks import Leaf, walk

if TYPE_CHECKING:
    from .fake_machine import FakeMachine

__all__ = ["FakeCommands"]

V, RIGHTS = 1, 0xE
CMD_ILL = 1 << 10
MASK48 = (1 << 48) - 1
POLL = 4
"""Cycles until something that waits is looked at again."""


class FakeCommands:
    """Executes commands; `head` is the queue's head index, `cqcsr` the error bits."""

    def __init__(self, machine: "FakeMachine") -> None:
        self._machine = machine
        self.head = self.cqcsr = 0
        self._command: Generator[int, None, None] | None = None

    def doorbell(self) -> None:
        """The tail, or something that a command may wait for, has moved."""
        if self._command is None:
            self._start_command()

    def _start_command(self) -> None:
        address = self._machine.command_address(self.head)
        if address:
            self._command = self._execute(self._machine.read64(address), self._machine.read64(address + 8))
            self._machine.after(POLL, self._step_command)

    def _step_command(self) -> None:
        assert self._command is not None
        try:
            cycles = next(self._command)
        except StopIteration:
            self.head = self._machine.next_command(self.head)
            self._machine.moved = True
            self._command = None
            self._start_command()
        except ValueError as error:
            self.cqcsr |= CMD_ILL
            self._machine.moved = True
            self._machine.violations.append(str(error))
        else:
            self._machine.after(cycles, self._step_command)

    def _execute(self, word0: int, word1: int) -> Generator[int, None, None]:
        """One command; yields the cycles until it is to go on. Raises `ValueError` for an illegal one."""
        operation, space = (word0 & 127, word0 >> 7 & 7), word0 >> 12 & 0xFFFF
        if operation == (1, 0):
            self._invalidate(word0, word1)
        elif operation == (2, 0):
            yield from self._fence(word0, word1)
        elif operation == (64, 0):
            self._in_lock(space, "SEQ.BEGIN")
            self._machine.generation[word1] = self._machine.generation.get(word1, 0) + 1
            self._machine.writers[word1] = self._machine.writers.get(word1, 0) + 1
            self._machine.rules.sequence_begun(word1)
        elif operation == (64, 1):
            self._in_lock(space, "SEQ.END")
            if not self._machine.writers.get(word1):
                raise ValueError(f"SEQ.END of VMA {word1} without SEQ.BEGIN")
            self._machine.writers[word1] -= 1
        elif operation == (65, 0):
            yield from self._zap(space, word1, word0 >> 32)
        elif operation == (65, 1):
            yield from self._protect(space, word1, word0 >> 32, word0 >> 28 & 7)
        elif operation == (66, 0):
            if space in self._machine.locked:
                raise ValueError(f"MM.LOCK of space {space}, which is locked")
            self._machine.locked.add(space)
            while self._machine.readers[space]:
                yield POLL
        elif operation == (66, 1):
            self._in_lock(space, "MM.UNLOCK")
            self._machine.locked.remove(space)
        elif operation == (67, 0):
            self._machine.tables[space] = word1
        elif operation == (67, 1):
            self._machine.vmas[space] = word1
            self._machine.rules.published(space)
        else:
            raise ValueError(f"unknown command {word0:#x}")

    def _in_lock(self, space: int, what: str) -> None:
        if space not in self._machine.locked:
            raise ValueError(f"{what} of space {space} without MM.LOCK")

    def _fence(self, word0: int, word1: int) -> Generator[int, None, None]:
        marks = self._machine.rules.fence_started()
        if word0 >> 12 & 1:
            running = set(self._machine.faults.active)
            while running & self._machine.faults.active:
                yield POLL
            self._machine.rules.fence_done(marks)
        if word0 >> 10 & 1:
            self._machine.memory[word1 << 2] = word0 >> 32

    def _invalidate(self, word0: int, word1: int) -> None:
        space = word0 >> 12 & 0xFFFFF
        vpn, mask = word1 >> 10 & (1 << 52) - 1, 0
        if word1 >> 9 & 1:
            mask = vpn ^ vpn + 1
        everything = not word0 >> 10 & 1
        self._machine.faults.invalidate(space, vpn, mask, everything)

    def _valid(self, space: int, vpn: int, count: int, what: str) -> list[tuple[int, Leaf]]:
        """The valid leaf entries of a range, by page."""
        self._in_lock(space, what)
        found, page = [], vpn
        while page < vpn + count:
            leaf = walk(self._machine.read64, self._machine.tables[space], page)
            if leaf.level:
                page = (page >> 9 * leaf.level) + 1 << 9 * leaf.level
                continue
            if leaf.entry & V:
                found.append((page, leaf))
            page += 1
        return found

    def _zap(self, space: int, vpn: int, count: int) -> Generator[int, None, None]:
        for page, leaf in self._valid(space, vpn & MASK48, count, "ZAP"):
            while not self._machine.put_released(self._machine.read64(leaf.address), page | space << 48):
                yield POLL
            self._machine.memory[leaf.address] = 0
        yield count >> 3

    def _protect(self, space: int, vpn: int, count: int, rights: int) -> Generator[int, None, None]:
        if not rights:
            raise ValueError("PROTECT without any right")
        for _, leaf in self._valid(space, vpn & MASK48, count, "PROTECT"):
            self._machine.memory[leaf.address] = leaf.entry & ~RIGHTS | rights << 1
        yield count >> 3
