"""A scenario: a small world with its agents, made anew for each set of removed safeguards; and the cases in which it is explored."""

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.world import Safeguard
from .agents import Agent
from .invariants import check_end
from .small_world import SmallWorld

__all__ = ["Built", "Case", "Scenario", "case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What is explored.

    Attributes
    ----------
    agents : in the order of their numbers. symmetric : how many of the first agents are faults that differ in nothing but their number.
    at_end : raises `Violation` when something is wrong with the state in which all agents are done.
    """

    world: SmallWorld
    agents: tuple[Agent, ...]
    symmetric: int = 0
    at_end: Callable[[SmallWorld], None] = check_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`title` says in a line what happens, `section` where protocol.md describes it; `build` makes the world without the given safeguards."""

    name: str
    title: str
    section: str
    build: Callable[[frozenset[Safeguard]], Built]

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents."""
        return tuple(agent.name for agent in self.build(frozenset()).agents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A line of the catalogue.

    Attributes
    ----------
    removed : the safeguards that the scenario is explored without. expected : "ok", "violation" or "deadlock".
    row : the line of protocol.md that it stands for ("0.5 drop C3 (mprotect)", "R12"); "" when that has none. note : what is worth saying.
    """

    scenario: str
    removed: frozenset[Safeguard]
    expected: str
    row: str = ""
    note: str = ""

    @property
    def mutation(self) -> str | None:
        """The removed safeguards, joined by "+"; None: none."""
        return "+".join(sorted(self.removed)) or None


def case(scenario: str, removed: str, expected: str, row: str = "", note: str = "") -> Case:
    """`removed` as on the command line: names of safeguards joined by "+", or "" for none. Raises `ValueError` for an unknown name."""
    names = frozenset(map(Safeguard, removed.split("+"))) if removed else frozenset()
    return Case(scenario=scenario, removed=names, expected=expected, row=row, note=note)
