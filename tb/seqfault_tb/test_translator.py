"""Translator with walker and space table: random traffic while tables change, storms of faults, merged misses, fairness, latencies."""

import os

import cocotb

from .page_walk import SV39, A, D, R, U, V, W, X, sign_extended
from .tlb_model import Invalidation
from .translator_bench import FETCH, LOAD, STORE, Bench

PORTS = int(os.environ.get("PORTS", "4"))
SPACES = int(os.environ.get("SPACES", "64"))
ENTRIES = int(os.environ.get("TLB_ENTRIES", "16"))
LEVELS_BUILT = int(os.environ.get("LEVELS", "5"))
SV32 = os.environ.get("SV32") == "1"
SVADU = os.environ.get("SVADU") == "1"
HAS_L2 = os.environ.get("HAS_L2") == "1"
WALK_CACHE = os.environ.get("WALK_CACHE", "0") != "0"
AXI = os.environ.get("AXI") == "1"


def bench_for(dut, seed: int, **options) -> Bench:
    return Bench(dut, seed, ports=PORTS, spaces=SPACES, levels=LEVELS_BUILT, sv32=SV32, svadu=SVADU, has_l2=HAS_L2, axi=AXI, **options)


@cocotb.test()
async def quiet_tables(dut) -> None:
    """Nothing changes but what faults install, and A and D."""
    bench = bench_for(dut, 1)
    await bench.start()
    for entry in (None, 0, None, 0) if PORTS > 1 else ():
        plant(bench, entry)
    for rate in (0.1, 0.9):
        for _ in range(2500):
            traffic(bench, rate)
            await bench.cycle()
    await bench.drain()
    check_coverage(dut, bench)


def traffic(bench: Bench, rate: float, withdrawals: float = 0.002) -> None:
    """Requests of every port at this rate; at times a port withdraws its own."""
    for port in range(PORTS):
        if bench.rng.random() < rate and len(bench.waiting[port]) < 3:
            bench.ask_random(port)
        if bench.rng.random() < withdrawals:
            bench.withdrawing.add(port)


def plant(bench: Bench, entry: int | None) -> None:
    """Make some walk end at this entry of a leaf table: without a page (0), or with a bus error (None)."""
    for _ in range(5000):
        space = bench.rng.choice([number for number, space in bench.world.spaces.items() if not space.is_narrow])
        end = bench.world.walk(space, bench.tables.random_vpn(bench.world.space(space).mode))
        if end.pte and end.level == 0 and end.address in bench.tables.entries:
            bench.tables.entries[end.address] = entry
            return
    raise AssertionError("no page to plant at")


@cocotb.test()
async def tables_change(dut) -> None:
    """Entries and tables change while requests, walks and faults are on their way."""
    bench = bench_for(dut, 2, defects=0.03)
    await bench.start()
    for changes, pages in ((0.01, 0), (0.1, 0), (0.03, 4), (0.03, 0), (0.03, 3)):
        bench.heat(pages)
        for _ in range(2000):
            traffic(bench, 0.5)
            if bench.may_strike:
                if bench.rng.random() < changes:
                    bench.change_page()
                elif not pages and bench.rng.random() < 0.003:
                    bench.change_space()
            await bench.cycle()
    await bench.drain()
    check_coverage(dut, bench)


def check_coverage(dut, bench: Bench) -> None:
    """Every kind of answer was seen."""
    dut._log.info("answers: %s; swaps for A and for D: %s", bench.counts, bench.swaps)
    if PORTS == 1:
        return
    kinds = [f"status 2 reason {reason}" for reason in (9, 10, 16, 21, 24, 25)]
    for kind in (*kinds, "status 0 reason 0", "fault unit 0", "fault unit 1"):
        assert bench.counts.get(kind, 0) > 0, f"no answer of kind {kind}: {bench.counts}"
    assert all(bench.swaps) == SVADU, f"swaps for A and for D: {bench.swaps}"


@cocotb.test()
async def fault_storm(dut) -> None:
    """Every request faults, with one context that needs the walker itself: it takes long, but it ends."""
    bench = bench_for(dut, 3, contexts=1)
    await bench.start()
    for page, (narrow, level) in bench.tables.kind_of.items():
        for index in bench.tables.indices[narrow]:
            below = bench.rng.choice(bench.tables.pages[narrow][level - 1]) << 10
            bench.tables.entries[bench.tables.entry_address(page, index)] = V | below if level else V | R | U
    count = 40
    for port in range(PORTS):
        for _ in range(count):
            bench.ask(port, 0, sign_extended(bench.tables.random_vpn(SV39), SV39, 52) << 12, STORE)
    await bench.drain(patience=PORTS * count * 150)
    assert bench.fault_unit.taken == PORTS * count, f"{bench.fault_unit.taken} faults"


@cocotb.test()
async def stuck_port(dut) -> None:
    """A port whose answers are not taken does not keep others waiting."""
    if PORTS == 1:
        return
    bench = bench_for(dut, 4)
    await bench.start()
    bench.ready = [0.0] + [1.0] * (PORTS - 1)
    for port in range(PORTS):
        for _ in range(100):
            bench.ask_random(port)
    others = range(1, PORTS)
    for _ in range(PORTS * 100 * 100):
        if not bench.left(others):
            break
        await bench.cycle()
    assert not bench.left(others), "ports wait for one that takes no answers"
    assert bench.left(range(1)) == 100, "port 0 took an answer although it was not ready"
    await bench.drain(patience=100 * 150)


