"""Steps R10 to R18 of a fault in plain Python: the checks, the lock, and what is written in which order. [docs/software-contract.md, Steps]"""

from seqfault_golden.layout import Outcome, RequestFlag, Status, Step, VmaFlag

from .fault_pages_life import PagesLife
from .fault_step_life import Steps, V, ppn_of

__all__ = ["CommitLife"]

USERFAULTS = VmaFlag.UFFD | VmaFlag.UFFD_WP | VmaFlag.UFFD_MINOR


class CommitLife(PagesLife):
    """R10 to R18, CLEAR, FLUSH, AROUND, TABLE."""

    def _commit(self) -> Steps:
        """R10 to the end. Returns OK, or the reason of the failure, or None: a table was made, and R7 comes next."""
        c = self.c
        reason = yield from self._checks_and_lock()
        if reason != Outcome.OK:
            return reason
        clears = bool(c.entry & V) and c.plan in ("pool", "copy")
        reason = yield from self._clear() if clears else self._set_at_once()
        if reason != Outcome.OK:
            return reason
        if c.plan == "table":
            return (yield from self._table())
        if clears or c.plan.startswith("stay"):
            reason = yield from self._flush()
            if reason != Outcome.OK:
                return reason
        if clears:
            self._write_entry(old=0)
            yield self._event(Step.R17, addr=c.pte_addr, data=self._entry())
        elif c.around:
            yield from self._around()
        return (yield from self._end_commit())

    def _checks_and_lock(self) -> Steps:
        """R10 to R15."""
        c, model = self.c, self.model
        for waits in range(model.lock_rounds + 1):
            seq = model.sequence(c.id)
            if not self._unchanged():
                yield self._event(Step.R10, Step.R11, Outcome.CHANGED_C1, seq=seq)
                return Outcome.CHANGED_C1
            if c.stale:
                yield self._event(Step.R10, Step.R12, Outcome.WALK_C2, seq=seq)
                return Outcome.WALK_C2
            yield self._event(Step.R10, Step.R12, seq=seq)
            table = c.pte_addr >> 12
            if table not in model.locks:
                model.locks[table], c.locked = c.agent, True
                model.strobes |= {"lock_acquire": 1}
                yield self._event(Step.R13, addr=table << 12)
                break
            if waits == model.lock_rounds or self._has(RequestFlag.ATOMIC):
                yield self._event(Step.R13, outcome=Outcome.PTL_BUSY, addr=table << 12)
                return Outcome.PTL_BUSY
            c.parked = True
            yield self._event(Step.R13, outcome=Outcome.PTL_WAIT, addr=table << 12)
        seq = model.sequence(c.id)
        if not self._unchanged():
            yield self._event(Step.R14, outcome=Outcome.CHANGED_C3, seq=seq)
            return Outcome.CHANGED_C3
        yield self._event(Step.R14, Step.R15, seq=seq)
        return Outcome.OK

    def _has_raced(self) -> bool:
        """C4."""
        return self.c.raced or (self.c.plan == "table" and self.c.table_raced)

    def _write_entry(self, old: int) -> None:
        """The new entry leaves; what its frame holds is right by now."""
        c, model = self.c, self.model
        if c.owned:
            assert model.contents.get(c.frame, 0) == c.content, f"frame {c.frame:#x} holds {model.contents.get(c.frame, 0)}, not {c.content}"
        self._write(self._entry(), old)

    def _set_at_once(self) -> Steps:
        """R16, R17."""
        c = self.c
        if self._has_raced():
            yield self._event(Step.R16, outcome=Outcome.RACED, addr=c.pte_addr)
            return Outcome.RACED
        self._write_entry(old=c.entry)
        c.around = c.plan == "slot" and not self._store and not self._flag(USERFAULTS) and not self._has(RequestFlag.ATOMIC)
        if c.around:
            names = ("start", "end", "page_prot")
            fields = {name: c.vma[name] for name in names}
            self._ask("around_job", "around", tag=c.agent, vpn=self._page[1], slot_addr=c.slot_addr, pte_addr=c.pte_addr, **fields)
        yield self._event(Step.R16, Step.R17, addr=c.pte_addr, data=self._entry())
        return Outcome.OK

    @property
    def _releases(self) -> bool:
        """The entry's frame is taken away from it, and is not the zero frame."""
        return self.c.plan == "copy"

    def _clear(self) -> Steps:
        """CLEAR: "with C4", and only with a place in the ring for the old frame."""
        c, model = self.c, self.model
        reason = Outcome.RACED if self._has_raced() else Outcome.RELEASED_FULL if self._releases and not model.released_ready else Outcome.OK
        if reason == Outcome.OK:
            self._write(0, c.entry)
        yield self._event(Step.CLEAR, outcome=reason, addr=c.pte_addr, data=0 if reason != Outcome.OK else c.entry)
        return reason

    def _flush(self) -> Steps:
        """FLUSH: the write is visible, the page leaves the TLBs, and the old frame goes to software."""
        c, model = self.c, self.model
        space, vpn = self._page
        if c.take("write"):
            model.committed(space, vpn)
            yield self._event(Step.FLUSH, outcome=Outcome.BUS_ERROR, addr=c.pte_addr)
            return Outcome.BUS_ERROR
        assert not model.flushing, "FLUSH while the TLBs are not done with the last one"
        model.strobes |= {"flush": 1, "flush_record": {"any_space": 0, "space": space, "any_page": 0, "vpn": vpn, "mask": 0}}
        if self._releases:
            assert model.released_ready, "FLUSH without a place in the released ring"
            model.strobes |= {"release": 1, "release_record": {"pte": c.entry, "vpn": c.request["vpn"] & (1 << 48) - 1, "space": space}}
            model.released.append(c.entry)
        model.invalidate(space=space, vpn=vpn, mask=0)
        c.unflushed = True
        yield self._event(Step.FLUSH, addr=c.pte_addr)
        return Outcome.OK

    def _around(self) -> Steps:
        """AROUND: "BUS_ERROR: those entries are unknown; the fault goes on"."""
        c, model = self.c, self.model
        around = c.take("around")
        model.surrounded(*self._page)
        model.strobes |= {"surrounded": 1}
        outcome = Outcome.BUS_ERROR if around["error"] else Outcome.OK
        yield self._event(Step.AROUND, outcome=outcome, addr=around["first_addr"], data=around["mask"])

    def _table(self) -> Steps:
        """TABLE."""
        c, model = self.c, self.model
        failed = c.take("write")
        model.tabled(c.request["space"])
        c.owned = False
        if failed:
            model.lost.append(c.frame)
            yield self._event(Step.TABLE, outcome=Outcome.BUS_ERROR, addr=c.pte_addr, data=c.frame << 10 | V)
            return Outcome.BUS_ERROR
        entry = self._entry()
        self._unlock()
        self._watch()
        self._ask_for_page("walk_request", "walk")
        yield self._event(Step.TABLE, addr=c.pte_addr, data=entry)
        return None

    def _end_commit(self) -> Steps:
        """R18: the write was answered (and looked at by FLUSH already, if the entry only gained rights)."""
        c, model, r = self.c, self.model, self.c.request
        failed = "write" in c.inbox and c.take("write")
        space, vpn = self._page
        model.committed(space, vpn)
        entry = self._entry()
        if failed:
            if c.owned:
                model.lost.append(c.frame)
            c.owned = False
            yield self._event(Step.R18, outcome=Outcome.BUS_ERROR, addr=c.pte_addr, data=entry)
            return Outcome.BUS_ERROR
        if c.owned:
            model.contents[c.frame] = ("of a process", c.frame)
        self._release()
        model.strobes |= {"fill": 1, "fill_port": r["port"], "fill_record": {"space": space, "vpn": vpn, "size": 0, "pte": entry}}
        self._answer(Status.OK, Outcome.OK, ppn_of(entry) << 12 | r["offset"], pbmt=entry >> 61 & 3)
        yield self._event(Step.R18, addr=c.pte_addr, data=entry)
        return Outcome.OK

    def _answer(self, status: Status, reason: Outcome, pa: int, *, pbmt: int = 0) -> dict[str, int]:
        raise NotImplementedError
