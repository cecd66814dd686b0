"""A look at the whole state of a `FakeMachine`: is every mapped page covered, and every frame where it belongs? [protocol.md I3, I4]"""

from itertools import pairwise
from typing import TYPE_CHECKING

from .fake_walks import find_vma, leaves, records

if TYPE_CHECKING:
    from .fake_machine import FakeMachine

__all__ = ["audit"]

W, RIGHTS, SHARED = 4, 0xE, 8
FREE = "the free ring"


def audit(machine: "FakeMachine") -> list[str]:
    """What is wrong with the tables and trees now; nothing should be in progress."""
    wrong, owners = [], dict.fromkeys(machine.free_frames, FREE)
    for space, satp in enumerate(machine.tables):
        if not satp:
            continue
        found = list(records(machine.read64, machine.vmas[space]))
        for start, vma_id, record in found:
            if (start, vma_id) != (record.start, record.id) or record.start >= record.end:
                wrong.append(f"space {space}: the tree names VMA {vma_id} at {start:#x}, the record is {record}")
        for (_, _, left), (_, _, right) in pairwise(found):
            if left.end > right.start:
                wrong.append(f"space {space}: VMAs {left.id} and {right.id} overlap")
        for vpn, entry in leaves(machine.read64, satp):
            wrong += _wrong_entry(machine, space, vpn, entry, owners)
    return wrong


def _wrong_entry(machine: "FakeMachine", space: int, vpn: int, entry: int, owners: dict[int, str]) -> list[str]:
    name = f"space {space}, page {vpn:#x}"
    record = find_vma(machine.read64, machine.vmas[space], vpn)
    if record is None or not record.start <= vpn < record.end:
        return [f"{name} is mapped, no VMA covers it"]
    wrong = []
    if entry & RIGHTS & ~record.page_prot:
        wrong.append(f"{name} has more rights ({entry:#x}) than its VMA ({record.page_prot:#x})")
    frame = entry >> 10
    if entry & W and not record.flags & SHARED:
        if frame in owners:
            wrong.append(f"{name} writes frame {frame:#x}, which belongs to {owners[frame]}")
        owners[frame] = name
    elif owners.get(frame) == FREE:
        wrong.append(f"{name} maps frame {frame:#x}, which is free")
    return wrong