def map_pages(bench: Bench, count: int, entry: int = V | R | W | X | U | A | D) -> list[int]:
    """Addresses of so many 4 KiB pages of space 0, which have this entry and tables of their own."""
    tables, table = bench.tables, bench.world.space(0).root
    for level in (2, 1):
        below = tables.new_page(False, level - 1)
        tables.entries[tables.entry_address(table, 0)] = V | below << 10
        table = below
    for index in range(count):
        tables.entries[tables.entry_address(table, index)] = entry | bench.rng.getrandbits(40) << 10
    return [index << 12 for index in range(count)]


@cocotb.test()
async def latencies(dut) -> None:
    """Hits are answered in the next cycle, one a cycle; a miss takes a read per level and few cycles more."""
    bench = bench_for(dut, 5, defects=0.0)
    await bench.start()
    bench.ready = [1.0] * PORTS
    pages, latency = map_pages(bench, 2), 5
    if not AXI:
        bench.memory.ready, bench.memory.latency = 1.0, lambda: latency
    for page in pages:
        bench.ask(0, 0, page, LOAD)
        await bench.drain()
    cold, warm = bench.latencies[-2:]
    dut._log.info("misses on an idle engine: %d cycles, then %d", cold, warm)
    assert AXI or cold == 3 * latency + 6, f"a cold miss took {cold} cycles"
    assert AXI or warm == (latency + 4 if WALK_CACHE else cold), f"a miss beside it took {warm} cycles"
    if HAS_L2 and PORTS > 1:
        bench.ask(1, 0, pages[0], LOAD)
        await bench.drain()
        assert bench.latencies[-1] == 3, f"a hit of the L2 TLB took {bench.latencies[-1]} cycles"
    count = 100
    for index in range(count):
        bench.ask(0, 0, pages[0] | index, LOAD)
    before = bench.now
    await bench.drain()
    assert bench.now - before <= count + 2, f"{count} hits took {bench.now - before} cycles"
    assert set(bench.latencies[-count:]) == {1}, f"latencies of hits: {set(bench.latencies[-count:])}"


@cocotb.test()
async def misses_merge(dut) -> None:
    """Requests of all ports for one page share its walk; one that is younger than an invalidation does not."""
    bench = bench_for(dut, 6, defects=0.0)
    await bench.start()
    bench.ready, latency = [1.0] * PORTS, 30
    if AXI:
        return
    pages = map_pages(bench, 3)
    bench.memory.latency = lambda: latency
    for page in pages:
        bench.strike = Invalidation(space=None, vpn=None)
        await bench.idle()
        before = bench.memory.reads
        for port in range(PORTS):
            bench.ask(port, 0, page | port, LOAD)
        await bench.drain()
        assert bench.memory.reads - before == 3, f"{bench.memory.reads - before} reads for {PORTS} requests for one page"
    for age in range(1, 3 * latency + 6, 5):
        bench.ask(0, 0, pages[0], LOAD)
        for _ in range(age):
            await bench.cycle()
        bench.world.put(bench.world.walk(0, 0).address, V | R | U | A | bench.rng.getrandbits(40) << 10)
        bench.note_change()
        bench.strike = Invalidation(space=0, vpn=0)
        await bench.cycle()
        bench.ask(PORTS - 1, 0, pages[0], LOAD)
        await bench.drain()
        await bench.idle()


@cocotb.test()
async def same_causes_everywhere(dut) -> None:
    """What an entry refuses does not depend on where it is found: in memory, in the L2 TLB of another's request, in the port's own."""
    bench = bench_for(dut, 7, defects=0.0)
    await bench.start()
    rights = (R, R | W, X, R | X, R | W | X)
    for entry in (V | some | used | user for some in rights for used in (A, A | D) for user in (0, U)):
        (page,) = map_pages(bench, 1, entry)
        bench.strike = Invalidation(space=None, vpn=None)
        await bench.idle()
        for port in (0, PORTS - 1):
            for access in (LOAD, STORE, FETCH):
                for bits in range(8):
                    bench.ask(port, 0, page, access, supervisor=bits & 1, sum=bits >> 1 & 1, mxr=bits >> 2)
            await bench.drain()
    kinds = {kind.rpartition(" reason ")[2] for kind in bench.counts}
    assert {"0", "10", "25"} <= kinds, f"answers: {bench.counts}"


@cocotb.test()
async def ports_are_served_evenly(dut) -> None:
    """Two ports that ask in every cycle for pages that are not in their TLBs get the same."""
    if PORTS == 1 or AXI:
        return
    bench = bench_for(dut, 8, defects=0.0)
    await bench.start()
    bench.ready = [1.0] * PORTS
    bench.memory.ready, bench.memory.latency = 1.0, lambda: 1
    pages = map_pages(bench, 4 * ENTRIES)
    half, turn = len(pages) // 2, [0, 0]
    for index in range(600):
        for port in range(2):
            while len(bench.waiting[port]) < 2:
                turn[port] = (turn[port] + 1) % half
                bench.ask(port, 0, pages[half * port + turn[port]], LOAD)
        if index == 100:
            bench.answered = [0] * PORTS
        await bench.cycle()
    dut._log.info("answers by port: %s", bench.answered)
    assert min(bench.answered[:2]) >= 0.45 * sum(bench.answered), f"answers by port: {bench.answered}"
    await bench.drain()
