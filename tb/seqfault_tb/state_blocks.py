"""The small blocks around the fault unit side by side in one design: one model to build for all their tests."""

from collections.abc import Callable
from functools import partial

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.context_schedule import ContextSchedule
from seqfault_rtl.fault_tracking import FaultTracking
from seqfault_rtl.mm_locks import MmLocks
from seqfault_rtl.pte_locks import PteLocks
from seqfault_rtl.sequence_table import SequenceTable
from seqfault_rtl.step_slot import StepSlot

__all__ = ["STATE_CONFIG", "StateBlocks"]

STATE_CONFIG = EngineConfig(contexts=5, sequence_entries=4, spaces=4, mm_lock_patience=16)

BLOCKS: dict[str, Callable[[], wiring.Component]] = {
    "sequences": partial(SequenceTable, STATE_CONFIG), "pte": partial(PteLocks, STATE_CONFIG), "mm": partial(MmLocks, STATE_CONFIG),
    "slot": StepSlot, "tracking": partial(FaultTracking, STATE_CONFIG), "schedule": partial(ContextSchedule, STATE_CONFIG),
}  # fmt: skip


class StateBlocks(wiring.Component):
    """Six blocks, each with its ports under its own name.

    Parameters
    ----------
    replaced : blocks with a planted bug, by name.
    """

    def __init__(self, **replaced: wiring.Component) -> None:
        self.blocks = {name: replaced[name] if name in replaced else make() for name, make in BLOCKS.items()}
        super().__init__({name: Out(block.signature) for name, block in self.blocks.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, block in self.blocks.items():
            m.submodules[name] = block
            connect(m, flipped(getattr(self, name)), block)
        return m
