"""AdUpdate and MemoryUpdater behind AXI, against the golden translation: other writers of the entry, bus errors, invalidations, bounds."""

import os
from collections import Counter
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_golden.translate import Features, PagingMode
from seqfault_rtl.messages import FaultAnswer, FaultRequest, FillRecord, WalkRequest, WalkResponse
from seqfault_rtl.miss_records import AdRequest
from seqfault_rtl.paging import Pte

from .ad_update_reference import OK, compare, expected_end
from .ad_update_top import CLIENT
from .ad_update_world import Asked, World, page_size
from .axi_memory import AxiChecker, ReorderingMemory
from .fields import pack, unpack
from .memory_ports import WORD_BYTES, WordMemory

SEED = int(os.environ.get("SEED", "1"))
SETTLE_NS = 1
PATIENCE = 3000
"""Cycles within which a request must be answered."""
TAGS = 64
PLANT = int(os.environ.get("PLANT", "0"))
STREAMS = ("answers", "faults", "walk_request")


class Bench:
    """One request after the other; `log` has the memory accesses and walks of the one in work.

    Parameters
    ----------
    interference, invalidations : probability in a cycle. loss : that a reservation is lost though nobody wrote.
    """

    def __init__(self, dut, seed: int, *, interference: float = 0.0, invalidations: float = 0.0, loss: float = 0.0) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.interference, self.invalidations, self.loss = interference, invalidations, loss
        self.memory = WordMemory()
        self.world = World(self.memory, self.rng)
        self.bus = ReorderingMemory(dut, "axi", self.memory, self.rng, observe=self._observe)
        self.checker = AxiChecker(dut, "axi")
        self.hostile = False
        self.fail_after_read: int | None = None
        self.asked: Asked | None = None
        self.stale = self.taken = self.walk_first = False
        self.log: list[tuple[str, Any]] = []
        self.walk: dict[str, int] | None = None
        self.tag = self.port = 0
        self.flags: dict[str, int] = {}
        self.seen: Counter[str] = Counter()

    async def start(self) -> None:
        Clock(self.dut.clk, 10, unit="ns").start()
        for name in ("requests__valid", "walk_response__valid", "invalidate"):
            getattr(self.dut, name).value = 0
        self.dut.plant.value = PLANT
        self.dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def _observe(self, identity: int, **access: int) -> None:
        assert identity == CLIENT * TAGS, f"an access of ID {identity:#x}"
        self.log.append(("write" if "strobes" in access else "read", access))
        if "strobes" in access or self.asked is None:
            return
        if self.hostile:
            self.world.disturb(self.asked)
        if self.fail_after_read == access["address"]:
            self.memory.failing = {access["address"]}

    async def run(self, asked: Asked) -> None:
        """One request to its end."""
        self.asked, self.log, self.taken, self.stale = asked, [], False, asked.stale
        self.tag, self.port = self.rng.getrandbits(9), self.rng.getrandbits(8)
        self.flags = {name: self.rng.getrandbits(1) for name in ("allow_retry", "tried", "nowait", "atomic")}
        for _ in range(PATIENCE):
            if await self._cycle(asked):
                return
        raise AssertionError(f"{asked}: not answered after {PATIENCE} cycles: {self.log}")

    async def _cycle(self, asked: Asked) -> bool:
        dut, rng = self.dut, self.rng
        await FallingEdge(dut.clk)
        self._drive(asked)
        await Timer(SETTLE_NS, unit="ns")
        self.checker.sample()
        self.bus.sample()
        assert bool(dut.busy.value) == self.taken, f"busy is {dut.busy.value} for {asked}"
        if self.taken or (dut.requests__valid.value and dut.requests__ready.value):
            self.stale |= bool(dut.invalidate.value)
            if not self.taken:
                self.walk_first = asked.walk_first or self.stale
            if self.taken and rng.random() < self.interference:
                self.world.interfere(asked)
            self.taken = True
        if dut.walk_response__valid.value and dut.walk_response__ready.value:
            self.walk = None
        if self._transfers("walk_request"):
            self._walk(asked, unpack(WalkRequest, int(dut.walk_request__payload.value)))
        ended = [name for name in ("answers", "faults") if self._transfers(name)]
        for name in ended:
            self._check(asked, name)
        assert ended == ["answers"] or not dut.fill.value, "a fill without an answer"
        return bool(ended)

    def _drive(self, asked: Asked) -> None:
        dut, rng = self.dut, self.rng
        if not self.taken and not dut.requests__valid.value:
            dut.requests__payload.value = pack(AdRequest, self._request(asked))
        dut.requests__valid.value = not self.taken
        for name in STREAMS:
            getattr(dut, f"{name}__ready").value = rng.random() < 0.6
        if self.walk is not None and "outcome" not in self.walk and rng.random() < 0.3:
            response, result = self.world.walk(asked)
            self.walk |= response
            self.log.append(("walk", result))
            dut.walk_response__payload.value = pack(WalkResponse, self.walk)
        dut.walk_response__valid.value = self.walk is not None and "outcome" in self.walk
        dut.invalidate.value = rng.random() < self.invalidations
        if rng.random() < self.loss:
            self.memory.reserved.clear()
        self.bus.drive()

    def _transfers(self, name: str) -> bool:
        return bool(getattr(self.dut, f"{name}__valid").value and getattr(self.dut, f"{name}__ready").value)

    def _request(self, asked: Asked) -> dict[str, Any]:
        """The AdRequest."""
        fields = ("va", "access", "supervisor", "sum", "mxr")
        request = {name: int(getattr(asked, name)) for name in fields} | {"space": int(asked.mode.value), "tag": self.tag, "flags": self.flags}
        size = page_size(asked.mode, asked.found.level, asked.found.pte)
        address = asked.found.update[0] if asked.found.update and not asked.walk_first else 0
        return {
            "asked": {"request": request, "port": self.port}, "pte": asked.found.pte, "pte_addr": address, "size": size,
            "sv32": int(asked.mode is PagingMode.SV32), "stale": int(asked.stale), "walk_first": int(asked.walk_first),
        }  # fmt: skip

    def _walk(self, asked: Asked, request: dict[str, int]) -> None:
        assert self.walk is None, "two walks at a time"
        assert (request["space"], request["vpn"]) == (asked.mode.value, asked.va >> 12), f"a walk for {request}"
        stale = self.rng.random() < self.invalidations
        self.walk, self.stale = {"tag": request["tag"], "stale": int(stale)}, self.stale or stale

    def _check(self, asked: Asked, name: str) -> None:
        """The end of a request."""
        dut, (stream, fields, leaf) = self.dut, expected_end(asked, self.log, self.seen, walk_first=self.walk_first)
        assert name == stream, f"{asked}: {name}, expected {stream} {fields} after {self.log}"
        if name == "faults":
            item = unpack(FaultRequest, int(dut.faults__payload.value))
            place = {"vpn": asked.va >> 12, "offset": asked.va & 0xFFF, "space": asked.mode.value}
            no_walk = {"empty": 0, "pte_addr": 0, "changes": {"commands": 0, "commits": 0}}  # of a miss, which a fault might take over
            compare(item, place | no_walk | {"port": self.port, "tag": self.tag, "access": int(asked.access), "flags": self.flags} | fields)
            return
        item = unpack(FaultAnswer, int(dut.answers__payload.value))
        assert item["port"] == self.port, f"answered to port {item['port']}, asked by {self.port}"
        compare(item["answer"], {"pa": 0, "pbmt": 0, "exception": 0, "how": 0, "tag": self.tag} | fields)
        filled = fields["status"] == OK and not self.stale
        assert bool(dut.fill.value) == filled, f"{asked}: fill is {dut.fill.value}, stale is {self.stale}, answered {fields}"
        self.seen["filled"] += filled
        self.seen["stale"] += fields["status"] == OK and self.stale
        if filled:
            entry, size = leaf
            record = int(dut.fill_record.value)
            wanted = {"space": asked.mode.value, "vpn": asked.va >> 12, "size": size, "pte": unpack(Pte, entry)}
            compare(unpack(FillRecord, record), wanted)
            assert dut.fill_port.value == self.port, f"filled port {dut.fill_port.value}"


