"""States of the queues and rings in memory, as software finds them when it looks."""

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernel import Kernel
    from ..machine import Answer

__all__ = ["watch_queues"]


def watch_queues(kernel: "Kernel", counts: Counter[str]) -> None:
    """From now on each look of the kernel at the engine's pointers counts what it finds. Call it before the run."""
    look, machine = kernel.poll, kernel.machine
    commands, requests, free, released = kernel.commands, kernel.page_requests, kernel._free, kernel._released
    before = [0, 0, 0, 0]

    def poll(answers: "list[Answer]") -> None:
        at = machine.pointers()
        now = [at.cq_head, at.pq_tail, at.free_head, at.released_tail]
        for name, old, new in zip(("command queue", "page-request queue", "free ring", "released ring"), before, now, strict=True):
            if new < old:
                counts[f"{name} wrapped"] += 1
        before[:] = now
        if commands._tail - commands._head == commands._mask:
            counts["command queue full"] += 1
        if at.pq_tail - requests._head & requests._mask == requests._mask:
            counts["page-request queue full"] += 1
        left = free._tail - at.free_head & free._mask
        if left in (0, free._mask):
            counts["free ring full" if left else "free ring empty"] += 1
        if at.released_tail - released._head & released._mask == released._mask:
            counts["released ring full"] += 1
        look(answers)

    kernel.poll = poll  # type: ignore[method-assign, assignment]
