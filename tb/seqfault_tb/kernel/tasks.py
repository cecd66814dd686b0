"""A tiny scheduler of coroutines, so that the kernel and the replay run with or without cocotb.

A coroutine suspends by awaiting a `Future`. Ready tasks run in the order in which they became ready. Time is virtual, in ns, and told to
`fire`. An exception in a task ends the run.
"""

from collections import deque
from collections.abc import Coroutine, Generator
from heapq import heappop, heappush
from typing import Any

__all__ = ["Future", "Lock", "Scheduler", "Task"]


class Future:
    """Something that will be known later; `label` says what, for the message of a hang."""

    __slots__ = ("_waiters", "done", "label", "value")

    def __init__(self, label: str = "") -> None:
        self.done = False
        self.value: Any = None
        self.label = label
        self._waiters: list[Task] = []

    def __await__(self) -> Generator["Future", None, Any]:
        if not self.done:
            yield self
        return self.value

    def resolve(self, value: Any = None) -> None:
        """Give the value and wake who waits; a second call changes nothing."""
        if self.done:
            return
        self.done = True
        self.value = value
        for task in self._waiters:
            task.scheduler.ready.append(task)
        self._waiters.clear()

    def wake_later(self, task: "Task") -> None:
        self._waiters.append(task)


class Task(Future):
    """A running coroutine; as a Future it is resolved with the coroutine's result."""

    __slots__ = ("_coroutine", "scheduler", "waits_for")

    def __init__(self, scheduler: "Scheduler", coroutine: Coroutine[Future, None, Any], label: str) -> None:
        super().__init__(label)
        self.scheduler = scheduler
        self._coroutine = coroutine
        self.waits_for: Future | None = None

    def step(self) -> None:
        """Run until the coroutine waits or ends."""
        try:
            future = self._coroutine.send(None)
        except StopIteration as stop:
            self.scheduler.live.discard(self)
            self.resolve(stop.value)
            return
        self.waits_for = future
        if future.done:
            self.scheduler.ready.append(self)
        else:
            future.wake_later(self)


class Scheduler:
    """Ready tasks, sleeping ones, and the virtual time `now` in ns."""

    def __init__(self) -> None:
        self.ready: deque[Task] = deque()
        self.live: set[Task] = set()
        self.now = 0.0
        self._sleeping: list[tuple[float, int, Future]] = []
        self._count = 0

    def spawn(self, coroutine: Coroutine[Future, None, Any], label: str) -> Task:
        """Start a task; it runs at the next `run`."""
        task = Task(self, coroutine, label)
        self.live.add(task)
        self.ready.append(task)
        return task

    def run(self) -> None:
        """Run all ready tasks, also those that become ready meanwhile."""
        ready = self.ready
        while ready:
            ready.popleft().step()

    def sleep(self, ns: float) -> Future:
        """A Future that is resolved when `ns` have gone by."""
        future = Future("its time")
        if ns <= 0:
            future.resolve()
        else:
            self._count += 1
            heappush(self._sleeping, (self.now + ns, self._count, future))
        return future

    def next_due(self) -> float | None:
        """When the next sleeper wakes, in ns; None: nobody sleeps."""
        return self._sleeping[0][0] if self._sleeping else None

    def fire(self, now: float) -> None:
        """It is `now`: wake the sleepers that are due."""
        self.now = now
        while self._sleeping and self._sleeping[0][0] <= now:
            heappop(self._sleeping)[2].resolve()

    def describe(self, most: int = 8) -> str:
        """What the live tasks wait for."""
        waiting = [f"{task.label} waits for {task.waits_for.label}" for task in self.live if task.waits_for is not None and not task.done]
        rest = f" and {len(waiting) - most} more" if len(waiting) > most else ""
        return "; ".join(sorted(waiting)[:most]) + rest if waiting else "no task is left"


class Lock:
    """A mutex, first come first served; `async with lock`."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.held = False
        self._queue: deque[Future] = deque()

    async def __aenter__(self) -> None:
        if self.held:
            turn = Future(self.label)
            self._queue.append(turn)
            await turn
        self.held = True

    async def __aexit__(self, *_: object) -> None:
        if self._queue:
            self._queue.popleft().resolve()  # stays held: it passes to the next
        else:
            self.held = False
