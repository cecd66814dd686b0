"""A fault unit for tests of the Translator: few contexts, each walks before it answers, some install a page."""

from typing import TYPE_CHECKING

from seqfault_rtl.messages import FaultAnswer, FaultRequest, FillRecord, WalkRequest, WalkResponse
from seqfault_rtl.paging import Pte

from .fields import pack, unpack
from .page_walk import NONE, A, D, R, U, V, W, X, is_canonical, physical

if TYPE_CHECKING:
    from .translator_bench import Bench

__all__ = ["FakeFaultUnit"]

OK, RETRY = 0, 1
SPECULATIVE, SOFTWARE = 1, 4
NO_REASON, NO_VMA, MAPPED, NOT_VALID = 0, 1, 23, 24
VPN_MASK = (1 << 45) - 1
FLAGS = ("allow_retry", "tried", "nowait", "atomic")
PAGE_FAULT = "page fault"


class FakeFaultUnit:
    """The test's side of `faults`, `fault_answers`, `fill` and the fault unit's port of the walker.

    Parameters
    ----------
    contexts : faults worked on at a time; a single one begins its walks late.
    """

    def __init__(self, bench: "Bench", contexts: int) -> None:
        self.bench, self.contexts = bench, contexts
        self.haste = 0.1 if contexts == 1 else 0.6
        self.running: list[dict | None] = [None] * contexts
        self.asking: int | None = None
        self.answering: int | None = None
        self.taken = self.empty = 0

    def drive(self) -> None:
        """Choose this cycle's behaviour."""
        dut, rng = self.bench.dut, self.bench.rng
        dut.faults__ready.value = None in self.running and rng.random() < 0.8
        dut.walk_response__ready.value = 1
        dut.fill.value = 0
        if self.asking is None and rng.random() < self.haste:  # late, as if it looked for a VMA first: walks of misses come before
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
        """A fault must be that of a request, at times of one withdrawn, whose page can have been found unfit for that reason."""
        bench, flags = self.bench, sum(fault["flags"][name] << bit for bit, name in enumerate(FLAGS))
        asked = (fault["vpn"] << 12 | fault["offset"], fault["space"], fault["access"], flags, fault["port"], fault["tag"])
        candidates = [bench.outstanding[fault["port"]].get(fault["tag"]), *bench.withdrawn]
        found = [item for item in candidates if item and (item.va, item.space, item.access, item.flags, item.port, item.tag) == asked]
        assert found, f"fault of nobody: {fault}"
        fitting = [item for item in found if not item.faulted and (PAGE_FAULT, fault["reason"]) in item.verdicts]
        assert fitting, f"needless or second fault {fault} of {found}"
        fitting[0].faulted = True
        if fault["empty"]:
            self._check_walk(fault)
        self.running[self.running.index(None)] = fault | {"state": "ask", "pending": fitting[0]}
        self.taken += 1

    def _check_walk(self, fault: dict) -> None:
        """It ended at a leaf entry of this page (in whatever table was there), and the count is that of its page."""
        assert fault["reason"] == NOT_VALID, f"an empty entry, and yet {fault}"
        assert fault["pte_addr"] & 0xFFF == (fault["vpn"] & 511) * 8, f"the entry of another page: {fault}"
        vpn = fault["changes"]["commands"] | fault["changes"]["commits"] << 24
        assert vpn == fault["vpn"] & (1 << 40) - 1, f"the count of another page: {fault}"
        self.empty += 1

    def _conclude(self, fault: dict) -> None:
        """Answer: from the tables if they suffice now, else install a page or give up."""
        bench, pending, world = self.bench, fault["pending"], self.bench.world
        end = world.walk(pending.space, pending.va >> 12)
        now = [verdict for verdict in world.verdicts(pending) if verdict[0] == OK]
        promised = (RETRY, SOFTWARE, NO_VMA, 0)
        space = world.space(pending.space)
        fits = is_canonical(pending.va >> 12, space.mode) and not space.is_narrow
        may_install = fits and end.outcome == NONE and end.level == 0 and end.address in bench.tables.entries
        if now:
            promised = (OK, SPECULATIVE, MAPPED, now[0][2])
        elif may_install and not bench.strike and not bench.table_write and not bench.changed and bench.rng.random() < 0.5:
            pte = V | R | W | X | U | A | D | bench.rng.getrandbits(44) << 10
            world.put(end.address, pte)
            bench.changed = True
            bench.dut.fill.value = 1
            bench.dut.fill_port.value = pending.port
            leaf = {"space": pending.space, "vpn": pending.va >> 12 & VPN_MASK, "size": 0, "pte": unpack(Pte, pte)}
            bench.dut.fill_record.value = pack(FillRecord, leaf)
            promised = (OK, SPECULATIVE, NO_REASON, physical(pte, 0, pending.va))
        pending.promised = promised
        answer = dict(zip(("status", "how", "reason", "pa"), promised, strict=True)) | {"tag": pending.tag}
        bench.dut.fault_answers__payload.value = pack(FaultAnswer, {"port": pending.port, "answer": answer})
