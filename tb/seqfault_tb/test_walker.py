"""Walker with a memory in Python, against an independent walk: results, stale marks, fairness between clients, latency and throughput."""

import os
from random import Random

import cocotb
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import InvalidateRecord, SpaceEntry, WalkRequest, WalkResponse

from .fields import pack, unpack
from .page_walk import BARE, LEVELS, NO_SPACE, SV39, SV48, A, D, R, Tables, U, V, W, WalkEnd, X, walk
from .tlb_model import Invalidation, Translation, covers
from .walk_memory import WalkMemory

WALKS = int(os.environ.get("WALKS", "8"))
SPACES = int(os.environ.get("SPACES", "64"))
CLIENTS = 3
PATIENCE = 3000
"""Cycles within which outstanding walks must end once nothing holds them up."""
SETTLE_NS = 1


class Bench:
    """Drives a Walker; `spaces` is the space table: mode and root by space."""

    def __init__(self, dut, seed: int, *, defects: float = 0.1) -> None:
        self.dut, self.rng = dut, Random(seed)
        self.tables = Tables(self.rng, defects=defects)
        self.memory = WalkMemory(dut, self.tables, self.rng)
        self.spaces: dict[int, tuple[int, int]] = {}
        for space, mode in zip((0, 1, SPACES - 1), (SV39, SV48, SV39), strict=True):
            self.spaces[space] = (mode, self.tables.root(mode))
        self.waiting: list[list[dict]] = [[] for _ in range(CLIENTS)]
        self.outstanding: list[dict[int, dict]] = [{} for _ in range(CLIENTS)]
        self.ready = [0.8] * CLIENTS
        self.now = 0
        self.done: list[dict] = []
        self.strike: Invalidation | None = None
        self.tag = 0
        self.starts: set[int] = set()
        self.active = 0

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        dut.invalidate.value = 0
        dut.memory__response__valid.value = 0
        dut.memory__request__ready.value = 0
        for client in range(CLIENTS):
            getattr(dut, f"requests__{client}__valid").value = 0
            getattr(dut, f"responses__{client}__ready").value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0

    def ask(self, client: int, space: int, vpn: int) -> None:
        self.waiting[client].append({"space": space, "vpn": vpn, "strikes": []})

    def ask_random(self, client: int) -> None:
        space = self.rng.choice(list(self.spaces))
        mode = self.spaces[space][0]
        if self.rng.random() < 0.05:
            space, mode = self.rng.choice((2, SPACES + 1, 0x8000)), BARE
        vpn = self.tables.random_vpn(mode)
        if mode == SV39 and self.rng.random() < 0.3:
            vpn ^= self.rng.getrandbits(9) << 27  # the upper bits are ignored
        self.ask(client, space, vpn)

    def reference(self, space: int, vpn: int) -> WalkEnd:
        mode, root = self.spaces.get(space, (BARE, 0))
        return walk(self.tables.read, mode, root, vpn)

    async def cycle(self) -> None:
        dut = self.dut
        await FallingEdge(dut.clk)
        self.now += 1
        self._drive_clients()
        dut.invalidate.value = self.strike is not None
        if self.strike:
            strike = self.strike
            dut.record.value = pack(InvalidateRecord, {
                "any_space": strike.space is None, "space": strike.space or 0, "any_page": strike.vpn is None,
                "vpn": strike.vpn or 0, "mask": strike.mask,
            })  # fmt: skip
        self.memory.drive(self.now)
        await Timer(SETTLE_NS, unit="ns")
        mode, root = self.spaces.get(int(dut.space.value), (BARE, 0))
        dut.space_entry.value = pack(SpaceEntry, {"mode": mode, "root": root})
        await Timer(SETTLE_NS, unit="ns")
        self.memory.sample(self.now)
        active = int(dut.active.value)
        if active & ~self.active:
            self.starts.add(self.now - 1)
        self.active = active
        for client in range(CLIENTS):
            self._sample_client(client)
        if self.strike:
            for walks in self.outstanding:
                for entry in walks.values():
                    entry["strikes"].append((self.now, self.strike))
        self.strike = None

    def _drive_clients(self) -> None:
        for client in range(CLIENTS):
            valid = getattr(self.dut, f"requests__{client}__valid")
            offer = bool(self.waiting[client]) and len(self.outstanding[client]) < 60
            if offer:
                item = self.waiting[client][0]
                if "tag" not in item:
                    item["tag"] = self.tag = next(t for t in range(64) if t not in self.outstanding[client])
                    payload = pack(WalkRequest, {"space": item["space"], "vpn": item["vpn"], "tag": item["tag"]})
                    getattr(self.dut, f"requests__{client}__payload").value = payload
            valid.value = offer
            getattr(self.dut, f"responses__{client}__ready").value = self.rng.random() < self.ready[client]

    def _sample_client(self, client: int) -> None:
        dut = self.dut
        if getattr(dut, f"responses__{client}__valid").value and getattr(dut, f"responses__{client}__ready").value:
            got = unpack(WalkResponse, int(getattr(dut, f"responses__{client}__payload").value))
            assert got["tag"] in self.outstanding[client], f"client {client}: answer to nobody: {got}"
            item = self.outstanding[client].pop(got["tag"])
            got["pte"] = _pte_bits(int(getattr(dut, f"responses__{client}__payload").value))
            item |= {"client": client, "got": got, "end": self.now}
            self.done.append(item)
            self._check(item)
        if getattr(dut, f"requests__{client}__valid").value and getattr(dut, f"requests__{client}__ready").value:
            item = self.waiting[client].pop(0)
            item["begin"] = self.now
            self.outstanding[client][item["tag"]] = item

    def _check(self, item: dict) -> None:
        """A response that is not stale tells what is in memory now: each change was announced in its cycle. No needless stale marks."""
        got, now = item["got"], self.reference(item["space"], item["vpn"])
        seen = Translation(space=item["space"], vpn=item["vpn"], level=got["level"], pte=got["pte"])
        struck = self.strike is not None or any(
            covers(strike, seen, spare_globals=False) or cycle in self.starts for cycle, strike in item["strikes"]
        )
        sign = item["vpn"] >> 26
        doubtful = self.spaces.get(item["space"], (BARE, 0))[0] == SV39 and sign not in (0, 0x3FF)
        assert got["stale"] or not doubtful, f"a page that is not canonical may be kept: {item}"
        assert struck or doubtful or not got["stale"], f"stale without an invalidation of its page: {item}"
        if got["stale"] and (struck or not doubtful):
            return
        assert got["outcome"] == now.outcome, f"outcome {got['outcome']} instead of {now}: {item}"
        if now.outcome != NO_SPACE:
            assert got["level"] == now.level, f"level of {item}, not {now}"
            assert got["pte_addr"] == now.address, f"address of {item}, not {now}"
        if now.outcome in (0, 1, 2):
            assert got["pte"] == now.pte, f"entry of {item}, not {now}"

    async def drain(self) -> None:
        for _ in range(PATIENCE):
            if not any(self.waiting) and not any(self.outstanding):
                break
            await self.cycle()
        left = [list(walks.values()) for walks in self.outstanding]
        assert not any(self.waiting), "requests were never taken"
        assert not any(left), f"walks that never ended: {left}"
        await self.cycle()
        assert int(self.dut.active.value) == 0, "slots in use without a walk"


