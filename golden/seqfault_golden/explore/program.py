"""A program as an agent: lines of a writer, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.world import Safeguard
from .cells import Part
from .small_world import SmallWorld

__all__ = ["Line", "Program", "ProgramCells"]


@dataclass(frozen=True, slots=True)
class Line:
    """One step of a program.

    Attributes
    ----------
    step, sentence : for the timeline. act : what it does to the world for the agent; a returned label goes on at the line so labelled.
    unless : the line is left out when any of these safeguards is removed. only : it exists only when all of these are.
    label : a name for jumps; "end" is behind the last line.
    ways : how many ways the step can go; which it is says `Program.way`, and "{way}" in the sentence.
    """

    step: str
    sentence: str
    act: Callable[[SmallWorld, "Program"], str | None]
    unless: frozenset[Safeguard] = frozenset()
    only: frozenset[Safeguard] = frozenset()
    label: str = ""
    ways: int = 1


class ProgramCells(Part):
    """`pc` counts lines; `a` and `b` are the program's registers."""

    hidden = frozenset({"pc", "a", "b"})

    pc: int
    a: int
    b: int


class Program:
    """Lines, one after the other.

    Parameters
    ----------
    name : of the lane. number : of the agent, for locks. lines : those that the removed safeguards leave are run.

    Members
    -------
    way : of the line's `ways`, for `act`. said : what `act` says of its outcome, for the timeline.
    """

    def __init__(self, world: SmallWorld, name: str, number: int, lines: tuple[Line, ...]) -> None:
        self.world = world
        self.name, self.number = name, number
        self.lines = [line for line in lines if not line.unless & world.removed and line.only <= world.removed]
        self.cells = ProgramCells(world, name)
        self.parts: tuple[Part, ...] = (self.cells,)
        self._labels = {"end": len(self.lines)} | {line.label: index for index, line in enumerate(self.lines) if line.label}
        self.way, self.said = 0, ""

    def choices(self) -> int:
        pc = self.cells.pc
        return self.lines[pc].ways if pc < len(self.lines) else 0

    def take(self, choice: int) -> None:
        pc = self.cells.pc
        self.way, self.said = choice, ""
        target = self.lines[pc].act(self.world, self)
        self.cells.pc = pc + 1 if target is None else self._labels[target]

    def next_step(self, choice: int) -> tuple[str, str]:
        line = self.lines[self.cells.pc]
        return line.step, line.sentence.replace("{way}", str(choice))

    def outcome(self) -> str:
        return self.said and f" -> {self.said}"
