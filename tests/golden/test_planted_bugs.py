"""Correct streams with one planted bug each: the checker names the bug."""

import pytest

from seqfault_golden import Access, Checker, How, Outcome, Status, Step

BUGS = {}


def bug(reason):
    """The decorated function plants a bug in a stream; the checker's first line must contain `reason`."""

    def register(plant):
        BUGS[plant.__name__] = (plant, reason)
        return plant

    return register


def section(world, *, seq=3):
    """Open a writer's section on the VMA."""
    return lambda s: s.command(Step.MM_LOCK, space=1).command(Step.SEQ_BEGIN, space=1, id=world.VMA, seq=seq)


def whole_section(world, seq=3):
    return lambda s: section(world, seq=seq)(s).command(Step.SEQ_END, space=1, id=world.VMA, seq=seq - 1).command(Step.MM_UNLOCK, space=1)


def fault(s):
    return s.request().store_fault().answer()


# --- the checks of an attempt ---------------------------------------------------------------------------------------


@bug("context 0 is to do R13 next")
def commit_without_lock(s, w):
    fault(s).drop(Step.R13)


@bug("R2 accepted the odd sequence 0x3")
def odd_sequence_accepted(s, w):
    fault(s).insert(Step.R0, section(w)).change(Step.R1, seq=3)


@bug("C3 passed although the sequence of VMA 5 went from 0x0 to 0x2")
def c3_passed_after_change(s, w):
    fault(s).insert(Step.R14, whole_section(w)).change(Step.R14, seq=2)


@bug("C3 reports sequence 0x0 of VMA 5, it is 0x2")
def c3_compares_an_old_sequence(s, w):
    fault(s).insert(Step.R14, whole_section(w))


@bug("C1 passed although the sequence")
def c1_passed_after_change(s, w):
    fault(s).insert(Step.R10, whole_section(w)).change(Step.R10, seq=2)


@bug("C1 false abort")
def c1_false_abort(s, w):
    fault(s).change(Step.R10, last=Step.R11, outcome=Outcome.CHANGED_C1)


@bug("R2 false abort: the sequence of VMA 5 has not changed since R0")
def changed_before_the_attempt(s, w):
    fault(s).insert(Step.R0, whole_section(w)).change(Step.R1, outcome=Outcome.CHANGED, seq=2)


@bug("C2 false abort")
def c2_false_abort(s, w):
    fault(s).change(Step.R10, outcome=Outcome.WALK_C2)


@bug("C2 passed although an INVALIDATE hit this page")
def c2_passed_after_invalidation(s, w):
    fault(s).insert(Step.R7, lambda t: t.command(Step.INVALIDATE, space=0xFFFF))


@bug("C4 false abort")
def c4_false_abort(s, w):
    fault(s).change(Step.R16, last=Step.R16, outcome=Outcome.RACED)


@bug("C4 passed although the entry")
def c4_passed_after_another_commit(s, w):
    s.request(1).request(2).begin(1, 2).find(1).fields(1).walk(1).allocate(1, frame=w.FRAMES[1])
    s.store_fault(0, 1).check(1).lock(1).recheck(1).commit(1, pte=w.pte_of(w.FRAMES[1]))


@bug("R13 takes the lock of table 0x102000, which agent 63 holds")
def lock_taken_twice(s, w):
    fault(s).insert(Step.R13, lambda t: t.command(Step.PTE_LOCK, addr=w.TABLE))


@bug("R13 PTL_BUSY although the lock of table 0x102000 is free")
def lock_falsely_busy(s, w):
    fault(s).change(Step.R13, outcome=Outcome.PTL_BUSY)


@bug("R13 locks table 0x103000")
def wrong_table_locked(s, w):
    fault(s).change(Step.R13, addr=0x10_3000)


# --- what is read and written ---------------------------------------------------------------------------------------


@bug("was not reachable for page 0x12345")
def wrong_vma_found(s, w):
    fault(s).change(Step.R1, id=w.READ_ONLY_VMA, addr=w.READ_ONLY_RECORD)


@bug("lookup of page 0x12345 ends with NO_VMA")
def vma_missed(s, w):
    fault(s).change(Step.R1, last=Step.R1, outcome=Outcome.NO_VMA)


@bug("were not in the record (now 0x1b) under this sequence")
def fields_older_than_the_sequence(s, w):
    s.request().begin()
    section(w)(s).write(w.RECORD + 16, w.FLAGS | 8).write(w.RECORD + 24, 0x13)
    s.command(Step.SEQ_END, space=1, id=w.VMA, seq=2).command(Step.MM_UNLOCK, space=1).find(seq=2).fields(seq=2)


