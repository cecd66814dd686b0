"""Retry flags: what a fault may do at a point where it would have to wait, and with which flags it is tried again. [protocol.md 4.1, 4.2, 4.4]"""

from collections.abc import Set
from enum import Enum, IntFlag

from .world import Safeguard

__all__ = ["FaultFlag", "Waiting", "next_try", "userfault"]


class FaultFlag(IntFlag):
    """FAULT_FLAG_*: those that decide about waiting."""

    ALLOW_RETRY = 0x4
    RETRY_NOWAIT = 0x8
    TRIED = 0x20


class Waiting(Enum):
    """What becomes of a fault that would have to wait."""

    REFUSED = "SIGBUS; the mm lock stays held"
    NOT_WAITED = "RETRY at once; the mm lock stays held"
    RELEASED = "the mm lock is released, the fault waits, and RETRY"
    HELD = "the fault waits with the mm lock held"


def userfault(flags: FaultFlag, removed: Set[Safeguard]) -> Waiting:
    """handle_userfault: "no ALLOW_RETRY -> SIGBUS; NOWAIT -> RETRY with lock held. Otherwise: [..] return RETRY (lock released)".

    "user space could otherwise keep the mmap lock held for ever": whoever would wait with the lock is refused.
    """
    if not flags & FaultFlag.ALLOW_RETRY:
        return Waiting.REFUSED if Safeguard.REFUSE_WITHOUT_RETRY not in removed else Waiting.HELD
    if flags & FaultFlag.RETRY_NOWAIT and Safeguard.NOWAIT_KEEPS_LOCK not in removed:
        return Waiting.NOT_WAITED
    return Waiting.RELEASED


def next_try(flags: FaultFlag, removed: Set[Safeguard]) -> FaultFlag:
    """ "5.7: ALLOW_RETRY is kept, TRIED added; unlimited retries"; "up to 5.6: at most one retry: arch code clears ALLOW_RETRY and sets TRIED"."""
    return (flags if Safeguard.KEEP_ALLOW_RETRY not in removed else flags & ~FaultFlag.ALLOW_RETRY) | FaultFlag.TRIED
