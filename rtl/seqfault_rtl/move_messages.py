"""What the Mover is asked to do, and what it answers."""

from amaranth.lib import data, enum

from .paging import PPN_BITS

__all__ = ["MOVE_TAG_BITS", "MoveAnswer", "MoveJob", "MoveOperation"]

MOVE_TAG_BITS = 6
"""Width of a job's tag in bits: the number of a fault context fits."""


class MoveOperation(enum.Enum, shape=1):
    """What becomes of the target frame."""

    ZERO = 0
    COPY = 1


class MoveJob(data.Struct):
    """Fill the frame `target` with zeros, or with what the frame `source` holds (looked at for COPY only)."""

    operation: MoveOperation
    source: PPN_BITS
    target: PPN_BITS
    tag: MOVE_TAG_BITS


class MoveAnswer(data.Struct):
    """The job of this tag has ended. `error`: the bus answered so to some access, and what the target frame holds means nothing."""

    tag: MOVE_TAG_BITS
    error: 1
