"""One model, three uses: a step that is changed is changed for the checker, the explorer and the replay."""

import pytest

from seqfault_golden import Access, Outcome, Phase
from seqfault_golden.explore import explore, find_case
from seqfault_golden.protocol import commit_steps
from seqfault_golden.replay import Engine, Request

from .test_replay_world import Surroundings


def careless_r16(world, fault):
    """C4 that does not look at the entry."""
    fault.phase = Phase.R17
    return Outcome.OK


@pytest.fixture(params=["as it is", "changed"])
def changed(request, monkeypatch):
    """Whether R16 is the careless one: its code is exchanged, so whoever has the function has the change."""
    if request.param == "changed":
        monkeypatch.setattr(commit_steps.r16, "__code__", careless_r16.__code__)
    return request.param == "changed"


def test_checker(changed, stream, play, world):
    stream.request(1).request(2).begin(1, 2).find(1).fields(1).walk(1).allocate(1, frame=world.FRAMES[1])
    stream.store_fault(0, 1).check(1).lock(1).recheck(1).commit(1, pte=world.pte_of(world.FRAMES[1]))
    assert ("C4 passed although" in play(stream).first_difference) != changed


def test_explorer(changed):
    assert explore(find_case("munmap", None)).verdict == ("violation" if changed else "ok")


def test_replay(changed, stream, world):
    surroundings = Surroundings(world)
    for address, value in [call[2:] for call in stream.calls if call[0] == "write"]:
        surroundings.memory[address] = value
    surroundings.observe = lambda event: None
    engine = surroundings.engine = Engine(surroundings, surroundings.events.append, spaces=4, contexts=4)
    engine.world.zero_frame = world.ZERO_FRAME
    surroundings.commands += [(67 | 1 << 12, world.SATP), (67 | 1 << 7 | 1 << 12, world.NODE | 1)]
    surroundings.run()
    surroundings.checker.request = surroundings.checker.answer = lambda *fields: None
    for tag in (1, 2):
        assert engine.begin(Request(0, tag, world.PAGE << 12, 1, Access.STORE, 1))
    surroundings.run()
    frames = {answer[4] >> 12 for answer in surroundings.answers}
    assert len(surroundings.answers) == 2
    assert len(frames) == (2 if changed else 1)
