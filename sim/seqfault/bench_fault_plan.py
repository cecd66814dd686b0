"""What `seqfault bench fault`, `mutators` and `policies` measure on the whole engine."""

from collections.abc import Sequence
from dataclasses import replace

from seqfault_rtl.config import EngineConfig
from seqfault_tb.bench_names import KINDS, MUTATORS, OTHER_POLICIES, PATTERNS, PERCENTILES, RATED

from .bench_task import Task

__all__ = ["FAULT_LATENCIES", "POLICY_LATENCY", "fault_tasks", "mutator_tasks", "policy_tasks"]

FAULT_LATENCIES = (20, 50)
"""Latencies of memory in cycles, unless one is asked for."""
POLICY_LATENCY = 50
LATENCY_FAULTS, RATE_FAULTS, SLOWDOWN_FAULTS, POLICY_FAULTS = 2000, 4000, 16000, 8000
"""Faults of each measurement: enough for a percentile of 99.9, and for the mutators' rarest change to come often."""
REQUESTERS = 8


def fault_tasks(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    """Latencies of each kind, then rates with all contexts. Without `tables` a rate is that of faults in different leaf tables."""
    config = _observed(config)
    latencies = latencies or FAULT_LATENCIES
    alone = [
        Task(
            bench="fault", config=config, measure="fault_latency", units={"latency_cycles": "cycles"}, faults=LATENCY_FAULTS,
            params={"kind": kind, "latency": latency, "cache": cache}, each=("percentile", PERCENTILES),
        )
        for kind in KINDS
        for cache in ("warm", "cold")
        for latency in latencies
    ]  # fmt: skip
    many = [
        Task(
            bench="fault", config=config, measure="fault_rate", units={"faults_per_1000_cycles": "faults/1000 cycles"}, faults=RATE_FAULTS,
            params={"kind": kind, "latency": latency, "contexts": config.contexts} | ({} if tables == PATTERNS[0] else {"tables": tables}),
            settings={"tables": tables},
        )
        for kind in RATED
        for tables in PATTERNS
        for latency in latencies
    ]  # fmt: skip
    return alone + many


def mutator_tasks(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    """Each mutator at its rate."""
    return [
        Task(
            bench="mutators", config=_observed(config), measure="slowdown", params={"mutator": mutator, "latency": latency},
            units={"slowdown": "ratio", "changes_per_second": "changes/s"}, faults=SLOWDOWN_FAULTS,
        )
        for mutator in MUTATORS
        for latency in latencies or FAULT_LATENCIES
    ]  # fmt: skip


def policy_tasks(config: EngineConfig, latencies: Sequence[int] | None) -> list[Task]:
    """Each mutator, always busy; one latency, which the JSON does not show."""
    return [
        Task(
            bench="policies", config=_observed(config), measure="policies", params={"requesters": REQUESTERS, "mutator": mutator},
            settings={"latency": (latencies or [POLICY_LATENCY])[0]}, units={"throughput_ratio": "ratio"}, faults=POLICY_FAULTS,
            each=("over", OTHER_POLICIES),
        )
        for mutator in MUTATORS
    ]  # fmt: skip


def _observed(config: EngineConfig) -> EngineConfig:
    """With the event port: without it nobody could check the steps."""
    return replace(config, events=True)
