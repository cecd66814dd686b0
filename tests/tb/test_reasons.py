"""Every failure of a fault's step that the contract has is met in the RTL: by random programs, or by the directed tests of the fault unit."""

import json

import pytest

from seqfault.simulator import run_block
from seqfault_golden import Outcome, Step
from seqfault_golden.check.readers import SHAPES
from seqfault_tb.fault_unit_top import TEST_CONFIG, FaultUnitTop

from .stress_model import stress

WAYS_OUT = (Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK)
FAILURES = {
    (Step(last).name, Outcome(outcome).name)
    for (first, last), outcomes in SHAPES.items() if first not in WAYS_OUT
    for outcome in outcomes if outcome not in (Outcome.OK, Outcome.MAPPED)
}  # fmt: skip
"""The step that fails and why."""
NOT_BY_SOFTWARE = {Outcome.UNSUPPORTED, Outcome.BAD_TABLE, Outcome.BAD_TREE, Outcome.BUS_ERROR}
"""Reasons that the testbench kernel gives no cause for, as it makes no mistakes and writes no GROWSDOWN."""
NOT_BY_CHANCE = {Outcome.RELEASED_FULL}
"""Nor this one, which needs a copy on write while a ZAP has filled the ring's buffer: see also `seqfault_tb/test_engine_rings.py`."""
DIRECTED = ("test_fault_unit", "test_fault_unit_retries", "test_fault_unit_flags", "test_fault_unit_pages", "test_fault_unit_writes")
ALL_KINDS = {"files": 5, "regions": 6, "moves": True, "forks": True}
PROGRAMS = {
    "anonymous": {"pause_ns": 0, "mutators": 4, "faulters": 12, "regions": 2, "latency": 2, "faults": 1500},
    "all kinds": ALL_KINDS | {"pause_ns": 300, "mutators": 3, "faults": 800},
    "missing tables, unzeroed": ALL_KINDS | {"pitch": 1 << 18, "unzeroed": True, "pause_ns": 300},
    "small rings": ALL_KINDS | {"small_rings": True, "pause_ns": 300, "faulters": 4},
    "Svadu": ALL_KINDS | {"adue": True, "aging": True},
    "vma-lock": ALL_KINDS | {"policy": "vma-lock"},
    "mm-lock": ALL_KINDS | {"policy": "mm-lock", "pitch": 512},
}
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def by_stress() -> set[tuple[str, str]]:
    """The failures in all programs with all seeds, which the checker agrees with, counters and all."""
    seen: set[tuple[str, str]] = set()
    for name, program in PROGRAMS.items():
        for seed in SEEDS:
            result = stress(seed, **program)
            assert result["outcome"] == "ok", f"{name}, seed {seed}: {result['message']}"
            coverage = result["coverage"]
            seen |= {(step, outcome) for step, _, outcome in (failure.partition(" ") for failure in coverage["abort"])}
            if coverage["page request"].get("dropped, queue full"):
                seen.add(("HANDOVER", "QUEUE_FULL"))
    return seen


@pytest.fixture(scope="module")
def by_directed_tests(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """The failures in the fault unit's directed tests."""
    result = tmp_path_factory.mktemp("directed") / "seen.json"
    modules = ",".join(f"seqfault_tb.{name}" for name in ("failures_seen", *DIRECTED))
    run_block(FaultUnitTop(TEST_CONFIG), modules, name="fault_unit", parameters={"FAULT_SEEN": str(result)})
    return {(step, outcome) for step, outcome in json.loads(result.read_text())}


def test_random_programs_meet_every_reason(by_stress: set[tuple[str, str]]) -> None:
    reasons = {Outcome[outcome] for _, outcome in FAILURES} | {Outcome.QUEUE_FULL}
    met = {Outcome[outcome] for _, outcome in by_stress}
    assert reasons - NOT_BY_SOFTWARE - NOT_BY_CHANCE - met == set()
    assert not met & NOT_BY_SOFTWARE


def test_every_failure_of_every_step_is_met(by_stress: set[tuple[str, str]], by_directed_tests: set[tuple[str, str]]) -> None:
    assert by_directed_tests & FAILURES
    assert FAILURES - by_stress - by_directed_tests == set()
