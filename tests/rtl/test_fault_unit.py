"""FaultUnit with its on-chip state under cocotb, and planted bugs that its tests must find."""

import os

import pytest
from amaranth import Module, Value
from amaranth.hdl import ValueCastable

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.fault_context import ContextState
from seqfault_rtl.fault_steps import FaultSteps
from seqfault_rtl.messages import AnswerStatus, Step
from seqfault_tb.fault_unit_top import TEST_CONFIG as CONFIG
from seqfault_tb.fault_unit_top import FaultUnitTop

ONE = "seqfault_tb.test_fault_unit"
RETRIES = "seqfault_tb.test_fault_unit_retries"
FLAGS = "seqfault_tb.test_fault_unit_flags"
MANY = "seqfault_tb.test_fault_unit_load"


def parameters(**settings: object) -> dict[str, str]:
    """Settings of the cocotb tests; FAULT_SEED and FAULT_COUNT of the environment are passed on."""
    passed_on = {name: value for name, value in os.environ.items() if name in ("FAULT_SEED", "FAULT_COUNT")}
    return passed_on | {f"FAULT_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.mark.parametrize("module", [ONE, RETRIES, FLAGS, MANY])
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
        return super().has_raced() & ~self.has("C4 ignored")

    def needs_mm_lock(self) -> Value:
        late = self.has("one attempt too many") & (self.context.attempt == self.config.max_retries)
        return super().needs_mm_lock() & ~late

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        undo, unlock = self.context.state == ContextState.UNDO, self.context.state == ContextState.UNLOCK
        wrong: list[tuple[str, Value, Value | ValueCastable, object]] = [
            ("frame leaked", undo, self.give_frame, 0),
            ("lock kept", undo, self.release_lock, 0),
            ("pin kept", undo, self.unpin, 0),
            ("VMA kept", undo, self.drop_vma, 0),
            ("frame of a failed commit reused", unlock, self.next.owned, self.context.owned),
            ("writable zero frame", ~undo, self.entry.w, self.context.page_prot[2]),
            ("no fill", unlock, self.fill, 0),
            ("refusal as RETRY", self.context.state == ContextState.ANSWER, self.answer_record.answer.status, AnswerStatus.RETRY),
            ("answer twice", self.context.state == ContextState.MM_UNLOCK, self.answer, 1),
        ]
        for bug, when, signal, value in wrong:
            with m.If(self.has(bug) & when):
                m.d.comb += signal.eq(value)
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
}
"""Bug to the test that must find it; "none" passes: it is the bugs that are found."""


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str) -> None:
    steps = PlantedSteps(CONFIG)
    top = FaultUnitTop(CONFIG, steps)
    steps.chosen = top.mutant
    module, testcase = PLANTED[bug]
    settings = parameters(mutant=list(PLANTED).index(bug), count=60)
    if bug == "none":
        run_block(top, module, name="fault_unit", testcase=testcase, parameters=settings)
        return
    with pytest.raises(SimulationFailed, match=f"{testcase} failed") as failure:
        run_block(top, module, name="fault_unit", testcase=testcase, parameters=settings)
    assert "never seen" not in str(failure.value)  # a short run proves nothing by what it did not meet
