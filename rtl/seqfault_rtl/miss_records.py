"""What the miss path carries, and how its faults and answers are made of it."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data

from .config import PADDR_BITS
from .fault_records import FaultReport
from .messages import Answer, AnswerStatus, FaultAnswer, FaultRequest, How, Outcome, Request, WalkOutcome, WalkResponse
from .paging import Access, Cause, PageSize, Pte

__all__ = [
    "PAGE_OFFSET_BITS", "AdRequest", "Miss", "PortRequest", "Verdict", "compose_answer", "compose_fault", "compose_refusal",
    "compose_report", "exception_of", "refusal", "walk_verdict",
]  # fmt: skip

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


class AdRequest(data.Struct):
    """A leaf that permits the access but for A or D, in a space where hardware sets them; the fields as in `WalkResponse`.

    `walk_first`: the leaf is the L2 TLB's, so its address is not known.
    """

    asked: PortRequest
    pte: Pte
    pte_addr: PADDR_BITS
    sv32: 1
    size: PageSize
    stale: 1
    walk_first: 1


class Verdict(data.Struct):
    """What the end of a walk means for a request: exactly one of these, and the reason of all but the first two.

    `permitted`: OK. `needs_update`: OK once A and D are set. `refused`: FAULT, of no use to a fault unit. `faulted`: a page fault.
    """

    permitted: 1
    needs_update: 1
    refused: 1
    faulted: 1
    reason: Outcome


def walk_verdict(m: Module, ended: WalkResponse, request: Request) -> Verdict:
    """Decides, in one place for all walks. [Priv 12.3.2, steps 3 to 9]"""
    verdict, why = Signal(Verdict), Signal(Outcome)
    m.d.comb += why.eq(refusal(ended.pte, request))
    with m.Switch(ended.outcome):
        with m.Case(WalkOutcome.LEAF):
            updates = (why == Outcome.AD_CLEAR) & ended.adue
            m.d.comb += [
                verdict.permitted.eq(why == Outcome.OK),
                verdict.needs_update.eq(updates),
                verdict.faulted.eq((why != Outcome.OK) & ~updates),
                verdict.reason.eq(why),
            ]
        with m.Case(WalkOutcome.NONE):
            m.d.comb += [verdict.faulted.eq(1), verdict.reason.eq(Outcome.NOT_VALID)]
        with m.Case(WalkOutcome.BUS_ERROR):
            m.d.comb += [verdict.refused.eq(1), verdict.reason.eq(Outcome.BUS_ERROR)]
        with m.Case(WalkOutcome.NO_SPACE):
            m.d.comb += [verdict.refused.eq(1), verdict.reason.eq(Outcome.BAD_TABLE)]
        with m.Default():
            m.d.comb += [verdict.faulted.eq(1), verdict.reason.eq(Outcome.BAD_TABLE)]
    return verdict


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


def compose_report(report: FaultReport, asked: PortRequest, reason: Outcome | Value) -> list:  # type: ignore[type-arg]
    """Statements that make `report` that of a FAULT answer to this request."""
    request = asked.request
    return [
        report.cause.eq(exception_of(request.access, Value.cast(reason))),
        report.access.eq(request.access),
        report.space.eq(request.space),
        report.port.eq(asked.port),
        report.tag.eq(request.tag),
        report.supervisor.eq(request.supervisor),
        report.reason.eq(reason),
        report.address.eq(request.va),
    ]


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
