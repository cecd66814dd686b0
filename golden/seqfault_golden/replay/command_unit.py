"""The command unit: decodes the command queue and takes the writer's steps, one per turn. [contract, Command queue]"""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, TypeVar

from ..layout import COMMAND_UNIT, PTE_EXCLUSIVE, PTE_RIGHTS, Outcome, Step, StepEvent, is_leaf, satp_levels
from ..lookups import walk
from ..protocol import writer_steps as steps
from ..protocol.world import NotAllowed, NotYet
from . import decode

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["CommandUnit"]

Turns = Generator[bool, None, bool]
"""One command: yields True for every turn in which it took a step and False when it has to wait; returns whether it interrupts."""
T = TypeVar("T")
RIGHTS_AT = 1
"""R, W, X in a PTE."""


class CommandUnit:
    """Executes commands in order, "one event a cycle at the most"."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._command: Turns | None = None
        self._word0 = 0
        self._waits_for = ""
        self._handlers: dict[tuple[int, int], Callable[[int, int], Turns]] = {
            (1, 0): self._invalidate, (2, 0): self._fence, (64, 0): self._section, (64, 1): self._section, (65, 0): self._sweep,
            (65, 1): self._sweep, (66, 0): self._mm_lock, (66, 1): self._mm_unlock, (67, 0): self._space_table, (67, 1): self._space_vmas,
            (4, 1): self._page_response, (68, 0): self._srcu_call,
        }  # fmt: skip

    def turn(self) -> bool:
        """Take the next step of the command at hand, or begin one."""
        outside = self._engine.outside
        while True:
            if self._command is None:
                words = outside.next_command()
                if words is None:
                    return False
                self._word0 = words[0]
                self._command = self._execute(*words)
            try:
                stepped = next(self._command)
            except StopIteration as end:
                self._command = None
                outside.command_done(end.value)
                continue
            except NotAllowed as reason:
                self._command = None
                self._emit(Step.ILLEGAL, outcome=Outcome.ILLEGAL, data=self._word0)
                outside.command_refused(str(reason))
                return True
            if stepped:
                self._waits_for = ""
            return stepped

    def waiting(self) -> list[str]:
        """What the command at hand waits for."""
        return [f"the command unit waits: {self._waits_for}"] if self._command is not None and self._waits_for else []

    def _emit(self, step: Step, **fields: int) -> None:
        self._engine.observe(StepEvent(step, step, COMMAND_UNIT, **fields))

    def _wait(self, step: Callable[[], T]) -> Generator[bool, None, T]:
        """Take a step when it is allowed; no turn is used up before."""
        while True:
            try:
                return step()
            except NotYet as reason:
                self._waits_for = str(reason)
            yield False

    # --- the commands -----------------------------------------------------------------------------------------------

    def _execute(self, word0: int, word1: int) -> Turns:
        handler = self._handlers.get((decode.bits(word0, 0, 6), decode.bits(word0, 7, 9)))
        if handler is None:
            raise NotAllowed(f"unknown command {word0:#x}")
        return (yield from handler(word0, word1))

    def _space(self, word0: int, **fields: bool) -> int:
        return decode.custom_space(word0, len(self._engine.world.tables), **fields)

    def _invalidate(self, word0: int, word1: int) -> Turns:
        space, first, pages = decode.invalidate(word0, word1, len(self._engine.world.tables))
        self._engine.world.invalidate(space, first, pages)
        self._emit(Step.INVALIDATE, space=space, vpn=first, data=pages)
        yield True
        return False

    def _fence(self, word0: int, word1: int) -> Turns:
        """ "with PR completes when every fault attempt and walk that was running when it started has ended" """
        command = decode.fence(word0, word1)
        world = self._engine.world
        if command.reads:
            world.start_fence()
            yield from self._wait(lambda: steps.fence(world))
        self._emit(Step.FENCE, data=int(command.reads))
        if command.address is not None:
            self._engine.outside.write(command.address, command.data)
        yield True
        return command.interrupts

    def _section(self, word0: int, word1: int) -> Turns:
        """SEQ.BEGIN and SEQ.END."""
        world, space = self._engine.world, self._space(word0)
        if word1 >> 16:
            raise NotAllowed(f"there is no VMA id {word1:#x}")
        begins = not decode.bits(word0, 7, 9)
        step = steps.seq_begin if begins else steps.seq_end
        seq = yield from self._wait(lambda: step(world, space, word1))
        self._emit(Step.SEQ_BEGIN if begins else Step.SEQ_END, space=space, id=word1, seq=seq)
        yield True
        return False

    def _mm_lock(self, word0: int, word1: int) -> Turns:
        """ "`MM.LOCK` stops new readers, waits for the running ones (bounded) and takes it" """
        world, space = self._engine.world, self._space(word0)
        if word1 or world.mm_writer(space):
            raise NotAllowed(f"MM_LOCK of space {space}, which is locked already" if not word1 else "MM_LOCK has reserved bits")
        world.mm_wanted.add(space)
        yield from self._wait(lambda: steps.mm_lock(world, space))
        world.mm_wanted.remove(space)
        self._emit(Step.MM_LOCK, space=space)
        yield True
        return False

    def _mm_unlock(self, word0: int, word1: int) -> Turns:
        space = self._space(word0)
        if word1:
            raise NotAllowed("MM_UNLOCK has reserved bits")
        steps.mm_unlock(self._engine.world, space)
        self._emit(Step.MM_UNLOCK, space=space)
        yield True
        return False

    def _space_table(self, word0: int, word1: int) -> Turns:
        world, space = self._engine.world, self._space(word0, options=True)
        features = decode.bits(word0, 28, 30)
        world.tables[space], world.features[space] = decode.satp(word1, features), features
        self._emit(Step.SPACE_TABLE, space=space, id=features, data=word1)
        yield True
        return False

    def _space_vmas(self, word0: int, word1: int) -> Turns:
        space = self._space(word0)
        self._engine.world.vmas[space] = word1
        self._emit(Step.SPACE_VMAS, space=space, data=word1)
        yield True
        return False

    def _srcu_call(self, word0: int, word1: int) -> Turns:
        """ "`SRCU.CALL` never waits"; "one more is dropped"."""
        space = self._space(word0)
        taken = self._engine.srcu.call(space, word1)
        self._emit(Step.SRCU_CALL, space=space, data=word1, outcome=Outcome.OK if taken else Outcome.QUEUE_FULL)
        yield True
        return False

    def _page_response(self, word0: int, word1: int) -> Turns:
        """ATS.PRGR: "the port gets the tag and the code"."""
        told = decode.response(word0, word1, len(self._engine.world.tables), self._engine.ports)
        self._engine.outside.page_response(told.port, told.tag, told.code)
        self._emit(Step.PAGE_RESPONSE, space=told.space, id=told.port, vpn=told.tag, data=told.code)
        yield True
        return False

    # --- leaf entries -----------------------------------------------------------------------------------------------

    def _sweep(self, word0: int, word1: int) -> Turns:
        """ZAP and PROTECT: under the lock of its table, so many entries at a time. The lock comes before the look: a commit may be under way."""
        world, protects = self._engine.world, bool(decode.bits(word0, 7, 9))
        space = self._space(word0, options=True, share=protects, count=True)
        if not world.mm_writer(space):
            raise NotAllowed(f"{'PROTECT' if protects else 'ZAP'} without the mm lock of space {space}")
        sweep = decode.sweep(word0, word1, satp_levels(world.tables[space]), protects=protects)
        for table, pages in self._pieces(space, sweep.first, sweep.end):
            yield from self._wait(lambda table=table: steps.pte_lock(world, table, COMMAND_UNIT))  # type: ignore[misc]
            self._emit(Step.PTE_LOCK, addr=table)
            yield True
            for page in pages:
                address = table + 8 * (page & 511)
                if not is_leaf(world.read_entry(address)):
                    continue
                if protects:
                    self._protect(space, page, address, sweep)
                else:
                    yield from self._zap(space, page, address)
                yield True
            steps.pte_unlock(world, table, COMMAND_UNIT)
            self._emit(Step.PTE_UNLOCK, addr=table)
            yield True
        return False

    def _zap(self, space: int, page: int, address: int) -> Generator[bool, None, None]:
        """ "Full: the ZAP waits" """
        outside = self._engine.outside
        while not outside.has_room_for_released():
            self._waits_for = "the released ring is full"
            yield False
        entry = steps.pte_clear(self._engine.world, address, COMMAND_UNIT)
        outside.put_released(entry, space, page)
        self._emit(Step.PTE_CLEAR, space=space, vpn=page, addr=address, data=entry)

    def _protect(self, space: int, page: int, address: int, sweep: decode.Sweep) -> None:
        world = self._engine.world
        cleared = PTE_RIGHTS | (PTE_EXCLUSIVE if sweep.shares else 0)
        new = world.read_entry(address) & ~cleared | sweep.rights << RIGHTS_AT
        steps.pte_protect(world, address, new, COMMAND_UNIT)
        self._emit(Step.PTE_PROTECT, space=space, vpn=page, addr=address, data=new)

    def _pieces(self, space: int, first: int, end: int) -> Iterator[tuple[int, range]]:
        """The leaf tables of a range that exist, in pieces that are handled under one lock hold. "A superpage leaf inside the range: cmd_ill"."""
        world, chunk, page = self._engine.world, self._engine.zap_chunk, first
        while page < end:
            address, entry, level = walk(self._engine.read, world.tables[space], page)
            if level < 0:
                return
            if level:
                if is_leaf(entry):
                    raise NotAllowed(f"page {page:#x} of space {space} is in a superpage")
                page = (page >> 9 * level) + 1 << 9 * level
                continue
            piece = range(page, min(end, (page | chunk - 1) + 1))
            yield world.table_of(address), piece
            page = piece.stop
