"""Correct streams with one planted bug each in a writer, an answer or the end: the checker names it, with the steps before it."""

import pytest

from seqfault_golden import Access, Checker, How, Outcome, Status, Step

from .planted import Bugs

bug = BUGS = Bugs()


# --- writers --------------------------------------------------------------------------------------------------------


@bug("PTE_CLEAR of 0x102a28 without the lock of its table")
def zap_without_lock(s, w):
    s.served().zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).drop(Step.PTE_LOCK)


@bug("PTE_CLEAR without the mm lock of space 1")
def zap_without_mm_lock(s, w):
    s.served().command(Step.PTE_LOCK, addr=w.TABLE)
    s.command(Step.PTE_CLEAR, space=1, vpn=w.PAGE, addr=w.entry_of(w.PAGE), data=w.pte_of(w.FRAMES[0]))


@bug("PTE_CLEAR of 0x102a28 removes 0x280117, the entry is 0x2801d7")
def zap_releases_another_entry(s, w):
    s.served().zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).change(Step.PTE_CLEAR, data=w.pte_of(w.FRAMES[0]) & ~0xC0)


@bug("which holds 0x0: no valid leaf")
def zap_of_nothing(s, w):
    s.zap(w.PAGE, 0, 3)


@bug("more than R, W, X")
def protect_clears_dirty(s, w):
    old = w.pte_of(w.FRAMES[0])
    s.served().zap(w.PAGE, old, 3).change(Step.PTE_CLEAR, first=Step.PTE_PROTECT, last=Step.PTE_PROTECT, data=old & ~0x84)


@bug("SEQ_BEGIN without the mm lock of space 1")
def begin_without_mm_lock(s, w):
    s.section().end_section().drop(Step.MM_LOCK)


@bug("SEQ_END of VMA 5 without SEQ_BEGIN")
def end_without_begin(s, w):
    s.section().end_section().drop(Step.SEQ_BEGIN)


@bug("FENCE completed while the attempt of context 0, which began before it, is running")
def fence_too_early(s, w):
    s.served().insert(Step.R7, lambda t: t.section().command(Step.FENCE, data=1))


@bug("SEQ_BEGIN of VMA 5 reports sequence 0x2, it is 0x3")
def begin_leaves_the_sequence_even(s, w):
    s.section().end_section().change(Step.SEQ_BEGIN, seq=2)


@bug("software writes the leaf entry of page 0x12345 outside a section of VMA 5")
def software_writes_beside_the_engine(s, w):
    s.served().write(w.entry_of(w.PAGE), 0)


# --- answers --------------------------------------------------------------------------------------------------------


@bug("was no valid translation since the last INVALIDATE")
def stale_answer_after_invalidate(s, w):
    s.served().zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).request(tag=2).answer(tag=2, how=How.TRANSLATED)


@bug("was no valid translation")
def store_through_a_read_only_entry(s, w):
    pte = w.pte_of(w.ZERO_FRAME, store=False)
    s.request(access=Access.LOAD).begin(access=Access.LOAD).find().fields().walk().allocate(frame=w.ZERO_FRAME, pool=False).check().lock()
    s.recheck().commit(pte=pte).unlock(pte=pte).answer(frame=w.ZERO_FRAME)
    s.request(tag=2).answer(tag=2, frame=w.ZERO_FRAME, how=How.TRANSLATED)


@bug("answer 0xa01028 for 0x12345028")
def wrong_address(s, w):
    s.request().store_fault().answer(frame=w.FRAMES[1])


@bug("answer while the fault of this request is running")
def answered_before_the_commit(s, w):
    s.request().begin().answer()


@bug("answer OK/CLASSIC/OK; its fault concluded OK/SPECULATIVE/OK")
def wrong_how(s, w):
    s.request().store_fault().answer(how=How.CLASSIC)


@bug("FAULT for 0x12345028, which is canonical")
def false_refusal(s, w):
    s.request().answer(status=Status.FAULT, how=How.TRANSLATED, reason=Outcome.ILLEGAL)


@bug("OK for 0x4000012345028, which is not canonical")
def non_canonical_address_served(s, w):
    s.served().add("request", 0, 2, 1 << 50 | w.PAGE << 12 | 0x28, 1, Access.STORE, 0).answer(tag=2, how=How.TRANSLATED)


@bug("which is not outstanding")
def answered_twice(s, w):
    s.served().answer()


# --- the end --------------------------------------------------------------------------------------------------------


@bug("requests without an answer (port, tag): (0, 1)")
def request_unanswered(s, w):
    s.request().store_fault()


@bug("context 0 is to do R7 next")
def fault_left_running(s, w):
    s.request().begin().find().fields()
    del s.calls[next(i for i, call in enumerate(s.calls) if call[0] == "request")]
    s.no_requests = True


@bug("no VMA covers it (I2)")
def page_left_behind_an_unmap(s, w):
    s.served().command(Step.SPACE_VMAS, space=1, data=0)


@bug("is writable (0x2801d7) in VMA 5, which is not (I3)")
def writable_entry_in_a_read_only_vma(s, w):
    s.served().write(w.RECORD + 16, w.READ_ONLY_FLAGS)


@bug("agent 63 holds the lock of table 0x102000")
def lock_left_held(s, w):
    s.served().command(Step.PTE_LOCK, addr=w.TABLE)


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(name, stream, play, world):
    plant, reason = BUGS[name]
    plant(stream, world)
    checker = play(stream, check_requests=not getattr(stream, "no_requests", False))
    assert checker.first_difference is not None
    assert reason in checker.first_difference.splitlines()[0]
    assert not checker.agreed


def test_memory_is_compared(stream, play, world):
    stream.served()
    address = world.entry_of(world.PAGE)
    assert play(stream).agreed
    assert f"memory holds 0x0 at {address:#x} (space 1, level 0, page 0x12345), golden 0x2801d7" in play(stream, {address: 0}).first_difference
    assert "golden 0x13" in play(stream, {world.RECORD + 16: 0}).first_difference


def test_difference_shows_the_steps_before(stream, play, world):
    stream.served().change(Step.R14, seq=9)
    lines = play(stream).first_difference.splitlines()
    assert lines[0].startswith("cycle 26: R14-R15 OK of context 0 id 0x5 seq 0x9 is not allowed: C3 reports")
    assert sum("of context 0" in line for line in lines[1:]) == 7
    assert any("SPACE_VMAS" in line for line in lines)
    assert any("request" in line for line in lines)


def test_checker_stops_at_the_first_difference(stream, play, world):
    stream.served().change(Step.R7, outcome=Outcome.HUGE)
    assert play(stream).steps_checked == 2 + 7
    assert "R7" in play(stream).first_difference.splitlines()[0]


def test_silence_is_not_agreement():
    checker = Checker()
    checker.finish(lambda address: 0)
    assert checker.first_difference is None
    assert not checker.agreed


@pytest.mark.parametrize("parameters", [{"policy": "none"}, {"contexts": 63}, {"contexts": 0}])
def test_parameters_are_checked(parameters):
    with pytest.raises(ValueError, match="must be"):
        Checker(**parameters)
