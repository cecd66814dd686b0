"""AdUpdate and MemoryUpdater under cocotb, and planted bugs that their tests must find. All bugs are in one model."""

from enum import IntEnum

import pytest
from amaranth import Mux, Signal

from seqfault.simulator import SimulationFailed, run_block
from seqfault_rtl.ad_update import AdUpdate
from seqfault_rtl.config import PRESETS
from seqfault_rtl.memory_updater import MemoryUpdater
from seqfault_tb.ad_update_top import PLANT_BITS, AdUpdateTop

TESTS = "seqfault_tb.test_ad_update"
CONFIG = PRESETS["default"]


class Plant(IntEnum):
    """The bugs; 0 is none of them."""

    DIRTY_LOADS = 1
    """D is set whatever the access."""
    FILLS_STALE = 2
    """The leaf is filled though an invalidation came."""
    ENDLESS = 3
    """Swaps are not counted."""
    BLIND = 4
    """Writes without comparing."""
    PLAIN = 5
    """The write is not exclusive."""
    WIDE = 6
    """The update of an Sv32 entry writes its neighbour too."""
    CREDULOUS = 7
    """An exclusive read answered OKAY is taken for one."""
    OTHER_ID = 8
    """The two halves of a pair have different tags."""
    TRUSTS_STALE = 9
    """A stale leaf is swapped without another walk."""


class PlantedAdUpdate(AdUpdate):
    def __init__(self, config):
        super().__init__(config)
        self.plant = Signal(PLANT_BITS)

    def _wanted(self, m, item):
        wanted = super()._wanted(m, item)
        with m.If(self.plant == Plant.DIRTY_LOADS):
            m.d.comb += wanted.d.eq(1)
        return wanted

    def _is_fresh(self, item):
        return super()._is_fresh(item) | (self.plant == Plant.FILLS_STALE)

    def _is_usable(self, item):
        return Mux(self.plant == Plant.TRUSTS_STALE, ~item.walk_first, super()._is_usable(item))

    def _is_last(self, swaps):
        return super()._is_last(swaps) & (self.plant != Plant.ENDLESS)


class PlantedUpdater(MemoryUpdater):
    def __init__(self):
        super().__init__()
        self.plant = Signal(PLANT_BITS)

    def _is_failed(self, word):
        return Mux(self.plant == Plant.CREDULOUS, word.error, super()._is_failed(word))

    def _is_same(self, asked, found):
        return super()._is_same(asked, found) | (self.plant == Plant.BLIND)

    def _request(self, m, asked, upper):
        super()._request(m, asked, upper)
        write = self.write.request.payload
        for plant, field, value in ((Plant.PLAIN, write.exclusive, 0), (Plant.WIDE, write.keep, 0), (Plant.OTHER_ID, write.tag, 1)):
            with m.If(self.plant == plant):
                m.d.comb += field.eq(value)


def test_ad_update() -> None:
    run_block(AdUpdateTop(CONFIG), TESTS, name="ad_update")


@pytest.mark.parametrize(
    ("plant", "testcase"),
    [
        (Plant.DIRTY_LOADS, "nobody_else"),
        (Plant.FILLS_STALE, "other_writers"),
        (Plant.ENDLESS, "lost_races_are_bounded"),
        (Plant.BLIND, "other_writers"),
        (Plant.PLAIN, "nobody_else"),
        (Plant.WIDE, "nobody_else"),
        (Plant.CREDULOUS, "bus_errors"),
        (Plant.OTHER_ID, "nobody_else"),
        (Plant.TRUSTS_STALE, "nobody_else"),
    ],
)
def test_planted_bug_is_found(plant: Plant, testcase: str) -> None:
    top = AdUpdateTop(CONFIG, PlantedAdUpdate(CONFIG), PlantedUpdater())
    with pytest.raises(SimulationFailed, match=testcase):
        run_block(top, TESTS, name="ad_update", parameters={"PLANT": str(plant.value)}, testcase=testcase)
