"""SequenceTable against a generation and a count of writers and readers for each counter. [docs/software-contract.md, Sequence counters]"""

import cocotb

from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

ENTRIES = STATE_CONFIG.sequence_entries
IDS = [0, 1, 2, 3, ENTRIES + 1, 5 * ENTRIES + 2, 0xFFFF, 0xFFFC]
"""Several share a counter."""


@cocotb.test()
async def random_sections(dut) -> None:
    """Overlapping sections and readers on ids that share counters; all queries in every cycle."""
    bench = StateBench(dut, "sequences")
    rng = bench.rng
    await bench.start("hold", "drop", "begin", "end")
    generation, writers, readers = ([0] * ENTRIES for _ in range(3))
    operations: dict[str, int] = dict.fromkeys(("begin", "end", "hold", "drop", "none"), 0)

    def sequence(vma_id: int) -> int:
        return generation[vma_id % ENTRIES] << 1 | (writers[vma_id % ENTRIES] > 0)

    for _ in range(1500):
        finder, slot, writer = (rng.choice(IDS) for _ in range(3))
        at, held = writer % ENTRIES, slot % ENTRIES
        allowed = ["none", *(["begin"] if writers[at] < 5 else []), *(["end"] if writers[at] else [])]
        allowed += [*(["hold"] if readers[held] < 62 else []), *(["drop"] if readers[held] else [])]
        operation = rng.choice(allowed)
        operations[operation] += 1
        bench.drive(finder__id=finder, slot__id=slot, writer_id=writer, **{name: name == operation for name in operations if name != "none"})
        await bench.settle()
        assert bench.read("finder__sequence") == sequence(finder)
        assert bench.read("slot__sequence") == sequence(slot)
        assert bench.read("idle") == (writers[at] == 0)
        assert bench.read("unread") == (readers[at] == 0)
        if operation == "begin":
            generation[at] += 1
        writers[at] += {"begin": 1, "end": -1}.get(operation, 0)
        readers[held] += {"hold": 1, "drop": -1}.get(operation, 0)
        if operation in ("begin", "end", "none"):
            assert bench.read("following") == sequence(writer)
        await bench.clock()
    assert min(operations.values()) > 100
