"""Page-table walker: many walks in flight, one memory read a cycle, answers in the order in which walks end. [Priv 12.3.2]

A walk has a slot, and at most one read in flight, tagged with the slot:

    requests --> WalkStart --> first read --+
                                            +--> memory --> WalkEntry --+--> ended --> responses, or done queue of the client --> responses
                                read queue -+                           |
                                     +<--------- next level ------------+
"""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import PADDR_BITS, EngineConfig
from .messages import InvalidateRecord, MemoryReadSignature, SpaceEntry, WalkOutcome, WalkRequest, WalkResponse
from .paging import SV32_LEVEL_BITS, level_index
from .round_robin import RoundRobin
from .walk_entry import PagingFeatures, WalkEntry
from .walk_stale import WalkStale
from .walk_start import AD_UPDATE, Start, WalkStart, client_count

__all__ = ["Walker"]

PTE_ADDRESS_ZEROS = 3
"""Low address bits of an 8-byte word."""


@dataclass(frozen=True, kw_only=True)
class _End:
    """Signals of the walk that ends in a cycle. `by_memory`: memory has ended one of client 0, which does not wait for anything later:
    `result`, of `slot_of_memory`. `kept`: what is to be kept of whatever walk it is."""

    valid: Value
    slot: Value
    client: Value
    kept: Signal
    by_memory: Value
    slot_of_memory: Value
    result: Signal


