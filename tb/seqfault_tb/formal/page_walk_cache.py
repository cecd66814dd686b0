"""What the page-walk cache may answer."""

from dataclasses import replace

from amaranth import Module, Mux, Signal, Value

from seqfault_rtl.page_walk_cache import PageWalkCache
from seqfault_rtl.paging import LEVEL_BITS, PPN_BITS, SV32_LEVEL_BITS

from .spec import Spec, any_const, drive, is_range, opened

__all__ = ["IgnoresHalf", "KeepsTable", "LeavesOthers", "NoStalePointer"]


class NoStalePointer(Spec):
    """A pointer is answered only as it was filled last for this way, and never if an invalidation covered a page behind it since.

    For every space, page and level. The environment: masks are ranges of low bits (NAPOT).
    """

    dut: PageWalkCache

    def specify(self, m: Module) -> None:
        dut, config = self.dut, self.dut._config
        drive(m, dut)
        space, vpn = any_const(m, config.space_bits, "watched_space"), any_const(m, config.vpn_bits, "watched_vpn")
        inside = opened(dut)
        self.assume(m, is_range(dut.record.mask))
        asked = Signal()
        m.d.comb += asked.eq((dut.space == space) & (dut.vpn[: config.vpn_bits] == vpn))
        self.promise(m, "inside_mode", ~dut.hit | (dut.level + 1 < dut.levels))
        for level in range(1, config.levels):
            known, table = Signal(name=f"known_{level}"), Signal(PPN_BITS, name=f"table_{level}")
            reach = SV32_LEVEL_BITS if level == 1 and config.sv32 else LEVEL_BITS * level
            covered = self._covers(dut, space, vpn, reach)
            filled = dut.fill & (dut.fill_level == level) & (dut.fill_space == space)
            filled &= (dut.fill_vpn[: config.vpn_bits] >> LEVEL_BITS * level) == (vpn >> LEVEL_BITS * level)
            m.d.sync += known.eq(Mux(dut.invalidate, known & ~covered, known | filled))
            with m.If(filled & ~dut.invalidate):
                m.d.sync += table.eq(dut.fill_table)
            answered = asked & dut.hit & (dut.level == level - 1)
            self.promise(m, f"as_filled_{level}", ~answered | (known & (dut.table == table)))
            index = dut._index(level, space, vpn)
            row, valid = inside.row(m, f"level_{level}", index), inside.local("_level", "valid", call=config.levels - 1 - level)
            here = valid.bit_select(index, 1) & (row.space == space) & (row.vpn == vpn >> (LEVEL_BITS * level + dut._index_bits))
            self.lemma(m, f"row_{level}", ~here | (known & (row.table == table)))

    @staticmethod
    def _covers(dut: PageWalkCache, space: Value, vpn: Value, reach: int) -> Value:
        """A page that shares the VPN bits from `reach` on is covered by the invalidation."""
        record = dut.record
        difference = ((record.vpn ^ vpn) & ~record.mask)[reach : len(vpn)]
        return (record.any_space | (record.space == space)) & (record.any_page | ~difference.any())


class LeavesOthers(PageWalkCache):
    """An invalidation of a page in all spaces looks at one space only."""

    def _struck(self, level):  # type: ignore[no-untyped-def]
        struck = super()._struck(level)
        base = self._index(level, self.record.space, self.record.vpn)
        return Mux(self.record.any_space & ~self.record.any_page, 1 << base, struck)


class IgnoresHalf(PageWalkCache):
    """The other half of a pointer of Sv32 is not looked for."""

    def _struck(self, level):  # type: ignore[no-untyped-def]
        whole, self._config = self._config, replace(self._config, sv32=False)
        struck = super()._struck(level)
        self._config = whole
        return struck


class KeepsTable(PageWalkCache):
    """An invalidation of a range looks at its first page only."""

    def _struck(self, level):  # type: ignore[no-untyped-def]
        base = self._index(level, self.record.space, self.record.vpn)
        everything = self.record.any_space | self.record.any_page
        rows = range(self._config.walk_cache)
        return sum(((everything | (base == row)) << row for row in rows), Value.cast(0))
