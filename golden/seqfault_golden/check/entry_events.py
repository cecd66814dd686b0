"""Events of R16 to R18: what is written to entries, in which order, and that it follows from the snapshot. [protocol.md 0.2, 1.10, 1.11]"""

from collections.abc import Callable, Sequence

from ..layout import Outcome, pte_ppn
from ..page_cache import is_mappable, slot_ppn
from ..protocol.around import AROUND_PAGES, Neighbour, around_pte, neighbours, window_address
from ..protocol.commit_steps import around, clear, flush, installed_pte, r16, r17, r18, table
from ..protocol.plan import Plan, looks_up, takes_frame
from ..protocol.world import NotAllowed, Phase, fail
from .find_events import expect_id
from .lookups import walk
from .state import Fault, State, bus_error

__all__ = ["cleared", "commit", "flushed", "hung", "mapped_around", "set_alone", "unlock"]

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""
_OK = Outcome.OK


def _is_same(state: State, fault: Fault, outcome: Outcome, step: Callable[[State, Fault], Outcome]) -> bool:
    """C4 may take a change of another entry for one of this, never the reverse. True: the step passed."""
    address = fault.entry_address
    now = state.memory.read(address)
    if outcome == Outcome.RACED:
        if now == fault.entry and state.leaf_changed <= fault.walk_began:
            raise NotAllowed("C4 false abort: no entry changed since the walk began")
        fail(fault, outcome)
        return False
    if step(state, fault) != _OK:
        raise NotAllowed(f"C4 passed although the entry at {address:#x} went from {fault.entry:#x} to {now:#x}")
    return True


def _expect_in_use(state: State, fault: Fault) -> None:
    """The table is still in use (I1)."""
    address, reached = fault.entry_address, walk(state.memory, fault.space, fault.vpn)[0]
    if reached != address:
        raise NotAllowed(f"C4 passed for {address:#x}, but a walk of page {fault.vpn:#x} now ends at {reached:#x}: the table is gone (I1)")


