"""PteLocks against a dictionary of holders. [docs/software-contract.md, PTE locks]"""

import cocotb

from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

TABLES = [0, 1, 0x40000, 0xFFF_FFFF_FFFF, 0x7FF_FFFF_FFFF]
COMMANDS, UPDATES = "commands", "updates"


@cocotb.test()
async def random_holders(dut) -> None:
    """Contexts, the command unit and A/D updates take and release locks of few tables; a table is busy exactly while somebody holds it."""
    bench = StateBench(dut, "pte")
    rng = bench.rng
    strobes = [f"{unit}_{what}" for unit in ("fault", "command", "update") for what in ("acquire", "release")]
    await bench.start(*strobes)
    held: dict[int | str, int] = {}
    most = refused = 0
    for _ in range(1500):
        asked, commanded, updated = (rng.choice(TABLES) for _ in range(3))
        holder = rng.randrange(STATE_CONFIG.contexts)
        bench.drive(fault_table=asked, command_table=commanded, update_table=updated, fault_holder=holder, **dict.fromkeys(strobes, 0))
        await bench.settle()
        assert bench.read("fault_busy") == (asked in held.values())
        assert bench.read("command_busy") == (commanded in held.values())
        assert bench.read("update_busy") == (updated in held.values())
        refused += asked in held.values()
        others = ((COMMANDS, commanded, "command"), (UPDATES, updated, "update"))
        who, table, name = (holder, asked, "fault") if rng.random() < 0.6 else rng.choice(others)
        if who in held and rng.random() < 0.6:
            del held[who]
            bench.drive(**{f"{name}_release": 1})
        elif who not in held and table not in held.values():
            held[who] = table
            bench.drive(**{f"{name}_acquire": 1})
        most = max(most, len(held))
        await bench.clock()
    assert most >= 4
    assert refused > 100
