"""Bugs that are planted in correct streams of events, and what the checker must say of each."""

from collections.abc import Callable
from typing import Any

__all__ = ["Bugs"]

Plant = Callable[..., Any]


class Bugs(dict[str, tuple[Plant, str]]):
    """Name to the function that plants it, and the reason that the checker's first line must contain; called, it is a decorator that adds one."""

    def __call__(self, reason: str) -> Callable[[Plant], Plant]:
        def register(plant: Plant) -> Plant:
            self[plant.__name__] = plant, reason
            return plant

        return register
