"""Agents that differ only in their number are interchangeable: of all states that renumbering makes from one, only one is kept."""

from array import array

from .agents import Agent
from .parts import MAPPED
from .scenario import Built

__all__ = ["Symmetry"]


class Symmetry:
    """Finds the representative of a state.

    The own cells of the interchangeable agents are sorted; whatever names an agent elsewhere (a lock's holder, a taken frame, a mask of
    readers) is renumbered with them. What a scenario adds to the world must not name them: it belongs into their own cells.
    """

    def __init__(self, built: Built) -> None:
        world = built.world
        self._count = built.symmetric
        self.canonical = self._sorted if self._count > 1 else array.tobytes
        if self._count < 2:
            return
        self._spans = [_span(agent) for agent in built.agents[: self._count]]
        self._holders = [table.base + table.cell_names.index("lock") for table in world.tables]
        self._holders.append(world.mm.base + world.mm.cell_names.index("lock"))
        self._places = [frame.base + frame.cell_names.index("place") for frame in world.frames]
        self._masks = [world.mm.base + world.mm.cell_names.index(name) for name in ("readers", "fence")]

    def _sorted(self, cells: "array[int]") -> bytes:
        blocks = [cells[first:end].tobytes() for first, end in self._spans]
        order = sorted(range(self._count), key=blocks.__getitem__)
        if order == list(range(self._count)):
            return cells.tobytes()
        cells = cells[:]
        new_number = {old: new for new, old in enumerate(order)}
        for (first, end), old in zip(self._spans, order, strict=True):
            cells[first:end] = array("H", blocks[old])
        for at in self._holders:
            if 0 < cells[at] <= self._count:
                cells[at] = new_number[cells[at] - 1] + 1
        for at in self._places:
            if 0 < cells[at] <= self._count < MAPPED:
                cells[at] = new_number[cells[at] - 1] + 1
        for at in self._masks:
            mask = cells[at]
            if mask:
                cells[at] = sum((mask >> old & 1) << new for old, new in new_number.items()) | mask >> self._count << self._count
        return cells.tobytes()


def _span(agent: Agent) -> tuple[int, int]:
    """First cell of the agent, and the one behind the last."""
    at = first = agent.parts[0].base
    for part in agent.parts:
        if part.base != at:
            raise ValueError(f"the parts of {agent.name} must follow each other")
        at += len(part.cell_names)
    return first, at
