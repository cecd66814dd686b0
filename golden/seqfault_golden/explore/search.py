"""Breadth-first search over all interleavings: every agent may take the next step, and every step is one of the protocol's.

A state is the bytes of the world's cells, kept as a 64-bit hash: of a million states the chance that any two share one is below 1e-7. States
that differ only in the numbers of equal faults count once.
"""

from array import array
from collections.abc import Callable, Iterator
from time import process_time

from ..protocol.world import NotAllowed, NotYet, Safeguard
from .agents import Agent
from .parts import Violation
from .result import Exploration, TraceStep
from .scenario import Built, Scenario
from .symmetry import Symmetry

__all__ = ["ExplorationLimit", "explore_scenario"]

_REPORT_EVERY = 4096
Progress = Callable[[int, int], None]


class ExplorationLimit(ValueError):
    """There are more states than the caller allowed."""


class _Search:
    """One exploration. `keys`: hash of each state by its number; `parents`: the state from which it was first reached."""

    def __init__(self, built: Built, progress: Progress | None, limit: int | None) -> None:
        self.built = built
        self.world, self.agents = built.world, built.agents
        self._progress, self._limit = progress, limit
        self.canonical = Symmetry(built).canonical
        self.keys = array("q")
        self.parents = array("I")
        self._children = array("I")
        self._first_child = array("Q")
        self._final = bytearray()
        self.start = array("H", self.world.cells)
        self.explanation = ""
        """What is wrong, with the agents numbered as in the trace."""

    @property
    def transitions(self) -> int:
        return len(self._children)

    def run(self) -> tuple[int, Violation | None, bool]:
        """(state, what is wrong there, and whether a step from there breaks the rule); (-1, None, False): all is well."""
        world, agents, canonical = self.world, self.agents, self.canonical
        number = {}
        first = canonical(self.start)
        number[hash(first)] = 0
        self.keys.append(hash(first))
        self.parents.append(0)
        frontier = [first]
        index = 0
        while frontier:
            found: list[bytes] = []
            for state in frontier:
                self._first_child.append(len(self._children))
                if index % _REPORT_EVERY == 0:
                    self._report(len(self.keys), len(frontier))
                parent = array("H", state)
                moved = alive = False
                for agent in agents:
                    world.cells = parent
                    for choice in range(agent.choices()):
                        alive = True
                        world.cells = cells = parent[:]
                        try:
                            agent.take(choice)
                        except NotYet:
                            continue
                        except Violation as violation:
                            return index, violation, True
                        except NotAllowed as refusal:
                            return index, Violation("protocol", str(refusal)), True
                        moved = True
                        key = canonical(cells)
                        code = hash(key)
                        child = number.get(code)
                        if child is None:
                            child = number[code] = len(self.keys)
                            self.keys.append(code)
                            self.parents.append(index)
                            found.append(key)
                        self._children.append(child)
                self._final.append(not alive)
                if not moved and (wrong := self._at_rest(parent, alive)) is not None:
                    return index, wrong, False
                index += 1
            frontier = found
        self._first_child.append(len(self._children))
        stuck = self._never_ends()
        if stuck is not None:
            return stuck, Violation("every fault ends", "from here on no way leads to the end"), False
        return -1, None, False

    def _report(self, states: int, frontier: int) -> None:
        if self._progress is not None:
            self._progress(states, frontier)
        if self._limit is not None and states > self._limit:
            raise ExplorationLimit(f"more than {self._limit} states")

    def _at_rest(self, cells: "array[int]", alive: bool) -> Violation | None:
        """Nobody can move: everybody waits for somebody, or all are done and the end must be in order."""
        self.world.cells = cells
        if alive:
            return Violation("I6", "everybody waits for somebody else")
        try:
            self.built.at_end(self.world)
        except Violation as violation:
            return violation
        return None

    def _never_ends(self) -> int | None:
        """The first state from which the end cannot be reached."""
        good = bytearray(self._final)
        children, first = self._children, self._first_child
        changed = True
        while changed:
            changed = False
            for index in range(len(good) - 1, -1, -1):
                if not good[index] and any(good[child] for child in children[first[index] : first[index + 1]]):
                    good[index] = changed = True
        return good.find(0) if 0 in good else None

    # --- the way there ----------------------------------------------------------------------------------------------

    def trace(self, index: int, wrong: Violation, *, by_step: bool) -> tuple[TraceStep, ...]:
        """The shortest way to a state, and a last step from it that breaks a rule."""
        path = []
        while index:
            path.append(self.keys[index])
            index = self.parents[index]
        self.world.cells = array("H", self.start)
        self.explanation = str(wrong)
        steps = [self._step_to(key) for key in reversed(path)]
        if by_step:
            steps.append(self._breaking_step(wrong))
        return tuple(steps)

    def _steps_from_here(self) -> Iterator[tuple[Agent, str, str, NotAllowed | Violation | None]]:
        """Every step that may be taken: who, its name and sentence, and what it breaks. Meanwhile the world is as after the step."""
        before = self.world.cells
        for agent in self.agents:
            self.world.cells = before
            for choice in range(agent.choices()):
                self.world.cells = before
                name, sentence = agent.next_step(choice)
                self.world.cells = before[:]
                broken = None
                try:
                    agent.take(choice)
                except NotYet:
                    continue
                except (NotAllowed, Violation) as breach:
                    broken = breach
                yield agent, name, sentence, broken

    def _step_to(self, key: int) -> TraceStep:
        before = self.world.cells
        for agent, name, sentence, broken in self._steps_from_here():
            if broken is None and hash(self.canonical(self.world.cells)) == key:
                return self._told(agent, name, sentence + agent.outcome(), before)
        raise AssertionError("a state is not reached from its own parent")

    def _breaking_step(self, wrong: Violation) -> TraceStep:
        before = self.world.cells
        for agent, name, sentence, broken in self._steps_from_here():
            if str(broken) == str(wrong) or (isinstance(broken, Violation) and broken.invariant == wrong.invariant):
                self.explanation = str(broken)
                return self._told(agent, name, sentence, before)
        raise AssertionError("the step that breaks the rule is not found again")

    def _told(self, agent: Agent, name: str, text: str, before: "array[int]") -> TraceStep:
        return TraceStep(agent=agent.name, step=name, text=text, changes=tuple(self.world.differences(before)))


def explore_scenario(
    scenario: Scenario, removed: frozenset[Safeguard], expected: str, progress: Progress | None = None, limit: int | None = None,
) -> Exploration:  # fmt: skip
    """Explore every interleaving of a scenario without the removed safeguards.

    Raises `ExplorationLimit` when there are more than `limit` states.
    """
    began = process_time()
    search = _Search(scenario.build(removed), progress, limit)
    index, wrong, by_step = search.run()
    trace = () if wrong is None else search.trace(index, wrong, by_step=by_step)
    verdict = "ok" if wrong is None else "deadlock" if wrong.invariant == "I6" and not by_step else "violation"
    return Exploration(
        scenario=scenario.name, mutation="+".join(sorted(removed)) or None, verdict=verdict, expected=expected,
        invariant=None if wrong is None else wrong.invariant, explanation=search.explanation, states=len(search.keys),
        transitions=search.transitions, seconds=process_time() - began, complete=wrong is None,
        agents=tuple(agent.name for agent in search.agents), trace=trace,
    )  # fmt: skip