@bug("R6 outcome OK for a store with flags 0x11")
def store_to_a_read_only_vma(s, w):
    page = w.READ_ONLY_PAGE
    s.request(vpn=page).begin(vpn=page).find(vma=w.READ_ONLY_VMA, record=w.READ_ONLY_RECORD)
    s.fields(vma=w.READ_ONLY_VMA, flags=w.READ_ONLY_FLAGS, prot=w.READ_ONLY_PROT)


@bug("R5 outcome OK for page")
def page_beyond_the_end(s, w):
    page = 0x1_23C8
    s.request(vpn=page).begin(vpn=page).find(vma=w.READ_ONLY_VMA, record=w.READ_ONLY_RECORD)
    s.fields(vma=w.READ_ONLY_VMA, flags=w.READ_ONLY_FLAGS, prot=w.READ_ONLY_PROT)


@bug("R3 outcome OK for flags 0x1b")
def shared_vma_served(s, w):
    s.write(w.RECORD + 16, w.FLAGS | 8)
    fault(s).change(Step.R3, data=w.FLAGS | 8)


@bug("R7 reports entry 0x0 at 0x102a30")
def walk_of_another_page(s, w):
    fault(s).change(Step.R7, addr=w.entry_of(w.PAGE + 1))


@bug("R7 outcome OK for entry")
def mapped_page_overwritten(s, w):
    fault(s).request(tag=2).store_fault(tag=2, frame=w.FRAMES[1]).change(Step.R7, 1, data=w.pte_of(w.FRAMES[0]))


@bug("R17 commits 0x2800d3")
def wrong_permission_bits(s, w):
    fault(s).change(Step.R16, data=w.pte_of(w.FRAMES[0]) & ~4)


@bug("the snapshot (page_prot 0x17, frame 0xa00)")
def commit_from_a_record_read_again(s, w):
    fault(s).insert(Step.R10, lambda t: t.write(w.RECORD + 24, 0x1F)).change(Step.R16, data=w.pte_of(w.FRAMES[0], 0x1F))


@bug("R17 commits")
def zero_frame_writable(s, w):
    s.request(access=Access.LOAD).begin(access=Access.LOAD).find().fields().walk()
    s.allocate(frame=w.ZERO_FRAME, pool=False).check().lock().recheck().commit(pte=w.ZERO_FRAME << 10 | 0x57)


@bug("the table is gone (I1)")
def commit_into_an_unlinked_table(s, w):
    fault(s).insert(Step.R16, lambda t: t.write((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0))


# --- frames ---------------------------------------------------------------------------------------------------------


def aborted(s, w):
    s.request().begin().find().fields().command(Step.INVALIDATE, space=1).walk().allocate().check(outcome=Outcome.WALK_C2)
    return s


@bug("UNDO leaks frame 0xa00")
def frame_leaked(s, w):
    aborted(s, w).undo(Outcome.WALK_C2)


@bug("UNDO returns frame 0xa01, taken was 0xa00")
def wrong_frame_returned(s, w):
    aborted(s, w).undo(Outcome.WALK_C2, frame=w.FRAMES[1])


@bug("R9 allocates frame 0xa00, which is in use")
def frame_mapped_twice(s, w):
    page = w.PAGE + 1
    fault(s).request(tag=2, vpn=page).store_fault(tag=2, vpn=page)


@bug("R9 allocates frame 0xbad, which is not offered")
def frame_from_nowhere(s, w):
    fault(s).change(Step.R8, data=0xBAD | w.POOL)


@bug("R9 takes no frame of the pool for a store")
def zero_frame_for_a_store(s, w):
    fault(s).change(Step.R8, data=w.ZERO_FRAME)


@bug("software offers frame 0xa00, which the entry at 0x102a28 maps")
def mapped_frame_offered(s, w):
    fault(s).add("frames", w.FRAMES[:1])


# --- attempts, mm lock, order ---------------------------------------------------------------------------------------


@bug("attempt 3 is speculative")
def fourth_speculative_attempt(s, w):
    s.request()
    section(w)(s)
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.begin(attempt=3)


@bug("attempt 2 after attempt 0")
def attempt_skipped(s, w):
    aborted(s, w).undo(Outcome.WALK_C2, frame=w.FRAMES[0]).begin(attempt=2)


@bug("a classic attempt without the mm lock")
def classic_without_the_lock(s, w):
    s.request()
    section(w)(s)
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.begin(attempt=3, classic=1)


@bug("which a writer holds")
def reader_beside_a_writer(s, w):
    s.request()
    section(w)(s)
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.event(Step.MM_READ_LOCK, space=1)


@bug("is to do FAILED next")
def undo_skipped(s, w):
    aborted(s, w).begin(attempt=1)


@bug("another attempt after NO_VMA, which is handed over")
def retried_what_is_handed_over(s, w):
    s.request(vpn=1).begin(vpn=1).event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA).begin(vpn=1, attempt=1)


