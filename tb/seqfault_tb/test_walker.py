"""Walker with a memory in Python, against an independent walk: results, stale marks, walk cache, fairness, latency and throughput."""

from dataclasses import replace

import cocotb

from .page_walk import BUS_ERROR, LEAF, LEVELS, MALFORMED, NO_SPACE, NONE, PBMT_SHIFT, SV32, SV39, A, D, N, R, Space, U, V, W, X
from .tlb_model import Invalidation
from .walker_bench import CLIENTS, LEVELS_BUILT, MODES, PATIENCE, SPACES, UPDATER, WALKS, Bench
from .walker_changes import change, move_table

LATENCY_OF_OTHERS = 6
"""Cycles more than for client 0, at the most, on an idle walker."""


@cocotb.test()
async def quiet_tables(dut) -> None:
    """Nothing changes: every walk of every client gives exactly what the reference gives."""
    bench = Bench(dut, seed=1, defects=0.1)
    await bench.start()
    root, indices = bench.spaces[0].root, bench.tables.indices[bench.spaces[0].is_narrow]
    bench.tables.entries[bench.tables.entry_address(root, indices[1])] = None  # an error that is met often
    for rate, ready in ((0.3, 0.8), (1.0, 1.0), (0.6, 0.2)):
        bench.ready = [ready] * CLIENTS
        for _ in range(1500):
            for client in range(CLIENTS):
                if bench.rng.random() < rate and len(bench.waiting[client]) < 4:
                    bench.ask_random(client)
            await bench.cycle()
    bench.ready = [1.0] * CLIENTS
    await bench.drain()
    outcomes = {outcome: sum(item["got"]["outcome"] == outcome for item in bench.done) for outcome in (LEAF, NONE, MALFORMED, BUS_ERROR, NO_SPACE)}
    assert all(count > 1 for count in outcomes.values()), f"walks by outcome: {outcomes}"
    assert {item["client"] for item in bench.done} == set(range(CLIENTS))
    levels = {item["got"]["level"] for item in bench.done if item["got"]["outcome"] == LEAF}
    assert WALKS < 8 or levels == set(range(LEVELS_BUILT)), f"leaves were found at levels {levels} only"
    spaces = {item["space"] for item in bench.done if item["got"]["outcome"] == LEAF}
    assert spaces == set(bench.spaces), f"leaves were found in spaces {spaces} only"


@cocotb.test()
@cocotb.parametrize(kind=["plain", "pointers", "misaligned", "types", "napot"])
async def every_defect(dut, kind: str) -> None:
    """Each bit pattern that ends a walk, at each level of every mode, with the features of each space."""
    bench = Bench(dut, seed=6, defects=0.0)
    await bench.start()
    bench.ready = [1.0] * CLIENTS
    tables = bench.tables
    for number, space in list(bench.spaces.items()):
        pages = [tables.new_page(space.is_narrow, level) for level in range(space.levels)]
        bench.spaces[number] = replace(space, root=pages[-1])
        for level in range(1, space.levels):
            tables.entries[pages[level] << 12] = V | pages[level - 1] << 10
        for level in range(space.levels):
            for index, entry in enumerate(patterns(kind, space, pages[max(level - 1, 0)], level), start=1):
                tables.entries[tables.entry_address(pages[level], 2 * index)] = entry
                bench.ask(bench.rng.randrange(CLIENTS), number, 2 * index << space.index_bits * level)
            await bench.drain()
    assert len(bench.done) > 20


def patterns(kind: str, space: Space, below: int, level: int) -> list[int | None]:
    """Entries that are just good and just bad; a pointer that is good goes to the table `below`, which is one only above level 0."""
    width = 32 if space.is_narrow else 64
    leaf = V | R | (0 if space.is_narrow else 1 << 50)
    if kind == "plain":
        reserved = [V | R | 1 << bit for bit in range(54, min(width, 61))]
        return [None, 0, ~V & (1 << width) - 1, V | W, V | W | X, leaf, leaf | W, leaf | W | X, *reserved]
    if kind == "pointers":
        pointers = [V | bit | below << 10 for bit in (0, A, D, U, *(1 << bit for bit in range(54, width)))]
        return pointers[1:] if level else pointers  # type: ignore[return-value]
    if kind == "misaligned":
        return [leaf | 1 << bit for bit in range(10, min(width, 55 - 8))]
    if space.is_narrow:
        return []
    if kind == "types":
        return [leaf | kind << PBMT_SHIFT for kind in range(4)]
    return [V | R | N | low << 10 for low in (0, 4, 8, 9, 12, 24)] + [V | R | N | 8 << 10 | 1 << PBMT_SHIFT, V | R | N | 8 << 10 | 3 << PBMT_SHIFT]


