"""Equal agents of any kind are folded, and nothing that matters is folded away."""

import dataclasses

import pytest

from seqfault_golden.explore import CASES, SCENARIOS
from seqfault_golden.explore.search import explore_scenario

FOLDED = ("userfault", "userfault-dontneed", "register", "register-vma-lock", "page-request", "page-request-mm-lock", "file-fault", "vma-refcount")
OF_THESE = [case for case in CASES if case.scenario in FOLDED]


@pytest.mark.parametrize("case", OF_THESE, ids=[f"{case.scenario} {case.mutation or '-'}" for case in OF_THESE])
def test_same_verdict_without_folding(case):
    folded = SCENARIOS[case.scenario]
    unfolded = dataclasses.replace(folded, build=lambda removed: dataclasses.replace(folded.build(removed), symmetric=0))
    small, large = (explore_scenario(each, case.removed, "") for each in (folded, unfolded))
    assert (small.verdict, small.invariant, len(small.trace)) == (large.verdict, large.invariant, len(large.trace))
    assert small.states < large.states
    if small.complete:
        assert small.states < large.states * 0.6


def test_parts_of_an_agent_must_follow_each_other():
    scenario = SCENARIOS["userfault"]

    def build(removed):
        built = scenario.build(removed)
        first, *_ = built.agents
        first.parts = first.parts[::-1]
        return built

    with pytest.raises(ValueError, match="must follow each other"):
        explore_scenario(dataclasses.replace(scenario, build=build), frozenset(), "")