@bug("HANDOVER after WALK_C2, which calls for another attempt")
def handed_over_what_is_retried(s, w):
    aborted(s, w).undo(Outcome.WALK_C2, frame=w.FRAMES[0]).event(Step.HANDOVER, outcome=Outcome.WALK_C2)


@bug("no event has this first and last step")
def unknown_shape(s, w):
    fault(s).change(Step.R14, last=Step.R17)


# --- writers --------------------------------------------------------------------------------------------------------


@bug("PTE_CLEAR of 0x102a28 without the lock of its table")
def zap_without_lock(s, w):
    fault(s).zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).drop(Step.PTE_LOCK)


@bug("PTE_CLEAR without the mm lock of space 1")
def zap_without_mm_lock(s, w):
    fault(s).command(Step.PTE_LOCK, addr=w.TABLE)
    s.command(Step.PTE_CLEAR, space=1, vpn=w.PAGE, addr=w.entry_of(w.PAGE), data=w.pte_of(w.FRAMES[0]))


@bug("PTE_CLEAR of 0x102a28 removes 0x280017, the entry is 0x2800d7")
def zap_releases_another_entry(s, w):
    fault(s).zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).change(Step.PTE_CLEAR, data=w.pte_of(w.FRAMES[0]) & ~0xC0)


@bug("which holds 0x0: no valid leaf")
def zap_of_nothing(s, w):
    s.zap(w.PAGE, 0, 3)


@bug("more than R, W, X")
def protect_clears_dirty(s, w):
    old = w.pte_of(w.FRAMES[0])
    fault(s).zap(w.PAGE, old, 3).change(Step.PTE_CLEAR, first=Step.PTE_PROTECT, last=Step.PTE_PROTECT, data=old & ~0x84)


@bug("SEQ_BEGIN without the mm lock of space 1")
def begin_without_mm_lock(s, w):
    whole_section(w)(s).drop(Step.MM_LOCK)


@bug("SEQ_END of VMA 5 without SEQ_BEGIN")
def end_without_begin(s, w):
    whole_section(w)(s).drop(Step.SEQ_BEGIN)


@bug("SEQ_BEGIN of VMA 5 reports sequence 0x2, it is 0x3")
def begin_leaves_the_sequence_even(s, w):
    whole_section(w)(s).change(Step.SEQ_BEGIN, seq=2)


@bug("software writes the leaf entry of page 0x12345 outside a section of VMA 5")
def software_writes_beside_the_engine(s, w):
    fault(s).write(w.entry_of(w.PAGE), 0)


# --- answers --------------------------------------------------------------------------------------------------------


@bug("was no valid translation since the last INVALIDATE")
def stale_answer_after_invalidate(s, w):
    fault(s).zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3).request(tag=2).answer(tag=2, how=How.TRANSLATED)


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
    fault(s).add("request", 0, 2, 1 << 50 | w.PAGE << 12 | 0x28, 1, Access.STORE, 0).answer(tag=2, how=How.TRANSLATED)


@bug("which is not outstanding")
def answered_twice(s, w):
    fault(s).answer()


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
    fault(s).command(Step.SPACE_VMAS, space=1, data=0)


@bug("is writable (0x2800d7) in VMA 5, which is not (I3)")
def writable_entry_in_a_read_only_vma(s, w):
    fault(s).write(w.RECORD + 16, w.READ_ONLY_FLAGS)


@bug("agent 63 holds the lock of table 0x102000")
def lock_left_held(s, w):
    fault(s).command(Step.PTE_LOCK, addr=w.TABLE)


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(name, stream, play, world):
    plant, reason = BUGS[name]
    plant(stream, world)
    checker = play(stream, check_requests=not getattr(stream, "no_requests", False))
    assert checker.first_difference is not None
    assert reason in checker.first_difference.splitlines()[0]
    assert not checker.agreed


def test_memory_is_compared(stream, play, world):
    fault(stream)
    address = world.entry_of(world.PAGE)
    assert play(stream).agreed
    assert (
        f"memory holds 0x0 at {address:#x} (space 1, level 0, page 0x12345), golden 0x2800d7" in play(stream, {address: 0}).first_difference
    )
    assert "golden 0x13" in play(stream, {world.RECORD + 16: 0}).first_difference


def test_difference_shows_the_steps_before(stream, play, world):
    fault(stream).change(Step.R14, seq=9)
    lines = play(stream).first_difference.splitlines()
    assert lines[0].startswith("cycle 26: R14-R15 OK of context 0 id 0x5 seq 0x9 is not allowed: C3 reports")
    assert sum("of context 0" in line for line in lines[1:]) == 7
    assert any("SPACE_VMAS" in line for line in lines)
    assert any("request" in line for line in lines)


def test_checker_stops_at_the_first_difference(stream, play, world):
    fault(stream).change(Step.R7, outcome=Outcome.HUGE)
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
