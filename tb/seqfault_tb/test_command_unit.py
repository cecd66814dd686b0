"""CommandUnit against a Python model of the commands: every event, every word of memory, under random delays and grants."""

import os
from random import Random

import cocotb

from .command_bench import CommandBench
from .command_model import EXCLUSIVE, HALF_BITS, OUTCOME_QUEUE_FULL, STEP, SV39, SV48, VPN_BITS

SPACES, CHUNK, CONTEXTS, WALKS, PORTS = (int(os.environ.get(name, "8")) for name in ("SPACES", "CHUNK", "CONTEXTS", "WALKS", "PORTS"))
SEED = int(os.environ.get("COMMAND_SEED", "1"))
FENCE_WORD = 0x9000_0040


async def bench_of(dut, seed: int, **options) -> CommandBench:
    bench = CommandBench(dut, Random(SEED * 100 + seed), spaces=SPACES, chunk=CHUNK, contexts=CONTEXTS, walks=WALKS, ports=PORTS, **options)
    bench.memory[FENCE_WORD] = 0
    await bench.start()
    return bench


def custom(opcode: int, func3: int, space: int, *, count: int = 0, rights: int = 0) -> int:
    return opcode | func3 << 7 | space << 12 | rights << 28 | count << 32


def zap(space: int, vpn: int, count: int) -> tuple[int, int]:
    return custom(65, 0, space, count=count), vpn


def protect(space: int, vpn: int, count: int, rights: int, *, share: bool = False) -> tuple[int, int]:
    return custom(65, 1, space, count=count, rights=rights) | share << 31, vpn


def call(space: int, cookie: int) -> tuple[int, int]:
    return custom(68, 0, space), cookie


def respond(space: int, port: int, tag: int, code: int = 0) -> tuple[int, int]:
    return 4 | 1 << 7 | space << 12 | 1 << 32 | port << 40, tag << 32 | code << 44


def lock(space: int) -> tuple[int, int]:
    return custom(66, 0, space), 0


def unlock(space: int) -> tuple[int, int]:
    return custom(66, 1, space), 0


def begin(space: int, vma_id: int) -> tuple[int, int]:
    return custom(64, 0, space), vma_id


def end(space: int, vma_id: int) -> tuple[int, int]:
    return custom(64, 1, space), vma_id


def fence(*, address: int | None = None, data: int = 0, pr: bool = False, wsi: bool = False) -> tuple[int, int]:
    return 2 | (address is not None) << 10 | wsi << 11 | pr << 12 | 1 << 13 | data << 32, (address or 0) >> 2


def invalidate(space: int | None = None, page: int | None = None, s: bool = False) -> tuple[int, int]:
    return 1 | (page is not None) << 10 | (space or 0) << 12 | (space is not None) << 32, (page or 0) << 10 | s << 9


async def make_space(bench: CommandBench, space: int, mode: int) -> None:
    satp = bench.tables.create(space, mode)
    await bench.run([(custom(67, 0, space), satp)])
    assert bench.roots["space_write_table", space] == satp


@cocotb.test()
async def single_steps(dut) -> None:
    """Each command of one step, its strobes, and the tables that it writes."""
    bench = await bench_of(dut, 1)
    await make_space(bench, 1, SV39)
    await bench.run([(custom(67, 1, 1), 0x1234_5601), lock(1), begin(1, 7), begin(1, 7), end(1, 7), begin(1, 0xFFFF), end(1, 7), unlock(1)])
    assert bench.roots["space_write_vmas", 1] == 0x1234_5601
    assert (bench.generations[7], bench.writers[7], bench.mm_writers) == (2, 0, set())
    await bench.run([invalidate(), invalidate(2), invalidate(page=0x12345), invalidate(3, page=0x7)])
    await bench.run([invalidate(3, page=0b1010_0111, s=True), invalidate(0, page=0x800, s=True), invalidate(page=(1 << 52) - 1, s=True)])
    full = (1 << VPN_BITS) - 1
    expected = [
        (1, 0, 1, 0, 0), (0, 2, 1, 0, 0), (1, 0, 0, 0x12345, 0), (0, 3, 0, 7, 0),
        (0, 3, 0, 0b1010_0000, 0b1111), (0, 0, 0, 0x800, 1), (1, 0, 0, 0, full),
    ]  # fmt: skip
    assert [tuple(record.values()) for record in bench.records] == expected


