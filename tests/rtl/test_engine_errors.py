"""Errors that the whole engine meets on its pins, and ATOMIC's bound; planted bugs that these tests must find: see the modules in `seqfault_tb`."""

from dataclasses import replace

import pytest
from amaranth import Cat, Const

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.config import PRESETS
from seqfault_rtl.engine import Engine
from seqfault_rtl.fault_context import AfterStep, ContextState
from seqfault_rtl.fault_steps import FaultSteps
from seqfault_rtl.messages import Outcome, Step

from ..long import LONG, in_short

CONFIG = replace(PRESETS["small"], svadu=True, srcu_calls=4)


def run(engine: Engine, module: str, testcase: str | None = None) -> None:
    run_block(engine, f"seqfault_tb.{module}", name="engine_errors", parameters={"SEED": "7"}, testcase=testcase)


@pytest.mark.parametrize("module", in_short(1, ["test_engine_errors", "test_engine_bus_errors", "test_engine_rings", "test_engine_atomic"]))
def test_engine_errors(module: str) -> None:
    run(Engine(CONFIG), module)


class Silenced(Engine):
    """A signal between the engine's blocks stays 0."""

    def __init__(self, *path: str) -> None:
        self._path = path
        super().__init__(CONFIG)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        signal = self
        for name in self._path:
            signal = getattr(signal, name)
        m.d.comb += signal.eq(0)
        return m


SILENCED = [
    (("register_file", "command_queue", "memory_fault"), "test_engine_errors", "command_queue"),
    (("register_file", "page_queue", "dropped"), "test_engine_errors", "page_requests"),
    (("pool", "read", "response", "payload", "error"), "test_engine_errors", "free_frames"),
    (("register_file", "released_ring", "overflow"), "test_engine_rings", "released_ring"),
    (("register_file", "released_ring", "memory_fault"), "test_engine_rings", "released_ring_errors"),
    (("command_unit", "write", "response", "payload", "error"), "test_engine_rings", "removal_that_fails"),
    (("register_file", "srcu_refused"), "test_engine_rings", "completion_ring"),
    (("register_file", "completion_ring", "memory_fault"), "test_engine_rings", "completion_ring_errors"),
    (("fault_unit", "around_answer", "payload", "error"), "test_engine_bus_errors", "every_access"),
    (("fault_unit", "move_answer", "payload", "error"), "test_engine_bus_errors", "tables_and_zeroing"),
]


@pytest.mark.parametrize(("path", "module", "testcase"), in_short(0, SILENCED))
def test_planted_bug_is_found(path: tuple[str, ...], module: str, testcase: str) -> None:
    with pytest.raises(SimulationFailed, match=f"{testcase} failed"):
        run(Silenced(*path), module, testcase)


def patient_lock(m, s) -> None:
    """R13 of one who waits for the lock, ATOMIC or not."""
    s.emit(m, Step.R13)
    m.d.comb += s.event.addr.eq(Cat(Const(0, 12), s.context.pte_addr[12:]))
    with m.If(~s.lock_busy):
        m.d.comb += [s.acquire_lock.eq(1), s.next.locked.eq(1)]
        s.go(m, ContextState.RECHECK)
    with m.Else():
        m.d.comb += s.event.outcome.eq(Outcome.PTL_WAIT)
        s.go(m, ContextState.CHECK, AfterStep.PARK_LOCK)


@LONG
def test_atomic_that_waits_for_a_lock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FaultSteps.STEPS, ContextState.LOCK, patient_lock)
    with pytest.raises(SimulationFailed, match="each_reason failed"):
        run(Engine(CONFIG), "test_engine_atomic", "each_reason")
