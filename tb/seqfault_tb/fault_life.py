"""A fault, step by step, in plain Python. Written from docs/software-contract.md, Steps and outcomes.

`FaultLife.run` is a generator: it is resumed when a step of the fault is executed, looks at the state of that moment, and yields the event
that the contract demands. What a step does to other blocks is in `FaultModel.strobes` and `FaultModel.outputs`.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from seqfault_golden.layout import Access, How, Outcome, RequestFlag, Status, Step, VmaFlag

if TYPE_CHECKING:
    from .fault_model import FaultContext, FaultModel

__all__ = ["LAST_ATTEMPT", "RETRIED", "FaultLife", "Steps"]

RETRIED = {
    Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.PTL_BUSY, Outcome.CHANGED_C3, Outcome.RACED,
}  # fmt: skip
LAST_ATTEMPT = 7
"""The contract does not say how long RACED and the like may be retried under the mm lock; the engine ends after eight attempts."""
FROM_POOL = 1 << 63
LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE = range(5)
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
LOW_48, VPN_MASK = (1 << 48) - 1, (1 << 45) - 1
RIGHT = {Access.LOAD: R, Access.STORE: W | D, Access.FETCH: X}
NEEDED = {Access.LOAD: VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC, Access.STORE: VmaFlag.WRITE, Access.FETCH: VmaFlag.EXEC}
ACCESS_FAULT = {Access.LOAD: 5, Access.STORE: 7, Access.FETCH: 1}
PAGE_FAULT = {Access.LOAD: 13, Access.STORE: 15, Access.FETCH: 12}
"""Numbers of RISC-V's scause. [Priv 12.1.9]"""
UNSERVED = VmaFlag.SHARED | VmaFlag.GROWSDOWN | VmaFlag.UFFD | VmaFlag.HUGE
Steps = Generator[dict[str, int], None, Any]


