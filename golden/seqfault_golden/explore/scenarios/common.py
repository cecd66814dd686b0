"""Worlds and casts that several scenarios share."""

from ...layout import PTE_A, PTE_D
from ...protocol.world import Safeguard, keeps
from ..fault_agent import FaultAgent
from ..parts import FLAGS_RW, MAPPED, PROT_RW
from ..program import Line, Program
from ..scenario import Built
from ..small_world import SmallWorld

__all__ = ["cast", "map_page", "set_vma", "world_of_one_page"]


def set_vma(world: SmallWorld, number: int, start: int, end: int) -> None:
    """A writable anonymous VMA that is in use."""
    vma = world.vmas[number]
    vma.indexed = vma.linked = vma.alive = 1
    vma.start, vma.end, vma.flags, vma.prot = start, end, FLAGS_RW, PROT_RW
    vma.seq = int(not keeps(world, Safeguard.PARITY))


def world_of_one_page(removed: frozenset[Safeguard], *, frames: int = 2, policy: str = "spec") -> SmallWorld:
    """One writable VMA with one page, whose table is there and whose entry, at address 1, is empty."""
    world = SmallWorld(removed=removed, frames=frames, policy=policy)
    set_vma(world, 0, 0, 1)
    world.slots[0].value = 1
    return world


def map_page(world: SmallWorld, address: int, frame: int) -> int:
    """The entry at `address` maps a frame writable, and has been written; returns the pte."""
    pte = PROT_RW | PTE_A | PTE_D | frame << 10
    world.ptes[address - world.entries].pte = pte
    world.frames[frame - 1].place = MAPPED + address
    return pte


def cast(world: SmallWorld, faults: int, *programs: tuple[str, tuple[Line, ...]], page: int = 0, symmetric: bool = True) -> Built:
    """So many equal faults of a page, and programs by name; not `symmetric` when a program tells the faults' CPUs apart."""
    agents: list[FaultAgent | Program] = [FaultAgent(world, page=page) for _ in range(faults)]
    agents += [Program(world, name, faults + number, lines) for number, (name, lines) in enumerate(programs)]
    return Built(world=world, agents=tuple(agents), symmetric=faults if symmetric else 0)
