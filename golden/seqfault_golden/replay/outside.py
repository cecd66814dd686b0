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
        """ZAP, or a fault that maps another frame, removed this entry."""

    def copy_page(self, source: int, frame: int) -> None:
        """The engine copies a frame (PPN) into another. Whoever does not model the data of frames does nothing."""

    def zero_page(self, frame: int) -> None:
        """The engine zeroes a frame (PPN): pages of anonymous memory, and page tables."""

    def has_room_for_completion(self) -> bool:
        """The completion ring of SRCU is on, and not full."""

    def put_completion(self, cookie: int, space: int) -> None:
        """The cookie of an SRCU.CALL comes back."""

    def page_response(self, port: int, tag: int, code: int) -> None:
        """Software is done with this page request of the port."""

    def put_page_request(self, context: Context) -> Outcome:
        """Write the page request of a fault (its `reason`): OK, or QUEUE_FULL and it is dropped."""

    def committed(self, context: Context) -> None:
        """R18 was taken: the entry `pte` is visible."""

    def ended(self, context: Context, status: int, how: int, reason: int, pa: int) -> None:
        """The fault has its answer; the context is free."""
