"""Correct streams with one planted bug each in a fault: the checker names the bug."""

import pytest

from seqfault_golden import Access, Outcome, Step

from .planted import Bugs

bug = BUGS = Bugs()


# --- the checks of an attempt ---------------------------------------------------------------------------------------


@bug("context 0 is to do R13 next")
def commit_without_lock(s, w):
    s.served().drop(Step.R13)


@bug("R2 accepted the odd sequence 0x3")
def odd_sequence_accepted(s, w):
    s.served().insert(Step.R0, lambda t: t.section()).change(Step.R1, seq=3)


@bug("C3 passed although the sequence of VMA 5 went from 0x0 to 0x2")
def c3_passed_after_change(s, w):
    s.served().insert(Step.R14, lambda t: t.section().end_section()).change(Step.R14, seq=2)


@bug("C3 reports sequence 0x0 of VMA 5, it is 0x2")
def c3_compares_an_old_sequence(s, w):
    s.served().insert(Step.R14, lambda t: t.section().end_section())


@bug("C1 passed although the sequence")
def c1_passed_after_change(s, w):
    s.served().insert(Step.R10, lambda t: t.section().end_section()).change(Step.R10, seq=2)


@bug("C1 false abort")
def c1_false_abort(s, w):
    s.served().change(Step.R10, last=Step.R11, outcome=Outcome.CHANGED_C1)


@bug("R2 false abort: the sequence of VMA 5 has not changed since R0")
def changed_before_the_attempt(s, w):
    s.served().insert(Step.R0, lambda t: t.section().end_section()).change(Step.R1, outcome=Outcome.CHANGED, seq=2)


@bug("C2 false abort")
def c2_false_abort(s, w):
    s.served().change(Step.R10, outcome=Outcome.WALK_C2)


@bug("C2 passed although an INVALIDATE hit this page")
def c2_passed_after_invalidation(s, w):
    s.served().insert(Step.R7, lambda t: t.command(Step.INVALIDATE, space=0xFFFF))


@bug("C4 false abort")
def c4_false_abort(s, w):
    s.served().change(Step.R16, last=Step.R16, outcome=Outcome.RACED)


@bug("C4 passed although the entry")
def c4_passed_after_another_commit(s, w):
    s.request(1).request(2).begin(1, 2).find(1).fields(1).walk(1).allocate(1, frame=w.FRAMES[1])
    s.store_fault(0, 1).check(1).lock(1).recheck(1).commit(1, pte=w.pte_of(w.FRAMES[1]))


@bug("R13 takes the lock of table 0x102000, which agent 63 holds")
def lock_taken_twice(s, w):
    s.served().insert(Step.R13, lambda t: t.command(Step.PTE_LOCK, addr=w.TABLE))


@bug("R13 PTL_BUSY although the lock of table 0x102000 is free")
def lock_falsely_busy(s, w):
    s.served().change(Step.R13, outcome=Outcome.PTL_BUSY)


@bug("R13 locks table 0x103000")
def wrong_table_locked(s, w):
    s.served().change(Step.R13, addr=0x10_3000)


# --- what is read and written ---------------------------------------------------------------------------------------


@bug("was not reachable for page 0x12345")
def wrong_vma_found(s, w):
    s.served().change(Step.R1, id=w.READ_ONLY_VMA, addr=w.READ_ONLY_RECORD)


@bug("lookup of page 0x12345 ends with NO_VMA")
def vma_missed(s, w):
    s.served().change(Step.R1, last=Step.R1, outcome=Outcome.NO_VMA)


@bug("were not in the record (now 0x1b) under this sequence")
def fields_older_than_the_sequence(s, w):
    s.request().begin()
    s.section().write(w.RECORD + 16, w.FLAGS | 8).write(w.RECORD + 24, 0x13)
    s.end_section().find(seq=2).fields(seq=2)


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


@bug("R3 outcome OK for flags 0x33")
def stack_served(s, w):
    s.write(w.RECORD + 16, w.FLAGS | 0x20)
    s.served().change(Step.R3, data=w.FLAGS | 0x20)


@bug("context 0 is to do PAGE next")
def shared_memory_served_as_anonymous(s, w):
    s.write(w.RECORD + 16, w.FLAGS | 8)
    s.served().change(Step.R3, data=w.FLAGS | 8)


