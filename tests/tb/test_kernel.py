"""The testbench kernel on the `GoldenMachine`: what it does to the memory of processes."""

import re

import pytest

from seqfault_golden.lookups import walk
from seqfault_tb.errors import HangError
from seqfault_tb.kernel import AddressSpace, FaultReport, LayoutChange
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.kernel import kernel as kernel_module
from seqfault_tb.kernel import page_requests as page_requests_module
from seqfault_tb.kernel.memory_layout import FreeRing, ReleasedRing
from seqfault_tb.kernel.page_requests import Verdict
from seqfault_tb.kernel.tasks import Future

from .kernel_bench import BASE, EXCLUSIVE, FETCH, FILE, LOAD, STORE, Bench, W, set_range


def test_first_touch_is_the_engines_with_all_tables() -> None:
    bench = Bench([set_range(BASE, BASE + 8)])

    async def program() -> list[str]:
        return [(await bench.fault(BASE + page)).outcome for page in range(3)] + [(await bench.fault(BASE + 8)).outcome]

    assert bench.run(program()) == [["speculative", "speculative", "speculative", "refused"]]
    assert bench.kernel.page_requests.reasons == {"BOUNDS": 1}
    assert bench.mm.table.entry(BASE) >= bench.kernel.memory.frames_base, "a frame of the pool is the table"
    assert bench.complaints() == []


def test_rights_of_the_vma_decide() -> None:
    bench = Bench([set_range(BASE, BASE + 4, "r--p"), set_range(BASE + 4, BASE + 8, "r-xp"), set_range(BASE + 8, BASE + 12, "-w-p")])

    async def program() -> list[str]:
        asked = [(0, LOAD), (1, STORE), (2, FETCH), (4, FETCH), (5, STORE), (8, LOAD), (9, STORE)]
        return [(await bench.fault(BASE + page, access)).outcome for page, access in asked]

    outcomes = bench.run(program())[0]
    assert [outcome == "refused" for outcome in outcomes] == [False, True, True, False, True, False, False]
    assert bench.complaints() == []


