"""Correct streams of the protocol: the checker accepts each, and compared something."""

import pytest

from seqfault_golden import Access, How, Outcome, Status, Step


def accepted(checker):
    assert checker.first_difference is None, checker.first_difference
    assert checker.agreed


def test_store_fault(stream, play):
    stream.request().store_fault().answer()
    checker = play(stream)
    accepted(checker)
    assert checker.steps_checked == 2 + 19  # SPACE_TABLE, SPACE_VMAS, R0..R18


def test_load_maps_the_zero_frame(stream, play, world):
    pte = world.pte_of(world.ZERO_FRAME, store=False)
    assert pte == world.ZERO_FRAME << 10 | 0x53
    stream.request(access=Access.LOAD).begin(access=Access.LOAD).find().fields().walk()
    stream.allocate(frame=world.ZERO_FRAME, pool=False).check().lock().recheck().commit(pte=pte).unlock(pte=pte)
    accepted(play(stream.answer(frame=world.ZERO_FRAME)))


def test_zap_returns_the_frame_for_another_fault(stream, play, world):
    stream.request().store_fault().answer().zap(world.PAGE, world.pte_of(world.FRAMES[0]), seq=3)
    stream.add("frames", world.FRAMES[:1])
    accepted(play(stream.request(tag=2).store_fault(tag=2, seq=2).answer(tag=2)))


def test_changed_at_c3_is_retried_and_gives_the_frame_back(stream, play, world):
    stream.request().begin().find().fields().walk().allocate().check().lock()
    stream.command(Step.MM_LOCK, space=1).command(Step.SEQ_BEGIN, space=1, id=world.VMA, seq=3)
    stream.event(Step.R14, outcome=Outcome.CHANGED_C3, id=world.VMA, seq=3).undo(Outcome.CHANGED_C3, frame=world.FRAMES[0])
    stream.write(world.RECORD + 16, world.FLAGS | 0x80)
    stream.begin(attempt=1).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    stream.command(Step.SEQ_END, space=1, id=world.VMA, seq=2).command(Step.MM_UNLOCK, space=1)
    stream.begin(attempt=2).find(seq=2).fields(seq=2, flags=world.FLAGS | 0x80).walk().allocate(seq=2).check(seq=2).lock().recheck(seq=2)
    accepted(play(stream.commit().unlock().answer(how=How.RETRIED)))


def test_fourth_attempt_is_classic(stream, play, world):
    stream.request().command(Step.MM_LOCK, space=1).command(Step.SEQ_BEGIN, space=1, id=world.VMA, seq=3)
    for attempt in range(3):
        stream.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    stream.command(Step.SEQ_END, space=1, id=world.VMA, seq=2).command(Step.MM_UNLOCK, space=1)
    stream.event(Step.MM_READ_LOCK, space=1).store_fault(seq=2, attempt=3, classic=1)
    accepted(play(stream.event(Step.MM_READ_UNLOCK, space=1).answer(how=How.CLASSIC)))


def test_policy_mm_lock(stream, play):
    stream.request().event(Step.MM_READ_LOCK, space=1).store_fault(classic=1).event(Step.MM_READ_UNLOCK, space=1).answer(how=How.CLASSIC)
    accepted(play(stream, policy="mm-lock"))


def test_unmapped_page_is_handed_over(stream, play):
    stream.request(vpn=0x1_2000).begin(vpn=0x1_2000).event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA)
    stream.event(Step.HANDOVER, outcome=Outcome.NO_VMA).event(Step.ANSWER, outcome=Outcome.NO_VMA, data=Status.RETRY)
    accepted(play(stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.NO_VMA)))


def test_two_faults_of_one_page(stream, play, world):
    """The second waits for the lock, then finds the entry changed, then mapped."""
    first, second = world.FRAMES[:2]
    stream.request(tag=1).request(tag=2).begin(0, 1).begin(1, 2).find(0).find(1).fields(0).fields(1).walk(0).walk(1)
    stream.allocate(0, frame=first).allocate(1, frame=second).check(0).check(1).lock(0).lock(1, outcome=Outcome.PTL_WAIT)
    stream.recheck(0).commit(0).unlock(0).answer(1).check(1).lock(1).recheck(1)
    stream.event(Step.R16, agent=1, outcome=Outcome.RACED, addr=world.entry_of(world.PAGE)).undo(Outcome.RACED, 1, second)
    stream.begin(1, 2, attempt=1).find(1).fields(1).walk(1, outcome=Outcome.MAPPED, entry=world.pte_of(first))
    stream.event(Step.ANSWER, agent=1, outcome=Outcome.MAPPED, data=Status.OK)
    accepted(play(stream.answer(tag=2, how=How.RETRIED, reason=Outcome.MAPPED)))