@cocotb.test()
async def calls_and_responses(dut) -> None:
    """SRCU.CALL and ATS.PRGR: each once, in order, to SRCU and to the one port; a call that SRCU refuses does not stop the queue."""
    bench = await bench_of(dut, 10)
    rng = bench.rng
    for grant in (1.0, 0.3):
        bench.grant = grant
        commands = [call(rng.randrange(SPACES), rng.getrandbits(64)) for _ in range(12)]
        commands += [respond(rng.randrange(SPACES), rng.randrange(PORTS), rng.getrandbits(9), rng.choice((0, 1, 15))) for _ in range(12)]
        rng.shuffle(commands)
        await bench.run([*commands, respond(SPACES - 1, PORTS - 1, 511, 15), respond(0, 0, 0), call(0, (1 << 64) - 1), call(SPACES - 1, 0)])
    assert len(bench.calls) == len(bench.responses) == 28
    refused = [event["outcome"] for event in bench.events if event["first"] == STEP["SRCU_CALL"]]
    assert 0 in refused
    assert OUTCOME_QUEUE_FULL in refused
    response = respond(1, 0, 5)
    wrong = [
        (custom(68, 1, 1), 0), call(SPACES, 0), (custom(68, 0, 1, count=1), 0), (custom(68, 0, 1, rights=4), 0), (custom(68, 0, 1) | 1 << 31, 0),
        (custom(68, 0, 1) | 1 << 10, 0), respond(1, PORTS, 5), respond(1, PORTS + 256, 5), respond(SPACES, 0, 5), respond(SPACES << 8, 0, 5),
        (response[0] ^ 1 << 7, response[1]), (response[0] ^ 1 << 32, response[1]),
        *((response[0] | 1 << bit, response[1]) for bit in (10, 11, 33, 39, 56, 63)),
        *((response[0], response[1] | 1 << bit) for bit in (0, 31, 41, 43, 48, 63)),
    ]  # fmt: skip
    await bench.run(wrong)
    assert len([event for event in bench.events if event["first"] == STEP["ILLEGAL"]]) == len(wrong)


@cocotb.test()
async def refused(dut) -> None:
    """Malformed commands, and those that the state forbids, stop the queue with their head; the repaired command is executed."""
    bench = await bench_of(dut, 2)
    await make_space(bench, 1, SV39)
    await make_space(bench, 2, SV48)
    unlocked = [unlock(1), begin(1, 3), end(1, 3), zap(1, 0, 1), protect(1, 0, 1, 1)]
    await bench.run(unlocked)
    assert len([event for event in bench.events if event["first"] == STEP["ILLEGAL"]]) == len(unlocked)
    await bench.run([lock(1), lock(2)])
    wrong = [
        (0, 0), (3, 0), (127, 0), (1 | 1 << 7, 0), (2 | 1 << 7, 0), (custom(64, 2, 1), 3), (custom(66, 5, 1), 0), (custom(67, 2, 1), 0),
        (custom(64, 0, 1) | 1 << 10, 3), (custom(64, 0, 1) | 1 << 31, 3), (custom(64, 0, 1, count=1), 3), (custom(64, 0, 1, rights=1), 3),
        begin(1, 1 << 16), end(1, 3), begin(SPACES, 3), lock(1), lock(SPACES), (custom(66, 1, 1), 1), (custom(67, 0, 1), 2 << 60),
        (custom(67, 0, 1), 8 << 60 | 1 << 44), (custom(67, 0, SPACES), 8 << 60), (1 | 1 << 11, 0), (1 | 1 << 33, 0), (1, 1), (1, 1 << 62),
        invalidate(SPACES), (2 | 1 << 14, 0), fence(address=0x9000_0044), (2 | 1 << 10, 1 << 54), protect(1, 0, 1, 0), protect(1, 0, 1, 2),
        protect(1, 0, 1, 6), (custom(65, 0, 1, count=1, rights=1), 0), zap(1, 1 << 26, 1), zap(1, (1 << VPN_BITS) - (1 << 26) - 1, 1),
        zap(2, 1 << 35, 1), zap(1, 1 << VPN_BITS, 1), zap(SPACES, 0, 1), zap(3, 0, 1),
        (custom(65, 0, 1, count=1) | 1 << 31, 0), (custom(67, 0, 1) | 1 << 31, 8 << 60), (custom(67, 1, 1) | 1 << 31, 0),
        protect(1, 0, 1, 0, share=True),
    ]  # fmt: skip
    await bench.run(wrong)
    assert len([event for event in bench.events if event["first"] == STEP["ILLEGAL"]]) == len(wrong)


