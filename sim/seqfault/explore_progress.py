"""What a person sees while cases are explored: cases done, states found so far, states a second. On a terminal only, and after two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .report import PATIENCE

__all__ = ["case_progress", "catalogue_progress"]


class _Display:
    """A line on standard error that appears at the first `update` after two seconds."""

    def __init__(self, *columns: TextColumn | BarColumn | MofNCompleteColumn) -> None:
        self._bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._began, self._shown = time.monotonic(), False
        self._task: TaskID | None = None

    def update(self, text: str, states: int, *, done: int = 0, total: int | None = None) -> None:
        seconds = time.monotonic() - self._began
        if self._task is None:
            self._task = self._bar.add_task(text, total=total)
        if not self._shown and seconds > PATIENCE:
            self._shown = True
            self._bar.start()
        rate = f"{states:,} states, {states / max(seconds, 0.001):,.0f} a second"
        self._bar.update(self._task, description=f"{text}{rate}", completed=done, total=total)

    def stop(self) -> None:
        self._bar.stop()


@contextmanager
def catalogue_progress() -> Iterator[Callable[[int, int, int], None]]:
    """A callback `progress(done, total, states)`."""
    if not sys.stderr.isatty():
        yield lambda done, total, states: None
        return
    display = _Display(BarColumn(), MofNCompleteColumn(), TextColumn("cases, {task.description}"))
    try:
        yield lambda done, total, states: display.update("", states, done=done, total=total)
    finally:
        display.stop()


@contextmanager
def case_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A callback `progress(states, frontier)`."""
    if not sys.stderr.isatty():
        yield lambda states, frontier: None
        return
    display = _Display(TextColumn("{task.description}"))
    try:
        yield lambda states, frontier: display.update(f"exploring {name}: {frontier:,} states open; ", states)
    finally:
        display.stop()
