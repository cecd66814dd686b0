"""MmLocks against one writer or a count of readers for each space. [docs/software-contract.md, mm lock]"""

import cocotb

from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

SPACES = STATE_CONFIG.spaces
MOST_READERS = 62


@cocotb.test()
async def random_readers_and_writers(dut) -> None:
    """Readers share, a writer excludes, and a writer's claim stops new readers of its space alone."""
    bench = StateBench(dut, "mm")
    rng = bench.rng
    strobes = ("read_acquire", "read_release", "write_acquire", "write_release")
    await bench.start("claim", *strobes)
    readers, writer = [0] * SPACES, [False] * SPACES
    claimed: int | None = None
    blocked_by_claim = waited_for_readers = writes = most = 0
    for _ in range(2500):
        reading = rng.randrange(SPACES)
        writing = rng.randrange(SPACES) if claimed is None else claimed
        if claimed is None and not writer[writing] and rng.random() < 0.2:
            claimed = writing
        claim = claimed is not None
        bench.drive(read_space=reading, write_space=writing, claim=claim, **dict.fromkeys(strobes, 0))
        await bench.settle()
        may_read = not writer[reading] and not (claim and reading == writing)
        free = not writer[writing] and not readers[writing]
        assert bench.read("may_read") == may_read
        assert bench.read("free") == free
        assert bench.read("held") == writer[writing]
        blocked_by_claim += claim and reading == writing
        waited_for_readers += claim and readers[writing] > 0
        if claim and free and rng.random() < 0.7:
            writer[writing], claimed = True, None
            writes += 1
            bench.drive(write_acquire=1)
        elif writer[writing] and rng.random() < 0.5:
            writer[writing] = False
            bench.drive(write_release=1)
        elif readers[reading] and rng.random() < 0.5:
            readers[reading] -= 1
            bench.drive(read_release=1)
        elif may_read and readers[reading] < 62:
            readers[reading] += 1
            bench.drive(read_acquire=1)
        most = max(most, *readers)
        await bench.clock()
    assert min(blocked_by_claim, waited_for_readers, writes) > 30
    assert most >= 3


@cocotb.test()
async def most_readers(dut) -> None:
    """As many readers as there can be contexts."""
    bench = StateBench(dut, "mm")
    await bench.start("claim", "read_acquire", "read_release", "write_acquire", "write_release")
    bench.drive(read_space=3, write_space=3)
    for _ in range(200):  # what an earlier test left
        await bench.settle()
        bench.drive(write_release=bench.read("held"), read_release=not (bench.read("held") or bench.read("free")))
        await bench.clock()
    bench.drive(write_release=0, read_release=0)
    for strobe in ("read_acquire", "read_release"):
        for count in range(MOST_READERS):
            await bench.settle()
            nobody = count == 0 and strobe == "read_acquire"
            assert bench.read("free") == nobody
            bench.drive(**{strobe: 1})
            await bench.clock()
        bench.drive(**{strobe: 0})
    await bench.settle()
    assert bench.read("free")
