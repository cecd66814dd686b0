"""ATOMIC requests on the engine's pins: served or refused within the bound that the contract states, whatever others hold or wait for."""

import os
from random import Random

import cocotb
from cocotb.handle import SimHandleBase

from seqfault_golden.layout import Step

from .bus_latency import BusLatency
from .error_bench import ATOMIC, FAULT, LOAD, OK, RETRY, SPACE, STORE, ErrorBench
from .error_memory import ANON, HEIGHT, HOLES, LEVELS, PRIVATE, SHARED
from .kernel import commands as cmd
from .test_engine_errors import CONFIG, zap

SEED = int(os.environ.get("SEED", "7"))
DEPTH = 1
"""Nodes of the VMA tree on the way to a record."""
QUEUED = 16
"""Cycles that an access waits within the engine at most, for the port to memory and for the step slot."""
ODD, PTL_BUSY, NO_TABLE, PRESENT, POOL_EMPTY, MM_BUSY, NO_VMA = 2, 6, 12, 14, 15, 19, 1
MM_LOCK = 2
"""The policy."""
UNMAPPED = 0x0800_0000


def bound(latency: int) -> int:
    """[docs/software-contract.md, Flags of a request]"""
    accesses = (DEPTH + 1) + LEVELS + HEIGHT + 1
    return CONFIG.max_retries * CONFIG.contexts * accesses * (latency + QUEUED)


