"""What an answer of the whole MMU rests on."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from seqfault_rtl.messages import AnswerStatus, Request
from seqfault_rtl.mmu import Mmu
from seqfault_rtl.paging import LEVEL_BITS, PPN_BITS, Access, PagingMode, Pte, level_index

from .memory import WalkMemory
from .spec import Spec, any_const, drive, is_range, opened, unplug

__all__ = ["FillsLate", "FillsStale", "FreshLeaf", "JoinsOldWalk", "KeepsEntry", "TakesNeighbour", "TakesStoresForLoads"]

LATENCY, STALL = 4, 0
"""Cycles: memory accepts every read at once and answers in the next cycle, to reach far with few cycles."""


class Table(data.Struct):
    """How the environment marks page numbers of tables: `watched`: the table at `level` on the way to the watched page; else of any other."""

    rest: PPN_BITS - 3
    level: 2
    watched: 1


class FreshLeaf(Spec):
    """An answer OK gives a page frame and memory type of a leaf on the way to the page, which allows the access and was read from memory
    after the last invalidation that covers the page and came before the request.

    For every page, space, privilege and access; Sv39, all sizes of pages but 64 KiB. The environment: tables of a page are used for nothing
    else, so that what is read in them tells the page; masks are ranges of low bits. Leaves may change at any time and to anything; an
    invalidation by space does not concern global ones. The watched tag is used once.
    """

    dut: Mmu

    def specify(self, m: Module) -> None:
        dut, config = self.dut, self.dut.config
        drive(m, dut, but=("withdraw",))
        request, frame, pbmt = any_const(m, Request, "watched"), any_const(m, PPN_BITS, "frame"), any_const(m, 2, "watched_pbmt")
        taken, taking = Signal(), Signal()
        offered, answer = dut.requests[0], dut.answers[0]
        m.d.comb += taking.eq(offered.valid & offered.ready & (offered.payload.tag == request.tag))
        m.d.sync += taken.eq(taken | taking)
        self.assume(m, ~(offered.valid & (offered.payload.tag == request.tag)) | ((offered.payload.as_value() == request.as_value()) & ~taken))
        self.assume(m, is_range(dut.record.mask) & (~dut.invalidate | ~dut.busy) & (request.space < config.spaces))
        self._choose_tables(m, request)
        fresh_local, fresh_global = self._watch_reads(m, request, frame, pbmt, taken | taking)
        mine = answer.valid & (answer.payload.tag == request.tag) & taken
        right = (answer.payload.pa[12:] == frame) & (answer.payload.pbmt == pbmt) & (answer.payload.status == AnswerStatus.OK)
        self.promise(m, "from_a_fresh_leaf", ~(mine & right) | fresh_local | fresh_global)
        self.promise(m, "same_offset", ~(mine & right) | (answer.payload.pa[:12] == request.va[:12]))

    def _choose_tables(self, m: Module, request: Request) -> None:
        """Roots: that of the watched space, those of others; no Svnapot, as its leaves would be in two ways."""
        dut = self.dut
        mode, root = dut.write_data[60:], Table(dut.write_data[:PPN_BITS])
        self.assume(m, (mode == PagingMode.BARE) | (mode == PagingMode.SV39))
        self.assume(m, ~dut.write_features.napot & (root.watched == (dut.write_space == request.space)) & (~root.watched | (root.level == 2)))

    def _watch_reads(self, m: Module, request: Request, frame: Value, pbmt: Value, settled: Value) -> tuple[Signal, Signal]:
        """Follows reads of the entries on the way to the page. Returns whether a leaf that justifies the answer has been read since the last
        invalidation before the request: one that is not global, one that is."""
        dut, vpn = self.dut, request.va[12:57]
        memory = WalkMemory(self, m, dut.memory, tags=dut.config.walk_slots, latency=LATENCY, stall=STALL)
        address, entry = dut.memory.request.payload.addr, Pte(dut.memory.response.payload.data)
        table, below = Table(address[12:]), Table(entry.ppn)
        on_way = [Signal(3, name=f"read_{tag}") for tag in range(dut.config.walk_slots)]  # on the way, and at which level
        for tag, kept in enumerate(on_way):
            with m.If(memory.accepted & (memory.tag == tag)):
                m.d.sync += kept.eq(Cat(table.level, table.watched & (address[3:12] == level_index(vpn, table.level))))
        record = dut.record
        in_page = record.any_page | ~((record.vpn ^ vpn) & ~record.mask)[: dut.config.vpn_bits].any()
        in_space = dut.invalidate & ~settled & in_page & (record.space == request.space)
        everywhere = dut.invalidate & ~settled & in_page & record.any_space

        back = Signal(3)
        for tag, kept in enumerate(on_way):
            with m.If(memory.answer_tag == tag):
                m.d.comb += back.eq(kept)
        level, here = back[:2], back[2]
        self.assume(m, entry.is_leaf() | (below.watched == here) & (~here | (below.level == (level - 1)[:2])))
        reach = Signal(PPN_BITS)
        m.d.comb += reach.eq(Mux(level == 0, 0, Mux(level == 1, (1 << LEVEL_BITS) - 1, (1 << 2 * LEVEL_BITS) - 1)))
        gives = ((entry.ppn & ~reach) | (vpn[:PPN_BITS] & reach)) == frame
        good = memory.answered & here & ~dut.memory.response.payload.error & entry.v & gives & (entry.pbmt == pbmt) & _allows(entry, request)
        found = []
        for name, is_global, gone in (("local", 0, in_space | everywhere), ("global", 1, everywhere)):
            fresh, old = Signal(name=f"fresh_{name}"), Signal(len(on_way), name=f"old_{name}")
            for tag in range(len(on_way)):
                accepted = memory.accepted & (memory.tag == tag)
                m.d.sync += old[tag].eq((old[tag] & ~accepted) | gone)
            now = good & (entry.g == is_global) & ~old.bit_select(memory.answer_tag[: max(1, len(on_way).bit_length())], 1)
            m.d.sync += fresh.eq((fresh | now) & ~gone)
            found.append(fresh)
        return found[0], found[1]


def _allows(entry: Pte, request: Request) -> Value:
    """The rules of the specification, once more: U, SUM, MXR, R, W, X, A and D. [Priv 12.3.2, steps 6 to 9]"""
    load, store, fetch = (request.access == kind for kind in (Access.LOAD, Access.STORE, Access.FETCH))
    as_user = ~request.supervisor & entry.u
    as_supervisor = request.supervisor & (~entry.u | (request.sum & ~fetch))
    right = (load & (entry.r | (entry.x & request.mxr))) | (store & entry.w) | (fetch & entry.x)
    return (as_user | as_supervisor) & right & entry.a & (entry.d | ~store)


class FillsStale(Mmu):
    """Walks under way when an invalidation comes are kept: the walker does not hear of it."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        unplug(self.walker, "invalidate")
        return m


class JoinsOldWalk(Mmu):
    """A request joins the walk for its page that began before an invalidation."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        unplug(opened(opened(self.translator).block("misses")).block("table"), "invalidate")
        return m


class FillsLate(Mmu):
    """A walk that has ended is kept although an invalidation comes before its leaf is passed on."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        unplug(opened(opened(self.translator).block("misses")).block("end"), "invalidate")
        return m


class KeepsEntry(Mmu):
    """The TLB of port 0 does not hear of invalidations."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        unplug(opened(opened(self.translator).block("port_0")).block("tlb"), "invalidate")
        return m


class TakesStoresForLoads(Mmu):
    """Requests of port 0 are looked at as loads."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        m.d.comb += self.translator.requests[0].payload.access.eq(Access.LOAD)
        return m


class TakesNeighbour(Mmu):
    """Requests of port 0 for odd pages are answered with the page below."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        m = super().elaborate(platform)
        m.d.comb += self.translator.requests[0].payload.va[12].eq(0)
        return m
