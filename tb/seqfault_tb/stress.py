"""A random program that races faults against changes of the same VMAs, as hard as it can: short, many, and no pauses to speak of."""

from dataclasses import dataclass
from random import Random

from .errors import HangError
from .kernel import AddressSpace, FaultCall, Kernel, LayoutChange, drive
from .kernel.constants import Flags

__all__ = ["Stress", "run_stress"]

PERMS = ("rw-p", "rw-p", "r--p", "rwxp", "---p")
BASE_VPN = 0x7_0000_0000
REGION_PITCH = 48
LOAD, STORE, FETCH = 0, 1, 2
FLAGS = (Flags.ALLOW_RETRY,) * 5 + (Flags.ALLOW_RETRY | Flags.NOWAIT, Flags.ATOMIC, Flags(0))
AGING = ("age", "age", "protect", "protect all", "protect all", "protect all", "discard")
"""Operations where hardware sets A and D: ways to need it, and to race with it."""


@dataclass(frozen=True, kw_only=True)
class Stress:
    """Sizes of the program.

    Parameters
    ----------
    faults : in all. faulters, mutators : threads of each kind. regions : VMAs of `pages` pages. pause_ns : longest pause of a mutator.
    """

    faults: int = 400
    faulters: int = 8
    mutators: int = 2
    regions: int = 4
    pages: int = 24
    pause_ns: int = 3000


async def run_stress(kernel: Kernel, rng: Random, stress: Stress) -> dict[str, int]:
    """Run the program on a kernel that has not started; returns faults by outcome and the operations made.

    Raises `HangError` when the machine stands still.
    """
    starts = [BASE_VPN + region * REGION_PITCH for region in range(stress.regions)]
    mm = kernel.new_mm(0, [_set(start, start + stress.pages, "rw-p") for start in starts])
    counts = dict.fromkeys(("speculative", "retried", "classic", "software", "refused", "operations"), 0)
    left = stress.faults

    async def fault(thread: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            vpn = rng.choice(starts) + rng.randrange(stress.pages)
            access = rng.choice((STORE, STORE, LOAD, FETCH))
            call = FaultCall(
                mm=mm, port=thread % kernel.machine.ports, va=vpn << 12 | rng.randrange(4096), access=access, present=False, refused=False,
                grow=None, flags=rng.choice(FLAGS), label=f"fault of thread {thread} at page {vpn:#x}",
            )  # fmt: skip
            report = await kernel.faults.run(call, reconcile=False)
            counts[report.outcome] += 1

    async def mutate() -> None:
        while left > 0:
            await kernel.scheduler.sleep(rng.randrange(stress.pause_ns + 1))
            await _operation(mm, rng, rng.choice(starts), stress.pages, aging=kernel.adue)
            counts["operations"] += 1

    tasks = [kernel.scheduler.spawn(fault(thread), f"faulter {thread}") for thread in range(stress.faulters)]
    tasks += [kernel.scheduler.spawn(mutate(), f"mutator {number}") for number in range(stress.mutators)]
    await drive(kernel, lambda: all(task.done for task in tasks))
    if sum(counts.values()) - counts["operations"] != stress.faults:
        raise HangError(f"{stress.faults} faults were issued, but the outcomes are {counts}")
    return counts


def _set(start: int, end: int, perm: str) -> LayoutChange:
    return LayoutChange(op="set", start=start, end=end, perm=perm)


async def _operation(mm: AddressSpace, rng: Random, start: int, pages: int, *, aging: bool) -> None:
    """mprotect of all or a part, MADV_DONTNEED, munmap, or munmap and mmap in one (MAP_FIXED)."""
    first = rng.randrange(pages)
    last = rng.randrange(first, pages) + 1
    kinds = ("protect", "protect", "protect all", "discard", "unmap", "map")
    kind = rng.choice(AGING if aging else kinds)
    if kind == "age":
        await mm.age(start, start + pages)
    elif kind == "protect":
        await mm.change([LayoutChange(op="prot", start=start + first, end=start + last, perm=rng.choice(PERMS))])
    elif kind == "protect all":
        await mm.change([LayoutChange(op="prot", start=start, end=start + pages, perm=rng.choice(PERMS))])
    elif kind == "discard":
        await mm.change([], drops=((start + first, start + last),))
    elif kind == "unmap":
        await mm.change([LayoutChange(op="clear", start=start + first, end=start + last)], drops=((start + first, start + last),))
    else:
        await mm.change([_set(start, start + pages, "rw-p")], drops=((start, start + pages),))
