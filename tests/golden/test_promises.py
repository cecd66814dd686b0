"""SRCU calls, page responses and PROTECT with SHARE: correct streams are accepted, each planted bug is named."""

import pytest

from seqfault_golden import Outcome, Status, Step
from seqfault_golden.layout import PTE_EXCLUSIVE

from .planted import Bugs
from .test_checker import accepted

COOKIE = 0xFFFF_8880_1234_5678
NO_VMA_PAGE = 0x1_2000


def call(stream, cookie=COOKIE, outcome=Outcome.OK):
    return stream.command(Step.SRCU_CALL, space=1, data=cookie, outcome=outcome)


def respond(stream, tag=1, port=0, space=1):
    return stream.command(Step.PAGE_RESPONSE, space=space, id=port, vpn=tag)


def until_handover(stream, tag=1, port=0):
    """A fault that is software's, until its page request is in memory."""
    stream.request(tag=tag, port=port, vpn=NO_VMA_PAGE).begin(tag=tag, port=port, vpn=NO_VMA_PAGE)
    return stream.event(Step.R1, outcome=Outcome.NO_VMA).undo(Outcome.NO_VMA)


def handover(stream, tag=1, outcome=Outcome.NO_VMA, port=0):
    stream.event(Step.HANDOVER, outcome=outcome).event(Step.ANSWER, outcome=outcome, data=Status.RETRY)
    return stream.answer(tag=tag, port=port, status=Status.RETRY, how=4, reason=outcome)


def share(stream, world, new, seq):
    """A section that changes the entry to `new`; `seq` is the sequence within."""
    stream.section(seq).command(Step.PTE_LOCK, addr=world.TABLE)
    stream.command(Step.PTE_PROTECT, space=1, vpn=world.PAGE, addr=world.entry_of(world.PAGE), data=new)
    stream.command(Step.PTE_UNLOCK, addr=world.TABLE).command(Step.INVALIDATE, space=1, vpn=world.PAGE, data=1)
    return stream.end_section(seq - 1)


def exclusive_entry(stream, world):
    """Software maps a frame that nobody else has; the entry."""
    entry = world.pte_of(0x500) | PTE_EXCLUSIVE
    stream.section().write(world.entry_of(world.PAGE), entry).command(Step.FENCE).end_section()
    return entry


# --- correct streams ------------------------------------------------------------------------------------------------


def test_cookies_come_back_after_the_faults_that_had_begun(stream, play, world):
    call(stream, 1).add("completed", 1)  # nobody reads
    call(stream.request().begin(), 2)
    call(stream, COOKIE, Outcome.QUEUE_FULL)
    call(stream, 2)  # the same number twice: software's business
    stream.find().fields().walk().allocate().check().lock().recheck().commit()
    stream.request(tag=2, vpn=world.PAGE + 1, port=1).begin(agent=1, tag=2, vpn=world.PAGE + 1, port=1)
    stream.unlock().add("completed", 2).answer().add("completed", 2)  # the second fault had not begun
    call(stream, 3)
    stream.find(agent=1).fields(agent=1).walk(agent=1, vpn=world.PAGE + 1).allocate(agent=1, frame=world.FRAMES[1]).check(agent=1).lock(agent=1)
    pte = world.pte_of(world.FRAMES[1])
    stream.recheck(agent=1).commit(agent=1, vpn=world.PAGE + 1, pte=pte).unlock(agent=1, vpn=world.PAGE + 1, pte=pte)
    accepted(play(stream.add("completed", 3).answer(tag=2, port=1, frame=world.FRAMES[1])))


def test_retries_are_one_reader(stream, play):
    call(stream.aborted()).undo(Outcome.WALK_C2, frame=0xA00).store_fault(attempt=1).add("completed", COOKIE)
    accepted(play(stream.answer(how=2)))


def test_fault_that_is_handed_over_ends_as_a_reader(stream, play):
    handover(call(until_handover(stream))).add("completed", COOKIE)
    accepted(play(stream))


def test_trace_without_completions_is_accepted(stream, play):
    accepted(play(call(stream)))


def test_page_request_is_responded_to(stream, play):
    handover(until_handover(stream))
    accepted(play(respond(stream)))


def test_response_may_come_before_the_handover_step(stream, play):
    respond(until_handover(stream))
    accepted(play(handover(stream)))


def test_two_page_requests_of_one_tag_are_responded_to(stream, play):
    for _ in range(2):
        handover(until_handover(stream))
    accepted(play(respond(respond(stream))))