@cocotb.test()
async def tables_change(dut) -> None:
    """Entries change, each announced in its cycle: no response that is not stale is older than the announcement."""
    bench = Bench(dut, seed=2, defects=0.02)
    await bench.start()
    rng = bench.rng
    for _ in range(10000):
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


@cocotb.test()
async def pointers_change(dut) -> None:
    """Each table has one pointer. It changes, announced for the pages below only: what the walk cache knew of them is forgotten."""
    bench = Bench(dut, seed=7, defects=0.0)
    await bench.start()
    rng, tables = bench.rng, bench.tables
    bench.spaces = {space: Space(mode=mode) for space, mode in zip((0, 1, SPACES - 1), (MODES[0], MODES[-1], MODES[len(MODES) // 2]), strict=True)}
    for number, space in bench.spaces.items():
        bench.spaces[number] = Space(mode=space.mode, root=bench.tables.grow(space.is_narrow, space.levels - 1))
    for _ in range(5000):
        for client in range(CLIENTS):
            if rng.random() < 0.2 and len(bench.waiting[client]) < 2:
                number = rng.choice(list(bench.spaces))
                bench.ask(client, number, tables.random_vpn(bench.spaces[number].mode))
        if rng.random() < 0.04:
            move_table(bench)
        await bench.cycle()
    await bench.drain()
    stale = sum(item["got"]["stale"] for item in bench.done)
    assert 20 < stale < len(bench.done) / 2, f"{stale} of {len(bench.done)} responses are stale"


@cocotb.test()
async def napot_neighbours(dut) -> None:
    """An invalidation of any page of 64 KiB hits a walk for another one, at every age of the walk."""
    bench = Bench(dut, seed=9, defects=0.0)
    await bench.start()
    bench.ready, bench.memory.latency, tables = [1.0] * CLIENTS, lambda: 8, bench.tables
    for number, space in bench.spaces.items():
        if space.is_narrow or not space.napot:
            continue
        bench.spaces[number] = replace(space, root=tables.grow(False, space.levels - 1))
        address = bench.reference(number, 0).address
        for age in range(9 * space.levels):
            tables.entries[address] = V | R | N | (bench.rng.getrandbits(40) << 4 | 8) << 10
            bench.strike = Invalidation(space=number, vpn=0)
            await bench.cycle()
            bench.ask(0, number, bench.rng.randrange(16))
            for _ in range(age):
                await bench.cycle()
            tables.entries[address] = V | R | N | (bench.rng.getrandbits(40) << 4 | 8) << 10
            bench.strike = Invalidation(space=number, vpn=bench.rng.randrange(16))
            await bench.drain()
    assert any(item["got"]["stale"] for item in bench.done) == any(space.napot and not space.is_narrow for space in bench.spaces.values())


@cocotb.test()
async def stuck_client(dut) -> None:
    """A client that takes no responses keeps its own walks only: others go on, and AdUpdate even if all other slots are kept."""
    bench = Bench(dut, seed=3)
    await bench.start()
    for client, kept in ((UPDATER, WALKS + 5), (0, WALKS // 2)):
        if client >= CLIENTS or not kept:
            continue
        bench.ready = [1.0, 0.0] + [1.0] * (CLIENTS - 2)
        await keep_slots(bench, kept)
        others = [other for other in (client, 2) if other == client or kept < WALKS]
        for other in others:
            for _ in range(50):
                bench.ask_random(other)
        for _ in range(PATIENCE):
            if not any(bench.waiting[other] or bench.outstanding[other] for other in others):
                break
            await bench.cycle()
        served = {other: sum(item["client"] == other for item in bench.done) for other in others}
        assert all(served[other] >= 50 for other in others), f"clients wait for one that takes nothing: {served}"
        bench.ready[1] = 1.0
        await bench.drain()


async def keep_slots(bench: Bench, count: int) -> None:
    """So many walks of client 1 that nobody takes."""
    for _ in range(count):
        bench.ask_random(1)
    for _ in range(400):
        await bench.cycle()


@cocotb.test()
async def latency(dut) -> None:
    """A walk of client 0 with r reads takes r * (L + 1) cycles on an idle walker; what the walk cache knows is not read again."""
    bench = Bench(dut, seed=4)
    await bench.start()
    bench.memory.ready, bench.ready = 1.0, [1.0] * CLIENTS
    is_cached = False
    for mode in MODES:
        for cycles in (1, 5, 20):
            bench.memory.latency = lambda cycles=cycles: cycles
            pages = [bench.tables.pages[mode == SV32][level][0] for level in range(LEVELS[mode])]
            bench.spaces[0] = Space(mode=mode, root=pages[-1])
            for level in range(1, LEVELS[mode]):
                bench.tables.entries[pages[level] << 12] = V | pages[level - 1] << 10
            bench.tables.entries[pages[0] << 12] = 0xDF | 0x77 << 10
            bench.strike = Invalidation(space=None, vpn=None)
            await bench.cycle()
            taken = [await time_walk(bench, client) for client in (0, 0, *range(1, CLIENTS))]
            dut._log.info("mode %d, memory latency %d: %s cycles", mode, cycles, taken)
            cold, warm = LEVELS[mode] * (cycles + 1), taken[1]
            is_cached = is_cached or warm == cycles + 1
            assert taken[0] == cold, f"{taken[0]} cycles at memory latency {cycles}, not {cold}"
            assert warm == (cycles + 1 if is_cached else cold), f"{warm} cycles for the second walk at memory latency {cycles}"
            assert all(warm < other <= warm + LATENCY_OF_OTHERS for other in taken[2:]), f"{taken[2:]} cycles for other clients"


async def time_walk(bench: Bench, client: int) -> int:
    """Cycles that a walk for page 0 of space 0 takes."""
    bench.ask(client, 0, 0)
    await bench.drain()
    return bench.done[-1]["end"] - bench.done[-1]["begin"]


@cocotb.test()
async def throughput(dut) -> None:
    """With enough slots for the memory's latency, memory is asked in every cycle. Nothing comes from the walk cache."""
    bench = Bench(dut, seed=5, defects=0.0)
    await bench.start()
    latency, cycles = 3, 600
    saturate(bench, latency)
    for _ in range(cycles):
        for client in range(CLIENTS):
            if len(bench.waiting[client]) < 2:
                bench.ask(client, 0, bench.tables.random_vpn(SV39))
        bench.strike = Invalidation(space=None, vpn=None)
        await bench.cycle()
    rate = bench.memory.reads / cycles
    dut._log.info("%.3f reads a cycle at memory latency %d with %d walks", rate, latency, WALKS)
    await bench.drain()
    assert rate > 0.9 * min(1.0, 3 * WALKS / (3 * (latency + 1) + 2)), f"{rate} reads a cycle"


def saturate(bench: Bench, latency: int) -> None:
    """One space with tables of full depth, and a memory and clients that are always ready."""
    bench.memory.ready, bench.ready = 1.0, [1.0] * CLIENTS
    bench.memory.latency = lambda: latency
    bench.spaces = {0: Space(mode=SV39, root=bench.tables.grow(False, LEVELS[SV39] - 1))}


@cocotb.test()
async def nobody_starves(dut) -> None:
    """Clients that ask in every cycle share the walker, in whatever rhythm walks end: half for client 0, half for the others."""
    bench = Bench(dut, seed=8, defects=0.0)
    await bench.start()
    saturate(bench, 1)
    for latency in range(1, 8):
        bench.memory.latency = lambda latency=latency: latency
        for busy in ((0, 1), (0, 1, 2)):
            counts = await share(bench, busy, 120 if WALKS > 1 else 300)
            dut._log.info("memory latency %d: walks by client: %s", latency, counts)
            assert 2 * counts[0] > 0.8 * sum(counts), f"client 0 is not served evenly at memory latency {latency}: {counts}"
            for client in busy[1:]:
                share_of_one = 2 * (len(busy) - 1) * (counts[client] + 1)
                assert share_of_one > 0.8 * sum(counts), f"client {client} is not served evenly at memory latency {latency}: {counts}"


async def share(bench: Bench, busy: tuple[int, ...], cycles: int) -> list[int]:
    """Walks that each client gets in so many cycles if these ask for one page in all of them."""
    bench.done.clear()
    for _ in range(cycles):
        for client in busy:
            if len(bench.waiting[client]) < 2:
                bench.ask(client, 0, 0)
        await bench.cycle()
    counts = [sum(item["client"] == client for item in bench.done) for client in range(CLIENTS)]
    await bench.drain()
    return counts
