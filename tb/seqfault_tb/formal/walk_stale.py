"""Which walks may not be kept."""

from amaranth import Cat, Module, Signal

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.paging import PageSize, page_mask
from seqfault_rtl.walk_stale import WalkStale

from .spec import Spec, any_const, drive, is_range, opened

__all__ = ["IgnoresNapot", "SparesLevels", "StaleIfHit", "level_of", "sizes_of"]


def sizes_of(config: EngineConfig) -> list[PageSize]:
    """Sizes of pages in the modes that `config` builds."""
    return [size for size in PageSize if size.mask_bits < config.vpn_bits and (config.sv32 or size is not PageSize.MIB_4)]


def level_of(size: PageSize) -> int:
    """The level at which leaves of this size are."""
    return {PageSize.KIB_4: 0, PageSize.KIB_64: 0, PageSize.MIB_2: 1, PageSize.MIB_4: 1}.get(size, size.value - 2)


class StaleIfHit(Spec):
    """A walk is stale if an invalidation since its start covers a page that the leaf at which it ends would translate.

    For every space, page and size of leaf; globals count. For the last slot; the slots are copies of each other. The environment: spaces of
    walks exist; leaves of 64 KiB are in spaces that use Svnapot.
    """

    dut: WalkStale

    def specify(self, m: Module) -> None:
        dut, config = self.dut, self.dut._config
        drive(m, dut)
        self.assume(m, is_range(dut.record.mask) & (dut.space < config.spaces))
        size, slot, record = any_const(m, PageSize, "watched_size"), config.walk_slots - 1, dut.record
        built = sizes_of(config)
        self.assume(m, Cat(size == member for member in built).any())
        fits = Cat((size == member) & (dut.levels[slot] == level_of(member)) for member in built).any()
        space, vpn, napot, running, hit = (Signal(width, name=name) for name, width in _WALK)
        shares = ~((record.vpn ^ vpn) & ~record.mask & ~page_mask(size))[: config.vpn_bits].any()
        covers = dut.invalidate & (record.any_space | (record.space == space)) & (record.any_page | shares)
        with m.If(dut.start & (dut.slot == slot)):
            m.d.sync += [space.eq(dut.space), vpn.eq(dut.vpn), napot.eq(dut.napot), running.eq(1), hit.eq(dut.doubtful)]
        with m.Elif(covers):
            m.d.sync += hit.eq(1)
        known = running & hit & (napot | (size != PageSize.KIB_64))
        self.promise(m, "stale_if_hit", ~(known & fits) | dut.stale[slot])
        same = opened(dut).local("elaborate", "space", "vpn", "napot", "marks")
        bits = config.vpn_bits
        self.lemma(m, "same_walk", ~running | ((same[0] == space) & (same[1] == vpn[:bits]) & (same[2] == napot)))
        self.lemma(m, "marked", ~known | Cat((size == member) & same[3][level_of(member)] for member in built).any())


_WALK = (("space", 16), ("vpn", 45), ("napot", 1), ("running", 1), ("hit", 1))


class IgnoresNapot(WalkStale):
    """Pages of 64 KiB are taken for such of 4 KiB."""

    def elaborate(self, platform):  # type: ignore[no-untyped-def]
        self.napot = Signal()
        return super().elaborate(platform)


class SparesLevels(WalkStale):
    """Only leaves of 4 KiB are marked by an invalidation of pages."""

    def _levels_hit(self, difference):  # type: ignore[no-untyped-def]
        return ~difference.any()
