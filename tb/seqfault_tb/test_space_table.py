"""SpaceTable against a dictionary."""

import os
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import SpaceEntry

from .fields import unpack

SPACES = int(os.environ.get("SPACES", "16"))
MODES = {int(mode) for mode in os.environ.get("MODES", "8 9").split()}
QUERIES = 3
BARE, SV39, SV48 = 0, 8, 9
PPN_MASK = (1 << 44) - 1
SETTLE_NS = 1


@cocotb.test()
async def random_writes(dut) -> None:
    """Reads see a write from the next cycle; spaces never written since reset, out of range, or of an unknown mode are BARE."""
    rng = Random(1)
    Clock(dut.clk, 10, unit="ns").start()
    dut.write_table.value = dut.write_vmas.value = 0
    known = 0
    for _ in range(3):
        tables: dict[int, tuple[int, int]] = {}
        trees: dict[int, int] = {}
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(1500):
            await FallingEdge(dut.clk)
            space = rng.randrange(SPACES) if rng.random() < 0.8 else SPACES * rng.randrange(1, 9) + rng.randrange(SPACES)
            word = rng.choice((0, SV39, SV48, SV39, SV48, rng.getrandbits(4))) << 60 | rng.getrandbits(60)
            write_table, write_vmas = rng.random() < 0.05, rng.random() < 0.05
            dut.write_table.value, dut.write_vmas.value = write_table, write_vmas
            dut.write_space.value, dut.write_data.value = space, word
            asked = [rng.choice((rng.randrange(SPACES), rng.randrange(SPACES), space, rng.getrandbits(16))) for _ in range(QUERIES)]
            for query, wanted in enumerate(asked):
                getattr(dut, f"queries__{query}__space").value = wanted
            await Timer(SETTLE_NS, unit="ns")
            for query, wanted in enumerate(asked):
                mode, root = tables.get(wanted, (BARE, 0))
                got = unpack(SpaceEntry, int(getattr(dut, f"queries__{query}__entry").value))
                assert got["mode"] == mode, f"space {wanted}: {got}, not mode {mode}"
                assert mode == BARE or got["root"] == root, f"space {wanted}: {got}, not root {root:#x}"
                assert got["vmas"] == trees.get(wanted, 0), f"space {wanted}: {got}"
                known += mode != BARE
            if space < SPACES and write_table:
                mode = word >> 60
                tables[space] = (mode if mode in MODES else BARE, word & PPN_MASK)
            if space < SPACES and write_vmas:
                trees[space] = word
    assert known > 1000
