"""A fault unit for tests of the Translator: few contexts, each walks before it answers, some install a page."""

from typing import TYPE_CHECKING

from seqfault_rtl.messages import FaultAnswer, FaultRequest, FillRecord, WalkRequest, WalkResponse
from seqfault_rtl.paging import Pte

from .fields import pack, unpack
from .page_walk import NONE, A, D, R, U, V, W, X, physical

if TYPE_CHECKING:
    from .translator_bench import Bench

__all__ = ["FakeFaultUnit"]

OK, RETRY = 0, 1
SPECULATIVE, SOFTWARE = 1, 4
NO_REASON, NO_VMA, MAPPED = 0, 1, 23
VPN_MASK = (1 << 36) - 1
FLAGS = ("allow_retry", "tried", "nowait", "atomic")


class FakeFaultUnit:
    """The test's side of `faults`, `fault_answers`, `fill` and the fault unit's port of the walker.

    Parameters
    ----------
    contexts : faults worked on at a time.
    """

    def __init__(self, bench: "Bench", contexts: int) -> None:
        self.bench, self.contexts = bench, contexts
        self.running: list[dict | None] = [None] * contexts
        self.asking: int | None = None
        self.answering: int | None = None
        self.taken = 0

    def drive(self) -> None:
        """Choose this cycle's behaviour."""
        dut, rng = self.bench.dut, self.bench.rng
        dut.faults__ready.value = None in self.running and rng.random() < 0.8
        dut.walk_response__ready.value = 1
        dut.fill.value = 0
        if self.asking is None and rng.random() < 0.1:  # late, as if it looked for a VMA first: walks of misses come before
            self.asking = next((i for i, fault in enumerate(self.running) if fault and fault["state"] == "ask"), None)
        dut.walk_request__valid.value = self.asking is not None
        if self.asking is not None:
            fault = self.running[self.asking]
            fields = {"space": fault["space"], "vpn": fault["vpn"] & VPN_MASK, "tag": self.asking}
            dut.walk_request__payload.value = pack(WalkRequest, fields)
        ready = [i for i, fault in enumerate(self.running) if fault and fault["state"] == "walked"]
        if self.answering is None and ready and rng.random() < 0.5:
            self.answering = rng.choice(ready)
            self._conclude(self.running[self.answering])
        dut.fault_answers__valid.value = self.answering is not None

    def sample(self) -> None:
        """Take over what this cycle's handshakes did."""
        dut = self.bench.dut
        if self.answering is not None and dut.fault_answers__ready.value:
            self.running[self.answering] = self.answering = None
        if dut.walk_response__valid.value:
            response = unpack(WalkResponse, int(dut.walk_response__payload.value))
            assert self.running[response["tag"]]["state"] == "walk", "a walk that the fault unit did not ask for"
            self.running[response["tag"]]["state"] = "walked"
        if self.asking is not None and dut.walk_request__ready.value:
            self.running[self.asking]["state"], self.asking = "walk", None
        if dut.faults__valid.value and dut.faults__ready.value:
            self._take(unpack(FaultRequest, int(dut.faults__payload.value)))

    def _take(self, fault: dict) -> None:
        """A fault must be that of an outstanding request, whose page can have been found unfit."""
        pending = self.bench.outstanding[fault["port"]].get(fault["tag"])
        assert pending, f"fault of nobody: {fault}"
        asked = {"vpn": pending.va >> 12, "offset": pending.va & 0xFFF, "space": pending.space, "access": pending.access}
        asked |= {"flags": {name: pending.flags >> bit & 1 for bit, name in enumerate(FLAGS)}}
        assert fault == asked | {"port": pending.port, "tag": pending.tag}, f"{fault} for {pending}"
        assert not pending.faulted, f"second fault of {pending}"
        assert "page fault" in pending.verdicts, f"needless fault of {pending}"
        pending.faulted = True
        self.running[self.running.index(None)] = fault | {"state": "ask", "pending": pending}
        self.taken += 1

    def _conclude(self, fault: dict) -> None:
        """Answer: from the tables if they suffice now, else install a page or give up."""
        bench, pending = self.bench, fault["pending"]
        end = bench.walk(pending.space, pending.va >> 12 & VPN_MASK)
        now = [verdict for verdict in bench.verdicts(pending) if verdict[0] == OK]
        promised = (RETRY, SOFTWARE, NO_VMA, 0)
        if now:
            promised = (OK, SPECULATIVE, MAPPED, now[0][2])
        elif end.outcome == NONE and end.level == 0 and not bench.strike and not bench.changed and bench.rng.random() < 0.5:
            pte = V | R | W | X | U | A | D | bench.rng.getrandbits(44) << 10
            bench.tables.words[end.address], bench.changed = pte, True
            bench.dut.fill.value = 1
            bench.dut.fill_port.value = pending.port
            leaf = {"space": pending.space, "vpn": pending.va >> 12 & VPN_MASK, "level": 0, "pte": unpack(Pte, pte)}
            bench.dut.fill_record.value = pack(FillRecord, leaf)
            promised = (OK, SPECULATIVE, NO_REASON, physical(pte, 0, pending.va))
        pending.promised = promised
        answer = dict(zip(("status", "how", "reason", "pa"), promised, strict=True)) | {"tag": pending.tag}
        bench.dut.fault_answers__payload.value = pack(FaultAnswer, {"port": pending.port, "answer": answer})
