"""What `seqfault bench hit` and `bench walk` measure on an `Mmu`: one method per measurement, each from a flushed state.

A latency is counted in cycles from the acceptance of the request to the answer at the port, and is the largest of `SAMPLES` and of all ports
that ask.
"""

from collections.abc import Iterator
from itertools import count
from itertools import cycle as endlessly
from random import Random
from typing import Any

from seqfault_rtl.config import EngineConfig

from .bench_mmu import SETTLE_CYCLES, BenchMmu, Requester
from .bench_tables import MODES, PAGE_BITS, PAGE_SHIFT, AddressSpace, Memory, Target, level_two_pages, pages_of
from .errors import HangError, WrongAnswer

__all__ = ["Measures"]

SAMPLES = 3
HIT_CYCLES = 1000
"""Window for the rate of hits."""
WARM_UP_ROUNDS, ROUNDS = 6, 32
"""A sustained rate is that of `ROUNDS` times `in_flight` walks (fewer if there are too few spaces), after `WARM_UP_ROUNDS` times as many."""
SUSTAINED_MODE = MODES["Sv39"]


class Measures:
    """Measurements on one simulated `Mmu`.

    Parameters
    ----------
    dut : the component. config : its parameters. rng : where tables and pages are.
    """

    def __init__(self, dut: Any, config: EngineConfig, rng: Random) -> None:
        self._config, self._rng = config, rng
        self._mmu = BenchMmu(dut, ports=config.ports, memory=Memory(rng))

    async def start(self) -> None:
        """Reset."""
        await self._mmu.start()

    # --- hits -------------------------------------------------------------------------------------------------------

    async def hit(self, *, level: int, ports: int) -> dict[str, float]:
        """Latency of hits of `ports` ports that ask in the same cycle, and the rate of the slowest when all of them ask always."""
        mmu = self._mmu
        mmu.latency = 10
        asking = mmu.ports[:ports]
        pages = await self._loaded_pages(asking, level_two_pages(self._config) if level == 2 else min(8, self._config.tlb_entries))
        reads = mmu.reads
        latencies = []
        for sample in range(SAMPLES):
            for port, mine in zip(asking, pages, strict=True):
                port.feed([mine[sample % len(mine) if level == 2 else -1]])
            await mmu.drain()
            await mmu.cycles(SETTLE_CYCLES)
            latencies += [_latency(port) for port in asking]
        for port, mine in zip(asking, pages, strict=True):
            port.feed(endlessly(mine))
        await mmu.cycles(HIT_CYCLES // 4)
        before = [len(port.answered) for port in asking]
        await mmu.cycles(HIT_CYCLES)
        rates = [(len(port.answered) - first) / HIT_CYCLES for port, first in zip(asking, before, strict=True)]
        await self._stop()
        early = [answered - issued for port, first in zip(asking, before, strict=True) for issued, answered in port.answered[first:]]
        if mmu.reads != reads or min(early) < min(latencies):
            raise WrongAnswer(f"level {level}: {mmu.reads - reads} memory reads, and an answer after {min(early)} cycles")
        return {"latency_cycles": max(latencies), "rate_per_cycle": min(rates)}

    async def _loaded_pages(self, ports: list[Requester], number: int) -> list[list[Target]]:
        """So many neighbouring pages for each port, which has asked for them once, in this order."""
        space = AddressSpace(0, SUSTAINED_MODE, self._mmu.memory)
        first = self._rng.getrandbits(space.vpn_bits) >> 12 << 12
        pages = [[space.map_page(first + index * number + page) for page in range(number)] for index in range(len(ports))]
        await self._mmu.use(space)
        for port, mine in zip(ports, pages, strict=True):
            await self._mmu.ask(mine, port.port)
        return pages

    # --- single walks -----------------------------------------------------------------------------------------------

    async def walk(self, *, mode: str, page: str, latency: int, cache: str) -> dict[str, float]:
        """Latency of one walk alone, after everything was invalidated ("cold") and then, maybe, one for its neighbour ("warm")."""
        mmu = self._mmu
        mmu.latency = latency
        latencies = []
        for _ in range(SAMPLES):
            space = AddressSpace(0, MODES[mode], mmu.memory)
            size = 1 << PAGE_BITS[page] - PAGE_SHIFT
            vpn = self._rng.getrandbits(space.vpn_bits) & ~(2 * size - 1)
            neighbour, target = space.map_page(vpn, page), space.map_page(vpn + size, page)
            await mmu.use(space)
            if cache == "warm":
                await mmu.ask([neighbour])
            reads = mmu.reads
            await mmu.ask([target])
            latencies.append(_latency(mmu.ports[0]))
            reads, whole = mmu.reads - reads, space.mode.levels - pages_of(space.mode)[page]
            if reads == 0 or (cache == "cold" and reads != whole):
                raise WrongAnswer(f"{reads} memory reads in a {cache} walk of {mode} for a page of {page}, which takes {whole}")
        return {"latency_cycles": max(latencies)}

    # --- many walks -------------------------------------------------------------------------------------------------

    async def sustained(self, *, latency: int, pattern: str, requesters: int, in_flight: int) -> dict[str, float]:
        """Walks per 1000 cycles, and the part of the slowest requester, when the first `requesters` ports always ask for another page."""
        mmu = self._mmu
        mmu.latency = latency
        asking = mmu.ports[:requesters]
        spaces = [AddressSpace(number, SUSTAINED_MODE, mmu.memory) for number in range(self._config.spaces)]
        await mmu.use(*spaces)
        pages = {"sequential": self._neighbours, "disjoint": self._strangers}[pattern](spaces, requesters)
        for port, mine in zip(asking, pages, strict=True):
            port.feed(mine)
        began, before = await self._answers(asking, WARM_UP_ROUNDS * in_flight)
        rounds = min(ROUNDS, (self._config.spaces << SUSTAINED_MODE.index_bits) // in_flight - WARM_UP_ROUNDS - 2)
        ended, after = await self._answers(asking, rounds * in_flight)
        await self._stop()
        walks = [last - first for first, last in zip(before, after, strict=True)]
        return {"walks_per_1000_cycles": 1000 * sum(walks) / (ended - began), "share": min(walks) / sum(walks)}

    def _neighbours(self, spaces: list[AddressSpace], requesters: int) -> list[Iterator[Target]]:
        """Neighbouring pages, for each requester in leaf tables of its own, for which the (direct-mapped) walk cache has room."""
        tables, bits = 1 << SUSTAINED_MODE.index_bits, SUSTAINED_MODE.index_bits
        first = self._rng.randrange(tables) << 2 * bits
        apart = max(1, self._config.walk_cache // requesters)
        return [map(spaces[0].map_page, count(first + (index * apart << bits))) for index in range(requesters)]

    def _strangers(self, spaces: list[AddressSpace], requesters: int) -> list[Iterator[Target]]:
        """Each page under another entry of a root table; when all entries are used, in the next space."""

        def pages() -> Iterator[Target]:
            below = SUSTAINED_MODE.index_bits * (SUSTAINED_MODE.levels - 1)
            for space in spaces:
                for index in self._rng.sample(range(1 << SUSTAINED_MODE.index_bits), 1 << SUSTAINED_MODE.index_bits):
                    yield space.map_page(index << below | self._rng.getrandbits(below))

        source = pages()
        return [source] * requesters

    async def _answers(self, ports: list[Requester], number: int) -> tuple[int, list[int]]:
        """Wait for so many more answers; returns the cycle, and each port's number of answers."""
        mmu = self._mmu
        goal = number + sum(len(port.answered) for port in ports)
        for _ in range(number * 10 * (mmu.latency + 10)):
            await mmu.cycle()
            counts = [len(port.answered) for port in ports]
            if sum(counts) >= goal:
                return mmu.now, counts
        raise HangError(f"{goal - sum(counts)} of {number} walks are not done after {number * 10 * (mmu.latency + 10)} cycles")

    async def _stop(self) -> None:
        for port in self._mmu.ports:
            port.feed(())
        await self._mmu.drain()


def _latency(port: Requester) -> int:
    """Of the last answer."""
    issued, answered = port.answered[-1]
    return answered - issued
