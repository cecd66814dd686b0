"""The functional engine: contexts and command unit take turns, round robin, in an order that a seed shuffles anew for every round."""

from collections.abc import Callable
from random import Random

from ..layout import StepEvent
from ..protocol.world import NotYet, Safeguard
from .command_unit import CommandUnit
from .context import Context, Request
from .outside import Outside
from .reader import take_step
from .srcu import Srcu
from .world import ReplayWorld

__all__ = ["Engine"]

Agent = Callable[[], bool]
"""Takes a step group if it can."""


class Engine:
    """Faults and commands on memory as it is, one step group per turn.

    Parameters
    ----------
    outside : memory, rings, and who takes the answers. observe : called with every event, in the order in which the steps took effect.
    others : agents besides the engine's own, which have their turns too (requester ports).
    ports, contexts, spaces, max_retries, sequence_entries, lock_rounds, mm_lock_patience (in turns), zap_chunk, srcu_calls : as the
        engine's configuration.
    seed : of the order of turns. removed : safeguards that this engine does without, to see that the checker notices.

    Attributes
    ----------
    world : all that the steps depend on. contexts : of the faults. srcu : the calls that are pending. turns : taken so far; whoever gives the
        turns may count time with it (see `wait_until`).
    """

    def __init__(
        self, outside: Outside, observe: Callable[[StepEvent], None], *, others: tuple[Agent, ...] = (), ports: int = 4, contexts: int = 16,
        spaces: int = 64, max_retries: int = 3, sequence_entries: int = 256, lock_rounds: int = 64, mm_lock_patience: int = 1 << 20,
        zap_chunk: int = 64, srcu_calls: int = 16, seed: int = 1, removed: frozenset[Safeguard] = frozenset(),
    ) -> None:  # fmt: skip
        self.outside, self.observe = outside, observe
        self.read = outside.read
        self.lock_rounds, self.mm_lock_patience, self.zap_chunk = lock_rounds, mm_lock_patience, zap_chunk
        self.ports, self.turns = ports, 0
        self.contexts = [Context(agent) for agent in range(contexts)]
        self.world = ReplayWorld(
            outside, self.contexts, spaces=spaces, max_retries=max_retries, sequence_entries=sequence_entries, removed=removed,
        )  # fmt: skip
        self.srcu = Srcu(self, srcu_calls)
        self._commands = CommandUnit(self)
        self._free = self.contexts[::-1]
        self._agents: list[Agent] = [*others, self._commands.turn]
        self._turns_of: dict[int, Agent] = {context.agent: self._turn_of(context) for context in self.contexts}
        self._round: list[Agent] = []
        self._rng = Random(seed)

    def begin(self, request: Request) -> bool:
        """Give a fault to a context; False: all are busy."""
        if not self._free:
            return False
        context = self._free.pop()
        context.serve(request)
        self._agents.append(self._turns_of[context.agent])
        return True

    def free(self, context: Context) -> None:
        """The context's fault is done."""
        context.request = None
        self.srcu.ended(context.agent)
        self._agents.remove(self._turns_of[context.agent])
        self._free.append(context)

    def turn(self) -> bool:
        """The next agent that can takes a step group; False: nobody can until something outside changes, or until `wakes_at`."""
        self.turns += 1
        for _ in range(2):
            while self._round:
                if self._round.pop()():
                    return True
            self._round = [*self._agents, *self.srcu.agents()]
            self._rng.shuffle(self._round)
        self.turns -= 1
        return False

    def wakes_at(self) -> int | None:
        """The turn in which the patience of a waiting context ends; None: nobody waits for the mm lock."""
        waiting = [context.waits_since for context in self.contexts if context.waits_since is not None]
        return min(waiting) + self.mm_lock_patience if waiting else None

    def wait_until(self, turn: int) -> None:
        """Nobody can go on: turns pass."""
        self.turns = max(self.turns, turn)

    def waiting(self) -> list[str]:
        """What each agent that has something to do is about to do."""
        found = [f"context {context.agent} is to do {context.doing}" for context in self.contexts if context.request is not None]
        return [*found, *self._commands.waiting(), *self.srcu.waiting()]

    def _turn_of(self, context: Context) -> Agent:
        def turn() -> bool:
            if context.request is None:  # freed after this round began
                return False
            if context.parked:
                if self.world.lock_holder(context.parked) is not None:
                    return False
                context.parked = 0
            try:
                take_step(self, context)
            except NotYet:
                return False
            return True

        return turn
