"""The states of a fault and the ways between them, as explorations see them: the source of the drawing in docs/protocol.md."""

from array import array
from collections import defaultdict

from ..layout import Outcome
from ..protocol.world import NotYet, Phase
from .catalogue import SCENARIOS
from .fault_agent import FaultAgent
from .scenario import Scenario

__all__ = ["phase_edges"]

_SEEN_IN = ("munmap-sequence", "munmap-mm-lock", "collapse", "split", "copy-on-write", "table-move", "truncate", "table-munmap")
"""Scenarios that between them go every way."""


def phase_edges() -> list[tuple[str, str, str]]:
    """(phase, next phase, the outcomes with which a fault went that way, joined by ", "), in the order of the phases; explores for some seconds."""
    outcomes: dict[tuple[int, int], set[str]] = defaultdict(set)
    for name in _SEEN_IN:
        _explore(SCENARIOS[name], outcomes)
    return [(Phase(before).name, Phase(after).name, ", ".join(sorted(names))) for (before, after), names in sorted(outcomes.items())]


def _explore(scenario: Scenario, outcomes: dict[tuple[int, int], set[str]]) -> None:
    built = scenario.build(frozenset())
    world = built.world
    waiting = [world.cells.tobytes()]
    seen = set(waiting)
    while waiting:
        parent = array("H", waiting.pop())
        for agent in built.agents:
            world.cells = parent
            for choice in range(agent.choices()):
                world.cells = parent
                before = agent.fault.phase if isinstance(agent, FaultAgent) else 0
                world.cells = parent[:]
                try:
                    agent.take(choice)
                except NotYet:
                    continue
                if isinstance(agent, FaultAgent) and agent.fault.phase != before:
                    failed = agent.fault.phase == Phase.FAILED
                    outcomes[before, agent.fault.phase] |= {Outcome(agent.fault.reason).name} if failed else set()
                state = world.cells.tobytes()
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