def test_page_request_of_a_fault_that_never_began(stream, play):
    stream.request().command(Step.MM_LOCK, space=1).event(Step.MM_READ_LOCK, outcome=Outcome.MM_BUSY, space=1)
    handover(stream, outcome=Outcome.MM_BUSY)
    accepted(play(respond(stream).command(Step.MM_UNLOCK, space=1), policy="mm-lock"))


@pytest.mark.parametrize("cleared", [PTE_EXCLUSIVE, PTE_EXCLUSIVE | 4, 4])
def test_protect_with_and_without_share(stream, play, world, cleared):
    entry = exclusive_entry(stream, world)
    share(stream, world, entry & ~cleared, 5)
    accepted(play(stream))


# --- planted bugs ---------------------------------------------------------------------------------------------------

bug = BUGS = Bugs()


@bug(f"cookie {COOKIE:#x} came back, and context 0 runs a fault that had begun before its SRCU_CALL")
def completed_too_early(s, w):
    call(s.request().begin()).add("completed", COOKIE).find()


@bug("and context 0 runs a fault that had begun before its SRCU_CALL")
def completed_between_two_attempts(s, w):
    call(s.aborted()).undo(Outcome.WALK_C2, frame=0xA00).add("completed", COOKIE)


@bug("and context 0 runs a fault that had begun before its SRCU_CALL")
def completed_before_the_answer(s, w):
    call(until_handover(s)).event(Step.HANDOVER, outcome=Outcome.NO_VMA).add("completed", COOKIE)


@bug("cookie 0x2 came back, the next one is 0x1")
def completed_out_of_order(s, w):
    call(call(s, 1), 2).add("completed", 2).add("completed", 1)


@bug("cookie 0x1 came back, none is awaited")
def completed_twice(s, w):
    call(s, 1).add("completed", 1).add("completed", 1)


@bug("cookie 0x1 came back, none is awaited")
def refused_call_comes_back(s, w):
    call(s, 1, Outcome.QUEUE_FULL).add("completed", 1)


@bug("cookie 0x2 of an SRCU_CALL has not come back")
def cookie_lost(s, w):
    call(call(s, 1), 2).add("completed", 1)


@bug("cannot fail, or not so")
def call_fails_otherwise(s, w):
    call(s, 1, Outcome.BUS_ERROR)


@bug("cannot fail, or not so")
def response_fails(s, w):
    respond(handover(until_handover(s))).change(Step.PAGE_RESPONSE, outcome=Outcome.QUEUE_FULL)


@bug("there is no space 4")
def call_of_no_space(s, w):
    call(s).change(Step.SRCU_CALL, space=4)


@bug("PAGE_RESPONSE to tag 1 of port 1, space 1, which has no page request")
def response_to_another_port(s, w):
    respond(handover(until_handover(s)), port=1)


@bug("PAGE_RESPONSE to tag 2 of port 0, space 1, which has no page request")
def response_to_another_tag(s, w):
    respond(handover(until_handover(s)), tag=2)


@bug("PAGE_RESPONSE to tag 1 of port 0, space 1, which has no page request")
def responded_twice(s, w):
    respond(respond(handover(until_handover(s))))


@bug("PAGE_RESPONSE to tag 1 of port 0, space 1, which has no page request")
def responded_early_and_again(s, w):
    respond(handover(respond(until_handover(s))))


@bug("PAGE_RESPONSE to tag 1 of port 0, space 1, which has no page request")
def response_to_a_dropped_request(s, w):
    respond(handover(until_handover(s), outcome=Outcome.QUEUE_FULL))


@bug("PAGE_RESPONSE to tag 1 of port 0, space 1, which has no page request")
def response_to_a_running_fault(s, w):
    respond(s.request().begin())


@bug("more than R, W, X")
def protect_sets_exclusive(s, w):
    entry = exclusive_entry(s, w)
    share(s, w, entry & ~PTE_EXCLUSIVE, 5)
    share(s, w, entry, 7)


@bug("more than R, W, X")
def share_clears_another_bit(s, w):
    entry = exclusive_entry(s, w)
    share(s, w, entry & ~(PTE_EXCLUSIVE | 0x80), 5)


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(name, stream, play, world):
    plant, reason = BUGS[name]
    plant(stream, world)
    difference = play(stream).first_difference
    assert difference is not None
    assert reason in difference.splitlines()[0]