def _pte_bits(payload: int) -> int:
    """The entry of a WalkResponse as one number."""
    field = data.Layout.cast(WalkResponse)["pte"]
    return payload >> field.offset & (1 << 64) - 1


@cocotb.test()
async def quiet_tables(dut) -> None:
    """Nothing changes: every walk of every client gives exactly what the reference gives."""
    bench = Bench(dut, seed=1, defects=0.2)
    await bench.start()
    for rate, ready in ((0.3, 0.8), (1.0, 1.0), (0.6, 0.2)):
        bench.ready = [ready] * CLIENTS
        for _ in range(1500):
            for client in range(CLIENTS):
                if bench.rng.random() < rate and len(bench.waiting[client]) < 4:
                    bench.ask_random(client)
            await bench.cycle()
    bench.ready = [1.0] * CLIENTS
    await bench.drain()
    outcomes = {outcome: sum(item["got"]["outcome"] == outcome for item in bench.done) for outcome in range(5)}
    assert all(count > 5 for count in outcomes.values()), f"walks by outcome: {outcomes}"
    assert {item["client"] for item in bench.done} == set(range(CLIENTS))
    levels = {item["got"]["level"] for item in bench.done if item["got"]["outcome"] == 0}
    assert levels == {0, 1, 2, 3}, f"leaves were found at levels {levels} only"


