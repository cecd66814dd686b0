"""What `seqfault bench fault` measures on the engine: one method per measurement, each from reset.

The latency of a fault is counted at the requester's port, in cycles from the acceptance of its request (`valid` and `ready`) to its answer: TLB
miss, walk and everything after it are in it.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from cocotb.handle import SimHandleBase

from seqfault_rtl.config import EngineConfig

from .bench_engine import TABLE_PAGES, BenchEngine
from .bench_kinds import KINDS_OF_FAULT, FaultKind
from .bench_layout import BIG_END, BIG_START, tree_of_height_two
from .bench_names import PERCENTILES
from .errors import WrongAnswer
from .kernel import AddressSpace
from .kernel import commands as cmd

__all__ = ["FaultMeasures", "Load", "percentile", "spread_pages"]

PAUSE = range(16, 48)
"""Cycles between two faults whose latency is measured: the engine is idle, and its prefetches meet the next fault in every phase."""
LINE_PAGES = 8
"""Entries in a 64-byte line of a leaf table."""
WARM_UP = 4
"""Faults for each context before a rate is measured."""


def percentile(values: Sequence[int], rank: float) -> int:
    """The smallest value that `rank` percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(10 * rank) * len(ordered) // 1000) - 1)]


def spread_pages(pattern: str, tables: int, *, skipped: int = 0) -> Iterator[int]:
    """All pages of the big VMA once, but for the first `skipped`.

    disjoint : neighbours of this order are in `tables` leaf tables. shared : in one, and in different 64-byte lines of it. neighbours : in one, and
    most of them in one line.
    """
    group = tables if pattern == "disjoint" else 1
    step = LINE_PAGES if pattern == "shared" else 1
    order = [page for first in range(step) for page in range(first, TABLE_PAGES, step)]
    for first in range(BIG_START, BIG_END, group * TABLE_PAGES):
        for page in order:
            for table in range(group):
                if (vpn := first + table * TABLE_PAGES + page) >= BIG_START + skipped:
                    yield vpn


class FaultMeasures:
    """Latencies and rates of faults.

    Parameters
    ----------
    dut : handle of `seqfault_sim`. config : of the engine in it. rng : pauses and pages. faults : that are measured, in each measurement.
    plant : bug to be switched on in an engine that has them.
    """

    def __init__(self, dut: SimHandleBase, config: EngineConfig, rng: Random, *, faults: int, plant: int = 0) -> None:
        self._dut, self._config, self._rng, self._faults, self._plant = dut, config, rng, faults, plant

    async def fault_latency(self, *, kind: str, latency: int, cache: str) -> dict[str, Any]:
        """Percentiles of the latency of faults that are alone in the engine, after each other.

        warm : neighbouring pages; the first of each leaf table is not counted. cold : before each fault everything that the engine knows of the
        space is invalidated, so it descends a VMA tree of height 2 and reads three levels of tables.
        """
        engine, fault = BenchEngine(self._dut, self._config, latency), KINDS_OF_FAULT[kind]
        mm = tree_of_height_two(engine, perm=fault.perm, vma=fault.vma)
        every = range(BIG_START, BIG_END, fault.stride)
        pages = self._rng.sample(every, self._faults) if cache == "cold" else self._neighbours(every)
        frames = {vpn: fault.prepare(engine, mm, vpn) for vpn in pages}

        async def program() -> list[int]:
            cycles = []
            if fault.unzeroed:
                engine.leave_frames_unzeroed()
            for vpn, frame in frames.items():
                if cache == "cold":
                    await _forget(engine, mm)
                await engine.sleep_until(engine.now + self._rng.choice(PAUSE))
                report = await engine.fault(mm, self._rng.randrange(self._config.ports), vpn, fault.access, bits=fault.bits, frame=frame)
                if report.outcome != "speculative" or report.tries > 1:
                    raise WrongAnswer(f"a fault that was alone at page {vpn:#x} ended {report.outcome} after {report.tries} tries")
                if cache == "cold" or vpn % TABLE_PAGES:
                    cycles.append(report.cycles)
            return cycles

        cycles = await engine.run(program(), plant=self._plant)
        return {"latency_cycles": [percentile(cycles, rank) for rank in PERCENTILES]}

    async def fault_rate(self, *, kind: str, latency: int, contexts: int, tables: str) -> dict[str, Any]:
        """Faults per 1000 cycles when every port has as many faults to make as it may have outstanding, always.

        `tables` : where the faults are that are under way together, a pattern of `spread_pages` for as many tables as contexts.
        """
        engine = BenchEngine(self._dut, self._config, latency)
        mm = tree_of_height_two(engine)
        pages = spread_pages(tables, contexts)

        async def program() -> float:
            load = Load(engine, mm, pages, KINDS_OF_FAULT[kind], requesters=self._config.ports * self._config.port_misses)
            await engine.more_resolved(WARM_UP * contexts)
            rate = await engine.more_resolved(self._faults)
            await load.stop()
            return rate

        return {"faults_per_1000_cycles": await engine.run(program(), plant=self._plant)}

    def _neighbours(self, every: range) -> range:
        """The first of `every` page: as many that are not the first of their table as faults are measured."""
        whole, rest = divmod(self._faults, TABLE_PAGES // every.step - 1)
        return every[: whole * TABLE_PAGES // every.step + (rest + 1 if rest else 0)]


async def _forget(engine: BenchEngine, mm: AddressSpace) -> None:
    """SPACE.TABLE with the same table empties the VMA cache, IOTINVAL.VMA of the space TLBs and walk cache; done when the fence is."""
    if mm.slot is not None:  # else the engine has not heard of it yet
        engine.kernel.commands.post(cmd.set_table(mm.slot, mm.table.satp))
        engine.kernel.commands.post(cmd.invalidate_space(mm.slot))
        await engine.kernel.fence()


class Load:
    """Requesters that always have a fault to make, from now on: the next one of `pages` as soon as one is done.

    Parameters
    ----------
    kind : of the faults. requesters : faults under way; they share the ports out among themselves.
    """

    def __init__(self, engine: BenchEngine, mm: AddressSpace, pages: Iterator[int], kind: FaultKind, *, requesters: int) -> None:
        self._engine, self._mm, self._pages, self._kind = engine, mm, pages, kind
        self._stopping = False
        spawn, ports = engine.kernel.scheduler.spawn, engine.config.ports
        self._tasks = [spawn(self._requester(number % ports), f"requester {number}") for number in range(requesters)]

    async def stop(self) -> None:
        """No more faults; on return the last one is resolved."""
        self._stopping = True
        for task in self._tasks:
            await task

    async def _requester(self, port: int) -> None:
        while not self._stopping:
            vpn, kind = next(self._pages), self._kind
            frame = kind.prepare(self._engine, self._mm, vpn)
            await self._engine.fault(self._mm, port, vpn, kind.access, bits=kind.bits, frame=frame)
