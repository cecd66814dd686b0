"""SRCU of the functional engine: calls wait for the faults that had begun before them, nobody waits for a call. [contract, SRCU]"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.world import Phase

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Srcu"]


class Srcu:
    """The calls that are pending, oldest first, each with the agents whose faults it waits for.

    Parameters
    ----------
    most : calls that may be pending; one more is refused.
    """

    def __init__(self, engine: "Engine", most: int) -> None:
        self._engine = engine
        self._most = most
        self._calls: deque[tuple[int, int, set[int]]] = deque()

    def call(self, space: int, cookie: int) -> bool:
        """SRCU.CALL; False: it is refused. A context that has been refused the mm lock before its first R0 counts as a reader too."""
        if len(self._calls) == self._most:
            return False
        self._calls.append((space, cookie, {context.agent for context in self._engine.contexts if context.phase != Phase.IDLE}))
        return True

    def ended(self, agent: int) -> None:
        """The agent's fault is answered."""
        for _, _, readers in self._calls:
            readers.discard(agent)

    def agents(self) -> list[Callable[[], bool]]:
        """Whoever is to have turns: nobody while no call is pending."""
        return [self._turn] if self._calls else []

    def waiting(self) -> list[str]:
        """What the oldest call waits for."""
        if not self._calls:
            return []
        _, cookie, readers = self._calls[0]
        return [f"SRCU call {cookie:#x} waits for {f'contexts {sorted(readers)}' if readers else 'room in the completion ring'}"]

    def _turn(self) -> bool:
        """The oldest call comes back, if its readers have left and the completion ring has room."""
        if not self._calls or self._calls[0][2] or not self._engine.outside.has_room_for_completion():
            return False
        space, cookie, _ = self._calls.popleft()
        self._engine.outside.put_completion(cookie, space)
        return True
