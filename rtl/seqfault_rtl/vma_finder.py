"""From an address to its VMA record, without a lock: a range cache, else a descent of the tree in memory. [protocol.md 0.2, R1]

A descent may race with a writer. What it promises: the returned sequence was read while the tree that was descended was still the published
one and before the record was read. So if that sequence is even and still current, the record is linked and its fields belong together.
Should another root be published during a descent, the descent begins again, `MAX_RESTARTS` times at the most; after that the answer comes
with an odd sequence, which no speculative fault accepts. (Under the mm lock, where it is not looked at, nothing is unlinked.)
"""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import FindRequest, FindResponse, MemoryReadSignature, Outcome, SpaceEntry
from .paging import VPN_BITS
from .round_robin import RoundRobin
from .vma_cache import VmaCache, VmaCacheEntry
from .vma_lookup import MAX_RESTARTS, Lookup, LookupState, node_word, record_word
from .vma_tree import MAX_DEPTH, NODE_ALIGN_BITS, NODE_WORDS, POINTER_ALIGN_BITS, RECORD_WORDS, PointerKind

__all__ = ["VmaFinder"]


class Hit(data.Struct):
    """A request for whose page the cache has `entry`. `stale`: the space was flushed when it was asked."""

    request: FindRequest
    entry: VmaCacheEntry
    stale: 1


