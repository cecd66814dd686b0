"""What all steps of a fault's life in plain Python are written with; see `fault_life.py`."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from seqfault_golden.layout import Access, Outcome, RequestFlag, Step

if TYPE_CHECKING:
    from .fault_model import FaultContext, FaultModel

__all__ = [
    "BUS_ERROR", "FROM_POOL", "LEAF", "LOW_48", "NONE", "NO_SPACE", "VPN_MASK", "A", "D", "R", "StepLife", "Steps", "U", "V", "W", "X", "ppn_of",
]  # fmt: skip

FROM_POOL = 1 << 63
"""Event data of R9 and UNDO; of FILL: the frame was copied into."""
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
LOW_48, VPN_MASK = (1 << 48) - 1, (1 << 45) - 1
Steps = Generator[dict[str, int], None, Any]


def ppn_of(entry: int) -> int:
    """The frame of an entry, or of a slot. [Priv 12.4.1; contract, Page cache]"""
    return entry >> 10 & (1 << 44) - 1


class StepLife:
    """One fault `context`, on the shared state `model`."""

    def __init__(self, model: "FaultModel", context: "FaultContext") -> None:
        self.model, self.c = model, context

    def _has(self, flag: RequestFlag) -> bool:
        return bool(self.c.request["flags"] & flag)

    def _flag(self, flag: int) -> bool:
        return bool(self.c.vma["flags"] & flag)

    @property
    def _store(self) -> bool:
        return self.c.request["access"] == Access.STORE

    @property
    def _page(self) -> tuple[int, int]:
        """Space and VPN as the other blocks see it."""
        return self.c.request["space"], self.c.request["vpn"] & VPN_MASK

    def _event(self, first: Step, last: Step | None = None, outcome: Outcome = Outcome.OK, **fields: int) -> dict[str, int]:
        c = self.c
        base = {"seq": 0, "addr": 0, "data": 0, "id": c.id, "space": c.request["space"], "vpn": c.request["vpn"] & LOW_48, "agent": c.agent}
        return base | {"first": int(first), "last": int(first if last is None else last), "outcome": int(outcome)} | fields

    def _ask(self, output: str, kind: str, **fields: int | None) -> None:
        """A request leaves in this step, and its answer is needed for the next (fields that are None mean nothing)."""
        self.model.outputs[output].append(fields)
        self.c.waits.add(kind)

    def _ask_for_page(self, output: str, kind: str) -> None:
        space, vpn = self._page
        self._ask(output, kind, space=space, vpn=vpn, tag=self.c.agent)

    def _write(self, entry: int, old: int) -> None:
        """The fault's entry is written, where `old` must be."""
        c = self.c
        c.overwrites = old
        self._ask("write", "write", addr=c.pte_addr, data=entry, keep=0, tag=c.agent, exclusive=0)

    def _watch(self) -> None:
        """The walk begins: what happens to the page from now on counts."""
        self.c.watching, self.c.stale, self.c.raced, self.c.table_raced = True, False, False, False

    def _unlock(self) -> None:
        """The table's lock is released in this step."""
        c, model = self.c, self.model
        assert model.locks.pop(c.pte_addr >> 12) == c.agent
        c.locked = False
        model.strobes |= {"lock_release": 1}
        model.lock_freed()

    def _release(self) -> None:
        """Drop the table's lock, the VMA and the pin."""
        c, model = self.c, self.model
        if c.locked:
            self._unlock()
        if c.holds_vma:
            model.strobes |= {"vma_drop": 1}
            model.readers[c.id % model.entries] -= 1
        c.holds_vma = c.owned = False
        model.pinned.discard(c.agent)

    def _unchanged(self) -> bool:
        """C1, C3, R8; "under the mm lock the sequence is not looked at"."""
        return self.c.classic or self.c.holds_vma or self.model.sequence(self.c.id) == self.c.seq
