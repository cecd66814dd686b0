"""Correct streams in which one field, or one step, is wrong: a table of what the checker says to each."""

import pytest

from seqfault_golden import Access, How, Outcome, Status, Step

UNMAPPED = 0x1_2000


def classic(s):
    """Three attempts fail, the fourth is made under the mm lock."""
    s.request().section()
    for attempt in range(3):
        s.begin(attempt=attempt).find(seq=3, outcome=Outcome.ODD).undo(Outcome.ODD)
    s.end_section().event(Step.MM_READ_LOCK, space=1).store_fault(seq=2, attempt=3, classic=1)
    return s.event(Step.MM_READ_UNLOCK, space=1).answer(how=How.CLASSIC)


def handed(s):
    """A fault of a page without VMA goes to software."""
    s.request(vpn=UNMAPPED).begin(vpn=UNMAPPED).event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA)
    s.event(Step.HANDOVER, outcome=Outcome.NO_VMA).event(Step.ANSWER, outcome=Outcome.NO_VMA, data=Status.RETRY)
    return s.answer(status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.NO_VMA)


def load(s, w, **allocate):
    s.request(access=Access.LOAD).begin(access=Access.LOAD).find().fields().walk()
    return s.event(Step.R8, Step.R9, id=w.VMA, **allocate)


def zapped(s, w):
    return s.served().zap(w.PAGE, w.pte_of(w.FRAMES[0]), 3)


FAULT_BUGS = {
    "tag is outstanding": (lambda s, w: s.request().request(), "port 0 reuses tag 1"),
    "no such request": (lambda s, w: s.begin(), "R0 for tag 1 of port 0, which is not outstanding"),
    "other page": (lambda s, w: s.request().begin(vpn=w.PAGE + 1), "R0 names page 0x12346"),
    "second fault": (lambda s, w: s.request().begin().begin(agent=1), "R0 begins a second fault of one request"),
    "late first attempt": (lambda s, w: s.request().begin(attempt=1), "a fault begins with attempt 1, not 0"),
    "other request": (lambda s, w: classic(s).change(Step.R0, 1, vpn=1), "another attempt names another request"),
    "R1 in a free context": (lambda s, w: s.find(), "context 0 is to do IDLE next"),
    "R2 other sequence": (lambda s, w: s.served().change(Step.R1, seq=2), "R2 reports sequence 0x2 of VMA 5, it is 0x0"),
    "R2 false odd": (lambda s, w: s.served().change(Step.R1, outcome=Outcome.ODD), "R2 false abort: sequence 0x0 of VMA 5 is even"),
    "R2 odd, classic": (lambda s, w: classic(s).change(Step.R1, 3, outcome=Outcome.CHANGED), "R2 fails under the mm lock"),
    "R4 other sequence": (lambda s, w: s.served().change(Step.R3, seq=2), "R3-R6 reports sequence 0x2, the snapshot is 0x0"),
    "R4 other template": (lambda s, w: s.served().change(Step.R3, addr=0x1F), "R4 page_prot 0x1f was not in the record (now 0x17)"),
    "R4 other id": (lambda s, w: s.served().change(Step.R3, id=6), "the event names VMA 6, the snapshot is of VMA 5"),
    "R6 false refusal": (lambda s, w: s.served().change(Step.R3, outcome=Outcome.ACCESS), "R6 outcome ACCESS for a store with flags 0x13"),
    "R7 false none": (lambda s, w: s.served().change(Step.R7, outcome=Outcome.NO_TABLE), "R7 outcome NO_TABLE for entry 0x0 at level 0"),
    "R8 false abort": (lambda s, w: s.served().change(Step.R8, last=Step.R8, outcome=Outcome.CHANGED), "R8 false abort"),
    "R8 abort, classic": (lambda s, w: classic(s).change(Step.R8, last=Step.R8, outcome=Outcome.CHANGED), "R8 fails under the mm lock"),
    "R9 pool not needed": (lambda s, w: load(s, w, outcome=Outcome.POOL_EMPTY), "R9 POOL_EMPTY for an access that needs no frame"),
    "R9 not the zero frame": (lambda s, w: load(s, w, data=0x901), "R9 maps frame 0x901, not frame 0x900 (ZERO)"),
    "R9 frame for a read": (lambda s, w: load(s, w, data=w.POOL | w.FRAMES[0]), "R9 takes a frame of the pool for ZERO"),
    "R17 other table": (lambda s, w: s.served().change(Step.R16, addr=0x10_3000), "R17 writes 0x103000, the walk ended at 0x102a28"),
    "R17 other entry": (lambda s, w: s.served().change(Step.R16, addr=w.TABLE), "R17 writes 0x102000, the walk ended at 0x102a28"),
    "R18 other entry": (lambda s, w: s.served().change(Step.R18, data=0), "R18 reports 0x0 at 0x102a28"),
    "UNDO other reason": (lambda s, w: s.aborted().undo(Outcome.RACED), "UNDO for RACED, the attempt failed with WALK_C2"),
    "UNDO invents a frame": (lambda s, w: handed(s).change(Step.UNDO, data=w.POOL), "UNDO returns a frame that was not taken"),
    "HANDOVER other reason": (lambda s, w: handed(s).change(Step.HANDOVER, outcome=Outcome.BOUNDS), "HANDOVER for BOUNDS"),
    "HANDOVER bus error": (lambda s, w: handed(s).change(Step.HANDOVER, outcome=Outcome.BUS_ERROR), "BUS_ERROR although"),
    "HANDOVER without UNDO": (lambda s, w: handed(s).drop(Step.UNDO), "context 0 is to do FAILED next"),
    "ANSWER other status": (lambda s, w: handed(s).change(Step.ANSWER, data=0), "ANSWER NO_VMA with status 0, not NO_VMA with RETRY"),
    "ANSWER without HANDOVER": (lambda s, w: handed(s).drop(Step.HANDOVER), "context 0 is to do UNDONE next"),
    "translated after a fault": (lambda s, w: s.request().store_fault().answer(how=How.TRANSLATED), "whose fault concluded OK/"),
    "refused after a fault": (
        lambda s, w: s.request().store_fault().answer(status=Status.FAULT, how=How.TRANSLATED),
        "answer FAULT/TRANSLATED/OK; its fault concluded OK/SPECULATIVE/OK",
    ),
    "context number": (lambda s, w: s.begin(agent=9), "there is no context 9"),
}  # fmt: skip

