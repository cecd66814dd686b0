"""L2 TLB of all ports: in block RAM, for pages of every size, with exact invalidation.

Like the L1 it holds hints: it may lose a translation at any time, but gives none that an invalidation has covered. Every page size has a
bank of its own, because the set of a page depends on its size; a lookup reads all banks at once.
"""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .l2_bank import SMALL_SETS, L2Bank, page_key
from .messages import FillRecord, InvalidateRecord
from .paging import VPN_BITS, PageSize, Pte
from .tlb import LookupRecord

__all__ = ["L2Tlb", "page_sizes"]


def page_sizes(config: EngineConfig) -> list[PageSize]:
    """The page sizes that `config` builds, 4 KiB first."""
    superpages = [PageSize.MIB_2, PageSize.GIB_1, PageSize.GIB_512, PageSize.TIB_256][: config.levels - 1]
    return [PageSize.KIB_4, PageSize.KIB_64, *superpages, *([PageSize.MIB_4] if config.sv32 else [])]


class L2Tlb(wiring.Component):
    """`l2_sets` * `l2_ways` leaves for 4 KiB pages, and up to 16 for each other size.

    An entry belongs to one space, also when it is global (G only protects it from invalidations by space). Where pages of several sizes hold
    the address, the result is from a larger one.

    Parameters
    ----------
    config : parameters of the engine; `l2_sets` must not be 0.

    Members
    -------
    lookup, lookup_record : strobe: look this up.
    hit, pte, size : from the next cycle until the next lookup: the result. `pte` as filled, without RSW; V=0 without a hit. A result turns
        from hit to miss the cycle after an invalidation (of anything), never back. An address that is not canonical in the deepest mode or
        a space out of range does not hit, and nothing does while `busy`.
    fill, fill_record : strobe: hold this leaf, in place of one for the same page (of this size) and space. Lookups see it from the fourth
        cycle after; later where lookups are made in the first or third, until two cycles with that distance are free. It is ignored if the
        PTE is no valid leaf, while an earlier fill is under way (for three cycles at least), while `busy`, and with an invalidation (any)
        before it is stored.
    invalidate, record : strobe: from the next cycle on no result comes from an entry that it covers. `mask` covers the low bits of the VPN
        up to some bit (NAPOT). A space out of range is taken modulo the number of spaces.
    busy : the sets are swept, one a cycle, whatever else is in flight: after an invalidation by page(s) in a space for
        min(pages, `l2_sets`) + 2 cycles, after any other and after reset for `l2_sets` + 2. An invalidation while busy starts anew, and
        covers everything.
    """

    lookup: In(1)
    lookup_record: In(LookupRecord)
    hit: Out(1)
    pte: Out(Pte)
    size: Out(PageSize)
    fill: In(1)
    fill_record: In(FillRecord)
    invalidate: In(1)
    record: In(InvalidateRecord)
    busy: Out(1)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._layout = page_key(config)
        self._sizes = page_sizes(config)
        super().__init__()

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        banks = self._make_banks(m)
        asked, held, wanted = (Signal(self._layout, name=name) for name in ("asked", "held", "wanted"))
        use_held = self.busy | ~self.lookup
        m.d.comb += [asked.space.eq(self.lookup_record.space), asked.vpn.eq(self.lookup_record.vpn)]
        m.d.sync += wanted.eq(Mux(use_held, held, asked))
        for bank in banks.values():
            m.d.comb += [bank.asked.eq(asked), bank.held.eq(held), bank.use_held.eq(use_held), bank.wanted.eq(wanted)]
        self._run_fills(m, banks, held)
        self._sweep(m, banks)
        self._answer(m, banks)
        return m

    def _make_banks(self, m: Module) -> dict[PageSize, L2Bank]:
        config = self._config
        banks = {}
        for size in self._sizes:
            small = size is not PageSize.KIB_4
            sets, ways = (min(config.l2_sets, SMALL_SETS), 1) if small else (config.l2_sets, config.l2_ways)
            m.submodules[size.name.lower()] = banks[size] = L2Bank(config, size=size, sets=sets, ways=ways)
        return banks

    def _run_fills(self, m: Module, banks: dict[PageSize, L2Bank], held: data.View) -> None:
        """A fill waits for a cycle without a lookup to read its set, is compared with it, and stored; or it is read again, should there be a
        lookup then: block RAM does not say what a read gives while its row is written. `held` is its page.
        """
        waiting, compared, storing, leaf, size = Signal(), Signal(), Signal(), Signal(Pte), Signal(PageSize)
        record = self.fill_record
        built = Cat(record.size == member for member in self._sizes).any()
        good = record.pte.v & record.pte.is_leaf() & (record.space < self._config.spaces) & built
        accepted = Signal()
        go_on = self._goes_on()
        m.d.comb += accepted.eq(self.fill & good & ~self.busy & ~waiting & ~compared & ~storing)
        m.d.sync += [
            waiting.eq((accepted | ((waiting | storing) & self.lookup)) & go_on),
            compared.eq(waiting & ~self.lookup & go_on),
            storing.eq(compared & go_on),
        ]
        with m.If(self.invalidate):
            m.d.sync += [held.space.eq(self.record.space), held.vpn.eq(self.record.vpn)]
        with m.Elif(accepted):
            m.d.sync += [held.space.eq(record.space), held.vpn.eq(record.vpn), leaf.eq(record.pte), size.eq(record.size)]
        for kind, bank in banks.items():
            m.d.comb += [bank.leaf.eq(leaf), bank.store.eq(storing & ~self.lookup & (size == kind))]

    def _goes_on(self) -> Value:
        """A fill under way is not given up."""
        return ~self.invalidate

    def _sweep(self, m: Module, banks: dict[PageSize, L2Bank]) -> None:
        """Reads every set that may hold what the last invalidation covers (its page is the one held); the other banks follow the 4 KiB one."""
        ignored, any_space = Signal(self._config.vpn_bits, init=-1), Signal(init=1)
        everything, distance = Signal(init=1), Signal(range(self._config.l2_sets))
        stages = Signal(3, init=1)  # a set is being addressed, compared, written
        sweeping, last = stages[0], Signal()
        m.d.comb += self.busy.eq(stages.any())
        m.d.sync += [stages.eq(Cat(self.invalidate | (sweeping & ~last), stages)), distance.eq(Mux(sweeping & ~last, distance + 1, 0))]
        with m.If(self.invalidate):
            record = self.record
            any_page = record.any_page | self.busy
            m.d.sync += [
                distance.eq(0),
                any_space.eq(record.any_space | self.busy),
                everything.eq((record.any_space & record.any_page) | self.busy),
                ignored.eq(record.mask | any_page.replicate(VPN_BITS)),
            ]
        with m.Elif(~stages[:2].any()):
            m.d.sync += ignored.eq(0)
        for size, bank in banks.items():
            free = (ignored >> size.mask_bits)[: len(bank.step)] | any_space.replicate(len(bank.step))
            m.d.comb += [
                bank.step.eq(distance & free),
                bank.ignored.eq(ignored),
                bank.any_space.eq(any_space),
                bank.strike.eq(stages[2]),
                bank.clear.eq(stages[2] & everything),
            ]
            if size is PageSize.KIB_4:
                m.d.comb += last.eq(self._is_last(distance, free))

    def _is_last(self, distance: Signal, free: Value) -> Value:
        """The sweep has come to the last set; `free`: the bits in which the sets differ."""
        return distance == free

    def _exists(self, record: data.View) -> Value:
        """Something can be held for this space and address."""
        signs = record.vpn[self._config.vpn_bits - 1 :]
        return (record.space < self._config.spaces) & (signs.all() | ~signs.any())

    def _answer(self, m: Module, banks: dict[PageSize, L2Bank]) -> None:
        """The result of a comparison, then (the banks go on to other sets) what was kept of it. Block RAM is late: it comes last."""
        fresh, kept, kept_pte, kept_size = Signal(), Signal(), Signal(Pte), Signal(PageSize)
        may_hit = self.lookup & self._exists(self.lookup_record) & ~self.busy & ~self.invalidate
        m.d.sync += [fresh.eq(may_hit), kept.eq(self.hit & ~self.lookup & ~self.invalidate)]
        with m.If(fresh):
            m.d.sync += [kept_pte.eq(self.pte), kept_size.eq(self.size)]
        ptes, sizes, found = [Mux(kept, kept_pte, 0)], [Mux(kept, kept_size, 0)], kept
        for size in reversed(self._sizes):
            bank = banks[size]
            m.d.comb += bank.mute.eq(found)
            ptes.append(bank.pte)
            sizes.append(Mux(bank.hit & ~found, size.value, 0))
            found |= bank.hit
        m.d.comb += [
            self.hit.eq(kept | (fresh & found)),
            self.pte.eq(reduce(or_, (Value.cast(pte) for pte in ptes))),
            Value.cast(self.size).eq(reduce(or_, sizes)),
            self.pte.v.eq(self.hit),
        ]
