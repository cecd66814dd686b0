"""Translator with walker and space table: random traffic while tables change, storms of faults, stuck ports."""

import cocotb

from .page_walk import SV39, A, R, U, V, W, sign_extended
from .translator_bench import LOAD, STORE, Bench
from .translator_changes import change_page, change_space, map_pages
from .translator_settings import PORTS, SVADU, bench_for


@cocotb.test()
async def quiet_tables(dut) -> None:
    """Nothing changes but what faults install, and A and D."""
    bench = bench_for(dut, 1)
    await bench.start()
    plant(bench)
    for rate in (0.1, 0.9, 0.9, 0.9, 0.9):
        for _ in range(2500):
            traffic(bench, rate)
            await bench.cycle()
        if rate == 0.9 and not missing(bench):
            break
    await bench.drain()
    check_coverage(dut, bench)
    assert all(bench.swaps) == SVADU, f"swaps for A and for D: {bench.swaps}"


def traffic(bench: Bench, rate: float, withdrawals: float = 0.002) -> None:
    """Requests of every port at this rate; at times a port withdraws its own."""
    for port in range(PORTS):
        if bench.rng.random() < rate and len(bench.waiting[port]) < 3:
            bench.ask_random(port)
        if bench.rng.random() < withdrawals:
            bench.withdrawing.add(port)


def plant(bench: Bench) -> None:
    """The first entry of each table points on; each leaf table has an entry without A, one without D, and one without a page or with an error."""
    tables = bench.tables
    for narrow, pages in tables.pages.items():
        for level, tables_there in enumerate(pages):
            for place, page in enumerate(tables_there):
                first, *others = (tables.entry_address(page, index) for index in tables.indices[narrow])
                if level:
                    tables.entries[first] = V | pages[level - 1][place] << 10
                    continue
                leaf = V | R | W | U | 0x1230 + place << 10
                tables.entries |= {first: leaf, others[0]: leaf | A, others[1]: None if place % 2 else 0}


@cocotb.test()
async def tables_change(dut) -> None:
    """Entries and tables change while requests, walks and faults are on their way."""
    bench = bench_for(dut, 2, defects=0.03)
    await bench.start()
    least, more = ((0.01, 0), (0.1, 0), (0.03, 4), (0.03, 0), (0.03, 3)), ((0.03, 0),) * 4
    for done, (changes, pages) in enumerate((*least, *more)):
        if done >= len(least) and not missing(bench):
            break
        bench.heat(pages)
        for _ in range(2000):
            traffic(bench, 0.5)
            if bench.may_strike:
                if bench.rng.random() < changes:
                    change_page(bench)
                elif not pages and bench.rng.random() < 0.003:
                    change_space(bench)
            await bench.cycle()
    await bench.drain()
    check_coverage(dut, bench)


def missing(bench: Bench) -> list[str]:
    """Kinds of answer that were not seen."""
    kinds = [f"status 2 reason {reason}" for reason in (9, 10, 16, 21, 24, 25)]
    return [kind for kind in (*kinds, "status 0 reason 0", "fault unit 0", "fault unit 1") if not bench.counts.get(kind)]


def check_coverage(dut, bench: Bench) -> None:
    """Every kind of answer was seen."""
    dut._log.info("answers: %s; swaps for A and for D: %s", bench.counts, bench.swaps)
    assert PORTS == 1 or not missing(bench), f"never seen: {missing(bench)} among {bench.counts}"


@cocotb.test()
async def fault_storm(dut) -> None:
    """Every request faults, with one context that needs the walker itself: it takes long, but it ends."""
    bench = bench_for(dut, 3, contexts=1)
    await bench.start()
    for page, (narrow, level) in bench.tables.kind_of.items():
        for index in bench.tables.indices[narrow]:
            below = bench.rng.choice(bench.tables.pages[narrow][level - 1]) << 10
            bench.tables.entries[bench.tables.entry_address(page, index)] = V | below if level else V | R | U
    (known,) = map_pages(bench, 1, V | R | U | A)
    for port in range(PORTS):
        bench.ask(port, 0, known, LOAD)
    await bench.drain()
    count = 40
    for port in range(PORTS):
        for _ in range(count // 2):  # a fault that the port's TLB finds, and one that a walk finds
            bench.ask(port, 0, known, STORE)
            bench.ask(port, 0, sign_extended(bench.tables.random_vpn(SV39), SV39, 52) << 12, STORE)
    await bench.drain(patience=PORTS * count * 150)
    assert bench.fault_unit.taken == PORTS * count, f"{bench.fault_unit.taken} faults"
    assert bench.fault_unit.empty, "never seen: a walk that a fault may take over"


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