class Walker(wiring.Component):
    """Walks of the tables of every mode that the configuration builds.

    Parameters
    ----------
    config : parameters of the engine; `walk_slots` slots, the last of them for AdUpdate only.

    Members
    -------
    requests, responses : per client: 0 Translator, 1 FaultUnit, 2 CommandUnit, 3 AdUpdate (with `svadu`). A client that does not take its
        responses holds its slots only, not other clients' responses. A request of client 0 starts in its cycle, its response is given in
        the cycle of the last read's.
    memory : one 8-byte read per level; tag = slot; a response is taken at once.
    space, space_entry : combinational query of the space table.
    invalidate, record : strobes. `stale` of a response tells of every earlier invalidation since the walk started that covers an entry at
        its level, and of any in the cycle of the start or of the response, whatever it covers; so it can change while a response waits
        (nothing else does). A walk for a page that is not canonical in its space is stale.
    leaf_only : with `invalidate`: what changed is a leaf entry, so the walk cache, which holds none, keeps what it has. [Priv 12.2.1, rs1]
    active : slots in use, from the start until the response is taken.

    A walk of client 0 with r reads and memory latency L (request to response) is answered r * (L + 1) cycles after its request.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._clients = client_count(config)
        self._slot_bits = max(1, ceil_log2(config.walk_slots))
        super().__init__(
            {
                "requests": In(stream.Signature(WalkRequest)).array(self._clients),
                "responses": Out(stream.Signature(WalkResponse)).array(self._clients),
                "memory": Out(MemoryReadSignature()),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "invalidate": In(1),
                "leaf_only": In(1),
                "record": In(InvalidateRecord),
                "active": Out(config.walk_slots),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        slots = range(self._config.walk_slots)
        levels = Array(Signal(3, name=f"level_{slot}") for slot in slots)
        clients = Array(Signal(range(AD_UPDATE + 1), name=f"client_{slot}") for slot in slots)
        m.submodules.begin = begin = WalkStart(self._config)
        m.submodules.entry = entry = WalkEntry()
        for source, sink in zip(self.requests, begin.requests, strict=True):
            wiring.connect(m, wiring.flipped(source), sink)
        first, answer = begin.starts.payload, self.memory.response
        slot = answer.payload.tag[: self._slot_bits]
        free, has_free = self._free_slot(m, begin.for_update)
        start, may_issue, ended = Signal(), Signal(), Signal()
        self._bare, self._bare_slot, self._bare_tag = Signal(), Signal(self._slot_bits), Signal.like(first.request.tag)
        m.d.comb += [
            self.space.eq(begin.space),
            begin.space_entry.eq(self.space_entry),
            answer.ready.eq(1),
            ended.eq(answer.valid & ~entry.go_on),
            begin.starts.ready.eq(has_free & may_issue & ~self._bare),
            start.eq(begin.starts.valid & begin.starts.ready),
        ]
        # the rows of the free slot are written in any case: whether a walk starts there is known late in the cycle
        vpn = self._slot_memory(m, "vpns", self._config.vpn_bits, has_free, free, first.request.vpn, slot)
        tag = self._slot_memory(m, "tags", len(first.request.tag), has_free, free, first.request.tag, slot)
        features = self._slot_memory(m, "features", PagingFeatures, has_free, free, first.features, slot)
        upper = Signal()
        m.d.comb += [
            upper.eq(features.sv32 & Mux(levels[slot] == 0, vpn[0], vpn[SV32_LEVEL_BITS])),
            entry.word.eq(answer.payload.data),
            entry.error.eq(answer.payload.error),
            entry.level.eq(levels[slot]),
            entry.features.eq(features),
            entry.upper.eq(upper),
        ]
        stale = self._watch(m, begin, has_free, free, levels)
        space = self._slot_memory(m, "spaces", self._config.space_bits, has_free, free, first.request.space, slot)
        m.d.comb += [
            begin.invalidate.eq(self.invalidate),
            begin.leaf_only.eq(self.leaf_only),
            begin.record.eq(self.record),
            begin.learn.eq(answer.valid & entry.go_on & ~stale.bit_select(slot, 1)),
            begin.learn_space.eq(space),
            begin.learn_vpn.eq(vpn),
            begin.learn_level.eq(levels[slot]),
            begin.learn_table.eq(entry.pte.ppn),
        ]

        below = (levels[slot] - 1)[:3]
        following = Cat(_entry_address(entry.pte.ppn, vpn, below, features.sv32), slot)
        self._queue_reads(m, start & ~first.bare, Cat(first, free), may_issue, answer.valid & entry.go_on, following)
        read = self.memory.request
        address = self._slot_memory(m, "addresses", PADDR_BITS, read.valid, read.payload.tag[: self._slot_bits], read.payload.addr, slot)
        with m.If(answer.valid & entry.go_on):
            m.d.sync += levels[slot].eq(below)
        with m.If(has_free):
            m.d.sync += [levels[free].eq(first.level), clients[free].eq(first.client)]
        with m.If(start):
            m.d.sync += self.active.bit_select(free, 1).eq(1)

        result = Signal(WalkResponse)
        m.d.comb += [
            result.tag.eq(tag),
            result.outcome.eq(entry.outcome),
            result.level.eq(levels[slot]),
            result.size.eq(entry.size),
            result.adue.eq(features.adue),
            result.sv32.eq(features.sv32),
            result.pte.eq(entry.pte),
            result.pte_addr.eq(address | (upper << PTE_ADDRESS_ZEROS - 1)),
        ]
        self._respond(m, self._end(m, ended, slot, clients[slot], result, clients), stale)
        self._hold_bare(m, start & first.bare, may_issue, free, first, ended)
        return m

    def _hold_bare(self, m: Module, start: Value, may_start: Value, slot: Value, first: Start, ended: Value) -> None:
        """A walk in a space without a table ends in a later cycle, the first in which memory ends none. Meanwhile no other starts."""
        with m.If(may_start & ~self._bare):
            m.d.sync += [self._bare_slot.eq(slot), self._bare_tag.eq(first.request.tag)]
        with m.If(start):
            m.d.sync += self._bare.eq(1)
        with m.Elif(~ended):
            m.d.sync += self._bare.eq(0)

    def _end(self, m: Module, ended: Signal, slot: Value, client: Value, result: Signal, clients: Array) -> _End:
        """The walk that ends in this cycle: by the answer of memory, or as its space has no table."""
        kept, last = Signal(WalkResponse), Signal(self._slot_bits)
        m.d.comb += [kept.eq(result), last.eq(slot)]
        with m.If(~ended):
            m.d.comb += [kept.eq(0), kept.tag.eq(self._bare_tag), kept.outcome.eq(WalkOutcome.NO_SPACE), last.eq(self._bare_slot)]
        return _End(
            valid=ended | self._bare,
            slot=last,
            client=clients[last],
            kept=kept,
            by_memory=ended & (client == 0),
            slot_of_memory=slot,
            result=result,
        )

    def _free_slot(self, m: Module, for_update: Value) -> tuple[Signal, Value]:
        """A slot for the next walk, and whether there is one."""
        free, count = Signal(self._slot_bits), self._config.walks
        for slot in reversed(range(count)):
            with m.If(~self.active[slot]):
                m.d.comb += free.eq(slot)
        has_free = ~self.active[:count].all()
        if self._config.svadu:
            with m.If(for_update):
                m.d.comb += free.eq(count)
            has_free = Mux(for_update, ~self.active[count], has_free)
        return free, has_free

    def _slot_memory(self, m: Module, name: str, shape: object, write: Value, slot: Value, row: Value, wanted: Value) -> Signal:
        """A column of slot state in a memory; returns what it holds for the slot `wanted`."""
        m.submodules[name] = memory = Memory(shape=shape, depth=self._config.walk_slots, init=[])
        port, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [port.en.eq(write), port.addr.eq(slot), port.data.eq(row), read.addr.eq(wanted)]
        return read.data

    def _queue_reads(self, m: Module, start: Value, first: Value, may_issue: Signal, go_on: Value, following: Value) -> None:
        """Reads to be issued: those of walks under way (one per walk, so there is always room) before the first one of the next walk."""
        m.submodules.reads = reads = SyncFIFO(width=len(following), depth=self._config.walk_slots)
        waiting, held, offered = Signal(), Signal(data.StructLayout({"walk": Start, "slot": self._slot_bits})), Signal()
        walk = held.walk
        first_read = Cat(_entry_address(walk.table(), walk.request.vpn, walk.level, walk.features.sv32), held.slot)
        read, use_held = self.memory.request, Signal()
        m.d.comb += [
            reads.w_en.eq(go_on),
            reads.w_data.eq(following),
            use_held.eq(offered | ~reads.r_rdy),
            reads.r_en.eq(read.ready & ~use_held),
            may_issue.eq(~waiting),
            read.valid.eq(Mux(use_held, waiting, reads.r_rdy)),
            Cat(read.payload.addr, read.payload.tag).eq(Mux(use_held, first_read, reads.r_data)),
        ]
        m.d.sync += offered.eq(use_held & waiting & ~read.ready)  # what has been offered stays
        with m.If(use_held & read.ready):
            m.d.sync += waiting.eq(0)
        with m.If(start):
            m.d.sync += waiting.eq(1)
        with m.If(may_issue):
            m.d.sync += held.eq(first)

    def _watch(self, m: Module, begin: WalkStart, may_start: Value, slot: Value, levels: Array) -> Signal:
        """Stale marks by slot."""
        m.submodules.stale = watch = WalkStale(self._config)
        first: Start = begin.starts.payload
        m.d.comb += [
            watch.start.eq(may_start),
            watch.slot.eq(slot),
            watch.space.eq(first.request.space),
            watch.vpn.eq(first.request.vpn),
            watch.napot.eq(first.features.napot),
            watch.doubtful.eq(self.invalidate | first.foreign),
            watch.invalidate.eq(self.invalidate),
            watch.record.eq(self.record),
            *(watch.levels[index].eq(level) for index, level in enumerate(levels)),
        ]
        return watch.stale

    def _respond(self, m: Module, end: "_End", stale: Signal) -> None:
        """A walk that memory ends is offered at once to client 0 if nothing older waits for it. The others, and what is not taken, wait in a
        queue per client, whose head is read into a register; a slot is kept until its response is taken: its stale mark goes on collecting."""
        finished = Signal(self._slot_bits)  # the slot whose end is being read
        kept = self._slot_memory(m, "ends", WalkResponse, end.valid, end.slot, end.kept, finished)
        m.submodules.turn = turn = RoundRobin(self._clients)
        m.d.comb += turn.taken.eq(1)
        for index, response in enumerate(self.responses):
            m.submodules[f"done_{index}"] = queue = SyncFIFO(width=self._slot_bits, depth=self._config.walk_slots if index < AD_UPDATE else 2)
            waiting = Signal(name=f"waiting_{index}")
            held, held_slot = Signal(WalkResponse, name=f"held_{index}"), Signal(self._slot_bits, name=f"slot_{index}")
            direct = Signal(name=f"direct_{index}")
            m.d.comb += direct.eq(end.by_memory & ~waiting & ~queue.r_rdy if index == 0 else 0)
            offered = Mux(waiting, held_slot, end.slot_of_memory) if index == 0 else held_slot
            m.d.comb += [
                response.valid.eq(waiting | direct),
                response.payload.eq(Mux(waiting, held, end.result) if index == 0 else held),
                response.payload.stale.eq(stale.bit_select(offered, 1) | self.invalidate),
                queue.w_en.eq(end.valid & (end.client == index) & ~(direct & response.ready)),
                queue.w_data.eq(end.slot),
                turn.requests[index].eq(queue.r_rdy & ~waiting),
                queue.r_en.eq(turn.valid & (turn.grant == index)),
            ]
            with m.If(response.valid & response.ready):
                m.d.sync += [waiting.eq(0), self.active.bit_select(offered, 1).eq(0)]
            with m.If(turn.grant == index):
                m.d.comb += finished.eq(queue.r_data)
            with m.If(queue.r_en):
                m.d.sync += [waiting.eq(1), held.eq(kept), held_slot.eq(finished)]


def _entry_address(table: Value, vpn: Value, level: Value, sv32: Value) -> Value:
    """Byte address of the word with the entry for `vpn` in the table at page number `table`. [Priv 12.3.2, step 2]"""
    narrow = Mux(level == 0, vpn[:SV32_LEVEL_BITS], vpn[SV32_LEVEL_BITS : 2 * SV32_LEVEL_BITS])
    return Cat(Const(0, PTE_ADDRESS_ZEROS), Mux(sv32, narrow[1:], level_index(vpn, level)), table)
