"""One VMA lookup in flight: its state, and what the words of a node and of a record do to it. [docs/software-contract.md, VMA tree]"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

from .messages import Outcome, VmaFields
from .paging import VPN_BITS
from .vma_flags import VmaFlags
from .vma_tree import MAX_DEPTH, NODE_WORDS, NodeKey, Pointer, PointerKind, RecordEnd, RecordWord

__all__ = ["MAX_RESTARTS", "Lookup", "LookupState", "node_word", "record_word"]

DEPTH_BITS = MAX_DEPTH.bit_length()
BEAT_BITS = ceil_log2(NODE_WORDS)
MAX_RESTARTS = 7
"""Times that a descent begins again because another tree was published."""


class LookupState(enum.Enum, shape=3):
    """What a lookup does next. NODE and RECORD wait for memory; the others take one cycle when it is their turn."""

    IDLE = 0
    ROOT = 1
    DESCEND = 2
    NODE = 3
    CAPTURE = 4
    RECORD = 5
    FINISH = 6


class Lookup(data.Struct):
    """One lookup in flight that reads memory.

    `root` is the root pointer that the descent began with, `pointer` the next node or the record, `depth` the nodes read so far.
    While a burst arrives: `beat` counts its words, `reached` says that the entry (of id `reached_id`) starts at or below the page, `ended`
    that the node is over, `found` that `pointer` and `id` are those of an entry, `failed` a bus error. `inside`: the page is within the
    record's bounds. `stale`: the space was flushed meanwhile, do not fill. `hint`: nobody has asked for it yet; `old`: a command was executed
    meanwhile.
    """

    state: LookupState
    space: 16
    vpn: VPN_BITS
    tag: 6
    root: Pointer
    pointer: Pointer
    depth: DEPTH_BITS
    restarts: MAX_RESTARTS.bit_length()
    beat: BEAT_BITS
    reached: 1
    reached_id: 16
    ended: 1
    found: 1
    failed: 1
    id: 16
    inside: 1
    stale: 1
    hint: 1
    old: 1
    outcome: Outcome
    fields: VmaFields
    seq: 32


def node_word(m: Module, waiting, received, word) -> Value:  # type: ignore[no-untyped-def]
    """Keep the last entry that starts at or below the page. True: it was the last word."""
    key, pointer = NodeKey(word.data), Pointer(word.data)
    with m.If(~waiting.beat[0]):
        m.d.comb += [received.reached.eq(key.start <= waiting.vpn), received.reached_id.eq(key.id)]
    with m.Elif(waiting.ended | (pointer.kind == PointerKind.NONE.value)):
        m.d.comb += received.ended.eq(1)
    with m.Elif(waiting.reached):
        m.d.comb += [received.found.eq(1), received.pointer.eq(pointer), received.id.eq(waiting.reached_id)]
    is_record = received.pointer.kind == PointerKind.RECORD.value
    with m.If(word.last):
        m.d.comb += [
            received.outcome.eq(Outcome.NO_VMA),
            received.state.eq(Mux(received.found, Mux(is_record, LookupState.CAPTURE, LookupState.DESCEND), LookupState.FINISH)),
        ]
    return word.last


def record_word(m: Module, waiting, received, word) -> Value:  # type: ignore[no-untyped-def]
    """Take over the fields. The last two are not waited for where they mean nothing. True: it was the last word that is."""
    fields, enough = received.fields, Signal()
    m.d.comb += enough.eq(word.last)
    with m.Switch(waiting.beat):
        with m.Case(RecordWord.START.value):
            key = NodeKey(word.data)
            m.d.comb += [fields.start.eq(key.start), fields.id.eq(key.id), received.inside.eq(key.start <= waiting.vpn)]
        with m.Case(RecordWord.END.value):
            end = RecordEnd(word.data).end
            m.d.comb += [fields.end.eq(end), received.inside.eq(waiting.inside & (waiting.vpn < end))]
        with m.Case(RecordWord.FLAGS.value):
            m.d.comb += fields.flags.eq(word.data)
        with m.Case(RecordWord.PAGE_PROT.value):
            m.d.comb += [fields.page_prot.eq(word.data), enough.eq(VmaFlags(waiting.fields.flags).is_anonymous())]
        with m.Case(RecordWord.PGOFF.value):
            m.d.comb += fields.pgoff.eq(word.data)
        with m.Case(RecordWord.BACKING.value):
            m.d.comb += fields.backing.eq(word.data)
    with m.If(enough):
        m.d.comb += [received.outcome.eq(Outcome.OK), received.state.eq(LookupState.FINISH)]
    return enough