def test_walk_may_report_what_an_unfinished_commit_replaces(stream, play, world):
    """Between R17 and R18 the write is on its way: a walk that began after R17 may still read the old entry."""
    stream.request(tag=1).request(tag=2).begin(0, 1).find(0).fields(0).walk(0).allocate(0).check(0).lock(0).recheck(0).commit(0)
    stream.begin(1, 2).find(1).fields(1).unlock(0).answer(1).walk(1)
    stream.allocate(1, frame=world.FRAMES[1]).check(1).lock(1).recheck(1)
    stream.event(Step.R16, agent=1, outcome=Outcome.RACED, addr=world.entry_of(world.PAGE)).undo(Outcome.RACED, 1, world.FRAMES[1])
    stream.begin(1, 2, attempt=1).find(1).fields(1).walk(1, outcome=Outcome.MAPPED, entry=world.pte_of(world.FRAMES[0]))
    stream.event(Step.ANSWER, agent=1, outcome=Outcome.MAPPED, data=Status.OK)
    accepted(play(stream.answer(tag=2, how=How.RETRIED, reason=Outcome.MAPPED)))


def test_invalidation_during_a_walk_aborts_at_c2(stream, play, world):
    stream.request().begin().find().fields().command(Step.INVALIDATE, space=1, vpn=world.PAGE, data=1).walk().allocate()
    stream.check(outcome=Outcome.WALK_C2).undo(Outcome.WALK_C2, frame=world.FRAMES[0])
    accepted(play(stream.store_fault(attempt=1).answer(how=How.RETRIED)))


def test_mprotect(stream, play, world):
    """A section that takes the write right away: record, entry, TLB; then a store is refused by the record."""
    old = world.pte_of(world.FRAMES[0])
    stream.request().store_fault().answer()
    stream.command(Step.MM_LOCK, space=1).command(Step.SEQ_BEGIN, space=1, id=world.VMA, seq=3).command(Step.FENCE)
    stream.write(world.RECORD + 16, world.READ_ONLY_FLAGS).write(world.RECORD + 24, world.READ_ONLY_PROT)
    stream.command(Step.PTE_LOCK, addr=world.TABLE)
    stream.command(Step.PTE_PROTECT, space=1, vpn=world.PAGE, addr=world.entry_of(world.PAGE), data=old & ~4)
    stream.command(Step.PTE_UNLOCK, addr=world.TABLE).command(Step.INVALIDATE, space=1, vpn=world.PAGE, data=1)
    stream.command(Step.SEQ_END, space=1, id=world.VMA, seq=2).command(Step.MM_UNLOCK, space=1)
    stream.request(tag=2).begin(tag=2).find(seq=2)
    stream.fields(seq=2, flags=world.READ_ONLY_FLAGS, prot=world.READ_ONLY_PROT, outcome=Outcome.ACCESS).undo(Outcome.ACCESS)
    stream.event(Step.HANDOVER, outcome=Outcome.ACCESS).event(Step.ANSWER, outcome=Outcome.ACCESS, data=Status.RETRY)
    stream.answer(tag=2, status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.ACCESS)
    stream.request(tag=3, access=Access.LOAD)
    accepted(play(stream.answer(tag=3, how=How.TRANSLATED)))


def test_fence_waits_for_older_attempts_only(stream, play, world):
    stream.request().store_fault().insert(Step.R3, lambda s: s.command(Step.FENCE, data=1))
    accepted(play(stream.answer().command(Step.FENCE, data=1)))


def test_tlb_may_keep_a_translation_until_the_invalidation(stream, play, world):
    stream.request().store_fault().answer().zap(world.PAGE, world.pte_of(world.FRAMES[0]), seq=3)
    stream.insert(Step.INVALIDATE, lambda s: s.request(tag=2)).insert(Step.SEQ_END, lambda s: s.answer(tag=2, how=How.TRANSLATED))
    accepted(play(stream))


def test_faults_for_what_cannot_be_translated(stream, play):
    stream.add("request", 0, 1, 1 << 40, 1, 0, 0).add("answer", 0, 1, Status.FAULT, How.TRANSLATED, Outcome.ILLEGAL, 0)
    stream.add("request", 0, 2, 1 << 20, 2, 0, 0).add("answer", 0, 2, Status.FAULT, How.TRANSLATED, Outcome.NO_TABLE, 0)
    accepted(play(stream))


