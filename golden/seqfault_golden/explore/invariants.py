"""What must be true when nobody has anything left to do. [protocol.md 0.4; the issue's list]"""

from ..layout import PTE_V, PTE_W, VmaFlag, pte_ppn
from .parts import CACHED, FREE, HUGE, MAPPED, SHARED, Violation
from .small_world import SmallWorld

__all__ = ["check_end"]


def check_end(world: SmallWorld) -> None:
    """Raise `Violation` with the first thing that is wrong at quiescence."""
    reachable = _reachable(world)
    _entries(world, reachable)
    _frames(world, reachable)
    _tables(world)
    _nothing_held(world)
    for cpu in world.cpus:
        if cpu.tlb and not any(_covers(pte, cpu.tlb) for _, pte in reachable.values()):
            raise Violation("no stale TLB entry", f"{cpu.name} still translates to frame {pte_ppn(cpu.tlb)}, which no entry gives")


def _covers(pte: int, cached: int) -> bool:
    return pte_ppn(pte) == pte_ppn(cached) and not cached & PTE_W & ~pte


def _reachable(world: SmallWorld) -> dict[int, tuple[int, int]]:
    """Address to (page, pte) of the present entries that a walk finds."""
    found = {}
    for number, slot in enumerate(world.slots):
        if slot.value and slot.value != HUGE:
            for index in range(world.entries):
                address = slot.value * world.entries + index
                pte = world.ptes[address - world.entries].pte
                if pte & PTE_V:
                    found[address] = number * world.entries + index, pte
    return found


def _entries(world: SmallWorld, reachable: dict[int, tuple[int, int]]) -> None:
    for page, pte in reachable.values():
        vma = world.find(page)
        if vma is None:
            raise Violation("I2", f"page {page} is still mapped after its VMA is gone")
        if pte & PTE_W and not vma.flags & VmaFlag.WRITE:
            raise Violation("I3", f"page {page} is writable in a VMA that is read-only")


def _frames(world: SmallWorld, reachable: dict[int, tuple[int, int]]) -> None:
    mapped: dict[int, int] = {}
    for address, (_, pte) in reachable.items():
        frame = pte_ppn(pte)
        cached = frame and world.frames[frame - 1].place == CACHED
        if frame in mapped and not cached:
            raise Violation("I4", f"frame {frame} is mapped twice")
        if frame != world.zero_frame:
            mapped[frame] = address
    for number, cells in enumerate(world.frames, 1):
        if cells.place == FREE and number in mapped:
            raise Violation("I4", f"frame {number} is mapped, and free")
        if cells.place not in (FREE, SHARED, CACHED) and cells.place != MAPPED + mapped.get(number, 0):
            where = "mapped where no walk finds it" if cells.place >= MAPPED else "neither mapped nor in the pool"
            raise Violation("I4", f"frame {number} is lost: {where}")


def _tables(world: SmallWorld) -> None:
    used = {slot.value for slot in world.slots}
    for number, table in enumerate(world.tables, 1):
        if table.spare == 2 or (world.counts_tables and table.alive and number not in used):
            raise Violation("I4", f"table {number} is lost: neither in use nor in the pool")


def _nothing_held(world: SmallWorld) -> None:
    if world.mm.lock:
        raise Violation("I6", "the lock of the pmd entries is held for ever")
    for table in world.tables:
        if table.lock:
            raise Violation("I6", f"the PTE lock of {table.name} is held for ever")
    if world.mm.writer or world.mm.readers:
        raise Violation("I6", "the mm lock is held for ever")
    for number, vma in enumerate(world.vmas):
        if vma.indexed and world.active_writers(number):
            raise Violation("every fault ends", f"the sequence of {vma.name} stays odd: no fault of it is speculative any more")
