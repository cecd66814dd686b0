"""Every case of the catalogue has its expected verdict; what the catalogue promises about safeguards and races is so."""

import pytest

from seqfault_golden import Safeguard
from seqfault_golden.explore import CASES, RACES, SCENARIOS, explore, find_case

from ...long import LONG

SLOWEST = "srcu-same-bank"
NAMES = [f"{case.scenario} {case.mutation or '-'}" for case in CASES]


@pytest.mark.parametrize("case", [pytest.param(case, marks=[LONG] * (case.mutation == SLOWEST)) for case in CASES], ids=NAMES)
def test_verdict_is_as_expected(case):
    result = explore(case)
    told = "\n".join(f"{step.agent}: {step.step} {step.text}" for step in result.trace)
    assert result.verdict == case.expected, f"{result.invariant}: {result.explanation}\n{told}"
    assert result.complete == (case.expected == "ok")
    assert bool(result.trace) == (case.expected != "ok")


def test_every_scenario_is_safe_as_it_is():
    whole = {case.scenario: case.expected for case in CASES if not case.removed}
    assert whole == dict.fromkeys(SCENARIOS, "ok")


def test_no_case_is_there_twice():
    keys = [(case.scenario, case.removed) for case in CASES]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("safeguard", Safeguard)
def test_every_safeguard_is_removed_somewhere(safeguard):
    assert any(safeguard in case.removed for case in CASES)


def test_races_are_complete_and_shown():
    assert [race.number for race in RACES] == [f"R{number}" for number in range(1, 26)]
    for race in RACES:
        assert bool(race.cases) != bool(race.reason), race.number
        for scenario, mutation in race.cases:
            assert find_case(scenario, mutation).expected in ("violation", "deadlock"), race.number


@pytest.mark.parametrize(
    ("scenario", "mutation", "named"),
    [("unknown", None, "munmap-contract"), ("munmap", "no-such", "early-recheck"), ("munmap", "c1+", "early-recheck")],
)
def test_unknown_names_are_answered_with_those_there_are(scenario, mutation, named):
    with pytest.raises(ValueError, match=named):
        find_case(scenario, mutation)


def test_order_of_names_does_not_matter():
    assert find_case("collapse", "sequence+c2") is find_case("collapse", "c2+sequence")
    assert find_case("collapse", "c4").expected == ""