class FaultLife:
    """The steps of one fault `context`, on the shared state `model`."""

    def __init__(self, model: "FaultModel", context: "FaultContext") -> None:
        self.model, self.c = model, context

    def run(self) -> Steps:
        """Attempts until one ends the fault."""
        c, model = self.c, self.model
        while True:
            if model.policy == "mm-lock" or c.attempt >= model.max_retries:
                if not model.may_read(c.request["space"]):
                    yield from self._mm_busy()
                    return
                assert model.policy == "mm-lock" or not self._has(RequestFlag.ATOMIC), "an ATOMIC fault takes the mm lock"
                model.mm_readers.setdefault(c.request["space"], set()).add(c.agent)
                c.classic = True
                model.strobes |= {"mm_acquire": 1}
                yield self._event(Step.MM_READ_LOCK)
            reason = yield from self._attempt()
            c.watching = False
            if c.classic:
                model.mm_readers[c.request["space"]].remove(c.agent)
                c.classic = False
                model.strobes |= {"mm_release": 1}
                c.done = reason == Outcome.OK
                self._request_page(reason)
                yield self._event(Step.MM_READ_UNLOCK)
            if reason == Outcome.MAPPED:
                yield self._answer(Status.OK, reason, c.mapped_pa)
            elif self._is_final(reason):
                yield from self._given_up(reason)
            c.attempt += 1

    def _has(self, flag: RequestFlag) -> bool:
        return bool(self.c.request["flags"] & flag)

    def _is_refused(self) -> bool:
        """ "Without ALLOW_RETRY, or with ATOMIC, it is refused". [contract, Flags of a request]"""
        return self._has(RequestFlag.ATOMIC) or not self._has(RequestFlag.ALLOW_RETRY)

    def _event(self, first: Step, last: Step | None = None, outcome: Outcome = Outcome.OK, **fields: int) -> dict[str, int]:
        c = self.c
        base = {"seq": 0, "addr": 0, "data": 0, "id": c.id, "space": c.request["space"], "vpn": c.request["vpn"] & LOW_48, "agent": c.agent}
        return base | {"first": int(first), "last": int(first if last is None else last), "outcome": int(outcome)} | fields

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _attempt(self) -> Steps:
        """R0 to R18; after a failure UNDO. Returns OK, MAPPED or the reason of the failure."""
        c, model = self.c, self.model
        reason = yield from self._lookup()
        if reason == Outcome.OK:
            reason = yield from self._commit()
        if reason in (Outcome.OK, Outcome.MAPPED):
            return reason
        model.strobes |= {"frame_give": int(c.owned), "count_abort": 1, "abort_reason": int(reason)}
        if c.owned:
            model.pool.append(c.frame)
            model.strobes["frame_back"] = c.frame
        data = FROM_POOL | c.frame if c.owned else 0
        self._release()
        if not c.classic:  # else it leaves with the unlock
            self._request_page(reason)
        yield self._event(Step.UNDO, outcome=reason, data=data)
        return reason

    def _lookup(self) -> Steps:
        """R0 to R7; the event of an R7 that ends well comes with R8."""
        c, model, r = self.c, self.model, self.c.request
        model.outputs["find_request"].append({"space": r["space"], "vpn": r["vpn"] & VPN_MASK, "tag": c.agent})
        model.pinned.add(c.agent)
        data = r["access"] | r["flags"] << 2 | r["port"] << 6 | r["tag"] << 14 | c.attempt << 23 | c.classic << 26
        yield self._event(Step.R0, data=data, id=0)
        found = c.take("find")
        if found["outcome"] != Outcome.OK:
            c.id = 0
            yield self._event(Step.R1, outcome=found["outcome"])
            return Outcome(found["outcome"])
        reason, shown = self._snapshot(found)
        if reason != Outcome.OK:
            yield self._event(Step.R1, Step.R2, reason, **shown)
            return reason
        failed, reason = self._refusal(found["fields"])
        c.page_prot = found["fields"]["page_prot"]
        shown["data"] = found["fields"]["flags"] | c.page_prot << 16
        if failed:
            yield self._event(Step.R1, failed, reason, **shown)
            return reason
        c.watching, c.stale, c.raced = True, False, False
        known = model.is_walk_known(r)
        if not known:
            model.outputs["walk_request"].append({"space": r["space"], "vpn": r["vpn"] & VPN_MASK, "tag": c.agent})
        yield self._event(Step.R1, Step.R6, **shown)
        if not known:
            return (yield from self._walk())
        c.pte_addr = r["pte_addr"]
        return Outcome.OK

    def _snapshot(self, found: dict[str, Any]) -> tuple[Outcome, dict[str, int]]:
        """R2: the sequence now; odd, or not that of the record, ends the attempt."""
        c, model = self.c, self.model
        c.id, c.seq = found["fields"]["id"], model.sequence(found["fields"]["id"])
        shown = {"seq": c.seq, "addr": found["record_addr"]}
        if c.classic:
            return Outcome.OK, shown
        by_vma_lock = model.policy == "vma-lock"
        if c.seq & 1 or (by_vma_lock and model.vma_claim == c.id):
            return Outcome.ODD, shown
        if c.seq != found["seq"]:
            return Outcome.CHANGED, shown
        if by_vma_lock:
            c.holds_vma = True
            model.strobes |= {"vma_hold": 1}
            model.readers[c.id % model.entries] += 1
        return Outcome.OK, shown

    def _refusal(self, fields: dict[str, int]) -> tuple[Step | None, Outcome]:
        """R3 to R6: which of them fails."""
        flags, r = fields["flags"], self.c.request
        if not flags & VmaFlag.ANON or flags & UNSERVED:
            return Step.R3, Outcome.UNSUPPORTED
        if not fields["start"] <= r["vpn"] < fields["end"]:
            return Step.R5, Outcome.BOUNDS
        if not flags & NEEDED[Access(r["access"])]:
            return Step.R6, Outcome.ACCESS
        return None, Outcome.OK

    def _walk(self) -> Steps:
        c = self.c
        walked = c.take("walk")
        pte, level, kind = walked["pte"], walked["level"], walked["outcome"]
        c.pte_addr = walked["pte_addr"]
        need = V | U | A | RIGHT[Access(c.request["access"])]
        if kind == LEAF and pte & need == need:
            outcome = Outcome.MAPPED
            within = (1 << 12 + 9 * level) - 1
            va = c.request["vpn"] << 12 | c.request["offset"]
            c.mapped_pa = (pte >> 10 & (1 << 44) - 1) << 12 & ~within | va & within
            self._release()
        elif kind == LEAF:
            outcome = Outcome.HUGE if level else Outcome.PRESENT
        elif kind == NONE:
            outcome = Outcome.NO_TABLE if level else Outcome.PRESENT if pte else Outcome.OK
        else:
            outcome = Outcome.BUS_ERROR if kind == BUS_ERROR else Outcome.BAD_TABLE
        if outcome != Outcome.OK:
            yield self._event(Step.R7, outcome=outcome, addr=c.pte_addr, data=pte)
        return outcome

    # --- commit -----------------------------------------------------------------------------------------------------

    def _unchanged(self) -> bool:
        """C1, C3, R8; "under the mm lock the sequence is not looked at"."""
        return self.c.classic or self.c.holds_vma or self.model.sequence(self.c.id) == self.c.seq

    def _commit(self) -> Steps:
        """R7 (it ended well) to R18."""
        c, model = self.c, self.model
        store = c.request["access"] == Access.STORE
        seq = model.sequence(c.id)
        if not self._unchanged():
            yield self._event(Step.R7, Step.R8, Outcome.CHANGED, seq=seq, addr=c.pte_addr)
            return Outcome.CHANGED
        if store and not model.pool:
            yield self._event(Step.R7, Step.R9, Outcome.POOL_EMPTY, seq=seq, addr=c.pte_addr)
            return Outcome.POOL_EMPTY
        c.frame, c.owned = (model.pool.popleft(), True) if store else (model.zero_frame, False)
        model.strobes |= {"frame_take": int(store)}
        yield self._event(Step.R7, Step.R9, seq=seq, addr=c.pte_addr, data=c.frame | (FROM_POOL if store else 0))
        reason = yield from self._checks_and_lock()
        if reason != Outcome.OK:
            return reason
        if c.raced:
            yield self._event(Step.R16, outcome=Outcome.RACED, addr=c.pte_addr)
            return Outcome.RACED
        entry = c.page_prot | A | c.frame << 10
        entry = entry | D if store else entry & ~(W | D)
        model.outputs["write"].append({"addr": c.pte_addr, "data": entry, "keep": 0, "tag": c.agent, "exclusive": 0})
        yield self._event(Step.R16, Step.R17, addr=c.pte_addr, data=entry)
        return (yield from self._end_commit(entry))

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
            assert not c.parked, f"context {c.agent} goes on although no lock was released"
        seq = model.sequence(c.id)
        if not self._unchanged():
            yield self._event(Step.R14, outcome=Outcome.CHANGED_C3, seq=seq)
            return Outcome.CHANGED_C3
        yield self._event(Step.R14, Step.R15, seq=seq)
        return Outcome.OK

    def _end_commit(self, entry: int) -> Steps:
        """R18: the write was answered."""
        c, model, r = self.c, self.model, self.c.request
        failed = c.take("write")
        model.committed(r["space"], r["vpn"] & VPN_MASK)
        if failed:
            if c.owned:
                model.lost.append(c.frame)
            c.owned = False
            yield self._event(Step.R18, outcome=Outcome.BUS_ERROR, addr=c.pte_addr, data=entry)
            return Outcome.BUS_ERROR
        self._release()
        c.owned = False
        record = {"space": r["space"], "vpn": r["vpn"] & VPN_MASK, "size": 0, "pte": entry}
        model.strobes |= {"fill": 1, "fill_port": r["port"], "fill_record": record}
        self._answer(Status.OK, Outcome.OK, c.frame << 12 | r["offset"])
        yield self._event(Step.R18, addr=c.pte_addr, data=entry)
        return Outcome.OK

    # --- ways out ---------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Drop the table's lock, the VMA and the pin."""
        c, model = self.c, self.model
        model.strobes |= {"lock_release": int(c.locked), "vma_drop": int(c.holds_vma)}
        if c.locked:
            assert model.locks.pop(c.pte_addr >> 12) == c.agent
            model.lock_freed()
        if c.holds_vma:
            model.readers[c.id % model.entries] -= 1
        c.locked = c.holds_vma = c.owned = False
        model.pinned.discard(c.agent)

    def _mm_busy(self) -> Steps:
        waited = self.model.cycle - self.c.last_step
        patient = not self._has(RequestFlag.NOWAIT) and not self._has(RequestFlag.ATOMIC)
        assert waited >= self.model.patience or not patient, f"MM_BUSY after {waited} cycles"
        self._request_page(Outcome.MM_BUSY)
        yield self._event(Step.MM_READ_LOCK, outcome=Outcome.MM_BUSY)
        yield from self._given_up(Outcome.MM_BUSY)

    def _is_final(self, reason: Outcome) -> bool:
        attempts = LAST_ATTEMPT
        if self._has(RequestFlag.ATOMIC):
            attempts = 0 if self.model.policy == "mm-lock" else self.model.max_retries - 1
        again = reason in RETRIED and self.c.attempt < attempts
        return reason not in (Outcome.OK, Outcome.MAPPED) and not again

    def _request_page(self, reason: Outcome) -> None:
        """A page request leaves in this step if the fault goes to software."""
        if self._is_final(reason) and not self._is_refused():
            r = {name: self.c.request[name] for name in ("space", "port", "tag", "access", "vpn")}
            self.model.outputs["page_request"].append({"agent": self.c.agent, "reason": int(reason), **r})

    def _given_up(self, reason: Outcome) -> Steps:
        """HANDOVER when the page request is in memory, then the answer; or a refusal."""
        if self._is_refused():
            yield self._answer(Status.FAULT, reason, 0)
            return
        handed = Outcome(self.c.take("page_done"))
        reason = reason if handed == Outcome.OK else handed
        yield self._event(Step.HANDOVER, outcome=reason)
        yield self._answer(Status.RETRY, reason, 0)

    def _answer(self, status: Status, reason: Outcome, pa: int) -> dict[str, int]:
        """Queue the answer; the result is the event if it has one of its own. The fault ends, but for the mm lock."""
        c, model = self.c, self.model
        classic = model.policy == "mm-lock" or c.attempt >= model.max_retries
        by_commit = How.CLASSIC if classic else How.RETRIED if c.attempt else How.SPECULATIVE
        how = {Status.OK: by_commit, Status.RETRY: How.SOFTWARE, Status.FAULT: How.TRANSLATED}[status]
        answer = {"pa": pa, "tag": c.request["tag"], "status": int(status), "how": int(how), "reason": int(reason), "pbmt": 0, "exception": 0}
        if status == Status.FAULT:
            answer["exception"] = (ACCESS_FAULT if reason == Outcome.BUS_ERROR else PAGE_FAULT)[Access(c.request["access"])]
        model.outputs["answers"].append({"port": c.request["port"], "answer": answer})
        model.answered.append((c, answer))
        model.strobes |= {"count_how": 1 << how}
        c.done = not c.classic
        return self._event(Step.ANSWER, outcome=reason, data=int(status))
