"""Who acts in an exploration: `fault_agent.py` does the reader's steps, `program.py` one line after the other."""

from typing import Protocol

from .cells import Part

__all__ = ["Agent"]


class Agent(Protocol):
    """Somebody who takes steps. `number` is unique; `name` heads the lane; `parts` are the agent's own cells, one after the other."""

    number: int
    name: str
    parts: tuple[Part, ...]

    def choices(self) -> int:
        """How many ways the agent may go on: 0: it is done."""

    def take(self, choice: int) -> None:
        """One step. Raises `NotYet` when it has to wait, `Violation` or `NotAllowed` when it must not be."""

    def next_step(self, choice: int) -> tuple[str, str]:
        """Name and sentence of the step that `take` would take now."""

    def outcome(self) -> str:
        """What the last step came to, for the timeline; "" when that goes without saying."""
