"""What the miss path carries, and how its faults and answers are made of it."""

from amaranth import Value
from amaranth.lib import data

from .messages import Answer, AnswerStatus, FaultAnswer, FaultRequest, How, Outcome, Request

__all__ = ["PAGE_OFFSET_BITS", "Miss", "PortRequest", "compose_answer", "compose_fault", "compose_refusal"]

PAGE_OFFSET_BITS = 12
"""Width of the offset in a 4 KiB page in bits."""


class Miss(data.Struct):
    """A request that its TLB does not answer. `denied`: the page is held, without the right for this access."""

    request: Request
    denied: 1


class PortRequest(data.Struct):
    """A request and the number of its port."""

    request: Request
    port: 8


def compose_answer(answer: Answer, request: Request, *, status: AnswerStatus | Value, reason: Outcome | Value, pa: Value | int) -> list:  # type: ignore[type-arg]
    """Statements that make `answer` the Translator's own answer to `request`."""
    return [
        answer.tag.eq(request.tag),
        answer.status.eq(status),
        answer.how.eq(How.TRANSLATED),
        answer.reason.eq(reason),
        answer.pa.eq(pa),
    ]


def compose_refusal(answer: FaultAnswer, asked: PortRequest, reason: Outcome | Value) -> list:  # type: ignore[type-arg]
    """Statements that make `answer` a FAULT."""
    return [answer.port.eq(asked.port), *compose_answer(answer.answer, asked.request, status=AnswerStatus.FAULT, reason=reason, pa=0)]


def compose_fault(fault: FaultRequest, asked: PortRequest) -> list:  # type: ignore[type-arg]
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
    ]
