"""Translator with walker and space table, case by case: withdrawal, addresses, page sizes, latencies, merged misses, causes, fairness."""

import cocotb

from .page_walk import A, D, G, N, R, U, V, W, X
from .tlb_model import Invalidation
from .translator_bench import FETCH, LOAD, STORE
from .translator_changes import map_pages, map_table
from .translator_settings import AXI, ENTRIES, HAS_L2, PORTS, WALK_CACHE, bench_for


@cocotb.test()
async def withdrawals(dut) -> None:
    """Requests are withdrawn at every age, and their tags used again at once."""
    bench = bench_for(dut, 9, defects=0.0)
    await bench.start()
    pages = map_pages(bench, 64)
    for age in range(1, 60):
        for page in (pages[age], pages[age - 1]):
            bench.ask(0, 0, page, LOAD)
        for _ in range(age):
            await bench.cycle()
        bench.withdrawing.add(0)
        for page in (pages[age - 1], pages[0], pages[age]):
            bench.ask(0, 0, page, STORE)
        await bench.drain()


@cocotb.test()
async def cold_addresses(dut) -> None:
    """Addresses that Sv39 does not have are refused, though Sv48 has them."""
    bench = bench_for(dut, 10, defects=0.0)
    await bench.start()
    (page,) = map_pages(bench, 1)
    for bit in range(39, 47):
        bench.ask(0, 0, page ^ 1 << bit, LOAD)
        await bench.drain()
    assert bench.counts == {"status 2 reason 9": 8}, f"answers: {bench.counts}"


@cocotb.test()
async def warm_addresses(dut) -> None:
    """Addresses that no mode has are refused, whatever the TLB holds for what is left of them."""
    bench = bench_for(dut, 11, defects=0.0)
    await bench.start()
    (page,) = map_pages(bench, 1)
    for bit in range(57, 64):
        bench.ask(0, 0, page, LOAD)
        bench.ask(0, 0, page ^ 1 << bit, LOAD)
        await bench.drain()
    assert bench.counts == {"status 0 reason 0": 7, "status 2 reason 9": 7}, f"answers: {bench.counts}"


@cocotb.test()
async def one_page_is_enough(dut) -> None:
    """An invalidation of any page within a leaf of any size covers all of it."""
    bench = bench_for(dut, 12, defects=0.0)
    await bench.start()
    for number, space in bench.world.spaces.items():
        for level in range(space.levels):
            address = bench.tables.entry_address(map_table(bench, number, level), 0)
            bench.strike = Invalidation(space=None, vpn=None)
            await bench.idle()
            for _ in range(6):
                old = (1 << bench.world.walk(number, 0).page_bits) - 1
                leaf = bench.tables.random_leaf(space.is_narrow, level) & ~G | R | U | A
                bench.world.put(address, leaf | (N | 8 << 10 if space.napot and not level and not leaf >> 10 & 7 else 0))
                bench.note_change()
                bench.strike = Invalidation(space=number, vpn=bench.rng.getrandbits(45) & old)
                await bench.idle()
                low = (1 << bench.world.walk(number, 0).page_bits) - 1
                for port in range(PORTS):
                    bench.ask(port, number, (bench.rng.getrandbits(45) & low) << 12, LOAD)
                await bench.drain()
    assert bench.counts["status 0 reason 0"] > 20, f"answers: {bench.counts}"


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
