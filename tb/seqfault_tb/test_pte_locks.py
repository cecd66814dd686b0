"""PteLocks against a dictionary of holders. [docs/software-contract.md, PTE locks]"""

import cocotb

from .state_bench import StateBench
from .state_blocks import STATE_CONFIG

TABLES = [0, 1, 0x40000, 0xFFF_FFFF_FFFF, 0x7FF_FFFF_FFFF]
COMMANDS = "commands"


@cocotb.test()
async def random_holders(dut) -> None:
    """Contexts and the command unit take and release locks of few tables; a table is busy exactly while somebody holds it."""
    bench = StateBench(dut, "pte")
    rng = bench.rng
    strobes = ("fault_acquire", "fault_release", "command_acquire", "command_release")
    await bench.start(*strobes)
    held: dict[int | str, int] = {}
    most = refused = 0
    for _ in range(1500):
        asked, commanded, holder = rng.choice(TABLES), rng.choice(TABLES), rng.randrange(STATE_CONFIG.contexts)
        bench.drive(fault_table=asked, command_table=commanded, fault_holder=holder, **dict.fromkeys(strobes, 0))
        await bench.settle()
        assert bench.read("fault_busy") == (asked in held.values())
        assert bench.read("command_busy") == (commanded in held.values())
        refused += asked in held.values()
        by_fault = rng.random() < 0.7
        who, table, name = (holder, asked, "fault") if by_fault else (COMMANDS, commanded, "command")
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
