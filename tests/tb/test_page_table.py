"""The testbench kernel's page table: tables that the engine made are found in memory, used, and given back."""

import pytest

from seqfault_golden.lookups import walk
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import MemoryMap
from seqfault_tb.kernel.page_table import PageTable

VPN = 0x7F000_0000 + 7
LEAF, FRAME = 0xDF, 0xABCDE


@pytest.fixture
def machine() -> GoldenMachine:
    return GoldenMachine()


@pytest.fixture
def memory() -> MemoryMap:
    return MemoryMap()


@pytest.fixture
def table(machine: GoldenMachine, memory: MemoryMap) -> PageTable:
    return PageTable(machine, memory)


def engine_maps(machine: GoldenMachine, memory: MemoryMap, table: PageTable, vpn: int) -> list[int]:
    """Write an entry as the engine does, which makes tables of frames from the pool; returns these frames."""
    made = []
    while True:
        address, entry, level = walk(machine.read64, table.satp, vpn)
        if level == 0:
            machine.memory[address] = FRAME << 10 | LEAF
            return made
        assert entry == 0
        made.append(memory.frames.take())
        machine.memory[address] = made[-1] << 10 | 1


def test_an_entry_of_the_engine_is_found(machine: GoldenMachine, memory: MemoryMap, table: PageTable) -> None:
    assert table.read(VPN) == table.entry(VPN) == 0
    assert table.missing(VPN) == (VPN >> 27 << 27, (VPN >> 27) + 1 << 27), "an entry of the root is missing: 512 GiB"
    assert len(engine_maps(machine, memory, table, VPN)) == 3
    assert table.read(VPN) == FRAME << 10 | LEAF
    assert table.missing(VPN) is None
    assert table.missing(VPN + 512) == ((VPN >> 9) + 1 << 9, (VPN >> 9) + 2 << 9)


def test_software_and_engine_use_the_same_tables(machine: GoldenMachine, memory: MemoryMap, table: PageTable) -> None:
    table.write(VPN, FRAME << 10 | LEAF)
    assert engine_maps(machine, memory, table, VPN + 1) == []
    assert len(engine_maps(machine, memory, table, VPN + 512)) == 1
    table.write(VPN + 513, FRAME << 10 | LEAF)
    assert [walk(machine.read64, table.satp, VPN + page)[1] for page in (0, 1, 512, 513)] == [FRAME << 10 | LEAF] * 4


def test_leaf_tables_in_a_range(machine: GoldenMachine, memory: MemoryMap, table: PageTable) -> None:
    prefix = VPN >> 9
    for page in (VPN, VPN + 512, VPN + (1 << 18), VPN + (1 << 27)):
        engine_maps(machine, memory, table, page)
    everything = [prefix, prefix + 1, prefix + (1 << 9), prefix + (1 << 18)]
    assert table.tables_inside(0, 1 << 36) == everything
    assert table.tables_inside(VPN, VPN + (1 << 27)) == everything[1:3], "the first and the last one are not wholly inside"
    assert table.tables_inside(VPN >> 9 << 9, (VPN >> 9) + 1 << 9) == everything[:1]
    assert table.tables_inside(VPN, VPN + 512) == []
    assert table.may_have_tables(VPN, VPN + 1024)
    assert not table.may_have_tables(VPN + 1024, VPN + 4096)
    table.touch(VPN + 2048)
    assert table.may_have_tables(VPN + 1024, VPN + 4096), "a fault may be about to make one"


def test_a_table_of_the_engine_becomes_a_frame_again(machine: GoldenMachine, memory: MemoryMap, table: PageTable) -> None:
    frame = engine_maps(machine, memory, table, VPN)[-1]
    machine.memory[table.entry(VPN)] = 0
    table.unlink(VPN >> 9)
    assert walk(machine.read64, table.satp, VPN)[1:] == (0, 1)
    assert table.entry(VPN) == 0
    memory.quarantine.fence_posted(1)
    memory.quarantine.fence_completed(1)
    assert memory.frames.take() == frame


def test_the_end_gives_all_tables_back_empty(machine: GoldenMachine, memory: MemoryMap, table: PageTable) -> None:
    """Tables of the engine that software never looked at too; no table is given back twice, and each is all 0."""
    root = table.satp << 12 & (1 << 56) - 1
    table.write(VPN, FRAME << 10 | LEAF)
    own = {root, table.entry(VPN) & ~4095, machine.memory[root + 8 * (VPN >> 27 & 511)] >> 10 << 12}
    frames = engine_maps(machine, memory, table, VPN + (1 << 27)) + engine_maps(machine, memory, table, VPN + 512)
    assert table.destroy() == [FRAME << 10 | LEAF] * 3
    memory.quarantine.fence_posted(1)
    memory.quarantine.fence_completed(1)
    assert {memory.frames.take() for _ in frames} == set(frames)
    tables = {memory.tables.take() for _ in range(4)}
    assert tables >= own
    for address in [*tables, *(frame << 12 for frame in frames)]:
        assert not any(machine.read64(address + 8 * index) for index in range(512))


def test_what_fault_around_may_map_counts_as_touched(table: PageTable) -> None:
    table.touch(VPN)
    assert table.runs(0, 1 << 36) == [(VPN >> 4 << 4, 16)]
    assert table.is_touched(VPN | 15)
    assert not table.is_touched((VPN | 15) + 1)
    table.forget(VPN, VPN + 2, but={VPN >> 4})
    assert table.is_touched(VPN), "a fault is under way there"
    table.forget(VPN, VPN + 2, but=set())
    assert list(table.pages(0, 1 << 36)) == [vpn for vpn in range(VPN >> 4 << 4, (VPN | 15) + 1) if vpn not in (VPN, VPN + 1)]
