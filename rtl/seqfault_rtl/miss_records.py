"""What the miss path carries, and how its faults and answers are made of it."""

from amaranth import Mux, Value
from amaranth.lib import data

from .messages import Answer, AnswerStatus, FaultAnswer, FaultRequest, How, Outcome, Request
from .paging import Access, Cause, Pte

__all__ = ["PAGE_OFFSET_BITS", "Miss", "PortRequest", "compose_answer", "compose_fault", "compose_refusal", "exception_of", "refusal"]

PAGE_OFFSET_BITS = 12
"""Width of the offset in a 4 KiB page in bits."""


class Miss(data.Struct):
    """A request that its TLB does not answer. `denied`: the page is held, but the entry refuses this access for `reason`."""

    request: Request
    denied: 1
    reason: Outcome


class PortRequest(data.Struct):
    """A request and the number of its port."""

    request: Request
    port: 8


def refusal(pte: Pte, request: Request) -> Value:
    """Why this valid, well-formed leaf refuses the access: OK (it does not), ACCESS or AD_CLEAR. One table for all places that hold leaves.

    [Priv 12.3.2, steps 6 to 9]
    """
    access = request.access
    allowed = pte.suits_privilege(access, supervisor=request.supervisor, sum=request.sum) & pte.has_right(access, mxr=request.mxr)
    return Mux(allowed, Mux(pte.is_used(access), Outcome.OK, Outcome.AD_CLEAR), Outcome.ACCESS)


def exception_of(access: Value, reason: Value) -> Value:
    """The exception that a FAULT for `reason` is: an access fault for BUS_ERROR, else a page fault, of this kind of access. [Priv 12.1.9]"""
    kind, on_bus = Value.cast(access), Value.cast(reason) == Outcome.BUS_ERROR.value
    of_load = Mux(on_bus, Cause.LOAD_ACCESS.value, Cause.LOAD_PAGE.value)
    of_store = Mux(on_bus, Cause.STORE_ACCESS.value, Cause.STORE_PAGE.value)
    of_fetch = Mux(on_bus, Cause.FETCH_ACCESS.value, Cause.FETCH_PAGE.value)
    return Mux(kind == Access.STORE.value, of_store, Mux(kind == Access.FETCH.value, of_fetch, of_load))


def compose_answer(
    answer: Answer, request: Request, *, status: AnswerStatus | Value, reason: Outcome | Value, pa: Value | int, pbmt: Value | int = 0,
    exception: Value | int = 0,
) -> list:  # type: ignore[type-arg]  # fmt: skip
    """Statements that make `answer` the Translator's own answer to `request`."""
    return [
        answer.tag.eq(request.tag),
        answer.status.eq(status),
        answer.how.eq(How.TRANSLATED),
        answer.reason.eq(reason),
        answer.pa.eq(pa),
        answer.pbmt.eq(pbmt),
        answer.exception.eq(exception),
    ]


def compose_refusal(answer: FaultAnswer, asked: PortRequest, reason: Outcome | Value) -> list:  # type: ignore[type-arg]
    """Statements that make `answer` a FAULT."""
    exception = exception_of(asked.request.access, Value.cast(reason))
    body = compose_answer(answer.answer, asked.request, status=AnswerStatus.FAULT, reason=reason, pa=0, exception=exception)
    return [answer.port.eq(asked.port), *body]


def compose_fault(fault: FaultRequest, asked: PortRequest, reason: Outcome | Value) -> list:  # type: ignore[type-arg]
    """Statements that make `fault` the page fault of this request."""
    request = asked.request
    return [
        fault.vpn.eq(request.va[PAGE_OFFSET_BITS:]),
        fault.offset.eq(request.va[:PAGE_OFFSET_BITS]),
        fault.space.eq(request.space),
        fault.access.eq(request.access),
        fault.flags.eq(request.flags),
        fault.port.eq(asked.port),
        fault.tag.eq(request.tag),
        fault.reason.eq(reason),
    ]
