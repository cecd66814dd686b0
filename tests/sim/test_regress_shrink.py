"""Failing programs made small: on a judge that is a function, so that what must remain is known."""

from typing import Any

import msgspec
import pytest

from seqfault import regress_shrink
from seqfault.errors import CheckFailed
from seqfault.regress_shrink import Shrinker, signature
from seqfault_tb.regression.generate import generate
from seqfault_tb.regression.program import Action, Program

PROGRAM = generate(7, profile="pressure", preset="small", faults=200)
CULPRITS = ((3, 11), (5, 2))
"""Thread and place of the actions that together are the bug."""


def culprits() -> list[Action]:
    return [PROGRAM.threads[thread].actions[place] for thread, place in CULPRITS]


def judge(program: Program) -> dict[str, Any]:
    """Fails where both are in it."""
    actions = [[action for action in thread.actions] for thread in program.threads]
    wanted = culprits()
    if wanted[0] in actions[3] and wanted[1] in actions[5]:
        return {"outcome": "difference", "message": f"cycle {sum(map(len, actions))}: C1 passed"}
    return {"outcome": "ok", "message": None}


def size(program: Program) -> int:
    return sum(len(thread.actions) for thread in program.threads)


def test_what_is_needed_remains_and_nothing_else() -> None:
    runs = []
    shrinker = Shrinker(PROGRAM, judge(PROGRAM), seconds=60, run=judge, on_run=lambda runs_, size: runs.append((runs_, size)))
    small = shrinker.shrink()
    assert size(small) == 2
    assert [list(small.threads[thread].actions) for thread, _ in CULPRITS] == [[action] for action in culprits()]
    assert len(small.threads) == len(PROGRAM.threads), "threads keep their ports"
    assert small.conditions.pressure == 0, "which has nothing to do with it"
    assert shrinker.result["outcome"] == "difference"
    assert runs[-1] == (shrinker.runs, 2)


def test_a_condition_that_is_needed_remains() -> None:
    def with_pressure(program: Program) -> dict[str, Any]:
        return judge(program) if program.conditions.pressure else {"outcome": "ok", "message": None}

    small = Shrinker(PROGRAM, judge(PROGRAM), seconds=60, run=with_pressure).shrink()
    assert small.conditions.pressure == PROGRAM.conditions.pressure
    assert size(small) == 2


def test_another_failure_is_not_taken_for_this_one() -> None:
    def other(program: Program) -> dict[str, Any]:
        return {"outcome": "hang", "message": "nothing happened"}

    assert Shrinker(PROGRAM, judge(PROGRAM), seconds=60, run=other).shrink() == PROGRAM


def test_a_simulation_that_dies_is_a_failure_too() -> None:
    def dies(program: Program) -> dict[str, Any]:
        if judge(program)["outcome"] == "ok":
            return {"outcome": "ok", "message": None}
        raise CheckFailed("the simulator died")

    result = {"outcome": "failed", "message": "the simulator died"}
    assert size(Shrinker(PROGRAM, result, seconds=60, run=dies).shrink()) == 2


def test_actions_that_nobody_came_to_go_first() -> None:
    begun = [min(12, len(thread.actions)) for thread in PROGRAM.threads]
    tried = []

    def run(program: Program) -> dict[str, Any]:
        tried.append(size(program))
        return judge(program)

    Shrinker(PROGRAM, {**judge(PROGRAM), "begun": begun}, seconds=60, run=run).shrink()
    assert tried[0] == sum(begun)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_no_change(seconds: float) -> None:
    shrinker = Shrinker(PROGRAM, judge(PROGRAM), seconds=seconds, run=judge)
    assert shrinker.shrink() == PROGRAM
    assert shrinker.runs == 0


def test_thousands_of_actions_are_not_searched_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """picire would go on by itself, for minutes and gigabytes."""
    program, asked = generate(7, profile="races", preset="small", faults=5000), []
    monkeypatch.setattr(regress_shrink, "_with", lambda program, kept: asked.append(len(kept)) or program)
    Shrinker(program, judge(PROGRAM), seconds=0, run=judge).shrink()
    assert len(asked) <= 1


def test_numbers_do_not_tell_failures_apart() -> None:
    first = {"outcome": "difference", "message": "cycle 12: C1 of context 3 at 0x7f\nmore"}
    assert signature(first) == signature({"outcome": "difference", "message": "cycle 7: C1 of context 1 at 0x80\nless"})
    assert signature(first) != signature({"outcome": "difference", "message": "cycle 7: C3 of context 1 at 0x80"})


def test_an_empty_program_stays() -> None:
    empty = msgspec.structs.replace(PROGRAM, threads=())
    result = {"outcome": "failed", "message": "always"}
    assert Shrinker(empty, result, seconds=60, run=lambda program: result).shrink().threads == ()
