"""A fault, step by step, in plain Python. Written from docs/software-contract.md, Steps and outcomes.

`FaultLife.run` is a generator: it is resumed when a step of the fault is executed, looks at the state of that moment, and yields the event
that the contract demands. What a step does to other blocks is in `FaultModel.strobes` and `FaultModel.outputs`. Here are R0 to R6 and the
ways out; R7 to FILL are in `fault_pages_life.py`, the rest in `fault_commit_life.py`.
"""

from typing import Any

from seqfault_golden.layout import Access, How, Outcome, RequestFlag, Status, Step, VmaFlag

from .fault_commit_life import CommitLife
from .fault_step_life import FROM_POOL, LOW_48, VPN_MASK, Steps

__all__ = ["LAST_ATTEMPT", "LOW_48", "RETRIED", "VPN_MASK", "FaultLife", "Steps"]

RETRIED = {
    Outcome.ODD, Outcome.CHANGED, Outcome.CHANGED_C1, Outcome.WALK_C2, Outcome.PTL_BUSY, Outcome.CHANGED_C3, Outcome.RACED,
}  # fmt: skip
LAST_ATTEMPT = 7
"""The contract does not say how long RACED and the like may be retried under the mm lock; the engine ends after eight attempts."""
NEEDED = {Access.LOAD: VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC, Access.STORE: VmaFlag.WRITE, Access.FETCH: VmaFlag.EXEC}
ACCESS_FAULT = {Access.LOAD: 5, Access.STORE: 7, Access.FETCH: 1}
PAGE_FAULT = {Access.LOAD: 13, Access.STORE: 15, Access.FETCH: 12}
"""Numbers of RISC-V's scause. [Priv 12.1.9]"""


class FaultLife(CommitLife):
    """The steps of one fault `context`, on the shared state `model`."""

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
                if reason == Outcome.OK:
                    self._end()
                self._request_page(reason)
                yield self._event(Step.MM_READ_UNLOCK)
            if reason == Outcome.MAPPED:
                yield self._answer(Status.OK, reason, c.mapped_pa, pbmt=c.entry >> 61 & 3)
            elif self._is_final(reason):
                yield from self._given_up(reason)
            c.attempt += 1

    def _is_refused(self) -> bool:
        """ "Without ALLOW_RETRY, or with ATOMIC, it is refused". [contract, Flags of a request]"""
        return self._has(RequestFlag.ATOMIC) or not self._has(RequestFlag.ALLOW_RETRY)

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _attempt(self) -> Steps:
        """R0 to R18; after a failure UNDO. Returns OK, MAPPED or the reason of the failure."""
        c, model = self.c, self.model
        reason, known = yield from self._lookup()
        while reason == Outcome.OK:
            reason = yield from self._frame_steps(known)
            if reason != Outcome.OK:
                break
            reason = yield from self._commit()
            if reason is not None:
                break
            reason, known = Outcome.OK, False
        if reason in (Outcome.OK, Outcome.MAPPED):
            return reason
        model.strobes |= {"count_abort": 1, "abort_reason": int(reason)}
        if c.owned and c.plan.startswith("copy"):  # it is not zero any more
            model.used.append(c.frame)
            model.came_back += 1
        elif c.owned:
            model.pool.append(c.frame)
            model.strobes |= {"frame_give": 1, "frame_back": c.frame}
        data = FROM_POOL | c.frame if c.owned else 0
        self._release()
        if not c.classic:  # else it leaves with the unlock
            self._request_page(reason)
        yield self._event(Step.UNDO, outcome=reason, data=data)
        return reason

    def _lookup(self) -> Steps:
        """R0 to R6. Returns its outcome, and whether the walk of the miss is taken."""
        c, model, r = self.c, self.model, self.c.request
        self._ask_for_page("find_request", "find")
        model.pinned.add(c.agent)
        if c.bank is None:
            c.bank = model.enter_bank
            model.strobes |= {"enter": 1}
        data = r["access"] | r["flags"] << 2 | r["port"] << 6 | r["tag"] << 14 | c.attempt << 23 | c.classic << 26
        yield self._event(Step.R0, data=data, id=0)
        found = c.take("find")
        if found["outcome"] != Outcome.OK:
            c.id = 0
            yield self._event(Step.R1, outcome=found["outcome"])
            return Outcome(found["outcome"]), False
        reason, shown = self._snapshot(found)
        if reason != Outcome.OK:
            yield self._event(Step.R1, Step.R2, reason, **shown)
            return reason, False
        failed, reason = self._refusal(found["fields"])
        c.vma = found["fields"]
        shown["data"] = c.vma["flags"] | c.vma["page_prot"] << 16
        if failed:
            yield self._event(Step.R1, failed, reason, **shown)
            return reason, False
        self._watch()
        known = model.is_walk_known(r)
        if not known:
            self._ask_for_page("walk_request", "walk")
        yield self._event(Step.R1, Step.R6, **shown)
        return Outcome.OK, known

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
        if flags & (VmaFlag.HUGE | VmaFlag.GROWSDOWN):
            return Step.R3, Outcome.HUGE if flags & VmaFlag.HUGE else Outcome.UNSUPPORTED
        if not fields["start"] <= r["vpn"] < fields["end"]:
            return Step.R5, Outcome.BOUNDS
        if not flags & NEEDED[Access(r["access"])]:
            return Step.R6, Outcome.ACCESS
        return None, Outcome.OK

    # --- ways out ---------------------------------------------------------------------------------------------------

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
            self._ask("page_request", "page_done", agent=self.c.agent, reason=int(reason), **r)

    def _given_up(self, reason: Outcome) -> Steps:
        """HANDOVER when the page request is in memory, then the answer; or a refusal."""
        if self._is_refused():
            yield self._answer(Status.FAULT, reason, 0)
            return
        handed = Outcome(self.c.take("page_done"))
        reason = reason if handed == Outcome.OK else handed
        yield self._event(Step.HANDOVER, outcome=reason)
        yield self._answer(Status.RETRY, reason, 0)

    def _end(self) -> None:
        """The fault is over, and no reader any more."""
        c, model = self.c, self.model
        c.done = True
        if c.bank is not None:
            model.strobes |= {"leave": 1, "leave_bank": c.bank}

    def _answer(self, status: Status, reason: Outcome, pa: int, *, pbmt: int = 0) -> dict[str, int]:
        """Queue the answer; the result is the event if it has one of its own. The fault ends, but for the mm lock."""
        c, model = self.c, self.model
        classic = model.policy == "mm-lock" or c.attempt >= model.max_retries
        by_commit = How.CLASSIC if classic else How.RETRIED if c.attempt else How.SPECULATIVE
        how = {Status.OK: by_commit, Status.RETRY: How.SOFTWARE, Status.FAULT: How.TRANSLATED}[status]
        answer = {"pa": pa, "tag": c.request["tag"], "status": int(status), "how": int(how), "reason": int(reason), "pbmt": pbmt, "exception": 0}
        if status == Status.FAULT:
            answer["exception"] = (ACCESS_FAULT if reason == Outcome.BUS_ERROR else PAGE_FAULT)[Access(c.request["access"])]
        model.outputs["answers"].append({"port": c.request["port"], "answer": answer})
        model.answered.append((c, answer))
        model.strobes |= {"count_how": 1 << how}
        if not c.classic:
            self._end()
        return self._event(Step.ANSWER, outcome=reason, data=int(status))
