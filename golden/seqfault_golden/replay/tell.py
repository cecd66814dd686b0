"""The events of a fault context."""

from typing import TYPE_CHECKING

from ..layout import Outcome, Step, StepEvent
from .context import Context

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["tell"]


def tell(
    engine: "Engine", context: Context, first: Step, last: Step, outcome: Outcome = Outcome.OK, *, seq: int = 0, addr: int = 0, data: int = 0,
) -> None:  # fmt: skip
    """One event of a context that serves a request: space, vpn and, but for R0, the id are as in all of its events."""
    request = context.request
    assert request is not None
    vma_id = 0 if first == Step.R0 else context.id
    engine.observe(StepEvent(first, last, context.agent, outcome, request.space, request.vpn, vma_id, seq, addr, data))