def test_unmapped_and_discarded_pages_are_gone() -> None:
    bench = Bench([set_range(BASE, BASE + 8)])

    async def program() -> None:
        for page in range(8):
            await bench.fault(BASE + page)
        await bench.mm.change([], drops=((BASE, BASE + 2),))
        assert [bench.entry(BASE + page) & 1 for page in range(8)] == [0, 0, 1, 1, 1, 1, 1, 1]
        await bench.mm.change([LayoutChange(op="clear", start=BASE + 2, end=BASE + 4)])
        assert [bench.entry(BASE + page) & 1 for page in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
        assert (await bench.fault(BASE)).outcome == "speculative"
        assert (await bench.fault(BASE + 2)).outcome == "refused"

    bench.run(program())
    assert bench.complaints() == []


def test_a_table_without_vmas_is_freed_and_used_again() -> None:
    bench = Bench([set_range(BASE, BASE + 1024), set_range(BASE + 2048, BASE + 2049)])

    async def program() -> None:
        await bench.fault(BASE + 5)
        table = bench.mm.table.entry(BASE)
        assert table >= bench.kernel.memory.frames_base
        await bench.mm.change([LayoutChange(op="clear", start=BASE, end=BASE + 1024)])
        assert bench.mm.table.entry(BASE) == 0
        assert walk(bench.machine.read64, bench.mm.table.satp, BASE + 5)[2] == 1
        assert not any(bench.machine.read64(table + 8 * index) for index in range(512))
        assert table >> 12 in [bench.kernel.memory.frames.take() for _ in range(2)], "with the page's, a frame again"

    bench.run(program())
    assert bench.complaints() == []


def test_pages_without_rights_are_kept_aside() -> None:
    bench = Bench([set_range(BASE, BASE + 8)])

    async def program() -> None:
        await bench.fault(BASE + 3)
        frame = bench.frame(BASE + 3)
        await bench.mm.change([LayoutChange(op="prot", start=BASE, end=BASE + 8, perm="---p")])
        assert not bench.entry(BASE + 3) & 1
        assert (await bench.fault(BASE + 3, LOAD)).outcome == "refused"
        await bench.mm.change([LayoutChange(op="prot", start=BASE, end=BASE + 8, perm="rw-p")])
        assert bench.frame(BASE + 3) == frame
        assert not bench.entry(BASE + 3) & W
        assert bench.entry(BASE + 3) & EXCLUSIVE
        assert (await bench.fault(BASE + 3, STORE)).outcome == "speculative"
        assert bench.frame(BASE + 3) == frame, "nobody else has it: used again"

    bench.run(program())
    assert bench.complaints() == []


def test_mremap_moves_the_frames() -> None:
    bench = Bench([set_range(BASE, BASE + 4)])

    async def program() -> None:
        for page in range(4):
            await bench.fault(BASE + page)
        frames, to = [bench.frame(BASE + page) for page in range(4)], BASE + 5000
        changes = [set_range(to, to + 8), LayoutChange(op="clear", start=BASE, end=BASE + 4)]
        await bench.mm.change(changes, drops=((BASE, BASE + 4), (to, to + 8)), moves=((BASE, to, 4),))
        assert [bench.frame(to + page) for page in range(4)] == frames
        assert not any(bench.entry(BASE + page) & 1 for page in range(4))
        assert (await bench.fault(to + 4)).outcome == "speculative"

    bench.run(program())
    assert bench.complaints() == []


def test_fork_shares_and_copies_on_write() -> None:
    bench = Bench([set_range(BASE, BASE + 4), set_range(BASE + 256, BASE + 260, "rw-s", "shm", FILE)])
    child = bench.kernel.new_mm(1, [])

    async def program() -> None:
        await bench.fault(BASE)
        await bench.fault(BASE + 1)
        await bench.fault(BASE + 256)
        frame = bench.frame(BASE)
        await bench.mm.fork(child)
        assert bench.frame(BASE, child) == frame
        assert not (bench.entry(BASE) | bench.entry(BASE, child)) & (W | EXCLUSIVE)
        assert not bench.entry(BASE + 256, child) & 1, "shared pages come back by a fault"
        assert (await bench.fault(BASE, mm=child, present=True)).outcome == "speculative"
        assert bench.frame(BASE, child) != frame
        assert bench.kernel.frames.is_exclusive(frame)
        assert (await bench.fault(BASE, present=True)).outcome == "speculative"
        assert frame not in (bench.frame(BASE), bench.frame(BASE, child)), "the engine does not know that it is the last one, and copies again"
        assert bench.entry(BASE) & bench.entry(BASE, child) & EXCLUSIVE
        assert (await bench.fault(BASE + 256, mm=child)).outcome == "speculative"
        assert bench.frame(BASE + 256) == bench.frame(BASE + 256, child)

    bench.run(program())
    assert bench.complaints() == []
    bench.kernel.mms.clear()


def test_everything_comes_back_at_the_end() -> None:
    """After both address spaces are gone and a fence has passed, a new one gets their tables, records and ids."""
    bench = Bench([set_range(BASE, BASE + 600)])
    child = bench.kernel.new_mm(1, [])

    async def program() -> None:
        for page in range(0, 600, 50):
            await bench.fault(BASE + page)
        await bench.mm.fork(child)
        used = bench.kernel.memory.ids.take()
        await bench.mm.tear_down()
        await child.tear_down()
        await bench.kernel.fence()
        again = bench.kernel.new_mm(2, [set_range(BASE, BASE + 600)])
        assert again.layout.vmas[0].id < used
        assert (await bench.fault(BASE, mm=again)).outcome == "speculative"

    bench.run(program())
    assert bench.complaints() == []


def test_more_address_spaces_than_slots() -> None:
    bench = Bench([set_range(BASE, BASE + 8)], spaces=2)
    mms = [bench.mm] + [bench.kernel.new_mm(number, [set_range(BASE, BASE + 8)]) for number in range(1, 5)]

    async def program(mm: AddressSpace) -> list[str]:
        outcomes = []
        for page in range(6):
            outcomes.append((await bench.fault(BASE + page, mm=mm, port=mm.number % 4)).outcome)
            await bench.kernel.scheduler.sleep(1 + 700 * mm.number)
        return outcomes

    results = bench.run(*map(program, mms))
    assert all(result[1:] == ["speculative"] * 5 for result in results)
    assert bench.kernel.spaces.evictions > 3
    assert bench.complaints() == []


def test_more_threads_than_tags() -> None:
    bench = Bench([set_range(BASE, BASE + 64)], tags=2, ports=1)
    reports = bench.run(*[bench.fault(BASE + page) for page in range(40)])
    assert {report.outcome for report in reports} <= {"retried", "speculative"}
    assert len({bench.frame(BASE + page) for page in range(40)}) == 40
    assert bench.complaints() == []


def test_small_rings_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command queue of 3, page-request queue of 1 (full: dropped and asked again), free ring of 15, released ring of 7."""
    for name, log2 in (("COMMAND_LOG2", 2), ("PAGE_REQUEST_LOG2", 1)):
        monkeypatch.setattr(kernel_module, name, log2)
    monkeypatch.setattr(kernel_module, "FreeRing", lambda machine, base: FreeRing(machine, base, 4))
    monkeypatch.setattr(kernel_module, "ReleasedRing", lambda machine, base: ReleasedRing(machine, base, 3))
    bench = Bench([set_range(BASE, BASE + 100), set_range(BASE + 256, BASE + 260, "rw-s", "shm", FILE)])

    async def program() -> None:
        for page in range(100):
            await bench.fault(BASE + page)
        await bench.mm.change([LayoutChange(op="clear", start=BASE, end=BASE + 100)])

    async def other(page: int) -> FaultReport:
        return await bench.fault(BASE + 256 + page, port=1 + page % 3)

    results = bench.run(program(), *[other(page) for page in range(4)])
    assert [result.outcome for result in results[1:]] == ["software"] * 4
    assert not any(bench.entry(BASE + page) & 1 for page in range(100))
    assert bench.complaints() == []


def test_faults_are_made_what_linux_saw() -> None:
    bench = Bench([set_range(BASE, BASE + 8)])

    async def program() -> None:
        await bench.fault(BASE)
        assert (await bench.fault(BASE, reconcile=True)).outcome == "speculative"  # mapped here, not in the trace
        assert (await bench.fault(BASE, present=True, reconcile=True)).outcome == "speculative"  # had the right already
        assert (await bench.fault(BASE + 1, present=True, reconcile=True)).outcome == "speculative"  # not mapped here
        assert (await bench.fault(BASE + 20, reconcile=True)).outcome in ("software", "speculative")  # no VMA here
        assert (await bench.fault(BASE + 1, LOAD)).outcome == "software"  # mapped: no fault at all

    bench.run(program())
    assert bench.kernel.faults.reconciled == {"unmapped": 1, "restricted": 1, "mapped": 1, "vma": 1}
    assert bench.kernel.faults.already_mapped == 1
    assert bench.complaints() == []


def test_a_fault_that_is_never_resolved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench([set_range(BASE, BASE + 1)])
    monkeypatch.setattr(page_requests_module.PageRequests, "_judge", lambda *_: Verdict.AGAIN)
    with pytest.raises(HangError, match=rf"the fault at {BASE + 5:#x}: not resolved after 16 tries"):
        bench.run(bench.fault(BASE + 5))


def test_waiting_for_nothing_is_a_hang() -> None:
    bench = Bench([set_range(BASE, BASE + 1)])

    async def program() -> None:
        await Future("a bus that never comes")

    with pytest.raises(HangError, match="task 0 waits for a bus that never comes"):
        bench.run(program())


def test_a_refused_command_is_named() -> None:
    bench = Bench([set_range(BASE, BASE + 1)])

    async def program() -> None:
        bench.kernel.commands.post(cmd.mm_unlock(0))
        await bench.kernel.fence()

    with pytest.raises(HangError, match=r"the engine stopped at MM\.UNLOCK"):
        bench.run(program())


def _race_with_a_change(seed: int) -> list[str]:
    """Page by page VMAs, of which one is touched, all go; a fault on another one is made while the commands are on their way. What is wrong then."""
    starts = range(BASE, BASE + 480, 16)
    bench = Bench([set_range(start, start + 1) for start in (*starts, BASE + 500)], seed=seed)
    post, posted = bench.kernel.commands.post, Future("the first SEQ.BEGIN")

    def watched(command: cmd.Command) -> None:
        post(command)
        if command[0] == "SEQ.BEGIN":
            posted.resolve()

    async def change() -> None:
        await bench.fault(BASE)
        bench.kernel.commands.post = watched  # type: ignore[method-assign]
        await bench.mm.change([LayoutChange(op="clear", start=starts[0], end=starts[-1] + 1)])

    async def late() -> None:
        await posted
        await bench.fault(starts[-1])

    bench.run(change(), late())
    return bench.complaints()


def test_a_fault_on_an_untouched_page_waits_for_a_change_that_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def settled(self: AddressSpace, vpn: int) -> None:
        pass

    assert [_race_with_a_change(seed) for seed in range(3)] == [[]] * 3
    monkeypatch.setattr(AddressSpace, "settled", settled)
    complaints = [complaint for seed in range(3) for complaint in _race_with_a_change(seed)]
    assert re.search("is mapped, no VMA covers it", "\n".join(complaints))
