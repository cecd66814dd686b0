"""What `seqfault bench mutators` and `bench policies` measure: the rate of faults while software changes the address space beside them."""

from collections.abc import Awaitable, Callable
from statistics import mean
from typing import Any

from .bench_engine import BenchEngine
from .bench_faults import WARM_UP, FaultMeasures, Load, spread_pages
from .bench_kinds import KINDS_OF_FAULT
from .bench_layout import BIG_END, BIG_START, OTHER_PAGES, OTHER_START, SCRATCH_START, anonymous, tree_of_height_two
from .bench_names import CYCLES_PER_SECOND, MUTATORS, OTHER_POLICIES
from .errors import WrongAnswer
from .kernel import AddressSpace, LayoutChange
from .machine import POLICIES

__all__ = ["Mutator", "MutatorMeasures"]

ROUNDS = 4
"""Times that the rates to be compared are measured, in turn: so slow drifts are in all of them."""
REGISTER_CYCLES = 64
"""After so many cycles a register has its new value."""
SAME_PAGES = 16
"""Pages of the big VMA that `mprotect-same` changes; they have been faulted in and are not among those of the measured faults."""


class Mutator:
    """Software that changes the address space.

    Parameters
    ----------
    name : one of `MUTATORS`. period : cycles between the beginnings of two changes; a change that begins late does not put off the next.
        0: always busy, the next change begins when the one before it is done.

    Attributes
    ----------
    changes : made so far.
    """

    def __init__(self, engine: BenchEngine, mm: AddressSpace, name: str, period: int) -> None:
        self._engine, self._mm, self._period = engine, mm, period
        self._change: Callable[[int], Awaitable[None]] = {
            "mmap-munmap": self._map_and_unmap, "mprotect-unrelated": self._protect_other, "mprotect-same": self._protect_same,
        }[name]  # fmt: skip
        self.changes = 0
        self._stopping = False
        self._task = engine.kernel.scheduler.spawn(self._run(), f"mutator {name}")

    async def stop(self) -> None:
        """No more changes; on return the last one is done, and the layout is as it was at first."""
        self._stopping = True
        await self._task

    async def _run(self) -> None:
        due = self._engine.now
        while not self._stopping or self.changes % 2:  # every second one takes back what the one before did
            await self._engine.sleep_until(due)
            await self._change(self.changes)
            self.changes += 1
            due += self._period

    async def _map_and_unmap(self, number: int) -> None:
        start, end = SCRATCH_START, SCRATCH_START + OTHER_PAGES
        await self._mm.change([anonymous(start, OTHER_PAGES)])
        await self._mm.change([LayoutChange(op="clear", start=start, end=end)], drops=((start, end),))

    async def _protect_other(self, number: int) -> None:
        """Another VMA, whole, which has its pages: the right to execute comes and goes."""
        perm = "rw-p" if number % 2 else "rwxp"
        await self._mm.change([LayoutChange(op="prot", start=OTHER_START, end=OTHER_START + OTHER_PAGES, perm=perm)])

    async def _protect_same(self, number: int) -> None:
        """The first pages of the VMA of the faults get the right to execute, which splits it, and lose it, which joins it."""
        if number % 2:
            await self._mm.change([anonymous(BIG_START, BIG_END - BIG_START)])
        else:
            await self._mm.change([LayoutChange(op="prot", start=BIG_START, end=BIG_START + SAME_PAGES, perm="rwxp")])


class MutatorMeasures(FaultMeasures):
    """Rates of faults with and without a mutator, in one run."""

    async def slowdown(self, *, mutator: str, latency: int) -> dict[str, Any]:
        """Rate of anonymous write faults without the mutator over that with it; and the changes a second that the mutator made."""
        engine, mm = self._prepare(latency)
        contexts = self._config.contexts
        pages = spread_pages("disjoint", contexts, skipped=SAME_PAGES)
        without, beside, changes, cycles = [], [], 0, 0

        async def program() -> None:
            nonlocal changes, cycles
            load = Load(engine, mm, pages, KINDS_OF_FAULT["anon-write"], requesters=self._config.ports * self._config.port_misses)
            for _ in range(ROUNDS):
                await engine.more_resolved(WARM_UP * contexts)
                without.append(await engine.more_resolved(self._faults // ROUNDS))
                changing = Mutator(engine, mm, mutator, round(CYCLES_PER_SECOND / MUTATORS[mutator]))
                await engine.more_resolved(WARM_UP * contexts)
                began, first = engine.now, changing.changes
                beside.append(await engine.more_resolved(self._faults // ROUNDS))
                cycles, changes = cycles + engine.now - began, changes + changing.changes - first
                await changing.stop()
            await load.stop()

        await engine.run(program(), plant=self._plant)
        if not changes:
            raise WrongAnswer("the mutator changed nothing")
        return {"slowdown": mean(without) / mean(beside), "changes_per_second": changes * CYCLES_PER_SECOND / cycles}

    async def policies(self, *, requesters: int, mutator: str, latency: int) -> dict[str, Any]:
        """Rate of `spec` over that of each other policy: so many requesters with one fault each, like threads, and a mutator that is always busy."""
        engine, mm = self._prepare(latency)
        pages = spread_pages("disjoint", requesters, skipped=SAME_PAGES)
        rates: dict[str, list[float]] = {policy: [] for policy in POLICIES}

        async def program() -> None:
            for policy in POLICIES * ROUNDS:
                engine.set_policy(policy)
                await engine.sleep_until(engine.now + REGISTER_CYCLES)
                changing = Mutator(engine, mm, mutator, 0)
                load = Load(engine, mm, pages, KINDS_OF_FAULT["anon-write"], requesters=requesters)
                await engine.more_resolved(WARM_UP * requesters)
                rates[policy].append(await engine.more_resolved(self._faults // ROUNDS))
                await load.stop()
                await changing.stop()

        await engine.run(program(), plant=self._plant)
        return {"throughput_ratio": [mean(rates["spec"]) / mean(rates[policy]) for policy in OTHER_POLICIES]}

    def _prepare(self, latency: int) -> tuple[BenchEngine, AddressSpace]:
        engine = BenchEngine(self._dut, self._config, latency)
        mm = tree_of_height_two(engine)
        engine.populate(mm, BIG_START, BIG_START + SAME_PAGES)
        return engine, mm
