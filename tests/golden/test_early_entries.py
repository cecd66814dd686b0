"""A walk may find what a fault-around has written before AROUND tells of it: exactly that, and AROUND must tell of it then."""

import pytest

from seqfault_golden import Access, How, Outcome, Status, Step

from .test_checker import accepted
from .test_replay_pages import READ_WRITE, shows_file, slot_of, slot_word

PAGES = (0x1_2345, 0x1_2346, 0x1_2347)
FIRST, NEXT, _ = PAGES


def frame_of(vpn):
    return slot_word(vpn) >> 10


def entry(world, vpn):
    return world.pte_of(frame_of(vpn), store=False)


@pytest.fixture
def load(stream, world, play):
    """A load maps FIRST and the pages around it; `between` adds what happens between R17 and AROUND. The checker's verdict."""

    def run(between, pages=PAGES, before=Step.AROUND):
        for write in shows_file(world, READ_WRITE, PAGES):
            stream.write(*write)
        stream.request(access=Access.LOAD).request(tag=2, vpn=NEXT, access=Access.LOAD)
        stream.begin(access=Access.LOAD).find().fields(flags=READ_WRITE).walk()
        stream.event(Step.PAGE, id=world.VMA, addr=slot_of(world, FIRST), data=slot_word(FIRST))
        stream.allocate(frame=frame_of(FIRST), pool=False).check().lock().recheck().commit(pte=entry(world, FIRST))
        mask = sum(1 << (vpn & 15) for vpn in pages)
        stream.event(Step.AROUND, addr=world.entry_of(FIRST & -16), data=mask).unlock(pte=entry(world, FIRST))
        stream.answer(frame=frame_of(FIRST))
        stream.insert(before, between)
        return play(stream, {world.entry_of(vpn): entry(world, vpn) for vpn in pages})

    return run


def found(world, pte):
    """Another fault walks to NEXT."""

    def steps(s):
        s.begin(1, 2, NEXT, Access.LOAD).find(1).fields(1, flags=READ_WRITE).walk(1, NEXT, Outcome.MAPPED, pte)
        return s.event(Step.ANSWER, agent=1, outcome=Outcome.MAPPED, data=Status.OK).answer(2, pte >> 10, reason=Outcome.MAPPED)

    return steps


def test_a_fault_may_find_the_entry(load, world):
    accepted(load(found(world, entry(world, NEXT))))


def test_the_translator_may_find_the_entry(load, world):
    accepted(load(lambda s: s.answer(2, frame_of(NEXT), how=How.TRANSLATED)))


def test_not_before_the_commit(load, world):
    checker = load(found(world, entry(world, NEXT)), before=Step.R16)
    assert f"R7 reports entry {entry(world, NEXT):#x}" in checker.first_difference


def test_not_another_entry(load, world):
    wrong = entry(world, NEXT) + (1 << 10)
    assert f"R7 reports entry {wrong:#x}" in load(found(world, wrong)).first_difference


def test_not_another_address(load, world):
    checker = load(lambda s: s.answer(2, frame_of(NEXT) + 1, how=How.TRANSLATED))
    assert "was no valid translation since" in checker.first_difference


@pytest.mark.parametrize("by_fault", [True, False])
def test_around_must_tell_of_it(load, world, by_fault):
    between = found(world, entry(world, NEXT)) if by_fault else lambda s: s.answer(2, frame_of(NEXT), how=How.TRANSLATED)
    checker = load(between, pages=(FIRST, PAGES[2]))
    assert "AROUND leaves out page 0x12346, whose entry a walk has found already" in checker.first_difference
