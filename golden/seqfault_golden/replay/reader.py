"""A fault context's turn: the step group that is next, taken on what memory holds now. [contract, Steps and outcomes]

The steps are those of `protocol`; here and in the three modules that this one calls is only what they are given, and the event that tells of
them. A step that has to wait raises `NotYet`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.world import Phase
from . import committing, ending, finding
from .context import Context, Request

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["take_step"]

_HANDLERS: dict[int, Callable[["Engine", Context, Request], None]] = {
    Phase.IDLE: ending.begin,
    Phase.UNDONE: ending.begin,
    Phase.R1: finding.find,
    Phase.R3: finding.fields,
    Phase.R7: finding.walk_tables,
    Phase.PAGE: finding.look_up,
    Phase.R8: committing.allocate,
    Phase.FILL: committing.fill_frame,
    Phase.R10: committing.check,
    Phase.R13: committing.lock,
    Phase.R14: committing.recheck,
    Phase.R16: committing.commit,
    Phase.CLEAR: committing.clear_entry,
    Phase.FLUSH: committing.flush_page,
    Phase.R17: committing.set_entry,
    Phase.AROUND: committing.map_around,
    Phase.TABLE: committing.hang_table,
    Phase.R18: committing.unlock,
    Phase.FAILED: ending.give_back,
    Phase.REFUSED: ending.hand_over,
    Phase.HANDED: ending.give_answer,
    Phase.MAPPED: ending.give_answer,
    Phase.COMMITTED: ending.read_unlock,
}


def take_step(engine: "Engine", context: Context) -> None:
    """Take the next step group of a context that serves a request; raises `NotYet` when it has to wait."""
    assert context.request is not None
    _HANDLERS[context.phase](engine, context, context.request)
    engine.world.attempt_moved(context)
