"""A small world's memory: one flat array of 16-bit cells, and parts that give the cells their names.

A step is taken on a copy of the array, and the array's bytes are the state: copying, comparing and storing it cost next to nothing. The parts
are made once; they look into whatever array the world has at the moment.
"""

import inspect
from array import array
from collections.abc import Callable
from typing import Any, ClassVar

__all__ = ["CellWorld", "Part"]


class Part:
    """Named cells of a world, one after the other: the class's annotations that are plain `int` or `bool`. Values: 0 to 65535.

    Parameters
    ----------
    world : whose cells they are; the part appends its own. name : for people, as in "vma 0".
    """

    cell_names: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[frozenset[str]] = frozenset()
    """Cells that say nothing to a reader of a timeline."""
    forgotten: ClassVar[frozenset[str]] = frozenset()
    """Cells whose return to 0 says nothing."""

    def __init_subclass__(cls) -> None:
        names = [name for name, kind in inspect.get_annotations(cls).items() if kind in (int, bool, "int", "bool")]
        for offset, name in enumerate(names, len(cls.cell_names)):
            setattr(cls, name, property(*_accessors(offset)))
        cls.cell_names += tuple(names)

    def __init__(self, world: "CellWorld", name: str) -> None:
        self.world = world
        self.name = name
        self.base = len(world.cells)
        world.cells.extend([0] * len(self.cell_names))
        world.parts.append(self)

    def show(self, name: str, value: int) -> str:
        """A cell's value in words."""
        return str(value)

    def clear(self, *names: str) -> None:
        """Set cells to 0: what is over is not to make states different."""
        for name in names:
            setattr(self, name, 0)


def _accessors(offset: int) -> tuple[Callable[[Any], int], Callable[[Any, int], None]]:
    def get(part: Part) -> int:
        return part.world.cells[part.base + offset]

    def put(part: Part, value: int) -> None:
        part.world.cells[part.base + offset] = value

    return get, put


class CellWorld:
    """Whose state is `cells`; `parts` know what they mean."""

    def __init__(self) -> None:
        self.cells = array("H")
        self.parts: list[Part] = []

    def differences(self, before: "array[int]") -> list[str]:
        """The cells that are not as in `before`, but for those that say nothing, as "vma 0 seq: 0 -> 1"."""
        found = []
        for part in self.parts:
            for offset, name in enumerate(part.cell_names, part.base):
                old, new = before[offset], self.cells[offset]
                if old != new and name not in part.hidden and (new or name not in part.forgotten):
                    found.append(f"{part.name} {name}: {part.show(name, old)} -> {part.show(name, new)}")
        return found