@bug("R7 reports entry 0x0 at 0x102a30")
def walk_of_another_page(s, w):
    s.served().change(Step.R7, addr=w.entry_of(w.PAGE + 1))


@bug("R7 outcome OK for entry")
def mapped_page_overwritten(s, w):
    s.served().request(tag=2).store_fault(tag=2, frame=w.FRAMES[1]).change(Step.R7, 1, data=w.pte_of(w.FRAMES[0]))


@bug("R17 commits 0x2801d3")
def wrong_permission_bits(s, w):
    s.served().change(Step.R16, data=w.pte_of(w.FRAMES[0]) & ~4)


@bug("the snapshot (page_prot 0x17, frame 0xa00, entry 0x0, POOL) gives")
def commit_from_a_record_read_again(s, w):
    s.served().insert(Step.R10, lambda t: t.write(w.RECORD + 24, 0x1F)).change(Step.R16, data=w.pte_of(w.FRAMES[0], 0x1F))


@bug("R17 commits")
def zero_frame_writable(s, w):
    s.request(access=Access.LOAD).begin(access=Access.LOAD).find().fields().walk()
    s.allocate(frame=w.ZERO_FRAME, pool=False).check().lock().recheck().commit(pte=w.ZERO_FRAME << 10 | 0x57)


@bug("the table is gone (I1)")
def commit_into_an_unlinked_table(s, w):
    s.served().insert(Step.R16, lambda t: t.sections().write((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0))


# --- frames ---------------------------------------------------------------------------------------------------------


@bug("UNDO leaks frame 0xa00")
def frame_leaked(s, w):
    s.aborted().undo(Outcome.WALK_C2)


@bug("UNDO returns frame 0xa01, taken was 0xa00")
def wrong_frame_returned(s, w):
    s.aborted().undo(Outcome.WALK_C2, frame=w.FRAMES[1])


@bug("R9 allocates frame 0xa00, which is in use")
def frame_mapped_twice(s, w):
    page = w.PAGE + 1
    s.served().request(tag=2, vpn=page).store_fault(tag=2, vpn=page)


@bug("R9 allocates frame 0xbad, which is not offered")
def frame_from_nowhere(s, w):
    s.served().change(Step.R8, data=0xBAD | w.POOL)


@bug("R9 takes no frame of the pool for POOL")
def zero_frame_for_a_store(s, w):
    s.served().change(Step.R8, data=w.ZERO_FRAME)


@bug("software offers frame 0xa00, which the entry at 0x102a28 maps")
def mapped_frame_offered(s, w):
    s.served().add("frames", w.FRAMES[:1])


# --- attempts, mm lock, order ---------------------------------------------------------------------------------------


@bug("attempt 3 is speculative")
def fourth_speculative_attempt(s, w):
    s.request()
    s.section()
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.begin(attempt=3)


@bug("attempt 2 after attempt 0")
def attempt_skipped(s, w):
    s.aborted().undo(Outcome.WALK_C2, frame=w.FRAMES[0]).begin(attempt=2)


@bug("a classic attempt without the mm lock")
def classic_without_the_lock(s, w):
    s.request()
    s.section()
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.begin(attempt=3, classic=1)


@bug("which a writer holds")
def reader_beside_a_writer(s, w):
    s.request()
    s.section()
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.event(Step.MM_READ_LOCK, space=1)


@bug("is to do FAILED next")
def undo_skipped(s, w):
    s.aborted().begin(attempt=1)


@bug("another attempt after NO_VMA, which is handed over")
def retried_what_is_handed_over(s, w):
    s.request(vpn=1).begin(vpn=1).event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA).begin(vpn=1, attempt=1)


@bug("HANDOVER after WALK_C2, which calls for another attempt")
def handed_over_what_is_retried(s, w):
    s.aborted().undo(Outcome.WALK_C2, frame=w.FRAMES[0]).event(Step.HANDOVER, outcome=Outcome.WALK_C2)


@bug("no event has this first and last step")
def unknown_shape(s, w):
    s.served().change(Step.R14, last=Step.R17)


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(name, stream, play, world):
    plant, reason = BUGS[name]
    plant(stream, world)
    checker = play(stream)
    assert checker.first_difference is not None
    assert reason in checker.first_difference.splitlines()[0]
    assert not checker.agreed
