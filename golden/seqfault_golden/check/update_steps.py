"""A/D updates as steps: AD_LOCK, then the swap in memory, then AD_UPDATE. [contract, PTE locks; Priv 12.3.2, step 9]

The functions follow the rules of `find_steps`: `NotAllowed`, or the step's change. Between the two steps memory may hold the old entry or the
new one, and software, which knows no PTE lock, may write. Entries of Sv32 are not modelled.
"""

from collections.abc import Sequence

from ..layout import PTE_A, PTE_D, UPDATE_AGENT, Outcome, Step
from ..protocol.world import NotAllowed
from .history import ADUE, features_key
from .lookups import table_of, walk_ends_at
from .state import State, Update

__all__ = ["ad_lock", "ad_update", "meet_software", "update_event"]


def ad_lock(state: State, space: int, vpn: int, address: int, new: int, since: int) -> None:
    """The lock of the entry's table is taken; `since`: the tick since when a walk may have found the entry."""
    table = table_of(address)
    if state.update is not None:
        raise NotAllowed("AD_LOCK while another update is under way")
    if table in state.pte_locks:
        raise NotAllowed(f"AD_LOCK of table {table:#x}, which agent {state.pte_locks[table]} holds")
    if not any(features & ADUE for features in state.memory.values(features_key(space), since)):
        raise NotAllowed(f"AD_LOCK in space {space}, whose A and D are not set by hardware")
    values = state.memory.values(address, since)
    if all(walk_ends_at(state.memory, space, vpn, since, address, value) is None for value in values):
        raise NotAllowed(f"AD_LOCK of {address:#x}, where no walk of page {vpn:#x} ends")
    olds = [value for value in values if value != new and new in (value | PTE_A, value | PTE_A | PTE_D)]
    if not olds:
        raise NotAllowed(f"AD_LOCK of {address:#x} is to write {new:#x}, which is no entry of there with A or D set")
    old = state.memory.read(address)
    state.pte_locks[table] = UPDATE_AGENT
    state.leaf_changed = state.now
    state.update = Update(space, vpn, address, olds, old, new, old in olds, state.now)
    if state.update.possible:
        state.memory.write_unsettled(address, new, state.now)


def meet_software(state: State, address: int, value: int, found: int | None) -> None:
    """Software has written an entry that held `found`: the swap of a running update has been, or may come if it finds there what it looks for."""
    update = state.update
    if update is None or update.address != address or update.done:
        return
    update.done = update.possible and found == update.new
    if not update.done:
        update.old, update.possible = value, value in update.olds
        if update.possible:
            state.memory.write_unsettled(address, update.new, state.now)


def ad_update(state: State, outcome: int, space: int, vpn: int, address: int, new: int) -> None:
    """The swap is visible (OK), or found another entry (RACED), or nobody knows (BUS_ERROR); the lock is dropped."""
    update = state.update
    if update is None or (update.space, update.vpn, update.address, update.new) != (space, vpn, address, new):
        raise NotAllowed(f"AD_UPDATE of {address:#x} to {new:#x}, for which there was no AD_LOCK")
    if outcome == Outcome.BUS_ERROR:
        if not state.bus_errors:
            raise NotAllowed("BUS_ERROR although memory answers every access")
        state.unknown[address] = state.now
    elif outcome == Outcome.RACED:
        if update.done:
            raise NotAllowed(f"AD_UPDATE to {new:#x} failed, but software found that there")
        state.memory.revert(address)
    else:
        if not update.possible:
            raise NotAllowed(f"AD_UPDATE writes {new:#x} over {update.old:#x}: not the entry with A or D set")
        if not update.done:
            state.memory.settle(address, state.now)
            state.tables.entry_written(address, update.old, new)
    del state.pte_locks[table_of(address)]
    state.leaf_changed = state.now
    state.update = None


def update_event(state: State, event: Sequence[int], since: int) -> None:
    """Take the step that an event of the A/D updates stands for, or raise `NotAllowed`."""
    first, last, _, outcome, space, vpn = event[:6]
    address, new = event[8:10]
    if space >= state.spaces:
        raise NotAllowed(f"there is no space {space}")
    if (first, last, outcome) == (Step.AD_LOCK, Step.AD_LOCK, Outcome.OK):
        ad_lock(state, space, vpn, address, new, since)
    elif first == last == Step.AD_UPDATE and outcome in (Outcome.OK, Outcome.RACED, Outcome.BUS_ERROR):
        ad_update(state, outcome, space, vpn, address, new)
    else:
        raise NotAllowed("an A/D update has no such step")
