"""The tally of a stream is what the engine's counters must say, and each difference is named with both numbers."""

from collections import Counter

import pytest

from seqfault_golden import How, Outcome, Status, Step


def counted(checker):
    """The registers that are not 0."""
    assert checker.first_difference is None, checker.first_difference
    return {name: count for name, count in checker.tally.registers().items() if count}


def test_a_fault_counts_from_its_first_event_to_its_last(stream, play):
    stream.request().store_fault().answer()
    first, last = stream.calls[stream.index(Step.R0)][1], stream.calls[stream.index(Step.R18)][1]
    assert last > first
    assert counted(play(stream)) == {"faults": 1, "fault_cycles": last - first, "answers[SPECULATIVE]": 1}


def test_aborted_attempts_count_by_reason(stream, play, world):
    stream.aborted().undo(Outcome.WALK_C2, frame=world.FRAMES[0]).store_fault(attempt=1).answer(how=How.RETRIED)
    first, last = stream.calls[stream.index(Step.R0)][1], stream.calls[stream.index(Step.R18)][1]
    assert counted(play(stream)) == {"faults": 1, "fault_cycles": last - first, "answers[RETRIED]": 1, "outcomes[WALK_C2]": 1}


def test_a_classic_fault_ends_with_the_mm_lock(stream, play):
    stream.request().event(Step.MM_READ_LOCK, space=1).store_fault(classic=1).event(Step.MM_READ_UNLOCK, space=1).answer(how=How.CLASSIC)
    first, last = stream.calls[stream.index(Step.MM_READ_LOCK)][1], stream.calls[stream.index(Step.MM_READ_UNLOCK)][1]
    assert counted(play(stream, policy="mm-lock")) == {"faults": 1, "fault_cycles": last - first, "answers[CLASSIC]": 1}


def test_faults_that_overlap_count_each_for_itself(stream, play, world):
    other = world.PAGE + 1
    stream.request().request(tag=2, vpn=other).begin()
    stream.store_fault(1, 2, other, world.FRAMES[1]).find().fields().walk().allocate().check().lock().recheck().commit().unlock()
    begins, ends = ([stream.calls[i][1] for i in (stream.index(step), stream.index(step, 1))] for step in (Step.R0, Step.R18))
    stream.answer().answer(tag=2, frame=world.FRAMES[1])
    assert counted(play(stream)) == {"faults": 2, "fault_cycles": sum(ends) - sum(begins), "answers[SPECULATIVE]": 2}


@pytest.mark.parametrize(("handed", "dropped"), [(Outcome.NO_VMA, 0), (Outcome.QUEUE_FULL, 1)])
def test_page_requests(stream, play, handed, dropped):
    stream.request(vpn=0x1_2000).begin(vpn=0x1_2000).event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA)
    stream.event(Step.HANDOVER, outcome=handed).event(Step.ANSWER, outcome=handed, data=Status.RETRY)
    stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=handed)
    expected = Counter({"faults": 1, "fault_cycles": 4, "answers[SOFTWARE]": 1, "outcomes[NO_VMA]": 1, "page_requests_dropped": dropped})
    assert counted(play(stream)) == +expected


def test_refused_before_its_first_attempt(stream, play):
    """MM_BUSY is no aborted attempt; the refusal counts as TRANSLATED."""
    stream.command(Step.MM_LOCK, space=1).add("request", 0, 1, 0x1_2345 << 12, 1, 1, 8)
    stream.event(Step.MM_READ_LOCK, space=1, outcome=Outcome.MM_BUSY).event(Step.ANSWER, space=1, outcome=Outcome.MM_BUSY, data=Status.FAULT)
    stream.answer(status=Status.FAULT, how=How.TRANSLATED, reason=Outcome.MM_BUSY).command(Step.MM_UNLOCK, space=1)
    assert counted(play(stream, policy="mm-lock")) == {"faults": 1, "fault_cycles": 1, "answers[TRANSLATED]": 1}


def test_srcu_calls_that_were_not_taken(stream, play):
    stream.command(Step.SRCU_CALL, space=1, data=7, outcome=Outcome.QUEUE_FULL)
    assert counted(play(stream)) == {"srcu_refused": 1}


def test_a_wrong_counter_is_named(stream, play, world):
    checker = play(stream.aborted().undo(Outcome.WALK_C2, frame=world.FRAMES[0]).store_fault(attempt=1).answer(how=How.RETRIED))
    right = checker.tally.registers()
    checker.counters(right)
    assert checker.agreed
    for name, count in right.items():
        wrong = checker.tally.difference(right | {name: count + 1})
        assert wrong == f"the engine's counter {name} says {count + 1}, the golden model counted {count}"
    checker.counters(right | {"outcomes[WALK_C2]": 0, "faults": 9})
    assert not checker.agreed
    assert checker.first_difference.splitlines() == [
        "the engine's counter faults says 9, the golden model counted 1",
        "the engine's counter outcomes[WALK_C2] says 0, the golden model counted 1",
    ]