@cocotb.test()
async def every_defect(dut) -> None:
    """Each bit pattern that ends a walk, at each level of both modes."""
    bench = Bench(dut, seed=6, defects=0.0)
    await bench.start()
    bench.ready = [1.0] * CLIENTS
    tables = bench.tables
    tables_at = [pages[0] for pages in tables.pages]
    for level in range(1, 4):
        tables.words[tables_at[level] << 12] = V | tables_at[level - 1] << 10
    for mode, space in ((SV39, 0), (SV48, 1)):
        bench.spaces[space] = (mode, tables_at[LEVELS[mode] - 1])
        for level in range(LEVELS[mode]):
            address = tables_at[level] << 12
            good = tables.words[address]
            below = tables_at[max(level - 1, 0)] << 10
            pointers = [V | bit | below for bit in (0, A, D, U, *(1 << bit for bit in range(54, 64)))]
            leaves = [V | R | bit | 1 << 50 for bit in (0, W, W | X, *(1 << bit for bit in range(10, 37)), *(1 << bit for bit in range(54, 64)))]
            for entry in (None, 0, ~V & (1 << 64) - 1, V | W, V | W | X, *leaves, *(pointers if level == 0 else pointers[1:])):
                tables.words[address] = entry
                bench.ask(bench.rng.randrange(CLIENTS), space, 0)
                await bench.drain()
            tables.words[address] = good
    assert len(bench.done) > 300


@cocotb.test()
async def tables_change(dut) -> None:
    """Entries change, each announced in its cycle: no response that is not stale is older than the announcement."""
    bench = Bench(dut, seed=2, defects=0.02)
    await bench.start()
    rng = bench.rng
    for _ in range(12000):
        for client in range(CLIENTS):
            if rng.random() < 0.3 and len(bench.waiting[client]) < 2:
                bench.ask_random(client)
        if rng.random() < 0.06:
            change(bench)
        await bench.cycle()
    await bench.drain()
    stale = sum(item["got"]["stale"] for item in bench.done)
    assert stale > 100, f"only {stale} stale responses"
    assert len(bench.done) - stale > 100, f"{stale} of {len(bench.done)} responses are stale"


def change(bench: Bench) -> None:
    """Change what some page translates to, or another entry; announce it exactly when it is a leaf entry, else for everything."""
    rng, tables = bench.rng, bench.tables
    active = [item for walks in bench.outstanding for item in walks.values() if item["space"] in bench.spaces]
    if rng.random() < 0.2 or not active:
        address = rng.choice(list(tables.words))
        tables.words[address] = tables.random_entry(tables.level_of[address])
        bench.strike = Invalidation(space=None, vpn=None)
        return
    item = rng.choice(active)
    end = bench.reference(item["space"], item["vpn"])
    if rng.random() < 0.3:
        # strikes next to the page, at every distance, without a change
        vpn = item["vpn"] ^ 1 << rng.randrange(36)
        bench.strike = Invalidation(space=item["space"], vpn=vpn, mask=rng.choice((0, 1, 0x1FF)))
        return
    low = (1 << 9 * end.level) - 1
    sharing = [other for other in active if bench.reference(other["space"], other["vpn"]).address == end.address]
    if len(sharing) > 1 or (end.pte & V and not end.pte & (R | X)):
        bench.strike = Invalidation(space=None, vpn=None)
    else:
        bench.strike = Invalidation(space=item["space"], vpn=item["vpn"] ^ (rng.getrandbits(36) & low), mask=rng.choice((0, 1)))
    leaf = V | R | rng.choice((0, W, X)) | U | A | (rng.getrandbits(44) & ~low) << 10
    tables.words[end.address] = rng.choice((leaf, leaf, 0, None))


