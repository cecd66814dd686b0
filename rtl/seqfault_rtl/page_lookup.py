"""From a page of a file to its slot in the page cache: a descent of the radix tree in memory. [docs/software-contract.md, Page cache]

It takes no lock: a slot says what was in memory at one moment of the lookup. What that is worth is decided by the fault's later checks, as a
page leaves the cache only in a section of each VMA that shows it.
"""

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .config import PADDR_BITS, EngineConfig
from .messages import MemoryReadSignature, Outcome
from .page_messages import NODE_ALIGN_BITS, PAGE_TAG_BITS, PGOFF_BITS, Backing, CacheNode, PageLookupRequest, PageLookupResponse
from .paging import VPN_BITS
from .tagged_memory import tagged_memory

__all__ = ["MAX_HEIGHT", "PageLookup"]

MAX_HEIGHT = 8
"""Levels of the highest tree."""
LEVEL_BITS = 6
"""Bits of the page's index that one level decodes."""
WORD_BITS = 3
"""log2 of the bytes of a word."""
INDEX_BITS = PGOFF_BITS + 1
"""Width of pgoff + VPN - start."""


class Begun(data.Struct):
    """A request that has not asked for anything yet; its index is kept elsewhere."""

    tag: PAGE_TAG_BITS
    backing: Backing


class Fetch(data.Struct):
    """A word that is read: where, and how many levels are below it."""

    addr: PADDR_BITS
    level: range(MAX_HEIGHT)


class Move(data.Struct):
    """A step of a lookup: it reads on in the node `node` (an address without its lowest 9 bits) of `level`, or ends."""

    reads: 1
    node: PADDR_BITS - NODE_ALIGN_BITS
    level: range(MAX_HEIGHT)
    ends: 1
    end: PageLookupResponse


class PageLookup(wiring.Component):
    """A lookup for each fault context; each reads one word at a time. In each cycle one lookup makes a step, those with a word first.

    Cycles from a request's transfer to its answer, alone, with memory that takes at once and answers after L cycles: height * (L + 1) + 2;
    2 for what needs no read.

    Parameters
    ----------
    config : `contexts` lookups may be in flight; their tags are below that, and differ.

    Members
    -------
    request, response : a lookup and its answer, joined by `tag`; answers come in any order.
    memory : reads of one word, with the lookup's tag. Responses are always accepted.
    """

    request: In(stream.Signature(PageLookupRequest))
    response: Out(stream.Signature(PageLookupResponse))
    memory: Out(MemoryReadSignature())

    def __init__(self, config: EngineConfig) -> None:
        self._contexts = config.contexts
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        begun, waits = Signal(Begun), Signal()
        move, fetch, tag = Signal(Move), Signal(Fetch), Signal(PAGE_TAG_BITS)
        asked, word = self.request.payload, self.memory.response
        indices, index = tagged_memory(m, "indices", INDEX_BITS, self._contexts, tag)
        fetches, fetched = tagged_memory(m, "fetches", Fetch, self._contexts, tag)
        m.d.comb += [
            word.ready.eq(1),
            self.request.ready.eq(~waits | ~word.valid),
            indices.addr.eq(asked.tag),
            indices.data.eq(asked.pgoff + (asked.vpn - asked.start)[:VPN_BITS]),
            indices.en.eq(self.request.valid & self.request.ready),
            fetch.addr.eq(Cat(Const(0, WORD_BITS), index.word_select(move.level, LEVEL_BITS), move.node)),
            fetch.level.eq(move.level),
            fetches.addr.eq(tag),
            fetches.data.eq(fetch),
            fetches.en.eq(move.reads),
            move.end.tag.eq(tag),
        ]
        with m.If(self.request.ready):
            m.d.sync += [waits.eq(self.request.valid), begun.tag.eq(asked.tag), begun.backing.eq(asked.backing)]
        with m.If(word.valid):
            m.d.comb += tag.eq(word.payload.tag)
            self._descend(m, fetched, move)
        with m.Elif(waits):
            m.d.comb += tag.eq(begun.tag)
            self._begin(m, begun.backing, index, move)
        self._ask(m, move.reads, tag, fetch.addr)
        self._queue(m, "ends", self.response, move.ends, move.end)
        return m

    def _begin(self, m: Module, backing, index: Value, move) -> None:  # type: ignore[no-untyped-def]
        """The root, if the tree is high enough for the page."""
        m.d.comb += [move.node.eq(backing.node), move.level.eq(backing.height - 1)]
        outside = Signal()
        m.d.comb += outside.eq(1)
        with m.Switch(backing.height):
            for height in range(1, MAX_HEIGHT + 1):
                with m.Case(height):
                    m.d.comb += outside.eq(index[height * LEVEL_BITS :].any())
        with m.If(backing.height > MAX_HEIGHT):
            m.d.comb += [move.ends.eq(1), move.end.outcome.eq(Outcome.BAD_TREE)]
        with m.Elif(outside):
            m.d.comb += [move.ends.eq(1), move.end.outcome.eq(Outcome.NOT_CACHED)]
        with m.Else():
            m.d.comb += move.reads.eq(1)

    def _descend(self, m: Module, fetched, move) -> None:  # type: ignore[no-untyped-def]
        """A word that was read: a slot, or the way to the next node."""
        word, inner = self.memory.response.payload, CacheNode(self.memory.response.payload.data)
        m.d.comb += [move.node.eq(inner.node), move.level.eq(fetched.level - 1), move.end.addr.eq(fetched.addr), move.end.word.eq(word.data)]
        with m.If(word.error):
            m.d.comb += [move.ends.eq(1), move.end.word.eq(0), move.end.outcome.eq(Outcome.BUS_ERROR)]
        with m.Elif(fetched.level == 0):
            m.d.comb += [move.ends.eq(1), move.end.outcome.eq(Outcome.OK)]
        with m.Elif(~inner.valid):
            m.d.comb += [move.ends.eq(1), move.end.outcome.eq(Outcome.NOT_CACHED)]
        with m.Else():
            m.d.comb += move.reads.eq(1)

    def _ask(self, m: Module, go: Value, tag: Value, addr: Value) -> None:
        """Each lookup has one read at a time, so there is always room for it."""
        request = self.memory.request
        asked = stream.Signature(data.StructLayout({"addr": PADDR_BITS, "tag": PAGE_TAG_BITS})).create(path=("asked",))
        self._queue(m, "reads", asked, go, Cat(addr, tag))
        m.d.comb += [
            request.valid.eq(asked.valid),
            asked.ready.eq(request.ready),
            request.payload.addr.eq(asked.payload.addr),
            request.payload.tag.eq(asked.payload.tag),
        ]

    def _queue(self, m: Module, name: str, output: wiring.PureInterface, push: Value, payload: object) -> None:
        """A stream behind a queue with room for each lookup in flight."""
        m.submodules[name] = fifo = SyncFIFO(width=len(output.p.as_value()), depth=self._contexts)
        m.d.comb += [
            fifo.w_en.eq(push),
            fifo.w_data.eq(payload),
            output.valid.eq(fifo.r_rdy),
            output.p.eq(fifo.r_data),
            fifo.r_en.eq(output.ready),
        ]
