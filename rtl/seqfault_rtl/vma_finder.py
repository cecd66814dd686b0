"""From an address to its VMA record, without a lock: a range cache, else a descent of the tree in memory. [protocol.md 0.2, R1]

A descent may race with a writer. What it promises: the returned sequence was read while the tree that was descended was still the published
one and before the record was read. So if that sequence is even and still current, the record is linked and its fields belong together.
Should another root be published during a descent, the descent begins again, `MAX_RESTARTS` times at the most; after that the answer comes
with an odd sequence, which no speculative fault accepts. (Under the mm lock, where it is not looked at, nothing is unlinked.)
"""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import FindRequest, FindResponse, MemoryReadSignature, Outcome, SpaceEntry
from .round_robin import RoundRobin
from .vma_cache import VmaCache
from .vma_lookup import MAX_RESTARTS, Lookup, LookupState, node_word, record_word
from .vma_tree import MAX_DEPTH, NODE_ALIGN_BITS, NODE_WORDS, POINTER_ALIGN_BITS, RECORD_WORDS, PointerKind

__all__ = ["VmaFinder"]


class VmaFinder(wiring.Component):
    """`config.lookups` lookups in flight; one of them makes a step in a cycle, in turn. Answers come in any order.

    Parameters
    ----------
    config : `lookups`, `vma_cache` and the widths are used.

    Members
    -------
    request, response : a lookup and its answer, joined by `tag`. `fields`, `record_addr` and `seq` are meaningful for OK only. OK is the
        record of the last entry that starts at or below the page; whether it covers the page is the fault's question (R5).
    memory : bursts of 16 words (nodes) and 4 words (records); the tag is the lookup's number. Responses are always accepted.
    space, space_entry : combinational query of the space table.
    sequence_id, sequence : combinational query of the sequence table.
    flush_space, flush_index : this space gets another table: what is known about it, and what is being found, is not kept.
    """

    request: In(stream.Signature(FindRequest))
    response: Out(stream.Signature(FindResponse))
    memory: Out(MemoryReadSignature())
    space: Out(16)
    space_entry: In(SpaceEntry)
    sequence_id: Out(16)
    sequence: In(32)
    flush_space: In(1)
    flush_index: In(16)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cache = cache = VmaCache(self._config)
        m.submodules.turn = turn = RoundRobin(self._config.lookups)
        lookups = [Signal(Lookup, name=f"lookup_{i}") for i in range(self._config.lookups)]
        now, after = Signal(Lookup), Signal(Lookup)  # the lookup whose turn it is: before and after its step
        may_ask, may_answer = Signal(), Signal()
        m.d.comb += [
            may_ask.eq(~self.memory.request.valid | self.memory.request.ready),
            may_answer.eq(~self.response.valid | self.response.ready),
            turn.requests.eq(Cat(self._can_step(lookup, may_ask, may_answer) for lookup in lookups)),
            turn.taken.eq(1),
            self.space.eq(now.space),
            cache.flush_space.eq(self.flush_space),
            cache.flush_index.eq(self.flush_index),
        ]
        with m.If(self.memory.request.ready):
            m.d.sync += self.memory.request.valid.eq(0)
        with m.If(self.response.ready):
            m.d.sync += self.response.valid.eq(0)

        self._accept(m, lookups)
        self._receive(m, lookups)
        m.d.comb += after.eq(now)
        with m.If(turn.valid):
            for i, lookup in enumerate(lookups):
                with m.If(turn.grant == i):
                    m.d.comb += now.eq(lookup)
                    m.d.sync += lookup.eq(after)
            with m.Switch(now.state):
                with m.Case(LookupState.PROBE):
                    self._probe(m, now, after, cache)
                with m.Case(LookupState.CHECK):
                    self._check(m, now, after)
                with m.Case(LookupState.ROOT):
                    self._root(m, after)
                with m.Case(LookupState.DESCEND):
                    self._descend(m, now, after, turn.grant)
                with m.Case(LookupState.CAPTURE):
                    self._capture(m, now, after, turn.grant)
                with m.Case(LookupState.FINISH):
                    self._finish(m, now, after, cache)
        for lookup in lookups:  # last, so that a flush is not lost to a step in the same cycle
            with m.If(self.flush_space & (lookup.state != LookupState.IDLE) & (lookup.space == self.flush_index)):
                m.d.sync += lookup.stale.eq(1)
        return m

    @staticmethod
    def _can_step(lookup, may_ask: Signal, may_answer: Signal):  # type: ignore[no-untyped-def]
        state = lookup.state
        free = (state == LookupState.PROBE) | (state == LookupState.CHECK) | (state == LookupState.ROOT)
        asks = (state == LookupState.DESCEND) | (state == LookupState.CAPTURE)
        return free | (asks & may_ask) | ((state == LookupState.FINISH) & may_answer)

    def _accept(self, m: Module, lookups: list) -> None:
        """A request goes to the first idle place."""
        m.d.comb += self.request.ready.eq(Cat(lookup.state == LookupState.IDLE for lookup in lookups).any())
        taken = Const(0)
        for lookup in lookups:
            idle = lookup.state == LookupState.IDLE
            with m.If(self.request.valid & idle & ~taken):
                wanted = self.request.payload
                m.d.sync += lookup.eq(0)
                m.d.sync += [lookup.space.eq(wanted.space), lookup.vpn.eq(wanted.vpn), lookup.tag.eq(wanted.tag)]
                m.d.sync += lookup.state.eq(LookupState.PROBE)
            taken = taken | idle

    def _probe(self, m: Module, now, after, cache: VmaCache) -> None:  # type: ignore[no-untyped-def]
        """Ask the cache; the sequence of what it says is looked up in the next step, to keep the paths short."""
        m.d.comb += [cache.space.eq(now.space), cache.vpn.eq(now.vpn)]
        m.d.comb += after.state.eq(LookupState.ROOT)
        with m.If(cache.hit):
            m.d.comb += [
                after.fields.eq(cache.entry.fields),
                after.pointer.line.eq(cache.entry.record_addr >> POINTER_ALIGN_BITS),
                after.seq.eq(cache.entry.seq),
                after.state.eq(LookupState.CHECK),
            ]

    def _check(self, m: Module, now, after) -> None:  # type: ignore[no-untyped-def]
        """A hit counts only under the sequence with which it was filled (always even)."""
        m.d.comb += self.sequence_id.eq(now.fields.id)
        with m.If((self.sequence == now.seq) & ~now.stale):
            m.d.comb += [after.cached.eq(1), after.inside.eq(1), after.outcome.eq(Outcome.OK), after.state.eq(LookupState.FINISH)]
        with m.Else():
            m.d.comb += after.state.eq(LookupState.ROOT)

    def _root(self, m: Module, after) -> None:  # type: ignore[no-untyped-def]
        root = self.space_entry.vmas
        m.d.comb += [after.root.eq(root), after.pointer.eq(root), after.depth.eq(0), after.state.eq(LookupState.DESCEND)]

    def _descend(self, m: Module, now, after, index: Signal) -> None:  # type: ignore[no-untyped-def]
        """Follow `pointer`."""
        pointer = now.pointer
        is_root = now.depth == 0
        misaligned = pointer.line[: NODE_ALIGN_BITS - POINTER_ALIGN_BITS].any()
        m.d.comb += [after.outcome.eq(Outcome.BAD_TREE), after.state.eq(LookupState.FINISH)]
        with m.If(is_root & (pointer.kind == PointerKind.NONE.value)):
            m.d.comb += after.outcome.eq(Outcome.NO_VMA)
        with m.Elif((pointer.kind == PointerKind.NODE.value) & ~misaligned & (now.depth != MAX_DEPTH)):
            self._read(m, now, after, index, NODE_WORDS)
            m.d.comb += [after.depth.eq(now.depth + 1), after.ended.eq(0), after.found.eq(0), after.state.eq(LookupState.NODE)]
        with m.Elif((pointer.kind == PointerKind.RECORD.value) & ~is_root):
            m.d.comb += after.state.eq(LookupState.CAPTURE)

    def _capture(self, m: Module, now, after, index: Signal) -> None:  # type: ignore[no-untyped-def]
        """The sequence before the record is read, while the tree is still the published one."""
        moved = self.space_entry.vmas != now.root.as_value()
        m.d.comb += [self.sequence_id.eq(now.id), after.seq.eq(self.sequence | moved)]
        with m.If(moved & (now.restarts != MAX_RESTARTS)):
            m.d.comb += [after.restarts.eq(now.restarts + 1), after.state.eq(LookupState.ROOT)]
        with m.Else():
            self._read(m, now, after, index, RECORD_WORDS)
            m.d.comb += after.state.eq(LookupState.RECORD)

    def _read(self, m: Module, now, after, index: Signal, words: int) -> None:  # type: ignore[no-untyped-def]
        asked = self.memory.request
        m.d.sync += [
            asked.valid.eq(1),
            asked.payload.addr.eq(now.pointer.line << POINTER_ALIGN_BITS),
            asked.payload.beats.eq(words - 1),
            asked.payload.tag.eq(index),
        ]
        m.d.comb += [after.beat.eq(0), after.failed.eq(0)]

    def _receive(self, m: Module, lookups: list) -> None:
        """A word from memory for the lookup of its tag."""
        word = self.memory.response.payload
        waiting, received = Signal(Lookup), Signal(Lookup)
        m.d.comb += [self.memory.response.ready.eq(1), received.eq(waiting)]
        for i, lookup in enumerate(lookups):
            with m.If(word.tag == i):
                m.d.comb += waiting.eq(lookup)
                with m.If(self.memory.response.valid):
                    m.d.sync += lookup.eq(received)
        m.d.comb += [received.beat.eq(waiting.beat + 1), received.failed.eq(waiting.failed | word.error)]
        with m.If(waiting.state == LookupState.NODE):
            node_word(m, waiting, received, word)
        with m.Else():
            record_word(m, waiting, received, word)
        with m.If(word.last & received.failed):
            m.d.comb += [received.outcome.eq(Outcome.BUS_ERROR), received.state.eq(LookupState.FINISH)]

    def _finish(self, m: Module, now, after, cache: VmaCache) -> None:  # type: ignore[no-untyped-def]
        """Answer, and keep what was read under an even sequence."""
        found = (now.outcome == Outcome.OK) & now.inside
        record_addr = now.pointer.line << POINTER_ALIGN_BITS
        answer = self.response.payload
        m.d.comb += [
            cache.fill.eq(found & ~now.cached & ~now.stale & ~now.seq[0]),
            cache.filled.space.eq(now.space),
            cache.filled.fields.eq(now.fields),
            cache.filled.record_addr.eq(record_addr),
            cache.filled.seq.eq(now.seq),
            after.state.eq(LookupState.IDLE),
        ]
        m.d.sync += [
            self.response.valid.eq(1),
            answer.tag.eq(now.tag),
            answer.outcome.eq(now.outcome),
            answer.record_addr.eq(record_addr),
            answer.fields.eq(now.fields),
            answer.seq.eq(now.seq),
        ]
