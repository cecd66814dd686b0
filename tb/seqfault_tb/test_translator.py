"""Translator with walker and space table: random traffic while tables change, storms of faults, stuck ports, speed of hits."""

import os

import cocotb

from .page_walk import SV39, A, D, R, U, V, W, X
from .translator_bench import LOAD, STORE, Bench

PORTS = int(os.environ.get("PORTS", "4"))
SPACES = int(os.environ.get("SPACES", "64"))
ENTRIES = int(os.environ.get("TLB_ENTRIES", "16"))
AXI = os.environ.get("AXI") == "1"


def bench_for(dut, seed: int, **options) -> Bench:
    return Bench(dut, seed, ports=PORTS, spaces=SPACES, axi=AXI, **options)


@cocotb.test()
async def quiet_tables(dut) -> None:
    """Nothing changes but what faults install."""
    bench = bench_for(dut, 1)
    await bench.start()
    for entry in (None, 0, None, 0):
        plant(bench, entry)
    for rate in (0.1, 0.9):
        for _ in range(4000):
            for port in range(PORTS):
                if bench.rng.random() < rate and len(bench.waiting[port]) < 3:
                    bench.ask_random(port)
            await bench.cycle()
    await bench.drain()
    check_coverage(dut, bench)


def plant(bench: Bench, entry: int | None) -> None:
    """Make some walk end at this entry of a leaf table: without a page (0), or with a bus error (None)."""
    for _ in range(1000):
        vpn = bench.tables.random_vpn(SV39)
        end = bench.walk(0, vpn)
        if end.pte and end.level == 0:
            bench.tables.words[end.address] = entry
            return
    raise AssertionError("no page to plant at")


@cocotb.test()
async def tables_change(dut) -> None:
    """Entries and tables change while requests, walks and faults are on their way."""
    bench = bench_for(dut, 2, defects=0.03)
    await bench.start()
    for changes, pages in ((0.01, 0), (0.1, 0), (0.02, 4), (0.03, 0), (0.02, 3)):
        bench.heat(pages)
        for _ in range(3000):
            for port in range(PORTS):
                if bench.rng.random() < 0.5 and len(bench.waiting[port]) < 3:
                    bench.ask_random(port)
            if not bench.strike:
                if bench.rng.random() < changes:
                    bench.change_page()
                elif not pages and bench.rng.random() < 0.003:
                    bench.change_space()
            await bench.cycle()
    await bench.drain()
    check_coverage(dut, bench)


def check_coverage(dut, bench: Bench) -> None:
    """Every kind of answer was seen."""
    dut._log.info("answers: %s", bench.counts)
    kinds = ("status 0 reason 0", "status 2 reason 9", "status 2 reason 16", "status 2 reason 21", "fault unit 0", "fault unit 1")
    for kind in kinds:
        assert bench.counts.get(kind, 0) > 0, f"no answer of kind {kind}: {bench.counts}"


@cocotb.test()
async def fault_storm(dut) -> None:
    """Every request faults, with one context that needs the walker itself: it takes long, but it ends."""
    bench = bench_for(dut, 3, contexts=1)
    await bench.start()
    for address in bench.tables.words:
        if bench.tables.level_of[address] == 0:
            bench.tables.words[address] = V | R | U
        else:
            below = bench.tables.pages[bench.tables.level_of[address] - 1]
            bench.tables.words[address] = V | bench.rng.choice(below) << 10
    for port in range(PORTS):
        for _ in range(60):
            vpn = bench.tables.random_vpn(SV39)
            bench.ask(port, 0, (vpn | (0xFFFF << 36 if vpn >> 35 else 0)) << 12, STORE)
    await bench.drain(patience=PORTS * 60 * 150)
    assert bench.fault_unit.taken == PORTS * 60, f"{bench.fault_unit.taken} faults"


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


@cocotb.test()
async def hits_stream(dut) -> None:
    """Hits are answered two cycles later, one a cycle."""
    bench = bench_for(dut, 5, defects=0.0)
    await bench.start()
    bench.ready = [1.0] * PORTS
    vpn = bench.tables.random_vpn(SV39) & (1 << 26) - 1
    address, level = bench.spaces[0][1] << 12 | (vpn >> 18 & 0x1FF) << 3, 2
    while level:
        below = bench.tables.pages[level - 1][0]
        bench.tables.words[address] = V | below << 10
        level -= 1
        address = below << 12 | (vpn >> 9 * level & 0x1FF) << 3
    bench.tables.words[address] = V | R | W | X | U | A | D | 0x1234 << 10
    bench.ask(0, 0, vpn << 12, LOAD)
    await bench.drain()
    dut._log.info("a miss on an idle engine: %d cycles", bench.latencies[-1])
    count = 100
    for index in range(count):
        bench.ask(0, 0, vpn << 12 | index, LOAD)
    before = bench.now
    await bench.drain()
    assert bench.now - before <= count + 3, f"{count} hits took {bench.now - before} cycles"
    assert set(bench.latencies[-count:]) == {2}, f"latencies of hits: {set(bench.latencies[-count:])}"
