"""Page-table walker: many walks in flight, one memory read a cycle, answers in the order in which walks end. [Priv 12.3.2]

A walk has a slot, and at most one read in flight, tagged with the slot:

    requests --merge--> start --> first read --+
                                               +--> memory --> step --+--> ended: done queue of the client --> responses
                                   read queue --+                     |
                                        +<------- next level ---------+

Where a walk starts is `_start_of_walk`, and what it learns of upper entries passes through `_step`: a cache of upper entries goes there.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import PADDR_BITS, EngineConfig
from .messages import InvalidateRecord, MemoryReadSignature, SpaceEntry, WalkOutcome, WalkRequest, WalkResponse
from .paging import LEVEL_BITS, VPN_BITS, PagingMode, Pte, level_index
from .round_robin import RoundRobin
from .space_stage import SpaceStage
from .stream_merge import StreamMerge
from .walk_stale import WalkStale

__all__ = ["CLIENTS", "Walker"]

CLIENTS = 3
"""Who asks for walks: 0 Translator, 1 FaultUnit, 2 CommandUnit."""
PTE_ADDRESS_ZEROS = 3
"""Low address bits of an 8-byte entry."""


class WalkEnd(data.Struct):
    """How a walk ended, kept in the slot until its client takes it."""

    outcome: WalkOutcome
    pte: Pte


class Walker(wiring.Component):
    """Walks of Sv39 and Sv48 tables.

    Parameters
    ----------
    config : parameters of the engine; `walks` slots.

    Members
    -------
    requests, responses : per client. A client that does not take its responses holds its slots only, not other clients' responses.
    memory : one 8-byte read per level; tag = slot; a response is taken at once.
    space, space_entry : combinational query of the space table, in the cycle before a walk starts.
    invalidate, record : strobes. `stale` of a response tells of every earlier invalidation since the walk started that covers an entry at
        its level, and of any in the cycle of the start or of the response, whatever it covers; so it can change while a response waits
        (nothing else does).
        A walk of Sv39 for a page that is not canonical there is stale: the mode changed behind a client that had checked.
    active : slots in use, from the start until the response is taken.

    With memory latency L (request to response), an Sv39 walk to a 4 KiB leaf takes 3 * (L + 1) + 4 cycles from request to response.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "requests": In(stream.Signature(WalkRequest)).array(CLIENTS),
                "responses": Out(stream.Signature(WalkResponse)).array(CLIENTS),
                "memory": Out(MemoryReadSignature()),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "active": Out(config.walks),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        slots = range(self._config.walks)
        levels = Array(Signal(2, name=f"level_{slot}") for slot in slots)
        clients = Array(Signal(range(CLIENTS), name=f"client_{slot}") for slot in slots)
        m.submodules.requests = merge = StreamMerge(WalkRequest, CLIENTS)
        for source, sink in zip(self.requests, merge.inputs, strict=True):
            wiring.connect(m, wiring.flipped(source), sink)
        pending, answer = merge.output, self.memory.response
        request, slot = pending.payload.item, answer.payload.tag[: self._slot_bits]
        finished = Signal(self._slot_bits)  # the slot whose end is being read

        m.submodules.stage = stage = SpaceStage()
        top, bare = self._start_of_walk(m, stage.entry)
        go_on, end = self._step(m, levels[slot])
        ended = answer.valid & ~go_on
        free, has_free = self._free_slot(m)
        start, may_issue = Signal(), Signal()
        m.d.comb += [
            self.space.eq(stage.space),
            stage.space_entry.eq(self.space_entry),
            stage.waiting.eq(pending.valid),
            stage.wanted.eq(request.space),
            stage.passed.eq(start),
            answer.ready.eq(1),
            # a walk that ends at once uses the ways of a response: it waits for a cycle without one
            pending.ready.eq(stage.known & has_free & may_issue & ~(bare & answer.valid)),
            start.eq(pending.valid & pending.ready),
        ]
        vpn = self._slot_memory(m, "vpns", VPN_BITS, start, free, request.vpn, slot)
        tag = self._slot_memory(m, "tags", len(request.tag), start, free, request.tag, finished)

        below = (levels[slot] - 1)[: len(top)]
        first = _entry_address(stage.entry.root, request.vpn, top)
        following = _entry_address(end.pte.ppn, vpn, below)
        self._queue_reads(m, start & ~bare, Cat(first, free), may_issue, go_on, Cat(following, slot))
        read = self.memory.request
        issued = read.payload.tag[: self._slot_bits]
        entry_address = self._slot_memory(m, "addresses", PADDR_BITS, read.valid, issued, read.payload.addr, finished)
        with m.If(go_on):
            m.d.sync += levels[slot].eq(below)
        with m.If(start):
            m.d.sync += [levels[free].eq(top), clients[free].eq(pending.payload.source)]

        ending = ended | (start & bare)
        ended_slot = Mux(ended, slot, free)
        entry_end = self._slot_memory(m, "ends", WalkEnd, ending, ended_slot, end, finished)
        queues = self._done_queues(m, ending, ended_slot, Mux(ended, clients[slot], pending.payload.source))
        held = self._take_done(m, queues, finished)
        result = Signal(WalkResponse)
        m.d.comb += [
            result.tag.eq(tag),
            result.outcome.eq(entry_end.outcome),
            result.level.eq(levels[finished]),
            result.pte.eq(entry_end.pte),
            result.pte_addr.eq(entry_address),
        ]
        self._respond(m, held, finished, result, self._watch(m, start, free, request, top, levels))
        with m.If(start):
            m.d.sync += self.active.bit_select(free, 1).eq(1)
        return m

    @property
    def _slot_bits(self) -> int:
        return max(1, ceil_log2(self._config.walks))

    def _start_of_walk(self, m: Module, entry: SpaceEntry) -> tuple[Signal, Signal]:
        """The level of the first read (its table is the space's root), and whether the space has no table. [Priv 12.3.2, step 1]"""
        top, bare = Signal(2), Signal()
        with m.Switch(entry.mode):
            for mode in (PagingMode.SV39, PagingMode.SV48):
                with m.Case(mode):
                    m.d.comb += top.eq(mode.levels - 1)
            with m.Default():
                m.d.comb += bare.eq(1)
        return top, bare

    def _step(self, m: Module, level: Value) -> tuple[Signal, data.View]:
        """What the entry just read means: go on to the table that it points to, or how the walk ends. [Priv 12.3.2, steps 2 to 6]"""
        go_on, end, pte = Signal(), Signal(WalkEnd), Signal(Pte)
        answer = self.memory.response
        m.d.comb += [pte.eq(answer.payload.data), end.pte.eq(pte)]
        with m.If(~answer.valid):  # no read: the end of a walk in a space without a table
            m.d.comb += [end.pte.eq(0), end.outcome.eq(WalkOutcome.NO_SPACE)]
        with m.Elif(answer.payload.error):
            m.d.comb += end.outcome.eq(WalkOutcome.BUS_ERROR)
        with m.Elif(~pte.v):
            m.d.comb += end.outcome.eq(WalkOutcome.NONE)
        with m.Elif(pte.is_malformed()):
            m.d.comb += end.outcome.eq(WalkOutcome.MALFORMED)
        with m.Elif(pte.is_leaf()):
            m.d.comb += end.outcome.eq(Mux(pte.is_misaligned(level), WalkOutcome.MALFORMED, WalkOutcome.LEAF))
        with m.Else():
            m.d.comb += [end.outcome.eq(WalkOutcome.MALFORMED), go_on.eq((level != 0) & ~pte.is_malformed_branch())]
        return go_on, end

    def _free_slot(self, m: Module) -> tuple[Signal, Value]:
        free = Signal(self._slot_bits)
        for slot in reversed(range(self._config.walks)):
            with m.If(~self.active[slot]):
                m.d.comb += free.eq(slot)
        return free, ~self.active.all()

    def _slot_memory(self, m: Module, name: str, shape: object, write: Value, slot: Value, row: Value, wanted: Value) -> Signal:
        """A column of slot state in a memory; returns what it holds for the slot `wanted`."""
        m.submodules[name] = memory = Memory(shape=shape, depth=self._config.walks, init=[])
        port, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [port.en.eq(write), port.addr.eq(slot), port.data.eq(row), read.addr.eq(wanted)]
        return read.data

    def _queue_reads(self, m: Module, start: Value, first: Value, may_issue: Signal, go_on: Value, following: Value) -> None:
        """Reads to be issued: those of walks under way (one per walk, so there is always room) before the first one of the next walk."""
        m.submodules.reads = reads = SyncFIFO(width=len(following), depth=self._config.walks)
        waiting, held, offered = Signal(), Signal(len(first)), Signal()
        read, use_held = self.memory.request, Signal()
        m.d.comb += [
            reads.w_en.eq(go_on),
            reads.w_data.eq(following),
            use_held.eq(offered | ~reads.r_rdy),
            reads.r_en.eq(read.ready & ~use_held),
            may_issue.eq(~waiting),
            read.valid.eq(Mux(use_held, waiting, reads.r_rdy)),
            Cat(read.payload.addr, read.payload.tag).eq(Mux(use_held, held, reads.r_data)),
        ]
        m.d.sync += offered.eq(use_held & waiting & ~read.ready)  # what has been offered stays
        with m.If(use_held & read.ready):
            m.d.sync += waiting.eq(0)
        with m.If(start):
            m.d.sync += [waiting.eq(1), held.eq(first)]

    def _done_queues(self, m: Module, push: Value, slot: Value, client: Value) -> list[SyncFIFO]:
        """Per client, the slots whose walks have ended, in that order."""
        queues = []
        for index in range(CLIENTS):
            m.submodules[f"done_{index}"] = queue = SyncFIFO(width=self._slot_bits, depth=self._config.walks)
            m.d.comb += [queue.w_en.eq(push & (client == index)), queue.w_data.eq(slot)]
            queues.append(queue)
        return queues

    def _take_done(self, m: Module, queues: list[SyncFIFO], finished: Signal) -> Signal:
        """Choose the client whose next ended walk is read in this cycle; returns the choice, one-hot."""
        m.submodules.turn = turn = RoundRobin(CLIENTS)
        chosen = Signal(CLIENTS)
        m.d.comb += turn.taken.eq(1)
        for index, (queue, response) in enumerate(zip(queues, self.responses, strict=True)):
            m.d.comb += [
                turn.requests[index].eq(queue.r_rdy & (~response.valid | response.ready)),
                chosen[index].eq(turn.valid & (turn.grant == index)),
                queue.r_en.eq(chosen[index]),
            ]
            with m.If(turn.grant == index):
                m.d.comb += finished.eq(queue.r_data)
        return chosen

    def _watch(self, m: Module, start: Value, slot: Value, request: WalkRequest, top: Value, levels: Array) -> Signal:
        """Stale marks by slot."""
        m.submodules.stale = watch = WalkStale(self._config)
        sign = request.vpn[PagingMode.SV39.levels * LEVEL_BITS - 1 :]
        m.d.comb += [
            watch.start.eq(start),
            watch.slot.eq(slot),
            watch.space.eq(request.space),
            watch.vpn.eq(request.vpn),
            watch.doubtful.eq(self.invalidate | ((top == PagingMode.SV39.levels - 1) & sign.any() & ~sign.all())),
            watch.invalidate.eq(self.invalidate),
            watch.record.eq(self.record),
            *(watch.levels[index].eq(level) for index, level in enumerate(levels)),
        ]
        return watch.stale

    def _respond(self, m: Module, chosen: Signal, finished: Signal, result: Signal, stale: Signal) -> None:
        """A register per client. The slot is kept until its response is taken: its stale mark goes on collecting."""
        for index, response in enumerate(self.responses):
            held, slot = Signal(WalkResponse, name=f"held_{index}"), Signal(self._slot_bits, name=f"slot_{index}")
            m.d.comb += [response.payload.eq(held), response.payload.stale.eq(stale.bit_select(slot, 1) | self.invalidate)]
            with m.If(response.ready & response.valid):
                m.d.sync += [response.valid.eq(0), self.active.bit_select(slot, 1).eq(0)]
            with m.If(chosen[index]):
                m.d.sync += [response.valid.eq(1), held.eq(result), slot.eq(finished)]


def _entry_address(table: Value, vpn: Value, level: Value) -> Value:
    """Byte address of the entry for `vpn` in the table at page number `table`. [Priv 12.3.2, step 2]"""
    return Cat(Const(0, PTE_ADDRESS_ZEROS), level_index(vpn, level), table)
