"""SequenceTable, PteLocks, MmLocks, StepSlot, FaultTracking and ContextSchedule under cocotb, and planted bugs that their tests must find.

They share three models and three runs (two of them with bugs): there is little to build, and little to start.
"""

from collections.abc import Callable

import pytest
from amaranth import Module, Signal
from amaranth.lib.wiring import connect, flipped

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.context_schedule import ContextSchedule
from seqfault_rtl.fault_tracking import FaultTracking
from seqfault_rtl.mm_locks import MmLocks
from seqfault_rtl.pte_locks import PteLocks
from seqfault_rtl.sequence_table import SequenceTable
from seqfault_rtl.step_slot import StepSlot
from seqfault_tb.state_blocks import STATE_CONFIG, StateBlocks

TESTS = {
    "sequence_table": "random_sections", "pte_locks": "random_holders", "mm_locks": "random_readers_and_writers",
    "step_slot": "grants_and_events", "fault_tracking": "random_changes", "context_schedule": "random_contexts",
}  # fmt: skip
"""Block to the test that must find its planted bug."""
MODULES = ",".join(f"seqfault_tb.test_{block}" for block in TESTS)


class EvenWhileWriting(SequenceTable):
    """The id that began last reads as even."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        again = Signal(16)
        with m.If(self.begin):
            m.d.sync += again.eq(self.writer_id)
        with m.If(self.slot.id == again):
            m.d.comb += self.slot.sequence[0].eq(0)
        return m


class BlindToCommands(PteLocks):
    """The fault unit does not see the command unit's lock."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        mine, held = Signal.like(self.command_table), Signal()
        with m.If(self.command_acquire):
            m.d.sync += [mine.eq(self.command_table), held.eq(1)]
        with m.If(self.command_release):
            m.d.sync += held.eq(0)
        with m.If(held & (mine == self.fault_table)):
            m.d.comb += self.fault_busy.eq(0)
        return m


class ClaimIgnored(MmLocks):
    """New readers come although a writer waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.claim & (self.read_space == self.write_space)):
            m.d.comb += self.may_read.eq(~self.held)
        return m


class CommandsFirst(StepSlot):
    """The command unit gets the slot whenever it wants it."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += [self.commands.grant.eq(self.commands.want), self.faults.grant.eq(self.faults.want & ~self.commands.want)]
        return m


class StaleFromTheStart(FaultTracking):
    """A watch that begins while pages of all spaces are invalidated is stale at once."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.watch & self.invalidate & self.record.any_space):
            m.d.sync += self.stale.bit_select(self.agent, 1).eq(1)
        return m


class Unpatient(ContextSchedule):
    """Patience is over at once."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.patience_over.eq(~self.fresh)
        return m


class BlindToTables(FaultTracking):
    """A table that another context made is not noticed."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.table_raced.eq(0)
        return m


class NeverFlushing(ContextSchedule):
    """A context that waits for the TLBs goes on at once."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inner = ContextSchedule(self._config)
        m.submodules.inner = inner
        connect(m, flipped(self), inner)
        m.d.comb += inner.flushed.eq(1)
        return m


def planted() -> StateBlocks:
    config = STATE_CONFIG
    return StateBlocks(
        sequences=EvenWhileWriting(config), pte=BlindToCommands(config), mm=ClaimIgnored(config), slot=CommandsFirst(),
        tracking=StaleFromTheStart(config), schedule=Unpatient(config),
    )  # fmt: skip


def planted_too() -> StateBlocks:
    """Second bugs of the two blocks that have most to do."""
    return StateBlocks(tracking=BlindToTables(STATE_CONFIG), schedule=NeverFlushing(STATE_CONFIG))


def test_state_blocks() -> None:
    run_block(StateBlocks(), MODULES, name="state_blocks")


@pytest.mark.parametrize(("make", "blocks"), [(planted, list(TESTS)), (planted_too, ["fault_tracking", "context_schedule"])])
def test_planted_bugs_are_found(make: Callable[[], StateBlocks], blocks: list[str]) -> None:
    with pytest.raises(SimulationFailed) as failure:
        run_block(make(), ",".join(f"seqfault_tb.test_{block}" for block in blocks), name="state_blocks")
    missed = [block for block in blocks if f"{TESTS[block]} failed" not in str(failure.value)]
    assert not missed
