"""The ways out of an attempt: undo, another attempt, a page request, the answer. [protocol.md 0.2 column "on failure", 1.8]"""

from typing import TYPE_CHECKING

from amaranth import Cat, Const, Module

from .fault_context import AfterStep, ContextState, Policy
from .messages import Outcome, Step
from .paging import PPN_BITS

if TYPE_CHECKING:
    from .fault_steps import FaultSteps

RETRIED = (
    Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.PTL_BUSY, Outcome.CHANGED_C3, Outcome.RACED,
)  # fmt: skip
"""Reasons that another attempt may not meet again; the others go to software."""

LAST_ATTEMPT = 7
"""After this attempt (they count from 0) even a reason to retry goes to software: every fault ends."""


def undo(m: Module, s: "FaultSteps") -> None:
    """Drop the lock, return the frame: an abort leaves no trace. [protocol.md 9]"""
    c = s.context
    s.emit(m, Step.UNDO)
    m.d.comb += [
        s.event.outcome.eq(c.outcome),
        s.release_lock.eq(c.locked),
        s.next.locked.eq(0),
        s.give_frame.eq(c.owned & ~s.copies()),
        s.give_used.eq(c.owned & s.copies()),
        s.next.owned.eq(0),
        s.drop_vma.eq(c.holds_vma),
        s.next.holds_vma.eq(0),
        s.unpin.eq(1),
    ]
    with m.If(c.owned):
        m.d.comb += s.event.data.eq(Cat(c.frame, Const(0, 63 - PPN_BITS), 1))
    with m.If(c.classic):
        s.go(m, ContextState.MM_UNLOCK)
    with m.Else():
        _after_abort(m, s)


def mm_unlock(m: Module, s: "FaultSteps") -> None:
    """Release the mm lock, then whatever ended the attempt decides."""
    c = s.context
    s.emit(m, Step.MM_READ_UNLOCK)
    m.d.comb += [s.release_mm.eq(1), s.next.classic.eq(0)]
    with m.If(c.outcome == Outcome.OK):
        s.end(m)
    with m.Elif(c.outcome == Outcome.MAPPED):
        s.go(m, ContextState.ANSWER)
    with m.Else():
        _after_abort(m, s)


def _after_abort(m: Module, s: "FaultSteps") -> None:
    """Another attempt, or the end. ATOMIC has the speculative attempts only, as it must not wait for the mm lock."""
    c, config = s.context, s.config
    speculative = (c.attempt < config.max_retries - 1) & (s.policy != Policy.MM_LOCK)
    with m.If(c.outcome.as_value().matches(*RETRIED) & (c.attempt != LAST_ATTEMPT) & (~s.is_atomic | speculative)):
        m.d.comb += s.next.attempt.eq(c.attempt + 1)
        s.go(m, ContextState.BEGIN)
    with m.Else():
        give_up(m, s)


def give_up(m: Module, s: "FaultSteps") -> None:
    """A page request; or a refusal, if the requester will not come back or cannot wait."""
    with m.If(s.may_be_handed_over):
        m.d.comb += s.hand_over.eq(1)
        s.go(m, ContextState.HANDOVER, AfterStep.WAIT)
    with m.Else():
        s.go(m, ContextState.ANSWER)


def handover(m: Module, s: "FaultSteps") -> None:
    """The page request is in memory, or was dropped."""
    s.emit(m, Step.HANDOVER)
    m.d.comb += s.event.outcome.eq(s.context.outcome)
    with m.If(s.handed != Outcome.OK):
        m.d.comb += [s.event.outcome.eq(s.handed), s.next.outcome.eq(s.handed)]
    s.go(m, ContextState.ANSWER)


def answer(m: Module, s: "FaultSteps") -> None:
    """Answer without a commit: from the entry that somebody else installed, RETRY after a page request, or FAULT."""
    c = s.context
    s.emit(m, Step.ANSWER)
    m.d.comb += [s.event.outcome.eq(c.outcome), s.event.data.eq(s.answer_record.answer.status), s.answer.eq(1)]
    s.end(m)
