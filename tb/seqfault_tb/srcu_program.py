"""Software that uses SRCU.CALL, and a random program that has faults run while it does. [docs/software-contract.md, SRCU]"""

from collections import Counter, deque
from random import Random
from typing import TYPE_CHECKING

from seqfault_golden import Checker

from .checked import attach_checker
from .kernel import FaultCall, Kernel, LayoutChange, drive
from .kernel import commands as cmd
from .kernel.constants import Register
from .kernel.tasks import Future

if TYPE_CHECKING:
    from .checked import Checked

__all__ = ["SrcuKernel", "run_srcu_program"]

RING_LOG2 = 2
"""A small completion ring, so that it wraps and fills."""
START, PAGES = 0x7_0000_0000, 64
NOT_MAPPED = START + 0x1000
LOAD, STORE = 0, 1
PAUSE_NS = 1500
"""Longest pause of those who drop pages and call."""


class SrcuKernel(Kernel):
    """A kernel that waits for cookies; `checker` is told of each.

    Attributes
    ----------
    completed : cookies that came back, in order. told : (port, tag, code) of every ATS.PRGR posted.
    """

    def __init__(self, machine: "Checked", *, spaces: int, **parameters: int) -> None:
        super().__init__(machine, spaces=spaces)
        self._ring, self._head = self.memory.region(4096), 0
        self._awaited: deque[tuple[int, Future]] = deque()
        self.completed: list[int] = []
        self.told: list[tuple[int, int, int]] = []
        self.checker = Checker(zero_frame=self.frames.zero, spaces=spaces, **parameters)
        attach_checker(machine, self, self.checker, Counter())
        self._post, self.commands.post = self.commands.post, self._posted  # type: ignore[method-assign]

    def start(self) -> None:
        super().start()
        self.machine.write_register(Register.SCB, RING_LOG2 - 1 | self._ring >> 12 << 10)
        self.machine.write_register(Register.SCB + 4, self._ring >> 12 >> 22)
        self.machine.write_register(Register.SCCSR, 1)

    @property
    def busy(self) -> bool:
        return super().busy or bool(self._awaited)

    def call_srcu(self, space: int, cookie: int) -> Future:
        """Post SRCU.CALL; the Future is resolved when the cookie is back."""
        done = Future(f"SRCU cookie {cookie:#x}")
        self._awaited.append((cookie | space << 64, done))
        self.commands.post(cmd.srcu_call(space, cookie))
        return done

    def _posted(self, command: cmd.Command) -> None:
        name, word0, word1 = command
        if name == "ATS.PRGR":
            self.told.append((word0 >> 40 & 0xFFFF, word1 >> 32 & 511, word1 >> 44 & 15))
        self._post(command)

    def poll(self, answers) -> None:  # type: ignore[no-untyped-def]
        super().poll(answers)
        tail = self.machine.pointers().completion_tail
        while self._head != tail:
            cookie, where = (self.machine.read64(self._ring + 16 * self._head + offset) for offset in (0, 8))
            self.checker.srcu_completed(self.machine.cycle, cookie)
            expected, done = self._awaited.popleft()
            assert cookie | where >> 48 << 64 == expected, f"({cookie:#x}, {where:#x}) came back, expected {expected:#x}"
            assert where & (1 << 48) - 1 == 0
            self.completed.append(cookie)
            done.resolve()
            self._head = self._head + 1 & (1 << RING_LOG2) - 1
            self.machine.write_register(Register.SCH, self._head)


async def run_srcu_program(kernel: SrcuKernel, rng: Random, *, calls: int, faults: int, at_once: int) -> int:
    """Faults on all ports, some of them refused by software, and at least `calls` calls beside them, `at_once` at a time.

    Returns how many batches of calls were posted while a request was not answered.
    """
    mm = kernel.new_mm(0, [LayoutChange(op="set", start=START, end=START + PAGES, perm="rw-p")])
    left, waited = faults, 0

    async def fault(thread: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            refused = rng.random() < 0.2
            vpn = NOT_MAPPED + thread if refused else START + rng.randrange(PAGES)
            await kernel.faults.run(
                FaultCall(
                    mm=mm, port=thread % kernel.machine.ports, va=vpn << 12, access=rng.choice((LOAD, STORE)), present=False, refused=refused,
                    grow=None, label=f"fault of thread {thread}",
                ),
                reconcile=False,
            )  # fmt: skip

    async def drop() -> None:
        while left > 0:
            await kernel.scheduler.sleep(rng.randrange(PAUSE_NS))
            first = START + rng.randrange(PAGES)
            await mm.change([], drops=((first, min(first + 8, START + PAGES)),))

    async def call() -> None:
        nonlocal waited
        posted = 0
        while posted < calls or left > 0:
            batch = [kernel.call_srcu(rng.randrange(4), rng.getrandbits(64)) for _ in range(rng.randrange(1, at_once + 1))]
            posted += len(batch)
            waited += kernel.faults.outstanding > 0
            for done in batch:
                await done
            await kernel.scheduler.sleep(rng.randrange(PAUSE_NS))

    tasks = [kernel.scheduler.spawn(fault(thread), f"faulter {thread}") for thread in range(2 * kernel.machine.ports)]
    tasks += [kernel.scheduler.spawn(drop(), "the dropper"), kernel.scheduler.spawn(call(), "the caller")]
    await drive(kernel, lambda: all(task.done for task in tasks) and not kernel.commands.busy)
    return waited