def test_superpage_of_software(stream, play, world):
    address = (world.MIDDLE << 12) + 8
    stream.write(address, (0x200 << 9) << 10 | 0xD3)
    stream.add("request", 0, 1, 0x20_1234, 1, Access.LOAD, 0)
    accepted(play(stream.add("answer", 0, 1, Status.OK, How.TRANSLATED, 0, (0x200 << 21) | 0x1234)))


def test_bus_error_at_the_commit_abandons_the_frame(stream, play, world):
    stream.request().begin().find().fields().walk().allocate().check().lock().recheck().commit()
    stream.event(Step.R18, outcome=Outcome.BUS_ERROR, addr=world.entry_of(world.PAGE), data=world.pte_of(world.FRAMES[0]))
    stream.undo(Outcome.BUS_ERROR).event(Step.HANDOVER, outcome=Outcome.BUS_ERROR)
    stream.event(Step.ANSWER, outcome=Outcome.BUS_ERROR, data=Status.RETRY)
    stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.BUS_ERROR)
    lost = {world.entry_of(world.PAGE): 0}
    accepted(play(stream, lost, bus_errors=True))
    assert "BUS_ERROR although" in play(stream, lost).first_difference


def merged(stream, world, *, flags=None, prot=None, frame=None, seq=0, first_last=(Step.R7, Step.R9), outcome=Outcome.OK):
    """A request and its fault with R1 to R6 in one event and R7 to R9 in another, as the engine tells them."""
    data = (world.FLAGS if flags is None else flags) | (world.PROT if prot is None else prot) << 16
    stream.request().begin()
    stream.event(Step.R1, Step.R6, id=world.VMA, seq=seq, addr=world.RECORD, data=data)
    frame = world.FRAMES[0] if frame is None else frame
    taken = frame | 1 << 63 if outcome == Outcome.OK else 0
    return stream.event(*first_last, id=world.VMA, seq=seq, addr=world.entry_of(world.PAGE), data=taken, outcome=outcome)


def test_steps_told_together(stream, play, world):
    accepted(play(merged(stream, world).check().lock().recheck().commit().unlock().answer()))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"flags": 0x1B}, "R4 flags 0x1b were not in the record"),
        ({"prot": 0x13}, "R4 page_prot 0x13 was not in the record"),
        ({"seq": 2}, "R2 reports sequence 0x2 of VMA 5, it is 0x0"),
        ({"frame": 0xDEAD}, "R9 allocates frame 0xdead, which is not offered"),
        ({"first_last": (Step.R7, Step.R8), "outcome": Outcome.CHANGED}, "R8 false abort"),
        ({"first_last": (Step.R7, Step.R9), "outcome": Outcome.CHANGED}, "no event has this first and last step with this outcome"),
    ],
)
def test_wrong_steps_told_together(stream, play, world, wrong, reason):
    assert reason in play(merged(stream, world, **wrong)).first_difference


def test_an_entry_that_is_not_empty_is_not_told_with_the_allocation(stream, play, world):
    stream.request().store_fault().answer()
    assert "R7 reports entry 0x0" in play(merged(stream, world, frame=world.FRAMES[1])).first_difference


def test_frames_that_are_not_zeroed_are_filled(stream, play, world):
    """`unzeroed`: FILL comes before the checks, and ATOMIC has no time for it."""
    stream.request().begin().find().fields().walk().allocate()
    filled = {"id": world.VMA, "addr": world.FRAMES[0] << 12}
    stream.event(Step.FILL, **filled).check().lock().recheck().commit().unlock().answer()
    accepted(play(stream, unzeroed=True))
    assert "context 0 is to do R10 next" in play(stream).first_difference
    assert "context 0 is to do FILL next" in play(stream.drop(Step.FILL), unzeroed=True).first_difference


def test_an_atomic_fault_takes_no_frame_that_is_to_be_zeroed(stream, play, world):
    atomic = world.Access.STORE | 9 << 2 | 1 << 14
    stream.add("request", 0, 1, world.PAGE << 12 | 0x28, 1, Access.STORE, 9).event(Step.R0, space=1, vpn=world.PAGE, data=atomic).find().fields()
    taken = world.Stream(calls=[*stream.walk().calls]).allocate()
    assert "which an ATOMIC fault must not do" in play(taken, unzeroed=True).first_difference
    stream.event(Step.R8, Step.R9, id=world.VMA, outcome=Outcome.POOL_EMPTY).undo(Outcome.POOL_EMPTY)
    stream.event(Step.ANSWER, outcome=Outcome.POOL_EMPTY, data=Status.FAULT)
    accepted(play(stream.answer(status=Status.FAULT, how=How.TRANSLATED, reason=Outcome.POOL_EMPTY), unzeroed=True))