@cocotb.test()
async def sweeps(dut) -> None:
    """ZAP and PROTECT over random sparse tables, beside other holders of PTE locks and a slow released ring."""
    bench = await bench_of(dut, 3)
    rng = bench.rng
    swept = shared = kept = 0

    def change(space: int, first: int, count: int) -> tuple[int, int]:
        return protect(space, first, count, rng.choice((1, 3, 4, 5, 7)), share=rng.random() < 0.5)

    for space, mode in ((0, SV39), (3, SV48)):
        await make_space(bench, space, mode)
        await bench.run([lock(space)])
        width = HALF_BITS[mode]
        bases = [*sorted(rng.sample(range(1 << width - 9), 5)), 0, 1, (1 << width - 9) - 1]
        bases.append(bases[2] + 1)
        for base in bases:
            bench.tables.slot(space, base << 9)
        for _ in range(4):
            for _ in range(150):
                page = (rng.choice(bases) << 9) + min(511, int(rng.expovariate(0.01)))
                bench.tables.map(space, page)
                bench.model.words.pop(bench.tables.slot(space, page), None)
            bench.tables.words[bench.tables.slot(space, bases[0] << 9)] = 0x5A5A_0000  # V=0 with content stays
            bench.model.words.pop(bench.tables.slot(space, bases[0] << 9), None)
            commands = []
            for _ in range(3):
                first = (rng.choice(bases) << 9) + rng.choice((0, 1, 7, 8, 63, 64, 300, 511))
                count = rng.choice((0, 1, 2, 9, 63, 512, 700, 1 << 20, (1 << 32) - 1))
                commands.append(zap(space, first, count) if rng.random() < 0.5 else change(space, first, count))
            events = await bench.run(commands)
            protected = [event["data"] for event in events if event["first"] == STEP["PTE_PROTECT"]]
            kept += len([entry for entry in protected if entry & EXCLUSIVE])
            shared += len([entry for entry in protected if not entry & EXCLUSIVE])
            swept += len([event for event in events if event["first"] in (STEP["PTE_CLEAR"], STEP["PTE_PROTECT"])])
        await bench.run([unlock(space)])
    assert swept > 250
    assert min(shared, kept) > 10


