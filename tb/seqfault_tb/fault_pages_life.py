"""Steps R7 to FILL of a fault in plain Python: which frame its entry is to map. [docs/software-contract.md, Frames; Page cache]"""

from typing import Any

from seqfault_golden.layout import Access, Outcome, RequestFlag, Step, VmaFlag

from .fault_step_life import BUS_ERROR, FROM_POOL, LEAF, NO_SPACE, NONE, A, D, R, StepLife, Steps, U, V, W, X, ppn_of

__all__ = ["EXCLUSIVE", "UFFD_WP", "PagesLife"]

RIGHT = {Access.LOAD: R, Access.STORE: W | D, Access.FETCH: X}
EXCLUSIVE, UFFD_WP = 1 << 8, 1 << 9
PRESENT, UPTODATE, LOCKED, WRITABLE = (1 << bit for bit in range(4))
N = 1 << 63
POOLED = {"pool", "copy", "copy slot", "table"}
"""Plans that take a frame of the pool; the others: "zero" (the zero frame), "slot" (the slot's), "stay", "stay shared" (the entry's own)."""


class PagesLife(StepLife):
    """R7, PAGE, R8, R9, FILL."""

    def _frame_steps(self, known: bool) -> Steps:
        """From the walk to the frame. Returns OK, MAPPED or the reason of the failure."""
        c = self.c
        walked = {"outcome": NONE, "level": 0, "pte": 0, "pte_addr": c.request.get("pte_addr")} if known else c.take("walk")
        c.pte_addr, c.entry = walked["pte_addr"], walked["pte"]
        c.plan, reason = self._plan(walked)
        shown = {"addr": c.pte_addr, "data": c.entry}
        if c.plan in ("zero", "pool") and not c.entry and reason == Outcome.OK:
            return (yield from self._allocate(Step.R7, addr=c.pte_addr))
        looks = c.plan in ("slot", "copy slot", "stay shared") and reason == Outcome.OK
        if looks:
            self._look()
        if reason == Outcome.MAPPED:
            self._found_mapped(walked)
        yield self._event(Step.R7, outcome=reason, **shown)
        if looks:
            reason = yield from self._page_step()
        if reason != Outcome.OK:
            return reason
        return (yield from self._allocate(Step.R8))

    def _plan(self, walked: dict[str, int]) -> tuple[str, Outcome]:
        """R7: what becomes of the entry, or why nothing does."""
        kind, level, pte = walked["outcome"], walked["level"], walked["pte"]
        need = V | U | A | RIGHT[Access(self.c.request["access"])]
        if kind == LEAF:
            if pte & need == need:
                return "", Outcome.MAPPED
            return ("", Outcome.HUGE) if level or pte & N else self._plan_of_mapped(pte)
        if kind == NONE:
            if pte:
                return "", Outcome.PRESENT
            if level:
                return "table", Outcome.NO_TABLE if self._has(RequestFlag.ATOMIC) else Outcome.OK
            return self._plan_of_empty()
        return "", {BUS_ERROR: Outcome.BUS_ERROR, NO_SPACE: Outcome.NO_TABLE}.get(kind, Outcome.BAD_TABLE)

    def _plan_of_empty(self) -> tuple[str, Outcome]:
        if self._flag(VmaFlag.ANON) and not self._flag(VmaFlag.SHARED):
            return "pool" if self._store else "zero", Outcome.USERFAULT if self._flag(VmaFlag.UFFD) else Outcome.OK
        return "copy slot" if self._store and not self._flag(VmaFlag.SHARED) else "slot", Outcome.OK

    def _plan_of_mapped(self, pte: int) -> tuple[str, Outcome]:
        if self._store and pte & UFFD_WP and self._flag(VmaFlag.UFFD_WP):
            return "", Outcome.USERFAULT
        if not self._store or pte & (W | EXCLUSIVE):
            return "stay", Outcome.OK
        if self._flag(VmaFlag.SHARED):
            return "stay shared", Outcome.OK
        if ppn_of(pte) == self.model.zero_frame:
            return "pool", Outcome.OK
        return "copy", Outcome.PRESENT if self._has(RequestFlag.ATOMIC) else Outcome.OK

    def _found_mapped(self, walked: dict[str, Any]) -> None:
        """The answer comes from the entry; nothing is held any more."""
        c = self.c
        within = (1 << 12 + 9 * walked["level"]) - 1
        if walked["pte"] & N:
            within = (1 << 16) - 1
        va = c.request["vpn"] << 12 | c.request["offset"]
        c.mapped_pa = ppn_of(walked["pte"]) << 12 & ~within | va & within
        self._release()

    def _look(self) -> None:
        c = self.c
        self._ask(
            "look_request", "look", tag=c.agent, vpn=self._page[1], start=c.vma["start"], pgoff=c.vma["pgoff"], backing=c.vma["backing"]
        )  # fmt: skip

    def _page_step(self) -> Steps:
        """PAGE."""
        c = self.c
        looked = c.take("look")
        c.slot, c.slot_addr = looked["word"], looked["addr"]
        reason = self._page_outcome(Outcome(looked["outcome"]), c.slot)
        yield self._event(Step.PAGE, outcome=reason, addr=c.slot_addr, data=c.slot)
        return reason

    def _page_outcome(self, found: Outcome, slot: int) -> Outcome:
        empty = not self.c.entry
        if found in (Outcome.BUS_ERROR, Outcome.BAD_TREE):
            return found
        if found == Outcome.NOT_CACHED or not slot & PRESENT or not slot & UPTODATE:
            return Outcome.USERFAULT if empty and self._flag(VmaFlag.UFFD) else Outcome.NOT_CACHED
        if slot & LOCKED:
            return Outcome.PAGE_BUSY
        if empty and self._flag(VmaFlag.UFFD_MINOR):
            return Outcome.USERFAULT
        if self._store and self._flag(VmaFlag.SHARED) and not slot & WRITABLE:
            return Outcome.NOT_WRITABLE
        moved = not empty and ppn_of(slot) != ppn_of(self.c.entry)
        return Outcome.PRESENT if moved or (self.c.plan == "copy slot" and self._has(RequestFlag.ATOMIC)) else Outcome.OK

    def _allocate(self, first: Step, **shown: int) -> Steps:
        """R8, R9 and, if there is something to do in the frame, FILL."""
        c, model = self.c, self.model
        seq = model.sequence(c.id)
        if not self._unchanged():
            yield self._event(first, Step.R8, Outcome.CHANGED, seq=seq, **shown)
            return Outcome.CHANGED
        pooled, copied = c.plan in POOLED, c.plan.startswith("copy")
        zeroed = pooled and not copied and model.unzeroed
        again = copied and bool(model.used)
        if pooled and not again and (not model.available or (zeroed and self._has(RequestFlag.ATOMIC))):
            yield self._event(first, Step.R9, Outcome.POOL_EMPTY, seq=seq, **shown)
            return Outcome.POOL_EMPTY
        source = ppn_of(c.slot if c.plan.endswith("slot") else c.entry)
        c.owned = pooled
        c.frame = (model.used if again else model.pool).popleft() if pooled else model.zero_frame if c.plan == "zero" else source
        model.strobes |= {"frame_take": int(pooled and not again)}
        c.content = model.contents.get(source, source) if copied else 0
        if copied or zeroed:
            self._ask("move_job", "move", operation=int(copied), source=source if copied else None, target=c.frame, tag=c.agent)
        yield self._event(first, Step.R9, seq=seq, data=c.frame | (FROM_POOL if pooled else 0), **shown)
        if copied or zeroed:
            reason = Outcome.BUS_ERROR if c.take("move") else Outcome.OK
            yield self._event(Step.FILL, outcome=reason, addr=c.frame << 12, data=source | FROM_POOL if copied else 0)
            return reason
        return Outcome.OK

    def _entry(self) -> int:
        """What the fault writes."""
        c, store = self.c, self._store
        if c.plan == "table":
            return V | c.frame << 10
        wanted = c.vma["page_prot"] & 0xFF | A
        wanted = wanted | D if store else wanted & ~(W | D)
        if c.plan.startswith("stay"):
            return c.entry | wanted & (R | W | X | U | A | D)
        return wanted | c.frame << 10 | (EXCLUSIVE if c.owned else 0)
