"""A block's port for writes of several words at a time. [AMBA AXI A3.4.1]"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import AXI_DATA_BITS
from .config import PADDR_BITS
from .messages import MemoryWriteResponse

__all__ = ["BURST_BEATS_BITS", "MemoryBurstRequest", "MemoryBurstSignature"]

BURST_BEATS_BITS = 4
"""Width of a write burst's length: at most 16 words, which is as long as other writers wait for it."""


class MemoryBurstRequest(data.Struct):
    """Write `beats` + 1 consecutive 64-bit words from `addr` (8-byte aligned; the burst stays within 4 KiB), all of their bytes."""

    addr: PADDR_BITS
    beats: BURST_BEATS_BITS
    tag: 6


class MemoryBurstSignature(wiring.Signature):
    """A block's port for write bursts; a response means that the whole burst is visible, but for the words that failed.

    Members
    -------
    request : a burst. It is taken with its first word, so that must be offered without waiting for `request.ready`.
    data : the words of the bursts, in order; none is taken before its request. Other writers wait from the first word of a burst to the
        last: a block offers a burst when it can offer a word in every cycle.
    response : one for each burst; `error` if the bus answered so for any of its words, `exclusive` is 0.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "request": Out(stream.Signature(MemoryBurstRequest)),
                "data": Out(stream.Signature(AXI_DATA_BITS)),
                "response": In(stream.Signature(MemoryWriteResponse)),
            }
        )
