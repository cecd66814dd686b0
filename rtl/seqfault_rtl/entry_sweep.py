"""ZAP and PROTECT: finds the leaf tables of a range of pages and has them changed chunk by chunk. [protocol.md 0.3 W3, U2]"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .commands import CommandResult, SweepTask
from .config import EngineConfig
from .entry_chunk import PAGE_BITS, EntryChunk
from .messages import (
    MemoryReadSignature,
    MemoryWriteSignature,
    ReleasedRecord,
    StepPort,
    WalkOutcome,
    WalkRequest,
    WalkResponse,
)
from .paging import LEVEL_BITS, PPN_BITS, VPN_BITS, PagingMode, page_mask

__all__ = ["EntrySweep"]


class EntrySweep(wiring.Component):
    """Executes one ZAP or PROTECT while `run` is high. The range ends with the address space (Sv39: its half) at the latest.

    Parameters
    ----------
    config : `zap_chunk`.

    Members
    -------
    run, task : what to do; stable until `done`.
    done, result : strobe. ILLEGAL: a superpage or a malformed entry is in the way; MEMORY_FAULT: the bus answered with an error. What comes
        before it in the range has been done, and no lock is held.
    walk_request, walk_response : to the walker. lock_table, lock_* : PTE lock of a leaf table.
    slot, read, write, released, changed, changed_vpn : as in `EntryChunk`.
    """

    run: In(1)
    task: In(SweepTask)
    done: Out(1)
    result: Out(CommandResult)
    slot: Out(StepPort())
    walk_request: Out(stream.Signature(WalkRequest))
    walk_response: In(stream.Signature(WalkResponse))
    lock_table: Out(PPN_BITS)
    lock_acquire: Out(1)
    lock_release: Out(1)
    lock_busy: In(1)
    read: Out(MemoryReadSignature())
    write: Out(MemoryWriteSignature())
    released: Out(stream.Signature(ReleasedRecord))
    changed: Out(1)
    changed_vpn: Out(VPN_BITS)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.chunk = chunk = EntryChunk(self._config)
        for name in ("slot", "read", "write", "released"):
            wiring.connect(m, getattr(chunk, name), wiring.flipped(getattr(self, name)))
        vpn, end, table = Signal(VPN_BITS + 1), Signal(VPN_BITS + 1), Signal(PPN_BITS)
        following = Signal(VPN_BITS + 1)  # the page behind the chunk
        m.d.comb += [
            following.eq(self._behind(vpn, Const((1 << exact_log2(self._config.zap_chunk)) - 1, VPN_BITS), end)),
            chunk.task.eq(self.task),
            chunk.table.eq(table),
            chunk.vpn.eq(vpn),
            chunk.more.eq(following - vpn - 1),
            chunk.lock_busy.eq(self.lock_busy),
            self.lock_table.eq(table),
            self.lock_acquire.eq(chunk.lock_acquire),
            self.lock_release.eq(chunk.lock_release),
            self.changed.eq(chunk.changed),
            self.changed_vpn.eq(chunk.changed_vpn),
            self.walk_request.payload.space.eq(self.task.space),
            self.walk_request.payload.vpn.eq(vpn),
        ]
        with m.FSM():
            with m.State("START"):
                m.d.sync += [vpn.eq(self.task.vpn), end.eq(self._behind_range(m))]
                with m.If(self.run):
                    m.next = "WALK"
                    with m.If(~self.task.count.any()):
                        self._finish(m, CommandResult.OK)
            with m.State("WALK"):
                m.d.comb += self.walk_request.valid.eq(1)
                with m.If(self.walk_request.ready):
                    m.next = "FOUND"
            with m.State("FOUND"):
                self._found(m, vpn, end, table)
            with m.State("CHUNK"):
                m.d.comb += chunk.run.eq(1)
                with m.If(chunk.done):
                    self._advance(m, vpn, following, end)
                    with m.If(chunk.failed):
                        self._finish(m, CommandResult.MEMORY_FAULT)
        return m

    def _behind_range(self, m: Module) -> Value:
        """The page behind the range, at most the one behind the address space."""
        behind = self.task.vpn + self.task.count
        limit = Signal(VPN_BITS + 1)
        m.d.comb += limit.eq(1 << VPN_BITS)
        for name in self._config.modes:
            with m.If((self.task.mode == PagingMode[name]) & ~self.task.vpn[-1]):
                m.d.comb += limit.eq(1 << PagingMode[name].levels * LEVEL_BITS - 1)
        return Mux(behind > limit, limit, behind)

    def _behind(self, vpn: Value, mask: Value, end: Value) -> Value:
        """The page behind the block of `vpn` in which `mask` are the pages' bits, or `end` if that comes first."""
        behind = (vpn[:VPN_BITS] | mask) + 1
        return Mux(behind < end, behind, end)

    def _advance(self, m: Module, vpn: Signal, following: Value, end: Signal) -> None:
        """Go on at `following`: stay in the table, or walk to the next."""
        m.d.sync += vpn.eq(following)
        with m.If(following == end):
            self._finish(m, CommandResult.OK)
        with m.Elif(~following[:LEVEL_BITS].any()):
            m.next = "WALK"

    def _found(self, m: Module, vpn: Signal, end: Signal, table: Signal) -> None:
        """The walk's end: a leaf table, or nothing in the whole span of an upper entry."""
        walked = self.walk_response.payload
        m.d.comb += self.walk_response.ready.eq(1)
        with m.If(self.walk_response.valid), m.Switch(walked.outcome):
            with m.Case(WalkOutcome.NO_SPACE):
                self._finish(m, CommandResult.OK)
            with m.Case(WalkOutcome.BUS_ERROR):
                self._finish(m, CommandResult.MEMORY_FAULT)
            with m.Default():
                with m.If(walked.level == 0):
                    m.d.sync += table.eq(walked.pte_addr[PAGE_BITS:])
                    m.next = "CHUNK"
                with m.Elif(walked.outcome == WalkOutcome.NONE):
                    m.next = "WALK"
                    self._advance(m, vpn, self._behind(vpn, page_mask(walked.size), end), end)
                with m.Else():
                    self._finish(m, CommandResult.ILLEGAL)

    def _finish(self, m: Module, result: CommandResult) -> None:
        m.d.comb += [self.done.eq(1), self.result.eq(result)]
        m.next = "START"
