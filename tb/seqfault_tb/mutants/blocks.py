"""Which modules of the RTL are mutated: those that carry the protocol, in groups."""

__all__ = ["BLOCKS", "modules_of"]

BLOCKS = {
    "fault": (
        "fault_steps", "fault_lookup", "fault_commit", "fault_exit", "fault_pages", "fault_context", "fault_state", "fault_streams",
        "fault_tracking", "fault_around", "fault_queue", "fault_records", "fault_reports", "fault_unit", "context_schedule",
    ),
    "command": (
        "command_decode", "command_fence", "command_fetch", "command_step", "command_unit", "entry_chunk", "entry_sweep",
    ),
    "state": ("sequence_table", "pte_locks", "mm_locks", "page_changes", "step_slot", "srcu", "frame_pool"),
    "lookup": ("vma_lookup", "vma_cache", "vma_finder", "vma_tree", "page_lookup", "walk_stale"),
    "update": ("locked_update", "memory_updater", "ad_update"),
    "ring": ("record_ring", "record_writer", "page_request_queue"),
}  # fmt: skip
"""Left out: translation (TLBs, walker, miss table: their judges are the vectors of `seqfault walk` and the blocks' own tests, exact to the
cycle), the buses, and the registers. They have no part in the protocol."""


def modules_of(names: list[str]) -> list[str]:
    """The modules of these groups or with these names; all without one. Raises `ValueError` for an unknown name."""
    every = [module for modules in BLOCKS.values() for module in modules]
    if not names:
        return every
    wanted: set[str] = set()
    for name in names:
        if name not in BLOCKS and name not in every:
            raise ValueError(f"unknown block {name!r}; groups: {', '.join(BLOCKS)}; modules: {', '.join(every)}")
        wanted |= set(BLOCKS.get(name, (name,)))
    return [module for module in every if module in wanted]