@cocotb.test()
async def stuck_client(dut) -> None:
    """A client that takes no responses keeps its own walks only: others go on."""
    bench = Bench(dut, seed=3)
    await bench.start()
    bench.ready = [1.0, 0.0, 1.0]
    for _ in range(max(1, WALKS // 2)):
        bench.ask_random(1)
    for _ in range(200):
        await bench.cycle()
    if WALKS == 1:
        return
    for client in (0, 2):
        for _ in range(50):
            bench.ask_random(client)
    for _ in range(PATIENCE):
        if not bench.waiting[0] and not bench.waiting[2] and not bench.outstanding[0] and not bench.outstanding[2]:
            break
        await bench.cycle()
    assert sum(item["client"] != 1 for item in bench.done) == 100, "clients wait for one that takes nothing"
    bench.ready[1] = 1.0
    await bench.drain()


@cocotb.test()
async def latency(dut) -> None:
    """An Sv39 walk to a 4 KiB leaf on an idle walker takes 3 * (L + 1) + 4 cycles, Sv48 one read more."""
    bench = Bench(dut, seed=4)
    await bench.start()
    bench.memory.ready, bench.ready = 1.0, [1.0] * CLIENTS
    for mode, space in ((SV39, 0), (SV48, 1)):
        pages = [bench.tables.pages[level][0] for level in range(LEVELS[mode])]
        bench.spaces[space] = (mode, pages[-1])
        vpn = 0
        for level in range(1, LEVELS[mode]):
            bench.tables.words[pages[level] << 12] = 1 | pages[level - 1] << 10
        bench.tables.words[pages[0] << 12] = 0xDF | 0x77 << 10
        for cycles in (1, 5, 20):
            bench.memory.latency = lambda cycles=cycles: cycles
            bench.ask(0, space, vpn)
            await bench.drain()
            item = bench.done[-1]
            taken, expected = item["end"] - item["begin"], LEVELS[mode] * (cycles + 1) + 4
            dut._log.info("mode %d, memory latency %d: %d cycles", mode, cycles, taken)
            assert taken == expected, f"{taken} cycles at memory latency {cycles}, not {expected}"


@cocotb.test()
async def throughput(dut) -> None:
    """With enough slots for the memory's latency, memory is asked in every cycle."""
    bench = Bench(dut, seed=5, defects=0.0)
    await bench.start()
    bench.memory.ready, bench.ready = 1.0, [1.0] * CLIENTS
    latency = 3
    bench.memory.latency = lambda: latency
    cycles = 600
    for _ in range(cycles):
        for client in range(CLIENTS):
            if len(bench.waiting[client]) < 2:
                bench.ask_random(client)
        await bench.cycle()
    rate = bench.memory.reads / cycles
    dut._log.info("%.3f reads a cycle at memory latency %d with %d walks", rate, latency, WALKS)
    possible = min(1.0, WALKS * 0.11)
    assert rate > 0.9 * possible, f"{rate} reads a cycle"
    await bench.drain()
    counts = [sum(item["client"] == client for item in bench.done) for client in range(CLIENTS)]
    assert max(counts) < 1.2 * min(counts), f"clients are not served evenly: {counts}"
