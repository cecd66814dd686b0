"""A fault-around's entries become visible one by one before AROUND tells of them: what a walk may find of one under way. [contract, Fault-around]"""

from ..layout import PTE_V
from ..page_cache import is_mappable, slot_ppn
from ..protocol.around import around_pte, neighbours
from ..protocol.world import Phase
from .state import State

__all__ = ["early_entries", "read_early"]


def early_entries(state: State, space: int, address: int) -> list[int]:
    """What a fault-around under way may have written to the empty leaf entry at `address` already."""
    if state.memory.read(address) & PTE_V:
        return []
    entries = []
    for fault in state.faults:
        if fault.phase != Phase.AROUND or fault.space != space:
            continue
        for page in neighbours(fault.vpn, fault.start, fault.end, fault.slot, fault.entry_address):
            if page.entry == address:
                slots = state.memory.values(page.slot, fault.walk_began)
                entries += [around_pte(fault.page_prot, slot_ppn(slot)) for slot in slots if is_mappable(slot)]
    return entries


def read_early(state: State, address: int, pte: int) -> None:
    """A walk has found one of `early_entries`: AROUND must tell of it."""
    state.write_entry(address, pte)
    state.early.add(address)
