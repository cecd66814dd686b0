"""The search itself: it finds what was planted, no more states than there are, and the shortest way."""

import dataclasses

import pytest

from seqfault_golden import Safeguard
from seqfault_golden.explore import SCENARIOS, ExplorationLimit, explore, find_case
from seqfault_golden.explore.parts import Violation
from seqfault_golden.explore.program import Line, Program
from seqfault_golden.explore.scenario import Built, Scenario
from seqfault_golden.explore.search import explore_scenario
from seqfault_golden.explore.small_world import SmallWorld
from seqfault_golden.protocol import NotAllowed, NotYet


def scenario(*programs, at_end=lambda world: None):
    """Programs given as lists of actions."""

    def build(removed):
        world = SmallWorld()
        lines = [tuple(Line("step", f"step {number}", act) for number, act in enumerate(actions)) for actions in programs]
        agents = tuple(Program(world, f"program {number}", number, each) for number, each in enumerate(lines))
        return Built(world=world, agents=agents, at_end=at_end)

    return Scenario(name="made", title="", section="", build=build)


def nothing(world, me):
    return None


def test_number_of_states_is_that_of_the_grid():
    result = explore_scenario(scenario([nothing] * 3, [nothing] * 4), frozenset(), "ok")
    assert (result.verdict, result.states, result.transitions) == ("ok", 4 * 5, 3 * 5 + 4 * 4)


def test_wrong_end_is_found():
    def at_end(world):
        raise Violation("I4", "a frame is lost")

    result = explore_scenario(scenario([nothing], [nothing], at_end=at_end), frozenset(), "ok")
    assert (result.verdict, result.invariant, result.explanation) == ("violation", "I4", "a frame is lost")
    assert [step.agent for step in result.trace] in (["program 0", "program 1"], ["program 1", "program 0"])


def test_shortest_way_to_a_bad_step():
    def bad(world, me):
        if world.mm.pending:
            raise Violation("I1", "too late")

    def late(world, me):
        world.mm.pending = 1

    result = explore_scenario(scenario([nothing, nothing, bad], [nothing, late]), frozenset(), "ok")
    assert result.verdict == "violation"
    assert len(result.trace) == 5
    assert [step.text for step in result.trace if step.agent == "program 0"] == ["step 0", "step 1", "step 2"]
    assert "mm pending: 0 -> 1" in [change for step in result.trace for change in step.changes]


def test_a_step_that_the_protocol_refuses_is_a_violation():
    def refused(world, me):
        raise NotAllowed("not like this")

    result = explore_scenario(scenario([refused]), frozenset(), "ok")
    assert (result.verdict, result.invariant, result.explanation) == ("violation", "protocol", "not like this")


def test_deadlock():
    def take(name, other):
        def act(world, me):
            if getattr(world.mm, name):
                raise NotYet(f"{name} is held")
            setattr(world.mm, name, 1)

        return act

    one, two = [take("pending", 0), take("fence", 0)], [take("fence", 0), take("pending", 0)]
    result = explore_scenario(scenario(one, two), frozenset(), "ok")
    assert result.verdict == "deadlock"
    assert len(result.trace) == 2


def test_a_loop_without_an_end_is_found():
    def build(removed):
        world = SmallWorld()

        def act(world, me):
            me.cells.a ^= 1
            return "again"

        return Built(world=world, agents=(Program(world, "loop", 0, (Line("spin", "spins", act, label="again"),)),))

    result = explore_scenario(Scenario(name="made", title="", section="", build=build), frozenset(), "ok")
    assert (result.verdict, result.invariant) == ("violation", "every fault ends")


def test_limit():
    case = find_case("munmap", None)
    with pytest.raises(ExplorationLimit):
        explore(case, limit=100)


def test_progress_is_told():
    told = []
    states = explore(find_case("dontneed", None), progress=lambda *numbers: told.append(numbers)).states
    assert len(told) > 1
    assert all(known <= states for known, _ in told)


@pytest.mark.parametrize("mutation", ["", "c1", "c3", "undo", "early-recheck"])
def test_symmetry_keeps_the_verdict_and_halves_the_states(mutation):
    removed = frozenset(map(Safeguard, filter(None, [mutation])))
    folded = SCENARIOS["munmap"]
    unfolded = dataclasses.replace(folded, build=lambda removed: dataclasses.replace(folded.build(removed), symmetric=0))
    small, large = (explore_scenario(each, removed, "") for each in (folded, unfolded))
    assert (small.verdict, small.invariant, len(small.trace)) == (large.verdict, large.invariant, len(large.trace))
    if small.complete:
        assert large.states * 0.5 <= small.states < large.states * 0.6
