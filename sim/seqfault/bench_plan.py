"""What `seqfault bench` measures, on which configurations: a list of tasks, in the order of the tables."""

from collections.abc import Sequence
from dataclasses import replace

from seqfault_rtl.config import EngineConfig
from seqfault_tb.bench_tables import MODES, level_two_pages, pages_of

from .bench_fault_plan import fault_tasks, mutator_tasks, policy_tasks
from .bench_task import Task
from .errors import UsageError
from .processors import processors

__all__ = ["LATENCIES", "NAMES", "Task", "plan"]

LATENCIES = (1, 10, 50, 100)
"""Read latencies of memory in cycles for hits and walks, unless one is asked for."""
PEERS_WALKS = 8
"""Walks in flight measured beside those of the preset."""


def plan(names: Sequence[str], config: EngineConfig, latencies: Sequence[int] | None = None) -> list[Task]:
    """The tasks of these benchmarks, at these latencies (None: each at its own). Raises `UsageError` for a name that is none."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"no benchmark is called {unknown[0]!r}; there are: {', '.join(NAMES)}")
    return [task for name in names for task in NAMES[name](config, latencies)]


def _hit(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    """Both TLB levels (the second if it is there, and large enough to hold more than the first), one port and all."""
    levels = (1, 2) if level_two_pages(config) else (1,)
    units = {"latency_cycles": "cycles", "rate_per_cycle": "requests/cycle"}
    return [
        Task(bench="hit", config=config, measure="hit", params={"level": level, "ports": ports}, units=units)
        for level in levels
        for ports in sorted({1, config.ports})
    ]


def _walk(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    latencies = latencies or LATENCIES
    return [*_single_walks(config, latencies), *_sustained_walks(config, latencies)]


def _single_walks(config: EngineConfig, latencies: Sequence[int]) -> list[Task]:
    """Every leaf size of every mode that is built."""
    modes = [mode for mode in MODES.values() if (config.sv32 if mode.entry_bytes == 4 else mode.levels <= config.levels)]
    return [
        Task(
            bench="walk", config=config, measure="walk", units={"latency_cycles": "cycles"},
            params={"mode": mode.name, "page": page, "latency": latency, "cache": cache},
        )
        for mode in modes
        for page in pages_of(mode)
        for cache in ("cold", "warm")
        for latency in latencies
    ]  # fmt: skip


def _sustained_walks(config: EngineConfig, latencies: Sequence[int]) -> list[Task]:
    """As many walks in flight as configured, and 8; 1, 2 and all ports, each asking always."""
    rate = {"walks_per_1000_cycles": "walks/1000 cycles"}
    return [
        Task(
            bench="walk", config=_filling(config, walks, requesters), measure="sustained",
            units=rate | ({"share": "fraction"} if requesters > 1 else {}),
            params={"latency": latency, "pattern": pattern, "requesters": requesters, "in_flight": walks},
        )
        for walks in sorted({config.walks, min(config.walks, PEERS_WALKS)}, reverse=True)
        for pattern in ("sequential", "disjoint")
        for requesters in sorted({1, min(2, config.ports), config.ports})
        for latency in latencies
    ]  # fmt: skip


def _filling(config: EngineConfig, walks: int, requesters: int) -> EngineConfig:
    """This configuration with so many walks; so few requesters must be allowed enough misses to use them all."""
    return replace(config, walks=walks, port_misses=max(config.port_misses, -(-walks // requesters)))


def _simulation(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    """Regressions with one program at a time, and one for each processor."""
    units = {"cycles_per_second": "cycles/s", "checked_faults_per_minute": "faults/min"}
    settings = {"latency": latencies[0] if latencies else None}
    return [
        Task(bench="simulation", config=replace(config, events=True), measure="simulation", params={"jobs": jobs}, units=units, settings=settings)
        for jobs in sorted({1, processors()})
    ]


NAMES = {"hit": _hit, "walk": _walk, "fault": fault_tasks, "mutators": mutator_tasks, "policies": policy_tasks, "simulation": _simulation}
"""The benchmarks that there are."""
