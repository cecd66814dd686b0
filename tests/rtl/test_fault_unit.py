"""FaultUnit with its on-chip state under cocotb, and planted bugs that its tests must find."""

import os

import pytest
from amaranth import Module, Value
from amaranth.hdl import ValueCastable

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.fault_context import AfterStep, ContextState
from seqfault_rtl.fault_steps import FaultSteps
from seqfault_rtl.fault_streams import SURROUNDED, WRITTEN
from seqfault_rtl.fault_unit import FaultUnit
from seqfault_rtl.messages import AnswerStatus, Outcome, Step
from seqfault_tb.fault_unit_top import TEST_CONFIG as CONFIG
from seqfault_tb.fault_unit_top import FaultUnitTop

from ..long import in_short

ONE = "seqfault_tb.test_fault_unit"
RETRIES = "seqfault_tb.test_fault_unit_retries"
FLAGS = "seqfault_tb.test_fault_unit_flags"
PAGES = "seqfault_tb.test_fault_unit_pages"
WRITES = "seqfault_tb.test_fault_unit_writes"
RACES = "seqfault_tb.test_fault_unit_races"
MANY = "seqfault_tb.test_fault_unit_load"


def parameters(**settings: object) -> dict[str, str]:
    """Settings of the cocotb tests; FAULT_SEED and FAULT_COUNT of the environment are passed on."""
    passed_on = {name: value for name, value in os.environ.items() if name in ("FAULT_SEED", "FAULT_COUNT")}
    return passed_on | {f"FAULT_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.mark.parametrize("module", [ONE, RETRIES, FLAGS, PAGES, WRITES, RACES, MANY])
def test_fault_unit(module: str) -> None:
    run_block(FaultUnitTop(CONFIG), module, name="fault_unit", parameters=parameters())


class PlantedSteps(FaultSteps):
    """The steps with one of `PLANTED` bugs, by its number."""

    chosen: Value

    def has(self, bug: str) -> Value:
        return self.chosen == list(PLANTED).index(bug)

    def is_odd(self) -> Value:
        return super().is_odd() & ~self.has("odd sequence accepted")

    def has_changed(self, step: Step) -> Value:
        ignored = {Step.R8: "R8 ignored", Step.R11: "C1 ignored", Step.R14: "C3 ignored"}[step]
        return super().has_changed(step) & ~self.has(ignored)

    def is_walk_known(self) -> Value:
        return super().is_walk_known() | (self.request.empty & self.has("old walk taken"))

    @property
    def is_atomic(self) -> Value:
        return super().is_atomic & ~self.has("ATOMIC parks")

    @property
    def may_be_handed_over(self) -> Value:
        return super().may_be_handed_over | self.has("all handed over")

    def has_raced(self) -> Value:
        blind = self.has("C4 ignored") | (self.has("C4 of tables ignored") & self.context.table)
        return super().has_raced() & ~blind

    def copies(self) -> Value:
        c = self.context
        always = self.has("zero frame copied") & c.mapped & ~c.keeps
        return super().copies() | always

    def releases(self) -> Value:
        return super().releases() | (self.has("zero frame released") & self.context.mapped & ~self.context.keeps)

    def needs_mm_lock(self) -> Value:
        late = self.has("one attempt too many") & (self.context.attempt == self.config.max_retries)
        return super().needs_mm_lock() & ~late

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        c = self.context
        undo, unlock, at = c.state == ContextState.UNDO, c.state == ContextState.UNLOCK, lambda *states: c.state.as_value().matches(*states)
        cleared = at(ContextState.FLUSH) & ~c.keeps & ~self.write_error
        flushed = at(ContextState.FLUSH) & self.event_valid & ~self.write_error
        wrong: list[tuple[str, Value, Value | ValueCastable, object]] = [
            ("frame leaked", undo, self.give_frame, 0),
            ("lock kept", undo, self.release_lock, 0),
            ("pin kept", undo, self.unpin, 0),
            ("VMA kept", undo, self.drop_vma, 0),
            ("frame of a failed commit reused", unlock, self.next.owned, self.context.owned),
            ("writable zero frame", ~undo, self.entry.w, self.context.page_prot[2]),
            ("no fill", unlock, self.fill, 0),
            ("refusal as RETRY", self.context.state == ContextState.ANSWER, self.answer_record.answer.status, AnswerStatus.RETRY),
            ("answer twice", c.state == ContextState.MM_UNLOCK, self.answer, 1),
            ("set before the flush", flushed, self.after, AfterStep.GO_ON),
            ("no flush", at(ContextState.FLUSH), self.flush, 0),
            ("flush while the TLBs are busy", cleared & self.flushing, self.flush, 1),
            ("old frame not released", at(ContextState.FLUSH), self.release, 0),
            ("released twice", at(ContextState.SET), self.release, c.mapped),
            ("EXCLUSIVE not set", c.owned & ~c.table, self.entry.rsw, 0),
            ("EXCLUSIVE lost", c.mapped & c.keeps, self.entry.rsw[0], 0),
            ("EXCLUSIVE ignored", at(ContextState.WALK) & self.walked.pte.rsw[0] & ~self.walked.pte.w & self.is_store, self.next.keeps, 0),
            ("memory type lost", c.mapped & c.keeps, self.entry.pbmt, 0),
            ("load maps writable", ~self.is_store & ~c.table & ~c.mapped, self.entry.w, c.page_prot[2]),
            ("table stays owned", at(ContextState.TABLE), self.next.owned, c.owned),
            ("table not announced", at(ContextState.TABLE), self.changed_table, 0),
            ("watch of the old walk", at(ContextState.TABLE), self.watch, 0),
            ("neighbours not announced", at(ContextState.AROUND), self.changed_around, 0),
            ("around a store", at(ContextState.PAGE) & self.event_valid & (self.event.outcome == Outcome.OK) & ~c.mapped, self.next.around, 1),
            ("copy not made", at(ContextState.ALLOCATE) & self.move, self.move_copies, 0),
            ("copy in the pool", undo, self.give_frame, c.owned),
            ("leave at each attempt", undo, self.leave, c.reading),
            ("leave the wrong bank", at(ContextState.BEGIN, ContextState.MM_LOCK), self.next.bank, ~self.enter_bank),
            ("slot's WRITABLE ignored", at(ContextState.PAGE), self.slot.writable, 1),
            ("error of the clear ignored", at(ContextState.FLUSH) & self.write_error, self.next.state, ContextState.SET),
        ]
        for bug, when, signal, value in wrong:
            with m.If(self.has(bug) & when):
                m.d.comb += signal.eq(value)
        return m


class PlantedUnit(FaultUnit):
    """A unit that wakes a context for each of the two answers that its commit waits for, or counts each attempt as a fault."""

    steps: PlantedSteps

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.steps.has("woken twice")):
            m.d.comb += [
                m.submodules.schedule.wake[SURROUNDED].eq(self.around_answer.valid),
                m.submodules.schedule.wake[WRITTEN].eq(self.write.response.valid),
            ]
        with m.If(self.steps.has("fault begins at each attempt")):
            m.d.comb += self.count_began.eq(self.slot.event_valid & (self.slot.event.first == Step.R0))
        return m


