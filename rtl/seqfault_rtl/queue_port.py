"""How the register block and the unit that runs a queue or ring in memory meet, and the arithmetic of such rings.

A ring holds 2^`log2_entries` entries from page `base`; head == tail is empty, and it is full at size - 1. A unit sets its own index to 0
when `settings.enable` rises. [IOMMU 1.0, 5.6 to 5.17]
"""

from amaranth import Cat, Const, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import PADDR_BITS
from .messages import How, Outcome, QueueSettings

__all__ = [
    "INDEX_BITS", "CommandQueuePort", "CounterStrobes", "QueueConsumerPort", "QueueProducerPort",
    "entry_address", "last_index", "next_index",
]  # fmt: skip

INDEX_BITS = 16
"""Width of a ring index in use: rings have at most 2^16 entries (LOG2SZ-1 is WARL)."""
INDEX_REGISTER_BITS = 32
"""Width of an index register. [IOMMU 5.7]"""

_COMMON = {"settings": Out(QueueSettings), "stop": Out(1), "busy": In(1), "memory_fault": In(1)}


class QueueConsumerPort(wiring.Signature):
    """A ring that software fills and the engine reads, seen from the register block.

    Members
    -------
    settings : where the ring is; `enable` is the software's wish.
    stop : an error bit is set: do not go on until it is 0.
    busy : the unit still has accesses in flight (after `enable` fell).
    memory_fault : strobe, the bus answered with an error.
    tail : software's index, already reduced to the ring's size.
    head : the unit's index, the next entry to read.
    """

    def __init__(self) -> None:
        super().__init__(_COMMON | {"tail": Out(INDEX_REGISTER_BITS), "head": In(INDEX_REGISTER_BITS)})


class CommandQueuePort(wiring.Signature):
    """The command queue, seen from the register block.

    Members
    -------
    those of `QueueConsumerPort`, and
    illegal : strobe, the command at `head` is malformed; sets cmd_ill.
    fence_done : strobe, an IOFENCE.C with WSI has completed; sets fence_w_ip.
    """

    def __init__(self) -> None:
        super().__init__(dict(QueueConsumerPort().members) | {"illegal": In(1), "fence_done": In(1)})


class QueueProducerPort(wiring.Signature):
    """A ring that the engine fills and software reads, seen from the register block.

    Members
    -------
    settings, stop, busy, memory_fault : as in `QueueConsumerPort`.
    head : software's index, already reduced to the ring's size.
    tail : the unit's index, the next entry to write.
    written : strobe, an entry is in memory and the tail moves over it.
    overflow : strobe, an entry found the ring full (dropped or waiting, as the unit's contract says).
    dropped : strobe, an entry was dropped, for whatever reason.
    """

    def __init__(self) -> None:
        members = {"head": Out(INDEX_REGISTER_BITS), "tail": In(INDEX_REGISTER_BITS)}
        members |= {name: In(1) for name in ("written", "overflow", "dropped")}
        super().__init__(_COMMON | members)


class CounterStrobes(wiring.Signature):
    """What the counters count, seen from the unit that reports.

    Members
    -------
    how : bit i, strobe: a fault was answered by path How(i).
    outcome_valid : strobe: an attempt was aborted for `outcome`.
    began, ended : strobes: a fault made its first step, or its last.
    """

    def __init__(self) -> None:
        super().__init__({"how": Out(len(How)), "outcome_valid": Out(1), "outcome": Out(Outcome), "began": Out(1), "ended": Out(1)})


def last_index(settings: wiring.PureInterface) -> Value:
    """Index of the ring's last entry (also the mask of an index), `INDEX_BITS` wide."""
    return ((Const(1, INDEX_BITS + 1) << settings.log2_entries) - 1)[:INDEX_BITS]


def next_index(settings: wiring.PureInterface, index: Value, step: Value | int = 1) -> Value:
    """`index` + `step` around the ring, `INDEX_BITS` wide."""
    return (index + step)[:INDEX_BITS] & last_index(settings)


def entry_address(settings: wiring.PureInterface, index: Value, entry_bytes: int) -> Value:
    """Byte address of an entry, `PADDR_BITS` wide."""
    base = Cat(Const(0, 12), settings.base)
    return (base + index * entry_bytes)[:PADDR_BITS]
