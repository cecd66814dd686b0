"""Keeps zeroed frames at hand: prefetches their numbers from the free ring, hands them out, and takes them back after an abort.

An empty pool is a clean answer (`available` = 0), never a wait. Frames that the pool has read from the ring are the engine's until it maps
them, also while the ring is disabled. [software contract: Rings]
"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import EngineConfig
from .messages import MemoryReadSignature
from .paging import PPN_BITS
from .queue_port import INDEX_BITS, QueueConsumerPort, entry_address, last_index, next_index

__all__ = ["FramePool"]

ENTRY_BYTES = 8
MAX_BURST = 8
"""Entries of the longest burst: one 64-byte line."""


class FramePool(wiring.Component):
    """Free frames in a FIFO. Frames given back are always accepted: there is room for one of each context beside the prefetched ones.

    Parameters
    ----------
    config : `pool_frames` prefetched at most; `contexts` frames out at most.

    Members
    -------
    available : `frame` is a free frame's PPN, and stays so until `take`.
    take : the frame is taken (only with `available`).
    give, give_frame : a frame comes back. `take` and `give` may come in the same cycle.
    read : memory; bursts of at most 8 entries, naturally aligned, all with tag 0, so that answers come in order.
    ring : registers. `head` counts the entries read. After a bus error `memory_fault` is raised, the head stays at the failed entry, and
        nothing is read until `stop` has gone.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        # a refill starts while half of the frames are left
        self.burst = min(MAX_BURST, config.pool_frames // 2)
        super().__init__(
            {
                "available": Out(1),
                "frame": Out(PPN_BITS),
                "take": In(1),
                "give": In(1),
                "give_frame": In(PPN_BITS),
                "read": Out(MemoryReadSignature()),
                "ring": In(QueueConsumerPort()),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        frames = self.config.pool_frames
        response = self.read.response
        # two more than the promise: a word may be between the FIFO's memory and its output register
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=PPN_BITS, depth=frames + self.config.contexts + 2)
        level = Signal(range(frames + self.config.contexts + 1))
        pending = Signal(range(frames + 1))  # beats asked for and not yet answered
        arrived = Signal()
        m.d.comb += [
            self.available.eq(queue.r_rdy),
            self.frame.eq(queue.r_data),
            queue.r_en.eq(self.take),
            # a frame given back goes first: it must not wait
            response.ready.eq(~self.give),
            queue.w_en.eq(self.give | arrived),
            queue.w_data.eq(Mux(self.give, self.give_frame, response.payload.data)),
        ]
        taken = self.take & self.available
        m.d.sync += level.eq(level + (self.give | arrived) - taken)
        answered = response.valid & response.ready
        asked = self._ring(m, room=frames - level - pending, pending=pending, answered=answered, arrived=arrived)
        m.d.sync += pending.eq(pending + asked - answered)
        m.d.comb += self.ring.busy.eq(pending != 0)
        return m

    def _ring(self, m: Module, *, room: Value, pending: Signal, answered: Value, arrived: Signal) -> Value:
        """Ask for bursts; the result is the number of beats asked for in this cycle.

        `fetch` runs ahead of `head` by the pending beats; after an error it goes back to `head`.
        """
        settings = self.ring.settings
        head = Signal(INDEX_BITS)
        fetch = Signal(INDEX_BITS)
        failed = Signal()
        was_enabled = Signal()
        starting = settings.enable & ~was_enabled
        request = self.read.request
        burst = Signal(range(self.burst + 1))
        ask = Signal()
        m.d.sync += was_enabled.eq(settings.enable)
        m.d.comb += [
            self.ring.head.eq(head),
            burst.eq(self._burst(m, fetch)),
            ask.eq(settings.enable & ~starting & ~self.ring.stop & ~failed & ~request.valid & (burst != 0) & (burst <= room)),
            request.payload.tag.eq(0),
            arrived.eq(answered & ~failed & ~self.read.response.payload.error),
            self.ring.memory_fault.eq(answered & ~failed & self.read.response.payload.error),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(ask):
            m.d.sync += [
                fetch.eq(next_index(settings, fetch, burst)),
                request.valid.eq(1),
                request.payload.addr.eq(entry_address(settings, fetch, ENTRY_BYTES)),
                request.payload.beats.eq(burst - 1),
            ]
        with m.If(arrived):
            m.d.sync += head.eq(next_index(settings, head))
        with m.If(self.ring.memory_fault):
            m.d.sync += failed.eq(1)
        with m.If(failed & (pending == 0)):
            m.d.sync += [failed.eq(0), fetch.eq(head)]
        with m.If(starting):
            m.d.sync += [head.eq(0), fetch.eq(0)]
        return Mux(ask, burst, 0)

    def _burst(self, m: Module, fetch: Signal) -> Value:
        """Entries that one burst may read from `fetch`: up to the tail, the ring's end, and the next boundary of `burst` entries."""
        contiguous = Signal(INDEX_BITS + 1)
        aligned = Signal(range(self.burst + 1))
        tail = self.ring.tail
        to_end = last_index(self.ring.settings) - fetch + 1
        m.d.comb += [
            contiguous.eq(Mux(tail >= fetch, tail - fetch, to_end)),
            aligned.eq(Const(self.burst) - fetch[: exact_log2(self.burst)]),
        ]
        return Mux(contiguous < aligned, contiguous, aligned)