async def run_many(dut, count: int, seed: int, **rates: float) -> Bench:
    """Requests one after the other; the features of a space and its table come and go when there is interference."""
    bench = Bench(dut, seed, **rates)
    await bench.start()
    for _ in range(count):
        asked = bench.world.ask()
        if bench.interference:
            bench.world.features = Features(adue=bench.rng.random() < 0.85, pbmte=True, napot=True)
            bench.world.gone = bench.rng.random() < 0.03
        await bench.run(asked)
        bench.world.features, bench.world.gone = Features(adue=True, pbmte=True, napot=True), False
    bench.checker.finish()
    dut._log.info(f"seen: {dict(bench.seen)}")
    return bench


def require(bench: Bench, *names: str) -> None:
    for name in names:
        assert bench.seen[name], f"never seen: {name}; only {dict(bench.seen)}"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def nobody_else(dut):
    """A and D are set in the first swap, and the leaf is filled."""
    bench = await run_many(dut, 150, SEED)
    require(bench, "filled", "stale")
    assert set(bench.seen) <= {"filled", "stale", "answers OK", "swapped again"}, f"seen {dict(bench.seen)}"
    assert not bench.seen["swapped again"], "a swap failed though nobody wrote"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def other_writers(dut):
    """The entry, its neighbour and the entries above change at any moment; reservations get lost; invalidations come."""
    bench = await run_many(dut, 600, SEED + 1, interference=0.08, invalidations=0.02, loss=0.03)
    require(bench, "filled", "stale", "swapped again", "compared different", "reservation lost")
    require(bench, *(f"{stream} {reason}" for stream in ("faults", "answers") for reason in ("NOT_VALID", "ACCESS", "BAD_TABLE", "AD_CLEAR")))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bus_errors(dut):
    """Errors of either half, of a walk's read, and memory without exclusive accesses: access faults of the original kind."""
    bench = Bench(dut, SEED + 2, interference=0.05)
    await bench.start()
    for _ in range(150):
        asked = bench.world.ask()
        word = asked.found.reads[-1] & -WORD_BYTES
        kind = bench.rng.randrange(3)
        if kind == 2:
            bench.memory.plain = {word}
        elif kind == 1:
            bench.memory.failing = {word}
        else:
            bench.fail_after_read = word
        await bench.run(asked)
        bench.memory.plain, bench.memory.failing, bench.fail_after_read = set(), set(), None
    require(bench, "bus error", "bus error of the write", "no exclusive access", "answers BUS_ERROR")


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def lost_races_are_bounded(dut):
    """A writer that always comes between: RETRY after the last swap."""
    bench = Bench(dut, SEED + 3)
    await bench.start()
    bench.hostile = True
    for _ in range(20):
        await bench.run(bench.world.ask())
    assert bench.seen["answers RACED"] == 20, f"seen {dict(bench.seen)}"
