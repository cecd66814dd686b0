"""What the functional engine needs of its surroundings: memory by two functions, the rings, and somebody who takes the answers."""

from typing import Protocol

from ..layout import Outcome
from .context import Context

__all__ = ["Outside"]


class Outside(Protocol):
    """Memory answers every access. Nothing here is called but during a turn of the engine."""

    def read(self, address: int) -> int:
        """The 64-bit word at a byte address, as it is now."""

    def write(self, address: int, value: int) -> None:
        """The engine writes a word; everybody sees it at once."""

    def next_command(self) -> tuple[int, int] | None:
        """The two words of the command at the queue's head; None: there is none, or the queue is stopped."""

    def command_done(self, interrupts: bool) -> None:
        """The command is executed: the head moves on. `interrupts`: a fence with WSI."""

    def command_refused(self, reason: str) -> None:
        """The command is illegal: the queue stops, its head stays."""

    def offered_frame(self) -> int | None:
        """PPN of the next frame of the free ring, which stays there; None: the ring is empty."""

    def consume_frame(self) -> None:
        """That frame leaves the ring."""

    def has_room_for_released(self) -> bool:
        """The released ring is not full."""

    def put_released(self, entry: int, space: int, vpn: int) -> None:
        """ZAP removed this entry."""

    def put_page_request(self, context: Context) -> Outcome:
        """Write the page request of a fault (its `reason`): OK, or QUEUE_FULL and it is dropped."""

    def committed(self, context: Context) -> None:
        """R18 was taken: the entry `pte` is visible."""

    def ended(self, context: Context, status: int, how: int, reason: int, pa: int) -> None:
        """The fault has its answer; the context is free."""