PLANTED = {
    "none": (ONE, "write_fault"),
    "odd sequence accepted": (RETRIES, "writer_active"),
    "R8 ignored": (RETRIES, "sequence_changes"),
    "C1 ignored": (RETRIES, "sequence_changes"),
    "C3 ignored": (RETRIES, "sequence_changes"),
    "C4 ignored": (RETRIES, "entry_changed_during_the_walk"),
    "old walk taken": (ONE, "walk_of_the_miss_is_too_old"),
    "one attempt too many": (RETRIES, "classic_after_retries"),
    "frame leaked": (MANY, "speculative"),
    "lock kept": (MANY, "speculative"),
    "pin kept": (ONE, "walk_fails"),
    "VMA kept": (MANY, "vma_lock"),
    "frame of a failed commit reused": (ONE, "commit_write_fails"),
    "writable zero frame": (ONE, "read_faults"),
    "no fill": (ONE, "write_fault"),
    "refusal as RETRY": (FLAGS, "refused_without_a_page_request"),
    "ATOMIC parks": (FLAGS, "atomic_never_parks"),
    "all handed over": (FLAGS, "refused_without_a_page_request"),
    "answer twice": (MANY, "mm_lock"),
    "set before the flush": (WRITES, "set_waits_for_the_flush"),
    "no flush": (PAGES, "copy_on_write"),
    "flush while the TLBs are busy": (WRITES, "flush_waits_for_a_command"),
    "old frame not released": (PAGES, "copy_on_write"),
    "released twice": (RACES, "copied_by_both"),
    "zero frame copied": (PAGES, "copy_on_write"),
    "zero frame released": (PAGES, "copy_on_write"),
    "EXCLUSIVE not set": (PAGES, "store_to_a_private_file"),
    "EXCLUSIVE lost": (PAGES, "rights_are_added"),
    "EXCLUSIVE ignored": (PAGES, "rights_are_added"),
    "memory type lost": (PAGES, "rights_are_added"),
    "load maps writable": (PAGES, "load_of_a_file"),
    "table stays owned": (WRITES, "writes_fail"),
    "table not announced": (RACES, "two_make_one_table"),
    "C4 of tables ignored": (RACES, "two_make_one_table"),
    "watch of the old walk": (PAGES, "tables_are_made"),
    "neighbours not announced": (RACES, "neighbours_in_a_window"),
    "around a store": (PAGES, "no_pages_around"),
    "copy not made": (PAGES, "store_to_a_private_file"),
    "copy in the pool": (WRITES, "copied_frames_are_not_zero"),
    "leave at each attempt": (RETRIES, "writer_active"),
    "leave the wrong bank": (RETRIES, "writer_active"),
    "error of the clear ignored": (WRITES, "writes_fail"),
    "woken twice": (MANY, "speculative"),
    "fault begins at each attempt": (RETRIES, "writer_active"),
    "slot's WRITABLE ignored": (PAGES, "page_is_not_there"),
}
"""Bug to the test that must find it; "none" passes: it is the bugs that are found."""


SHORT = (
    "none", "C3 ignored", "lock kept", "set before the flush", "EXCLUSIVE ignored", "table not announced", "copy in the pool", "woken twice",
)  # fmt: skip
"""Those that the short form of the tests has."""


@pytest.mark.parametrize("bug", in_short(len(SHORT), sorted(PLANTED, key=lambda bug: bug not in SHORT)))
def test_planted_bug_is_found(bug: str) -> None:
    steps = PlantedSteps(CONFIG)
    top = FaultUnitTop(CONFIG, PlantedUnit(CONFIG, steps))
    steps.chosen = top.mutant
    module, testcase = PLANTED[bug]
    settings = parameters(mutant=list(PLANTED).index(bug), count=60)
    if bug == "none":
        run_block(top, module, name="fault_unit", testcase=testcase, parameters=settings)
        return
    with pytest.raises(SimulationFailed, match=f"{testcase} failed") as failure:
        run_block(top, module, name="fault_unit", testcase=testcase, parameters=settings)
    assert "never seen" not in str(failure.value)  # a short run proves nothing by what it did not meet
