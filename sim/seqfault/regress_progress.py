"""What a person sees while a regression runs: programs done, rates, time left; while a failure is made smaller, how small it is."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .report import PATIENCE

if TYPE_CHECKING:
    from .regress import Regression

__all__ = ["regress_progress", "shrink_progress"]

LINE_EVERY = 60.0
"""Seconds between lines where there is no terminal: in the log of a CI system."""


@contextmanager
def regress_progress(programs: int) -> Iterator[Callable[["Regression"], None]]:
    """A callback that is told of the regression now and then. Without a terminal it prints a line a minute."""
    columns = (
        MofNCompleteColumn(), TextColumn("programs"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with _bar("building the simulation", programs, *columns) if sys.stderr.isatty() else _lines(programs) as update:

        def told(regression: "Regression") -> None:
            rate = 60 * regression.total("faults") / max(regression.seconds, 0.001)
            failed = f", {len(regression.failures):,} FAILED" if regression.failures else ""
            update(f"{rate:,.0f} checked faults a minute{failed}", len(regression.results))

        yield told


@contextmanager
def _lines(programs: int) -> Iterator[Callable[[str, int | None], None]]:
    began = said = time.monotonic()

    def update(text: str, done: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LINE_EVERY and done:
            said = now
            left = (now - began) * (programs - done) / done
            print(f"{done:,} of {programs:,} programs in {now - began:,.0f} s, about {left:,.0f} s left: {text}", file=sys.stderr, flush=True)

    yield update


@contextmanager
def shrink_progress() -> Iterator[Callable[[str], None]]:
    """A callback that is told what is done."""
    with _bar("looking into the first failure", None, TimeElapsedColumn()) as update:
        yield lambda text: update(text, None)


@contextmanager
def _bar(text: str, total: int | None, *columns: BarColumn | TextColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn) -> Iterator[
    Callable[[str, int | None], None]
]:  # fmt: skip
    """A line on standard error: only on a terminal, and only after two seconds."""
    if not sys.stderr.isatty():
        yield lambda text, done: None
        return
    bar = Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(text, total=total)
    timer = threading.Timer(PATIENCE, bar.start)  # a timer: while the model is built nobody calls
    timer.daemon = True
    timer.start()
    try:
        yield lambda text, done: bar.update(task, description=text, completed=done)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