@cocotb.test()
async def edges_of_the_address_space(dut) -> None:
    """Ranges end with the address space; a superpage in the range refuses the command after what comes before it has been done."""
    bench = await bench_of(dut, 4)
    await make_space(bench, 1, SV39)
    await make_space(bench, 2, SV48)
    await bench.run([lock(1), lock(2), lock(4)])
    last = {space: (1 << HALF_BITS[mode]) - 1 for space, mode in ((1, SV39), (2, SV48))}
    for space, page in last.items():
        for vpn in (0, page):
            bench.tables.map(space, vpn)
        await bench.run([zap(space, page - 3, (1 << 32) - 1), zap(space, page, 1)])
        assert bench.memory[bench.tables.slot(space, page)] == 0
        assert bench.memory[bench.tables.slot(space, 0)] != 0
    bench.tables.map(1, (1 << VPN_BITS) - 1)
    await bench.run([zap(1, (1 << VPN_BITS) - 2, 5)])
    assert bench.memory[bench.tables.slot(1, (1 << VPN_BITS) - 1)] == 0
    await bench.run([zap(4, 0, 1 << 30)])  # a space without a table has no entries
    bench.tables.map(1, 5)
    bench.tables.map(1, 512, level=1)
    bench.posted.append(zap(1, 0, 2000))
    bench.events = []
    await bench.settle()
    assert bench.errors == ["illegal"]
    assert [event["first"] for event in bench.events][-2:] == [STEP["PTE_UNLOCK"], STEP["ILLEGAL"]]
    assert bench.memory[bench.tables.slot(1, 5)] == 0
    assert bench.head != bench.tail


@cocotb.test()
async def released_ring_full(dut) -> None:
    """With no room in the released ring a ZAP waits under the lock; no entry is lost when there is room again."""
    bench = await bench_of(dut, 5)
    await make_space(bench, 1, SV39)
    await bench.run([lock(1)])
    for page in range(6):
        bench.tables.map(1, page)
    bench.room, bench.grant = 0.0, 1.0
    bench.model.execute(*zap(1, 0, 6))
    bench.posted.append(zap(1, 0, 6))
    for _ in range(400):
        await bench.cycle()
    assert not bench.released
    assert bench.own_lock is not None
    bench.room = 0.3
    await bench.settle()
    bench.check_memory()
    assert len(bench.released) == 6


@cocotb.test()
async def fences(dut) -> None:
    """A fence with PR waits for each attempt and walk that ran when it began, one without does not; the data is written before the step."""
    bench = await bench_of(dut, 6)
    done = STEP["FENCE"]
    bench.pinned, bench.walking, bench.grant = 0b101, 0b10, 1.0
    await bench.run([fence(), fence(wsi=True), fence(address=FENCE_WORD, data=0xCAFE)])
    assert bench.interrupts == 1
    bench.events = []
    bench.posted.append(fence(address=FENCE_WORD, data=0xF00D, pr=True))

    async def wait(cycles: int = 60) -> bool:
        for _ in range(cycles):
            await bench.cycle()
        assert (bench.memory[FENCE_WORD] == 0xF00D) == (done in [event["first"] for event in bench.events])
        return done in [event["first"] for event in bench.events]

    assert not await wait()
    bench.pinned = 0b110  # the first has ended, another one has begun
    assert not await wait()
    bench.pinned = 0b010
    assert not await wait()
    bench.walking = 0
    await bench.cycle()
    bench.walking = 0b10  # ended for a cycle: what runs now began later
    bench.released_idle = False
    assert not await wait()
    bench.released_idle = True
    assert await wait()
    bench.model.words[FENCE_WORD] = 0xF00D
    bench.check_memory()


