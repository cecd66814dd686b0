"""An engine with bugs built in, one of which can be switched on: they show that the checker sees what it is there for.

All bugs are in one model, so that one Verilator build serves all of them.
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import enum

from seqfault_rtl import fault_commit, fault_exit
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.engine import Engine
from seqfault_rtl.fault_context import AfterStep, ContextState
from seqfault_rtl.fault_steps import FaultSteps
from seqfault_rtl.messages import FillRecord, Outcome, Step

__all__ = ["Plant", "PlantedEngine"]

PTE_D = 7
"""Bit of D in an entry. [Priv 12.4.1]"""


class Plant(enum.Enum, shape=8):
    """The bugs, by the safeguard that is missing. [protocol.md 0.5, 8]"""

    NONE = 0
    NO_RECHECK = 1
    """the sequence is never compared: no R8, C1, C3"""
    RECHECK_BEFORE_LOCK = 2
    """C1 but no C3: compared before the lock only"""
    REREAD_RECORD = 3
    """the entry is made from the record as it is at the commit"""
    ODD_ACCEPTED = 4
    """a VMA is used while a writer is active"""
    ZAP_WITHOUT_LOCK = 5
    """ZAP and PROTECT go on although a fault holds the table's lock"""
    FILL_AFTER_INVALIDATE = 6
    """the fill of a commit comes to the TLB late, after an invalidation"""
    FRAME_LOST = 7
    """an abort does not return its frame"""
    WRONG_RIGHTS = 8
    """the zero frame is mapped writable"""
    MM_LOCK_IGNORED = 9
    """a classic fault does not wait for the writer"""
    RACED_IGNORED = 10
    """no C4: an entry that somebody else installed is overwritten"""
    TLB_KEPT = 11
    """invalidations do not reach the TLBs"""
    ENDLESS_SPECULATION = 12
    """the mm lock is never taken"""
    UPDATE_WITHOUT_LOCK = 13
    """A and D are set although somebody holds the table's lock"""
    DIRTY_LOADS = 14
    """D is set for loads too"""
    FENCE_FORGETS_UPDATES = 15
    """a fence does not wait for the setting of A and D"""
    ABORT_NOT_COUNTED = 16
    """the counters miss the attempts that ended with ODD"""
    ATTEMPTS_COUNTED = 17
    """each attempt counts as a fault that begins"""
    FENCE_FORGETS_FAULTS = 18
    """a fence does not wait for fault attempts"""


def _lock(m: Module, s: "FaultSteps") -> None:
    """With RECHECK_BEFORE_LOCK a lookup comes between the lock and C3, so that there is time for a change that C3 should see."""
    fault_commit.lock(m, s)
    assert isinstance(s, _PlantedSteps)
    with m.If((s.plant == Plant.RECHECK_BEFORE_LOCK) & s.acquire_lock):
        m.d.comb += s.find.eq(1)
        s.go(m, ContextState.RECHECK, AfterStep.WAIT)


def _recheck(m: Module, s: "FaultSteps") -> None:
    """C3, and with REREAD_RECORD another lookup before the commit."""
    fault_commit.recheck(m, s)
    assert isinstance(s, _PlantedSteps)
    with m.If((s.plant == Plant.REREAD_RECORD) & ~s.has_changed(Step.R14)):
        m.d.comb += s.find.eq(1)
        s.go(m, ContextState.COMMIT, AfterStep.WAIT)


def _undo(m: Module, s: "FaultSteps") -> None:
    """With FRAME_LOST the undo forgets the frame."""
    fault_exit.undo(m, s)
    assert isinstance(s, _PlantedSteps)
    with m.If(s.plant == Plant.FRAME_LOST):
        m.d.comb += [s.give_frame.eq(0), s.event.data.eq(0)]