class AtomicBench(ErrorBench):
    """Measures each ATOMIC request from its request, and from its first step, to its answer."""

    def __init__(self, dut: SimHandleBase, policy: int = 0) -> None:
        super().__init__(dut, CONFIG, Random(SEED), pause=0.0, policy=policy)
        self.began: dict[tuple[int, int], int] = {}
        self.atomic: set[tuple[int, int]] = set()
        self.waits: list[int] = []
        self.services: list[int] = []

    async def begin(self, *queues: str) -> "AtomicBench":
        self.latency = BusLatency(self._dut, "axi")
        await super().begin(*queues)
        return self

    def _event(self, record: list[int]) -> None:
        super()._event(record)
        if record[2] == Step.R0:
            data = record[11]
            self.began.setdefault((data >> 6 & 255, data >> 14 & 511), self.cycle)

    def _watch_port(self, port: int) -> None:
        if port == 0:
            self.latency.sample()
        before, issued = set(self._answered), dict(self._issued)
        super()._watch_port(port)
        for key in set(self._answered) - before:
            began = self.began.pop(key, None)
            if key in self.atomic and began is not None:
                self.waits.append(began - issued[key])
                self.services.append(self.cycle - began)

    def ask_atomic(self, vpn: int, access: int, port: int = 0) -> tuple[int, int]:
        """A request that is measured."""
        key = self.submit_access(vpn, access, ATOMIC, port)
        self.atomic.add(key)
        return key

    async def expect(self, vpn: int, access: int, answer: tuple[int, int]) -> None:  # type: ignore[override]
        """This answer, in time, without a page request."""
        handed = self.pointers().pq_tail
        assert (found := await self.answer_of(self.ask_atomic(vpn, access))) == answer, f"page {vpn:#x}: {found}, not {answer}"
        assert self.pointers().pq_tail == handed
        self.check()

    def check(self) -> None:
        """All measured so far are within the bound."""
        limit = bound(self.latency.longest)
        assert max(self.services, default=0) <= limit, f"{max(self.services)} cycles, not within {limit}"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def each_reason(dut: SimHandleBase) -> None:
    """What can be served without waiting is; all else is refused with its reason: also while a writer, or a ZAP that cannot go on, holds locks."""
    pins = await AtomicBench(dut).begin()
    for vpn, access in ((ANON, LOAD), (ANON + 1, STORE), (PRIVATE, LOAD), (SHARED, LOAD), (SHARED, STORE)):
        await pins.expect(vpn, access, (OK, 0))
    refused = [(UNMAPPED, LOAD, NO_VMA), (HOLES[0], STORE, NO_TABLE), (PRIVATE, STORE, PRESENT), (PRIVATE + 40, STORE, PRESENT)]
    for vpn, access, reason in refused:
        await pins.expect(vpn, access, (FAULT, reason))
    assert await pins.ask_all([ANON + page for page in range(16, 32)]) == [(OK, 0)] * 16
    tail = await pins.post(*zap(pins, ANON + 16, 16))
    await pins.pass_time(500)
    assert pins.pointers().cq_head != tail, "the ZAP does not wait for room in the released ring"
    await pins.expect(ANON + 40, STORE, (FAULT, ODD))
    await pins.expect(SHARED + 1, STORE, (OK, 0))
    await pins.drain("released", 16)
    await pins.until(lambda: pins.pointers().cq_head == tail, "the end of the ZAP")
    await pins.expect(ANON + 41, STORE, (OK, 0))
    await pins.clear("released")
    await pins.give_frames(20)
    assert await pins.ask_all([ANON + page for page in range(16, 32)]) == [(OK, 0)] * 16
    tail = await pins.post(cmd.mm_lock(SPACE), cmd.zap(SPACE, ANON + 16, 16), cmd.invalidate_space(SPACE), cmd.mm_unlock(SPACE))
    await pins.pass_time(500)
    await pins.expect(ANON + 42, STORE, (FAULT, PTL_BUSY))
    await pins.drain("released", 16)
    await pins.until(lambda: pins.pointers().cq_head == tail, "the end of the ZAP without a section")
    pins.finish()
    cocotb.log.info(f"{pins.cycle} cycles, latency {pins.latency.longest}, slowest {max(pins.services)}, bound {bound(pins.latency.longest)}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def under_mm_lock(dut: SimHandleBase) -> None:
    """Where every fault needs the mm lock: refused while a writer holds it, served when nobody does."""
    pins = await AtomicBench(dut, MM_LOCK).begin()
    await pins.run(cmd.mm_lock(SPACE))
    await pins.expect(ANON, STORE, (FAULT, MM_BUSY))
    await pins.run(cmd.mm_unlock(SPACE))
    await pins.expect(ANON, STORE, (OK, 0))
    pins.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def under_load(dut: SimHandleBase) -> None:
    """Random faults of all kinds on all ports, sections and ZAPs beside them: each ATOMIC request is answered in time."""
    await load(dut, rounds=30, delay=0)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def under_load_of_slow_memory(dut: SimHandleBase) -> None:
    """The same, when memory gives a word in four cycles."""
    await load(dut, rounds=12, delay=40)


async def load(dut: SimHandleBase, *, rounds: int, delay: int) -> None:
    pins = await AtomicBench(dut).begin("released", "page request")
    pins.region.delay, pins.within = delay, 20_000
    for name in ("released", "page request"):
        await pins.turn_on(name, log2=6)
    rng, keys = pins.random, []
    for _ in range(rounds):
        for _ in range(6):
            vpn, access = rng.choice((ANON, PRIVATE, SHARED)) + rng.randrange(160), rng.choice((LOAD, STORE))
            atomic = rng.random() < 0.5
            keys.append((pins.ask_atomic if atomic else pins.submit_access)(vpn, access, port=rng.randrange(pins.ports)))
        if rng.random() < 0.5 and pins.posted % 64 < 50:
            await pins.post(*zap(pins, ANON + rng.randrange(150), 8))
        await pins.pass_time(rng.randrange(200))
        if pins.used < 60:
            await pins.give_frames(1)
        for name in ("released", "page request"):
            await pins.forget(name)
    for key in keys:
        assert (await pins.answer_of(key))[0] in (OK, RETRY, FAULT)
    pins.check()
    assert len(pins.services) > 2 * rounds
    await pins.run()
    pins.finish()
    cocotb.log.info(f"{len(pins.services)} ATOMIC faults, latency {pins.latency.longest}, bound {bound(pins.latency.longest)}")
    cocotb.log.info(f"slowest in cycles, {sorted(pins.services)[-5:]}; before the first step {sorted(pins.waits)[-5:]}")