def commit(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R16-R17."""
    if _is_same(state, fault, outcome, r16):
        _expect_in_use(state, fault)
        _set(state, fault, event)


def set_alone(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R17 after CLEAR and FLUSH: the entry is still 0."""
    now = state.memory.read(fault.entry_address)
    if now:
        raise NotAllowed(f"R17 overwrites {now:#x} at {fault.entry_address:#x}, where CLEAR left 0 (I5)")
    _set(state, fault, event)


def _set(state: State, fault: Fault, event: Event) -> None:
    """The entry is the snapshot's."""
    address, pte = event[8], event[9]
    if address != fault.entry_address:
        raise NotAllowed(f"R17 writes {address:#x}, the walk ended at {fault.entry_address:#x}")
    expected = installed_pte(fault.plan, fault.entry, fault.page_prot, fault.frame, fault.access)
    if pte != expected:
        snapshot = f"page_prot {fault.page_prot:#x}, frame {fault.frame:#x}, entry {fault.entry:#x}, {Plan(fault.plan).name}"
        raise NotAllowed(f"R17 commits {pte:#x}; the snapshot ({snapshot}) gives {expected:#x}")
    if fault.plan == Plan.TABLE:
        state.expect_zeros(fault.frame)
    r17(state, fault)
    if looks_up(fault.plan) and not takes_frame(fault.plan):
        state.frames.slots[address] = fault.slot


def cleared(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """CLEAR. RELEASED_FULL: only the engine knows its ring's buffer, but the zero frame is never released."""
    expect_id(fault, event)
    if outcome == Outcome.RELEASED_FULL:
        if pte_ppn(fault.entry) == state.zero_frame:
            raise NotAllowed("CLEAR RELEASED_FULL for an entry that maps the zero frame, which is not released")
        fail(fault, outcome)
        return
    if outcome == _OK:
        _expect_in_use(state, fault)
        if (event[8], event[9]) != (fault.entry_address, fault.entry):
            raise NotAllowed(f"CLEAR removes {event[9]:#x} at {event[8]:#x}, the walk ended at {fault.entry_address:#x} with {fault.entry:#x}")
    _is_same(state, fault, outcome, clear)


def flushed(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """FLUSH: what was written before it is visible."""
    _expect_entry(fault, event[8], "FLUSH")
    if outcome == Outcome.BUS_ERROR:
        return _lost(state, fault)
    state.memory.settle(fault.entry_address, state.now)
    state.leaf_changed = state.now
    flush(state, fault)


def mapped_around(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """AROUND: each entry that was set was empty, and its slot could be mapped since the walk began; none is left out that was so all the time.

    After BUS_ERROR nobody knows what those entries hold; "the fault goes on".
    """
    if outcome == Outcome.BUS_ERROR and not state.bus_errors:
        raise NotAllowed("BUS_ERROR although memory answers every access")
    pages = neighbours(fault.vpn, fault.start, fault.end, fault.slot, fault.entry_address)
    lowest, mask = event[8], event[9]
    if lowest not in (window_address(fault.entry_address), min([fault.entry_address, *(page.entry for page in pages)])) or mask >> AROUND_PAGES:
        raise NotAllowed(f"AROUND of {mask:#x} from {lowest:#x} on, the window of {fault.entry_address:#x} begins elsewhere")
    marked = {lowest + 8 * bit for bit in range(AROUND_PAGES) if mask >> bit & 1} - {fault.entry_address}
    entries = []
    for page in pages:
        frame = _mapped_frame(state, fault, page, page.entry in marked, outcome == _OK)
        if frame is not None:
            entries.append((page.entry, around_pte(fault.page_prot, frame)))
            state.frames.slots[page.entry] = page.slot
    if strange := marked - {page.entry for page in pages}:
        raise NotAllowed(f"AROUND sets the entry at {min(strange):#x}, which is beyond the VMA or the node of the page cache")
    around(state, fault, entries)
    if outcome == Outcome.BUS_ERROR:
        state.unknown |= dict.fromkeys(marked, state.now)


def _mapped_frame(state: State, fault: Fault, page: Neighbour, marked: bool, complete: bool) -> int | None:
    """The frame that the fault-around has mapped for a page of its window."""
    slots = state.memory.values(page.slot, fault.walk_began)
    frames = [slot_ppn(slot) for slot in slots if is_mappable(slot)]
    entries = state.memory.values(page.entry, fault.walk_began)
    if page.entry in state.early:
        state.early.remove(page.entry)
        if not marked:
            raise NotAllowed(f"AROUND leaves out page {page.vpn:#x}, whose entry a walk has found already")
        return pte_ppn(entries[0])
    if not marked:
        if complete and entries == [0] and len(frames) == len(slots):
            raise NotAllowed(f"AROUND leaves out page {page.vpn:#x}, whose slot holds {slots[0]:#x}")
        return None
    if entries[0]:
        raise NotAllowed(f"AROUND overwrites {entries[0]:#x}, the entry of page {page.vpn:#x} (I5)")
    if not frames:
        raise NotAllowed(f"AROUND maps page {page.vpn:#x}, whose slot holds {slots[0]:#x}: it may not be mapped")
    return frames[0]


def hung(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """TABLE: the walk begins again, with the table."""
    _expect_entry(fault, event[8], "TABLE")
    if event[9] != fault.pte:
        raise NotAllowed(f"TABLE reports {event[9]:#x} at {event[8]:#x}, committed was {fault.pte:#x}")
    if outcome == Outcome.BUS_ERROR:
        return _lost(state, fault)
    table(state, fault)
    state.leaf_changed = fault.walk_began = state.now
    fault.invalidated = False


def unlock(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R18."""
    address, pte = event[8], event[9]
    if (address, pte) != (fault.entry_address, fault.pte):
        raise NotAllowed(f"R18 reports {pte:#x} at {address:#x}, committed was {fault.pte:#x} at {fault.entry_address:#x}")
    if outcome == Outcome.BUS_ERROR:
        return _lost(state, fault)
    r18(state, fault)
    state.leaf_changed = state.now
    fault.known = fault.phase != Phase.IDLE


def _expect_entry(fault: Fault, address: int, step: str) -> None:
    if address != fault.entry_address:
        raise NotAllowed(f"{step} of {address:#x}, the walk ended at {fault.entry_address:#x}")


def _lost(state: State, fault: Fault) -> None:
    """A bus error: nobody knows what the entry holds now. It stays unsettled, and a frame that it may map is not used again."""
    bus_error(state, fault)
    state.unknown[fault.entry_address] = state.now
    state.leaf_changed = state.now
