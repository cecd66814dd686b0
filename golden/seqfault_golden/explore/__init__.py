"""Exploration of every interleaving of small scenarios: the protocol's steps, with and without each safeguard."""

from collections.abc import Callable

from .catalogue import CASES, RACES, SCENARIOS, Case, Race, find_case
from .phases import phase_edges
from .result import Exploration, TraceStep
from .scenario import Scenario
from .search import ExplorationLimit, explore_scenario

__all__ = [
    "CASES", "RACES", "SCENARIOS", "Case", "Exploration", "ExplorationLimit", "Race", "Scenario", "TraceStep", "explore", "find_case", "phase_edges",
]  # fmt: skip


def explore(case: Case, progress: Callable[[int, int], None] | None = None, limit: int | None = None) -> Exploration:
    """Explore a case. `progress(states, frontier)` is called now and then; more than `limit` states raise `ExplorationLimit`."""
    return explore_scenario(SCENARIOS[case.scenario], case.removed, case.expected, progress, limit)
