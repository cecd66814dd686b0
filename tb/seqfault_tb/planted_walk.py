"""An Mmu with bugs built in, one of which can be switched on: they show that the walk of the vectors sees what it is there for.

All bugs are in one model, so that one Verilator build serves all of them.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import enum

from seqfault_rtl import port_lookup, walker
from seqfault_rtl.ad_update import AdUpdate
from seqfault_rtl.config import EngineConfig
from seqfault_rtl.messages import Outcome
from seqfault_rtl.mmu import Mmu
from seqfault_rtl.paging import PageSize, Pte

__all__ = ["PlantedMmu", "WalkPlant", "planting"]


class WalkPlant(enum.Enum, shape=8):
    """The bugs."""

    NONE = 0
    PBMT_NOT_CHECKED = 1
    """a memory type that is reserved, or not in use, is no fault"""
    NAPOT_FRAME = 2
    """a page of 64 KiB is translated as if it had 4 KiB"""
    SUM_FOR_FETCH = 3
    """with SUM the supervisor fetches from user pages"""
    CLEAN_STORE = 4
    """a store does not need D"""
    SV32_INDEX = 5
    """the upper index of Sv32 is taken from where Sv39 has it"""
    MXR_ALWAYS = 6
    """what is executable can be loaded from without MXR"""
    MISALIGNED = 7
    """superpages may begin anywhere"""
    HIT_REASON = 8
    """a TLB entry that refuses for A or D says that it refuses for its rights"""
    EAGER_D = 9
    """loads set D too"""
    DEAF = 10
    """what memory answers never comes to the walker"""


class PlantedMmu(Mmu):
    """The Mmu with a `plant` input (a `WalkPlant`); made into Verilog within `planting`."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.plant = Signal(WalkPlant)

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.plant == WalkPlant.DEAF):
            m.d.comb += self.walker.memory.response.valid.eq(0)
        return m


@contextmanager
def planting(mmu: PlantedMmu) -> Iterator[None]:
    """While this lasts, what is elaborated has the bugs of `mmu`."""
    plant = mmu.plant
    suits_privilege, has_right, is_used, translate = Pte.suits_privilege, Pte.has_right, Pte.is_used, Pte.translate
    is_malformed_leaf, is_misaligned = Pte.is_malformed_leaf, Pte.is_misaligned
    refusal, entry_address, wanted = port_lookup.refusal, walker._entry_address, AdUpdate._wanted

    def malformed_leaf(pte: Pte, level: Value, *, napot: Value, pbmte: Value) -> Value:
        others = Pte(Value.cast(pte) & Const(~(3 << 61) & (1 << 64) - 1, 64))
        unchecked = is_malformed_leaf(others, level, napot=napot, pbmte=pbmte)
        return Mux(plant == WalkPlant.PBMT_NOT_CHECKED, unchecked, is_malformed_leaf(pte, level, napot=napot, pbmte=pbmte))

    def translated(pte: Pte, va: Value, size: Value) -> Value:
        small = (plant == WalkPlant.NAPOT_FRAME) & (Value.cast(size) == PageSize.KIB_64.value)
        return translate(pte, va, Mux(small, PageSize.KIB_4.value, Value.cast(size))[:3])

    def suits(pte: Pte, access: Value, *, supervisor: Value, sum: Value) -> Value:
        return suits_privilege(pte, access, supervisor=supervisor, sum=sum) | ((plant == WalkPlant.SUM_FOR_FETCH) & supervisor & sum)

    def address(table: Value, vpn: Value, level: Value, sv32: Value) -> Value:
        index = Mux((plant == WalkPlant.SV32_INDEX) & sv32 & (level == 1), vpn >> 9 << 10, vpn)
        return entry_address(table, index[: len(vpn)], level, sv32)

    def hit_refusal(pte: Pte, request: Any) -> Value:
        reason = refusal(pte, request)
        return Mux((plant == WalkPlant.HIT_REASON) & (reason == Outcome.AD_CLEAR.value), Outcome.ACCESS.value, reason)

    def eager(self: AdUpdate, m: Any, item: Any) -> Signal:
        entry = wanted(self, m, item)
        with m.If(plant == WalkPlant.EAGER_D):
            m.d.comb += entry.d.eq(1)
        return entry

    with ExitStack() as stack:
        for place, name, broken in (
            (Pte, "is_malformed_leaf", malformed_leaf), (Pte, "translate", translated), (Pte, "suits_privilege", suits),
            (Pte, "is_used", lambda pte, access: is_used(pte, access) | ((plant == WalkPlant.CLEAN_STORE) & pte.a)),
            (Pte, "has_right", lambda pte, access, *, mxr: has_right(pte, access, mxr=mxr | (plant == WalkPlant.MXR_ALWAYS))),
            (Pte, "is_misaligned", lambda pte, size: is_misaligned(pte, size) & (plant != WalkPlant.MISALIGNED)),
            (walker, "_entry_address", address), (port_lookup, "refusal", hit_refusal), (AdUpdate, "_wanted", eager),
        ):  # fmt: skip
            stack.enter_context(patch.object(place, name, broken))
        yield