LOCK_BUGS = {
    "reader too early": (lambda s, w: s.aborted().undo(Outcome.WALK_C2, frame=0xA00).event(Step.MM_READ_LOCK, space=1), "mm lock after"),
    "reader, other space": (lambda s, w: classic(s).change(Step.MM_READ_LOCK, space=2), "mm lock of space 2, the fault is in space 1"),
    "reader, unasked": (lambda s, w: s.event(Step.MM_READ_LOCK, space=1), "mm lock before the first attempt under policy spec"),
    "reader in an attempt": (lambda s, w: s.request().begin().event(Step.MM_READ_LOCK, space=1), "context 0 is to do R1 next"),
    "reader twice": (lambda s, w: classic(s).insert(Step.R0, lambda t: t.event(Step.MM_READ_LOCK, space=1), 3), "mm lock taken twice"),
    "release not held": (lambda s, w: s.request().begin().event(Step.MM_READ_UNLOCK, space=1), "context 0 is to do R1 next"),
    "release of another": (lambda s, w: classic(s).change(Step.MM_READ_UNLOCK, space=2), "context 0 does not hold the mm lock of space 2"),
    "writer beside a reader": (
        lambda s, w: classic(s).insert(Step.R7, lambda t: t.command(Step.MM_LOCK, space=1)), "while contexts [0] hold it as readers",
    ),
    "writer twice": (lambda s, w: s.section().command(Step.MM_LOCK, space=1), "MM_LOCK of space 1, which is locked already"),
    "writer's release": (lambda s, w: s.command(Step.MM_UNLOCK, space=1), "MM_UNLOCK of space 1, which is not locked"),
    "table lock twice": (lambda s, w: zapped(s, w).change(Step.PTE_UNLOCK, first=Step.PTE_LOCK, last=Step.PTE_LOCK), "agent 63 holds"),
    "table not locked": (lambda s, w: s.command(Step.PTE_UNLOCK, addr=w.TABLE), "which agent 63 has not locked"),
    "clear of another page": (lambda s, w: zapped(s, w).change(Step.PTE_CLEAR, vpn=1), "PTE_CLEAR of page 0x1 at 0x102a28, a walk ends at"),
    "protect to nothing": (
        lambda s, w: zapped(s, w).change(Step.PTE_CLEAR, first=Step.PTE_PROTECT, last=Step.PTE_PROTECT, data=0x2800D1), "no valid leaf",
    ),
    "frame offered twice": (lambda s, w: s.add("frames", w.FRAMES[:1]), "software offers frame 0xa00, which is in use"),
    "unknown step": (lambda s, w: s.command(50), "the command unit has no such step"),
    "failing step": (lambda s, w: s.command(Step.FENCE, outcome=1), "a step of the command unit cannot fail, or not so"),
    "unknown space": (lambda s, w: s.command(Step.MM_LOCK, space=4), "there is no space 4"),
}  # fmt: skip

