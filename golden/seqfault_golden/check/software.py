"""What software does to the checker's world itself: memory, the free ring and the roots of spaces."""

from ..protocol.world import NotAllowed
from .history import features_key, table_key, vmas_key
from .lookups import overlapping_records
from .state import State
from .update_steps import meet_software

__all__ = ["software_frames", "software_write", "space_table", "space_vmas"]


def space_table(state: State, space: int, satp: int, features: int) -> None:
    """`SPACE.TABLE`; `features`: bits ADUE, PBMTE, NAPOT from bit 0 on."""
    state.memory.write(features_key(space), features, state.now)
    key = table_key(space)
    old = state.memory.read(key)
    state.memory.write(key, satp, state.now)
    state.tables.set_root(space, old, satp)


def space_vmas(state: State, space: int, pointer: int) -> None:
    """`SPACE.VMAS`: U1 "unlink from index", and every other publication of a tree."""
    state.memory.write(vmas_key(space), pointer, state.now)


def software_write(state: State, address: int, value: int, found: int | None = None) -> None:
    """W2 and software's own page-table work; `found` : what was there.

    "Software may write a leaf entry of a VMA directly only between MM.LOCK .. SEQ.BEGIN id, IOFENCE.C(PR) and SEQ.END id, or where no record
    covers it. [..] software writes an upper entry [..] only in such a section of every VMA that overlaps what the entry translates". [contract,
    PTE locks]
    """
    old = state.memory.read(address)
    place = state.tables.place(address) if old != value else None
    if place is not None:
        space, level, vpn = place
        for record in overlapping_records(state.memory, space, vpn, vpn + (1 << 9 * level)):
            if not (space in state.mm_writers and state.sequences.writers(record.id)):
                what = f"leaf entry of page {vpn:#x}" if level == 0 else f"entry of level {level} for page {vpn:#x}"
                raise NotAllowed(f"software writes the {what} outside a section of VMA {record.id}, which it concerns")
    state.memory.write(address, value, state.now)
    state.unknown.pop(address, None)
    meet_software(state, address, value, found)
    if old != value:
        state.frames.unmap(address)  # also in a table that was unlinked before software cleared it
    if place is not None:
        state.tables.entry_written(address, old, value)


def software_frames(state: State, frames: list[int]) -> None:
    """Frames offered in the free ring: not offered already, not taken, not mapped by the engine in a table that is in use (I4)."""
    for frame in frames:
        home = state.frames.home.get(frame)
        if home is not None:
            if state.tables.place(home) is not None:
                raise NotAllowed(f"software offers frame {frame:#x}, which the entry at {home:#x} maps")
            state.frames.unmap(home)
        if frame in state.frames.free or frame in state.frames.taken or frame == state.zero_frame or state.tables.is_table(frame):
            raise NotAllowed(f"software offers frame {frame:#x}, which is in use")
        state.frames.free.add(frame)