class _PlantedSteps(FaultSteps):
    STEPS = {**FaultSteps.STEPS, ContextState.LOCK: _lock, ContextState.RECHECK: _recheck, ContextState.UNDO: _undo}

    def __init__(self, config: EngineConfig, plant: Signal) -> None:
        self.plant = plant
        super().__init__(config)

    def is_odd(self) -> Value:
        return super().is_odd() & (self.plant != Plant.ODD_ACCEPTED)

    def has_changed(self, step: Step) -> Value:
        trusting = self.plant == Plant.NO_RECHECK
        if step == Step.R14:
            trusting |= self.plant == Plant.RECHECK_BEFORE_LOCK
        return super().has_changed(step) & ~trusting

    def needs_mm_lock(self) -> Value:
        return super().needs_mm_lock() & (self.plant != Plant.ENDLESS_SPECULATION)

    def has_raced(self) -> Value:
        return super().has_raced() & (self.plant != Plant.RACED_IGNORED)

    def page_prot(self) -> Value:
        return Mux(self.plant == Plant.REREAD_RECORD, self.found.fields.page_prot, super().page_prot())

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.plant == Plant.WRONG_RIGHTS):
            m.d.comb += self.entry.w.eq(1)
        return m


class PlantedEngine(Engine):
    """The engine with a `plant` input (a `Plant`)."""

    def make_blocks(self) -> None:
        self.plant = Signal(Plant)
        super().make_blocks()

    def make_steps(self) -> FaultSteps:
        return _PlantedSteps(self.config, self.plant)

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        unit = self.fault_unit
        broken_inputs = {
            Plant.ZAP_WITHOUT_LOCK: [self.command_unit.lock_busy.eq(0)],
            Plant.MM_LOCK_IGNORED: [unit.mm_may_read.eq(1)],
            Plant.TLB_KEPT: [self.translator.invalidate.eq(0)],
            Plant.UPDATE_WITHOUT_LOCK: [self.updates.lock_busy.eq(0)],
            Plant.DIRTY_LOADS: [self.updates.update.request.payload.new[PTE_D].eq(1)],
            Plant.FENCE_FORGETS_UPDATES: [self.command_unit.walking.eq(self.walker.active)],
            Plant.FENCE_FORGETS_FAULTS: [self.command_unit.pinned.eq(0)],
        }
        for plant, statements in broken_inputs.items():
            with m.If(self.plant == plant):
                m.d.comb += statements
        with m.If((self.plant == Plant.RECHECK_BEFORE_LOCK) | (self.plant == Plant.REREAD_RECORD)):
            # every lookup descends, for the length of a race; the stress program has space 0
            m.d.comb += [self.finder.flush_space.eq(1), self.finder.flush_index.eq(0)]
        self._fill_late(m)
        self._miscount(m)
        return m

    def _fill_late(self, m: Module) -> None:
        """The last commit's fill is done again in the cycle after an invalidation."""
        port, record, late = Signal(8), Signal(FillRecord), Signal()
        with m.If(self.fault_unit.fill):
            m.d.sync += [port.eq(self.fault_unit.fill_port), record.eq(self.fault_unit.fill_record)]
        m.d.sync += late.eq(self.command_unit.invalidate & (self.plant == Plant.FILL_AFTER_INVALIDATE))
        with m.If(late):
            m.d.comb += [self.translator.fill.eq(1), self.translator.fill_port.eq(port), self.translator.fill_record.eq(record)]

    def _miscount(self, m: Module) -> None:
        """Counters that miss a kind of abort, or take the attempts of a fault for faults."""
        counters, unit = self.register_file.counters, self.fault_unit
        with m.If((self.plant == Plant.ABORT_NOT_COUNTED) & (unit.abort_reason == Outcome.ODD)):
            m.d.comb += counters.outcome_valid.eq(0)
        with m.If((self.plant == Plant.ATTEMPTS_COUNTED) & unit.slot.event_valid & (unit.slot.event.first == Step.R0)):
            m.d.comb += counters.began.eq(1)
