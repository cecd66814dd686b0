"""Sweeps a race: the writer's start over every cycle of the fault, from before it begins to after it has ended. One run for each offset."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqfault_golden import Checker

from ..errors import HangError
from ..kernel import drive
from ..regression.interleavings import Interleavings
from ..regression.watch import Watcher, watch
from .bench import RaceBench
from .met import Met
from .scenario import ORDERS, Race, RaceLost, Scenario

__all__ = ["Sweep", "run_races"]

MARGIN = 6
"""Cycles that a sweep goes on, on both sides, beyond where fault and writer still meet."""
APART = 4_000
"""Cycles between two that do not meet."""
OUTCOMES = ("speculative", "retried", "classic", "software", "refused")
MOST_CYCLES = 20_000_000
"""Of all sweeps of a job: many times what the longest take."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How to sweep.

    Parameters
    ----------
    policy : the engine's. step : cycles between two offsets. offsets : these alone (cycles from the fault's start to the writer's), and what they
        meet is not judged; none: all. without : the writer leaves out its safeguard (`Race.safeguard`).
    meets : what it must have met besides what the race names. blind : what the golden model says does not count, the scenario judges alone.
    """

    policy: str = "spec"
    step: int = 1
    offsets: tuple[int, ...] = ()
    without: bool = False
    meets: tuple[str, ...] = ()
    blind: bool = False


async def run_races(
    bench: RaceBench, checker: Checker, aborts: Counter[str], races: Iterable[Race], sweep: Sweep, watchers: Iterable[Watcher] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Sweep these races on a kernel that has not started: the results, one for each race, up to the first that is not "ok".

    `aborts` is the checker's count, which goes on. A result has the keys of a regression's job, and `offsets` (runs made), `offset` (of the last),
    `fault_cycles` and `writer_cycles` (how long each takes when nobody is in its way), `met` (in how many runs each thing was met), `orders`
    (different orders of steps).
    """
    met, overlaps = Met(), Interleavings()
    watch(bench.machine, [met, overlaps, *watchers])
    made: list[_Swept] = []

    async def sweeps() -> None:
        for race in races:
            made.append(_Swept(bench, checker, aborts, met, overlaps, race, sweep))
            await made[-1].run()

    task = bench.kernel.scheduler.spawn(sweeps(), "the sweeps")
    outcome, message = "ok", None
    try:
        await drive(bench.kernel, lambda: task.done or (checker.first_difference is not None and not sweep.blind), most_cycles=MOST_CYCLES)
    except HangError as error:
        outcome, message = "hang", str(error)
    except Exception as error:  # a planted bug may confuse the kernel before the checker sees it
        outcome, message = "failed", str(error) if isinstance(error, RaceLost) else f"{type(error).__name__}: {error}"
    if checker.first_difference is not None and not sweep.blind:
        outcome, message = "difference", checker.first_difference
    if message is not None and made:
        made[-1].end(outcome, f"offset {made[-1].offset}: {message}")
    return [each.result for each in made]


class _Swept:
    """The sweep of one race, and its result so far."""

    def __init__(
        self, bench: RaceBench, checker: Checker, aborts: Counter[str], met: Met, overlaps: Interleavings, race: Race, sweep: Sweep,
    ) -> None:  # fmt: skip
        self._bench, self._checker, self._aborts, self._met, self._overlaps = bench, checker, aborts, met, overlaps
        self._race, self._sweep = race, sweep
        self.offset = self._offsets = self._fault_cycles = self._writer_cycles = 0
        self._before = self._counts()
        self._began = time.perf_counter()
        met.restart()
        self.result: dict[str, Any] = {}

    async def run(self) -> None:
        for offset in self._sweep.offsets:
            await self._run_at(offset)
        if not self._sweep.offsets:
            await self._sweep_all()
            self._check_variety()
        self.end("ok", None)

    async def _sweep_all(self) -> None:
        self._fault_cycles, _ = await self._run_at(APART)
        _, self._writer_cycles = await self._run_at(-APART)
        for offset in range(-self._writer_cycles - MARGIN, self._fault_cycles + MARGIN + 1, self._sweep.step):
            await self._run_at(offset)

    async def _run_at(self, offset: int) -> tuple[int, int]:
        """One run; returns the cycles that fault and writer took."""
        bench, kernel = self._bench, self._bench.kernel
        self.offset, self._offsets = offset, self._offsets + 1
        scenario = self._race.scenario(bench)
        await bench.begin(scenario.layout())
        await scenario.set_up()
        await kernel.fence()
        before = Counter(bench.counts)
        self._met.begin()
        spawn = kernel.scheduler.spawn
        reader = spawn(self._fault(scenario, max(0, -offset)), "the fault")
        writer = spawn(self._write(scenario, max(0, offset)), "the writer")
        beside = spawn(scenario.beside(), "those beside")
        asked, answered = await reader
        await writer
        scenario.over = True
        await beside
        self._met.end(scenario, bench.counts - before, (asked, answered))
        await scenario.check()
        await scenario.tidy()
        await bench.end()
        return answered - asked, scenario.ended - scenario.began

    async def _fault(self, scenario: Scenario, delay: int) -> tuple[int, int]:
        await self._bench.sleep(delay)
        asked = self._bench.machine.cycle
        await scenario.fault()
        return asked, self._bench.machine.cycle

    async def _write(self, scenario: Scenario, delay: int) -> None:
        await self._bench.sleep(delay)
        scenario.began = self._bench.machine.cycle
        if self._sweep.without:
            self._bench.leave_out(*self._race.safeguard)
        await scenario.write()
        self._bench.leave_out()
        scenario.ended = self._bench.machine.cycle

    def _check_variety(self) -> None:
        """A sweep that never raced proves nothing; one that leaves cycles out may miss what only one of them meets."""
        wanted = self._race.meets if self._sweep.policy == "spec" and self._sweep.step == 1 else ORDERS
        if missing := sorted((wanted | {*self._sweep.meets}) - self._met.names.keys()):
            raise RaceLost(f"the sweep never met {', '.join(missing)}; it met {dict(self._met.names)}")

    def _counts(self) -> dict[str, Any]:
        """What the run so far has counted, all races together."""
        return {
            "cycles": self._bench.machine.cycle, "steps": self._checker.steps_checked, "faults": self._overlaps.faults,
            "interleavings": self._overlaps.pairs, "interleaved": self._overlaps.interleaved, "failed_reads": 0,
            "counts": Counter(self._bench.counts), "aborts": Counter(self._aborts), "commands": Counter(self._bench.kernel.command_counts),
        }  # fmt: skip

    def end(self, outcome: str, message: str | None) -> None:
        now = self._counts()
        counted = {key: now[key] - self._before[key] for key in now}
        counted["counts"] = {outcome: counted["counts"][outcome] for outcome in OUTCOMES}
        self.result = {
            "seed": 0, "profile": f"race:{self._race.number}", "policy": self._sweep.policy, "outcome": outcome, "message": message, **counted,
            "ended": self._bench.machine.cycle, "seconds": time.perf_counter() - self._began, "orders": self._met.orders,
            "offsets": self._offsets, "offset": self.offset, "fault_cycles": self._fault_cycles, "writer_cycles": self._writer_cycles,
            "met": self._met.result(),
        }  # fmt: skip