class VmaFinder(wiring.Component):
    """`config.lookups` lookups in flight that read memory; one of them makes a step in a cycle, in turn. Answers come in any order.

    Cycles from a request's transfer to its answer, in an idle finder, with memory that takes at once and gives the first word of a burst L
    cycles after its request and one in each cycle then: 1 from the cache; 25 + 2 L (27 + 2 L if the VMA shows a file) for a tree of one node,
    17 + L more for each further node.

    Parameters
    ----------
    config : `lookups`, `vma_cache` and the widths are used.

    Members
    -------
    request, response : a lookup and its answer, joined by `tag`. `fields`, `record_addr` and `seq` are meaningful for OK only. OK is the
        record of the last entry that starts at or below the page; whether it covers the page is the fault's question (R5).
    memory : bursts of 16 words (nodes) and 6 words (records); the tag is the lookup's number. Responses are always accepted. With anonymous
        memory the answer does not wait for the last two words of the record, and tells no bus error of theirs.
    space, space_entry : combinational query of the space table.
    sequence_id, sequence : combinational query of the sequence table.
    flush_space, flush_index : this space gets another table: what is known about it, and what is being found, is not kept.
    hint, hint_space, hint_vpn : strobe: this page may be asked for soon, as a walk for it begins. A lookup begins if the cache does not know
        the page and another place stays free; a request for the same page takes it over.
    command : strobe: the command unit takes a step. Lookups that nobody has asked for end: what they read may be unlinked by it, and no
        fence waits for them; so what a request takes over is what it would read itself.
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
    hint: In(1)
    hint_space: In(16)
    hint_vpn: In(VPN_BITS)
    command: In(1)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cache = cache = VmaCache(self._config)
        m.submodules.turn = turn = RoundRobin(self._config.lookups)
        lookups = [Signal(Lookup, name=f"lookup_{i}") for i in range(self._config.lookups)]
        self._reading = Signal(self._config.lookups)  # a burst of this lookup has not ended
        self._hit, self._hit_new, self._hit_counts = Signal(Hit), Signal(), Signal()
        self._taken_over, self._wanted = Signal(self._config.lookups), Signal(FindRequest)
        self._found = stream.Signature(FindResponse).create(path=("found",))  # answers that were read from memory
        now, after = Signal(Lookup), Signal(Lookup)  # the lookup whose turn it is: before and after its step
        m.d.comb += [
            turn.requests.eq(Cat(self._can_step(lookup) for lookup in lookups)),
            turn.taken.eq(1),
            self.space.eq(now.space),
            cache.flush_space.eq(self.flush_space),
            cache.flush_index.eq(self.flush_index),
        ]
        with m.If(self.memory.request.ready):
            m.d.sync += self.memory.request.valid.eq(0)
        with m.If(self._found.ready):
            m.d.sync += self._found.valid.eq(0)

        self._accept(m, lookups, cache)
        self._receive(m, lookups)
        m.d.comb += after.eq(now)
        with m.If(turn.valid):
            for i, lookup in enumerate(lookups):
                with m.If(turn.grant == i):
                    m.d.comb += now.eq(lookup)
                    m.d.sync += lookup.eq(after)
            with m.Switch(now.state):
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
            with m.If(self.command & (lookup.state != LookupState.IDLE)):
                m.d.sync += lookup.old.eq(1)
        for i, lookup in enumerate(lookups):
            with m.If(self._taken_over[i]):
                m.d.sync += [lookup.hint.eq(0), lookup.tag.eq(self._wanted.tag)]
        return m

    def _can_step(self, lookup) -> Value:  # type: ignore[no-untyped-def]
        state = lookup.state
        may_ask = ~self.memory.request.valid | self.memory.request.ready
        may_answer = (~self._found.valid | self._found.ready) & ~self._hit_new & ~self._hit_counts  # a hit that is offered stays so
        asks = (state == LookupState.DESCEND) | ((state == LookupState.CAPTURE) & ~self._hit_new)  # the sequence table has one port
        return (state == LookupState.ROOT) | (asks & may_ask) | ((state == LookupState.FINISH) & may_answer)

    def _accept(self, m: Module, lookups: list, cache: VmaCache) -> None:
        """Ask the cache in the request's cycle. What it does not know, or knew under another sequence, goes to the first free place."""
        hit, asked, wanted = self._hit, self.request.payload, self._wanted
        free, begins, hinted, wanted_hints = Signal(self._config.lookups), Signal(), Signal(), Signal(self._config.lookups)
        taken, refuted = self.request.valid & self.request.ready, self._answer(m)
        m.d.comb += [
            free.eq(Cat(lookup.state == LookupState.IDLE for lookup in lookups) & ~self._reading),
            self.request.ready.eq(free.any() & ~self._hit_new & ~self._hit_counts),  # a hit that does not count finds a free place
            cache.space.eq(Mux(self.request.valid, asked.space, self.hint_space)),
            cache.vpn.eq(Mux(self.request.valid, asked.vpn, self.hint_vpn)),
            wanted.eq(Mux(refuted, hit.request, asked)),
            hinted.eq(self.hint & ~self.request.valid & ~refuted & ~cache.hit & (free & (free - 1)).any()),
            begins.eq(refuted | (taken & ~cache.hit)),
        ]
        for i, lookup in enumerate(lookups):
            same = (lookup.space == wanted.space) & (lookup.vpn == wanted.vpn)
            under_way = (lookup.state != LookupState.IDLE) & (lookup.state != LookupState.FINISH)
            m.d.comb += wanted_hints[i].eq(begins & lookup.hint & ~lookup.old & ~self.command & under_way & same)
        m.d.comb += self._taken_over.eq(wanted_hints & -wanted_hints)  # two walks for one page give two hints
        m.d.sync += self._hit_new.eq(taken & cache.hit)
        with m.If(taken):
            m.d.sync += [hit.request.eq(asked), hit.entry.eq(cache.entry), hit.stale.eq(self.flush_space & (asked.space == self.flush_index))]
        first = free & -free
        for i, lookup in enumerate(lookups):
            with m.If(first[i] & (hinted | (begins & ~self._taken_over.any()))):
                m.d.sync += lookup.eq(0)
                m.d.sync += [lookup.space.eq(wanted.space), lookup.vpn.eq(wanted.vpn), lookup.tag.eq(wanted.tag)]
                m.d.sync += [lookup.state.eq(LookupState.ROOT), lookup.hint.eq(hinted)]
                with m.If(hinted):
                    m.d.sync += [lookup.space.eq(self.hint_space), lookup.vpn.eq(self.hint_vpn)]

    def _answer(self, m: Module) -> Value:
        """Offer what was found, or else a hit, if it counts; that is decided in its first cycle. True: it does not."""
        answer, entry = self.response.payload, self._hit.entry
        counts, current = Signal(), Signal()
        with m.If(self._hit_new):
            m.d.comb += [self.sequence_id.eq(entry.fields.id), current.eq(self._is_current(entry) & ~self._hit.stale)]
        m.d.comb += [
            counts.eq(self._hit_counts | current),
            self.response.valid.eq(self._found.valid | counts),
            self._found.ready.eq(self.response.ready),
            answer.eq(self._found.payload),
        ]
        with m.If(~self._found.valid):
            m.d.comb += [
                answer.tag.eq(self._hit.request.tag),
                answer.outcome.eq(Outcome.OK),
                answer.record_addr.eq(entry.record_addr),
                answer.fields.eq(entry.fields),
                answer.seq.eq(entry.seq),
            ]
        m.d.sync += self._hit_counts.eq(counts & (self._found.valid | ~self.response.ready))
        return self._hit_new & ~current

    def _is_current(self, entry: VmaCacheEntry) -> Value:
        """A hit counts only under the sequence with which it was filled (always even)."""
        return self.sequence == entry.seq

    def _root(self, m: Module, after) -> None:  # type: ignore[no-untyped-def]
        root = self.space_entry.vmas
        m.d.comb += [after.root.eq(root), after.pointer.eq(root), after.depth.eq(0), after.state.eq(LookupState.DESCEND)]

    def _descend(self, m: Module, now, after, index: Signal) -> None:  # type: ignore[no-untyped-def]
        """Follow `pointer`."""
        pointer = now.pointer
        is_root = now.depth == 0
        misaligned = pointer.line[: NODE_ALIGN_BITS - POINTER_ALIGN_BITS].any()
        m.d.comb += [after.outcome.eq(Outcome.BAD_TREE), after.state.eq(LookupState.FINISH)]
        with m.If(now.hint & now.old):
            m.d.comb += after.state.eq(LookupState.IDLE)
        with m.Elif(is_root & (pointer.kind == PointerKind.NONE.value)):
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
        with m.If(now.hint & now.old):
            m.d.comb += after.state.eq(LookupState.IDLE)
        with m.Elif(moved & (now.restarts != MAX_RESTARTS)):
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
        m.d.sync += self._reading.bit_select(index, 1).eq(1)
        m.d.comb += [after.beat.eq(0), after.failed.eq(0)]

    def _receive(self, m: Module, lookups: list) -> None:
        """A word from memory for the lookup of its tag, which may know enough already."""
        word = self.memory.response.payload
        waiting, received, ended = Signal(Lookup), Signal(Lookup), Signal()
        m.d.comb += [self.memory.response.ready.eq(1), received.eq(waiting)]
        for i, lookup in enumerate(lookups):
            with m.If(word.tag == i):
                m.d.comb += waiting.eq(lookup)
                with m.If(self.memory.response.valid & word.last):
                    m.d.sync += self._reading[i].eq(0)
                with m.If(self.memory.response.valid & ((lookup.state == LookupState.NODE) | (lookup.state == LookupState.RECORD))):
                    m.d.sync += lookup.eq(received)
        m.d.comb += [received.beat.eq(waiting.beat + 1), received.failed.eq(waiting.failed | word.error)]
        with m.If(waiting.state == LookupState.NODE):
            m.d.comb += ended.eq(node_word(m, waiting, received, word))
        with m.Else():
            m.d.comb += ended.eq(record_word(m, waiting, received, word))
        with m.If(ended & received.failed):
            m.d.comb += [received.outcome.eq(Outcome.BUS_ERROR), received.state.eq(LookupState.FINISH)]

    def _finish(self, m: Module, now, after, cache: VmaCache) -> None:  # type: ignore[no-untyped-def]
        """Answer, and keep what was read under an even sequence."""
        found = (now.outcome == Outcome.OK) & now.inside
        record_addr = now.pointer.line << POINTER_ALIGN_BITS
        answer = self._found.payload
        m.d.comb += [
            cache.fill.eq(found & ~now.stale & ~now.seq[0] & ~(now.hint & now.old)),
            cache.filled.space.eq(now.space),
            cache.filled.fields.eq(now.fields),
            cache.filled.record_addr.eq(record_addr),
            cache.filled.seq.eq(now.seq),
            after.state.eq(LookupState.IDLE),
        ]
        m.d.sync += [
            self._found.valid.eq(~now.hint),
            answer.tag.eq(now.tag),
            answer.outcome.eq(now.outcome),
            answer.record_addr.eq(record_addr),
            answer.fields.eq(now.fields),
            answer.seq.eq(now.seq),
        ]