@cocotb.test()
async def bus_errors(dut) -> None:
    """A bus error anywhere stops the queue without a lock left behind; the command is executed again when software goes on."""
    bench = await bench_of(dut, 7)
    await make_space(bench, 1, SV39)
    await bench.run([lock(1)])
    for page in range(4):
        bench.tables.map(1, page)
    entry, command = bench.tables.slot(1, 2), bench.slot_address(bench.tail + 1)

    async def faults(*, posted: list[tuple[int, int]] = [], done: int) -> None:  # noqa: B006
        before = bench.head
        bench.posted += posted
        bench.errors = []
        await bench.settle()
        assert bench.errors == ["memory_fault"]
        assert (bench.head - before) % bench.size == done
        assert bench.own_lock is None
        bench.memory.failing.clear()
        bench.stop = False

    bench.memory.failing.add(command)
    await faults(posted=[invalidate(), invalidate(1)], done=1)
    await bench.settle()
    bench.failing_walks = 1
    await faults(posted=[zap(1, 0, 4)], done=0)
    bench.memory.failing.add(entry)
    await faults(done=0)
    bench.changes.clear()
    bench.model.execute(*zap(1, 0, 4))
    await bench.settle()
    bench.check_memory()
    bench.memory.failing.add(FENCE_WORD)
    await faults(posted=[fence(address=FENCE_WORD, data=1)], done=0)
    await bench.settle()
    assert bench.memory[FENCE_WORD] == 1
    assert bench.errors == ["memory_fault"]


@cocotb.test()
async def small_queue(dut) -> None:
    """A ring of two entries, and repeated wraps of it; switching the queue off and on begins at entry 0."""
    bench = await bench_of(dut, 8, log2_entries=1)
    await bench.run([invalidate(number % SPACES) for number in range(9)])
    assert len(bench.events) == 9
    dut.queue.value = 0
    for _ in range(3):
        await bench.cycle()
    bench.tail = 0
    bench.enable()
    for _ in range(3):
        await bench.cycle()
    assert bench.head == 0
    await bench.run([invalidate(1)])
    assert bench.head == 1


@cocotb.test()
async def switched_off(dut) -> None:
    """A command under way when the queue is switched off is executed, and the unit is busy until then: here a SEQ.BEGIN, which claims its VMA while
    it waits for those that hold it."""
    bench = await bench_of(dut, 11)
    await bench.run([lock(1)])
    bench.unread, bench.events = 0.0, []
    bench.posted.append(begin(1, 7))
    for _ in range(40):
        await bench.cycle()
    dut.queue.value = 0
    for _ in range(40):
        await bench.cycle()
        assert (int(dut.busy.value), int(dut.sequence_claim.value), int(dut.sequence_id.value)) == (1, 1, 7), "still waiting"
    assert not bench.events
    bench.unread = 1.0
    for _ in range(40):
        await bench.cycle()
    assert [event["first"] for event in bench.events] == [STEP["SEQ_BEGIN"]]
    assert (int(dut.busy.value), int(dut.sequence_claim.value)) == (0, 0)


@cocotb.test()
async def random_commands(dut) -> None:
    """Mixed commands of several spaces, some of them wrong."""
    bench = await bench_of(dut, 9)
    rng = bench.rng
    for space, mode in enumerate((SV39, SV48, SV39)):
        await make_space(bench, space, mode)
        for _ in range(60):
            bench.tables.map(space, rng.choice((0, 5000)) + rng.randrange(700))
    compared = refusals = 0
    for _ in range(35):
        commands = []
        for _ in range(8):
            space, page, vma_id = rng.randrange(3), rng.choice((0, 5000)) + rng.randrange(700), rng.randrange(4)
            commands.append(
                rng.choice((
                    lock(space), unlock(space), begin(space, vma_id), end(space, vma_id), zap(space, page, rng.randrange(40)),
                    protect(space, page, rng.randrange(40), rng.choice((1, 3, 5)), share=rng.random() < 0.5),
                    invalidate(space, page, rng.random() < 0.5),
                    fence(address=FENCE_WORD, data=rng.getrandbits(32), pr=True), (custom(67, 1, space), rng.getrandbits(64)),
                    call(space, rng.getrandbits(64)), respond(space, rng.randrange(PORTS + 1), rng.getrandbits(9), rng.getrandbits(4)),
                ))
            )  # fmt: skip
        bench.grant, bench.room = rng.choice((0.1, 0.5, 1.0)), rng.choice((0.1, 1.0))
        events = await bench.run(commands)
        compared += len(events)
        refusals += len(bench.errors)
    assert compared > 300
    assert refusals > 20