END_BUGS = {
    "mm lock": (lambda s, w: s.command(Step.MM_LOCK, space=1), "the mm lock of space 1 is held by a writer"),
    "section": (lambda s, w: s.section().end_section().drop(Step.SEQ_END), "a section of sequence entry 5 is open"),
    "free frame mapped": (
        lambda s, w: s.section().write(w.entry_of(w.PAGE), w.pte_of(w.FRAMES[0])).end_section(), "maps frame 0xa00, which is free (I4)",
    ),
    "zero frame writable": (
        lambda s, w: s.section().write(w.entry_of(w.PAGE), w.pte_of(w.ZERO_FRAME)).end_section(), "shared zero frame writable (I3)",
    ),
    "executable": (
        lambda s, w: s.section().write(w.entry_of(w.PAGE), w.pte_of(0x800, 0x1B)).end_section(), "beyond page_prot 0x17 of VMA 5 (I3)",
    ),
}  # fmt: skip


BUGS = FAULT_BUGS | LOCK_BUGS | END_BUGS


@pytest.mark.parametrize(("plant", "reason"), BUGS.values(), ids=BUGS)
def test_wrong_field_is_named(plant, reason, stream, play, world):
    plant(stream, world)
    difference = play(stream).first_difference
    assert difference is not None
    assert reason in difference.splitlines()[0]


def test_mm_busy_needs_a_holder(stream, play, world):
    stream.request().event(Step.MM_READ_LOCK, space=1, outcome=Outcome.MM_BUSY).event(Step.HANDOVER, outcome=Outcome.MM_BUSY)
    stream.event(Step.ANSWER, outcome=Outcome.MM_BUSY, data=Status.RETRY)
    stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.MM_BUSY)
    assert "MM_BUSY although nobody held" in play(stream, policy="mm-lock").first_difference
    stream.insert(Step.MM_READ_LOCK, lambda s: s.command(Step.MM_LOCK, space=1)).command(Step.MM_UNLOCK, space=1)
    assert play(stream, policy="mm-lock").agreed


@pytest.mark.parametrize(("answered", "agreed"), [(Outcome.QUEUE_FULL, True), (Outcome.MM_BUSY, False), (Outcome.NO_VMA, False)])
def test_what_was_refused_the_mm_lock_is_answered_as_its_page_request_ended(answered, agreed, stream, play, world):
    """The page request of a fault without an R0 is dropped."""
    stream.request().command(Step.MM_LOCK, space=1).event(Step.MM_READ_LOCK, space=1, outcome=Outcome.MM_BUSY)
    stream.event(Step.HANDOVER, outcome=Outcome.QUEUE_FULL).event(Step.ANSWER, outcome=Outcome.QUEUE_FULL, data=Status.RETRY)
    stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=answered).command(Step.MM_UNLOCK, space=1)
    assert play(stream, policy="mm-lock").agreed == agreed


def test_vma_lock_excludes_writers(stream, play, world):
    stream.served().insert(Step.R7, lambda s: s.section())
    assert "SEQ_BEGIN of VMA 5, which context 0 holds as a reader" in play(stream, policy="vma-lock").first_difference


def test_software_is_asked_without_the_mm_lock(stream, play):
    handed(stream).insert(Step.R0, lambda s: s.event(Step.MM_READ_LOCK, space=1)).change(Step.R0, data=1 | 1 << 2 | 1 << 14 | 1 << 26)
    assert "HANDOVER under the mm lock" in play(stream, policy="mm-lock").first_difference
    stream.insert(Step.HANDOVER, lambda s: s.event(Step.MM_READ_UNLOCK, space=1))
    assert play(stream, policy="mm-lock").agreed


def test_invariants_do_not_trust_the_steps(stream, play, world):
    """States that no allowed stream reaches: the end is checked on its own."""
    checker = play(stream.served())
    memory = dict(checker.state.memory.words)
    checker.state.frames.taken[0xA01] = 2
    checker.finish(lambda address: memory.get(address, 0))
    assert "frame 0xa01 is taken by context 2" in checker.first_difference
    checker = play(stream)
    twin = world.entry_of(world.PAGE + 1)
    checker.state.memory.words[twin] = memory[twin] = memory[world.entry_of(world.PAGE)]
    checker.state.frames.mapped[twin] = world.FRAMES[0]
    checker.finish(lambda address: memory.get(address, 0))
    assert "frame 0xa00 is mapped at 0x102a28 and at 0x102a30 (I4)" in checker.first_difference
