"""SRCU: what the catalogue's verdicts do not say."""

import pytest

from seqfault_golden.explore import SCENARIOS, explore, find_case
from seqfault_golden.explore.scenarios import srcu
from seqfault_golden.protocol import NotYet, srcu_steps

from ...long import in_short


@pytest.mark.parametrize(
    "mutation", in_short(2, ["srcu-second-scan", "srcu-flip", "srcu-batch", "srcu-first-scan", "srcu-unlocks-first", "srcu-same-bank"])
)
def test_what_ends_too_early_frees_what_is_in_use(mutation, monkeypatch):
    """The rule about grace periods is no finer than the harm: without it there is a use after free."""
    monkeypatch.setattr(srcu._GracePeriods, "_expect_readers_gone", lambda self: None)
    assert explore(find_case("srcu", mutation)).invariant == "I8"


def take(agent, steps):
    for _ in range(steps):
        agent.take(0)


def test_updater_goes_on_while_a_reader_reads():
    *readers, updater, _ = SCENARIOS["srcu"].build(frozenset()).agents
    take(readers[0], 3)
    while updater.choices():
        updater.take(0)
    assert readers[0].srcu.waiting == 0b11


@pytest.mark.parametrize(("steps", "ends"), [(1, True), (2, False), (4, False), (5, True)])
def test_grace_period_waits_for_a_section_that_has_begun(steps, ends):
    built = SCENARIOS["srcu"].build(frozenset())
    *readers, updater, worker = built.agents
    take(readers[0], steps)
    take(updater, 2)
    take(worker, 11)  # a grace period whose scans find nobody at once
    assert built.world.vmas[0].alive != ends


def test_worker_waits_for_callbacks():
    worker = SCENARIOS["srcu"].build(frozenset()).agents[-1]
    with pytest.raises(NotYet):
        worker.take(0)


class OneCpu:
    """Implements `srcu_steps.Srcu` with plain attributes."""

    class Counters:
        lock = unlock = 0

    def __init__(self, *removed):
        self.removed = frozenset(removed)
        self.idx = self.waiting = self.batch = 0
        self.banks = self.Counters(), self.Counters()

    def counters(self, cpu, bank):
        return self.banks[bank]


def test_both_scans_look_at_different_banks():
    machine = OneCpu()
    first = srcu_steps.first_bank(machine)
    active = machine.idx
    srcu_steps.flip(machine)
    assert {first, srcu_steps.second_bank(machine, active)} == {0, 1}


def test_a_callback_waits_for_the_next_grace_period():
    machine = OneCpu()
    srcu_steps.call_srcu(machine, 2)
    srcu_steps.start(machine)
    srcu_steps.call_srcu(machine, 0)
    assert list(srcu_steps.end(machine)) == [2]
    srcu_steps.start(machine)
    assert list(srcu_steps.end(machine)) == [0]
