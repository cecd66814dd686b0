"""The testbench kernel on the `GoldenMachine`: operations, and that each of its duties is missed when it is left out."""

import asyncio
import re
from collections.abc import Callable, Coroutine

import pytest

from seqfault_golden.lookups import walk
from seqfault_tb.checked import watched_kernel
from seqfault_tb.errors import HangError
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import AddressSpace, FaultCall, FaultReport, Kernel, LayoutChange, drive
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.kernel import kernel as kernel_module
from seqfault_tb.kernel import page_requests as page_requests_module
from seqfault_tb.kernel.frames import Frames
from seqfault_tb.kernel.memory_layout import FreeRing, Quarantine, ReleasedRing
from seqfault_tb.kernel.page_requests import Verdict
from seqfault_tb.kernel.tasks import Future
from seqfault_tb.memory_audit import audit

LOAD, STORE, FETCH = 0, 1, 2
BASE = 0x7F000_0000
FILE = ("lib.so", 99)


def set_range(start: int, end: int, perm: str = "rw-p", kind: str = "anon", file: object = None) -> LayoutChange:
    return LayoutChange(op="set", start=start, end=end, perm=perm, kind=kind, file=file, pgoff=start & 0xFF if file else 0)


class Bench:
    """A kernel with one address space on a strict GoldenMachine, the checker watching both; `run` executes coroutines to their ends."""

    def __init__(self, changes: list[LayoutChange], *, spaces: int = 8, **machine: int) -> None:
        self.machine = GoldenMachine(strict=True, spaces=spaces, **machine)
        self.kernel, self.checker, _ = watched_kernel(self.machine, spaces=spaces)
        self.mm = self.kernel.new_mm(0, changes)

    def run(self, *coroutines: Coroutine) -> list:
        tasks = [self.kernel.scheduler.spawn(coroutine, f"task {n}") for n, coroutine in enumerate(coroutines)]
        asyncio.run(drive(self.kernel, lambda: all(task.done for task in tasks)))
        return [task.value for task in tasks]

    async def fault(self, vpn: int, access: int = STORE, *, mm: AddressSpace | None = None, present: bool = False, **more) -> FaultReport:
        call = FaultCall(
            mm=mm or self.mm, port=more.get("port", 0), va=vpn << 12 | 0x18, access=access, present=present,
            refused=more.get("refused", False), grow=more.get("grow"), label=f"the fault at {vpn:#x}",
        )  # fmt: skip
        return await self.kernel.faults.run(call, reconcile=more.get("reconcile", False))

    def entry(self, vpn: int, mm: AddressSpace | None = None) -> int:
        return walk(self.machine.read64, (mm or self.mm).table.satp, vpn)[1]

    def frame(self, vpn: int, mm: AddressSpace | None = None) -> int:
        return self.entry(vpn, mm) >> 10

    def complaints(self) -> list[str]:
        """What software or the engine did wrong; the run is over."""
        self.checker.finish(self.machine.read64)
        difference = [] if self.checker.agreed else [str(self.checker.first_difference)]
        return [*difference, *self.machine.violations, *audit(self.machine)]


def test_first_touch_needs_a_table_then_the_engine_does_it() -> None:
    bench = Bench([set_range(BASE, BASE + 8)])

    async def program() -> list[str]:
        return [(await bench.fault(BASE + page)).outcome for page in range(3)] + [(await bench.fault(BASE + 8)).outcome]

    assert bench.run(program()) == [["software", "speculative", "speculative", "refused"]]
    assert bench.kernel.page_requests.reasons == {"NO_TABLE": 1, "BOUNDS": 1}
    assert bench.complaints() == []


def test_rights_of_the_vma_decide() -> None:
    bench = Bench([set_range(BASE, BASE + 4, "r--p"), set_range(BASE + 4, BASE + 8, "r-xp"), set_range(BASE + 8, BASE + 12, "-w-p")])

    async def program() -> list[str]:
        asked = [(0, LOAD), (1, STORE), (2, FETCH), (4, FETCH), (5, STORE), (8, LOAD), (9, STORE)]
        return [(await bench.fault(BASE + page, access)).outcome for page, access in asked]

    outcomes = bench.run(program())[0]
    assert [outcome == "refused" for outcome in outcomes] == [False, True, True, False, True, False, False]
    assert bench.complaints() == []


@pytest.mark.parametrize(
    ("kind", "perm", "writable_after_read"), [("file_priv", "rw-p", False), ("file_shared", "rw-s", False), ("shm", "rw-s", True)]
)
def test_file_pages_come_from_the_page_cache(kind: str, perm: str, writable_after_read: bool) -> None:
    bench = Bench([set_range(BASE, BASE + 4, perm, kind, FILE), set_range(BASE + 256, BASE + 260, perm, kind, FILE)])

    async def program() -> None:
        for page in (0, 256):
            assert (await bench.fault(BASE + page, LOAD)).outcome == "software"
        assert bench.frame(BASE) == bench.frame(BASE + 256), "both map page 0 of the file"
        assert bool(bench.entry(BASE) & 4) == writable_after_read
        if not writable_after_read:
            assert (await bench.fault(BASE)).outcome == "software"
            assert (bench.frame(BASE) == bench.frame(BASE + 256)) == perm.endswith("s"), "a private write copies"

    bench.run(program())
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
        await bench.mm.change([LayoutChange(op="clear", start=BASE, end=BASE + 1024)])
        assert bench.mm.table.entry(BASE) == 0
        assert walk(bench.machine.read64, bench.mm.table.satp, BASE + 5)[2] == 1
        await bench.fault(BASE + 2048)
        assert bench.mm.table.entry(BASE + 2048) == table, "the first table to be free again"
        assert not bench.entry(BASE + 2048 + 5) & 1

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
        assert (await bench.fault(BASE + 3, STORE)).outcome == "software"
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
        assert not (bench.entry(BASE) | bench.entry(BASE, child)) & 4
        assert not bench.entry(BASE + 256, child) & 1, "shared pages come back by a fault"
        assert (await bench.fault(BASE, mm=child, present=True)).outcome == "software"
        assert bench.frame(BASE, child) != frame
        assert (await bench.fault(BASE, present=True)).outcome == "software"
        assert bench.frame(BASE) == frame, "the last owner keeps the frame"
        assert (await bench.fault(BASE + 256, mm=child)).outcome == "software"
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
        assert (await bench.fault(BASE, mm=again)).outcome == "software"

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
    assert {report.outcome for report in reports} == {"software", "speculative"}
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
        assert (await bench.fault(BASE, present=True, reconcile=True)).outcome == "software"  # had the right already
        assert (await bench.fault(BASE + 1, present=True, reconcile=True)).outcome == "software"  # not mapped here
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


# --- each duty, left out --------------------------------------------------------------------------------------------


def _no_operation(space: int, *_: int) -> cmd.Command:
    return cmd.invalidate_space(63)


def _skip_invalidation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cmd, "invalidate_range", lambda *_: [])


def _skip_zap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cmd, "zap", _no_operation)


def _skip_protect(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cmd, "protect", _no_operation)


def _skip_sections(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cmd, "sequence_begin", _no_operation)
    patch.setattr(cmd, "sequence_end", _no_operation)


def _skip_fences(patch: pytest.MonkeyPatch) -> None:
    def fence(self: Kernel, previous_reads: bool = True) -> Future:
        number, done = self.commands.post_fence(False)
        self.memory.quarantine.fence_posted(number)
        done.resolve()
        return done

    patch.setattr(Kernel, "fence", fence)


def _fence_nothing(patch: pytest.MonkeyPatch) -> None:
    def fence(self: Kernel, previous_reads: bool = True) -> Future:
        number, done = self.commands.post_fence(False)
        self.memory.quarantine.fence_posted(number)
        return done

    patch.setattr(Kernel, "fence", fence)


def _skip_mm_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cmd, "mm_lock", _no_operation)


def _skip_quarantine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quarantine, "retire", lambda self, pool, item: pool.give(item))


def _skip_copy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Frames, "is_exclusive", lambda *_: True)


def _skip_references(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Frames, "share", lambda *_: None)


PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "no invalidation": (_skip_invalidation, "the TLB still maps"),
    "no ZAP": (_skip_zap, "is mapped, no VMA covers it"),
    "no PROTECT": (_skip_protect, "more rights|which belongs to"),
    "no section": (_skip_sections, "outside a section"),
    "no fence": (_skip_fences, "before the fence|outside a section|before a fence has completed"),
    "fences without PR": (_fence_nothing, "before the fence of its section"),
    "no mm lock": (_skip_mm_lock, "without the mm lock of space 0"),
    "no quarantine": (_skip_quarantine, "the reachable node|before a fence has completed"),
    "no copy": (_skip_copy, "which belongs to"),
    "no references": (_skip_references, "which belongs to|which is free"),
}


def _everything(bench: Bench) -> Coroutine:
    """A program in which every duty matters."""
    child = bench.kernel.new_mm(1, [])

    async def program() -> None:
        for page in range(16):
            await bench.fault(BASE + page)
        await bench.fault(BASE + 256, LOAD)
        await bench.mm.change([LayoutChange(op="prot", start=BASE + 4, end=BASE + 6, perm="r--p")])
        await bench.mm.change([LayoutChange(op="prot", start=BASE + 4, end=BASE + 5, perm="rw-p")])
        await bench.mm.change([], drops=((BASE + 8, BASE + 9),))
        for page in (8, 9):
            await bench.fault(BASE + page)
        await bench.mm.fork(child)
        for mm in (child, bench.mm):
            await bench.fault(BASE, mm=mm)
        await bench.mm.change([LayoutChange(op="clear", start=BASE + 12, end=BASE + 14)])
        await bench.fault(BASE + 256)

    return program()


def test_nothing_left_out_is_nothing_wrong() -> None:
    bench = Bench([set_range(BASE, BASE + 16), set_range(BASE + 256, BASE + 260, "rw-p", "file_priv", FILE)], spaces=64)
    bench.run(_everything(bench))
    assert bench.complaints() == []


def test_a_record_edited_outside_a_section_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _skip_sections(monkeypatch)
    bench = Bench([set_range(BASE, BASE + 16)], spaces=64)

    async def program() -> None:
        await bench.fault(BASE)
        await bench.mm.change([LayoutChange(op="prot", start=BASE, end=BASE + 16, perm="r--p")])

    bench.run(program())
    assert re.search("software writes the record of VMA 1 outside a section", "\n".join(bench.complaints()))


@pytest.mark.parametrize("name", PLANTED)
def test_a_duty_left_out_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, message = PLANTED[name]
    plant(monkeypatch)
    bench = Bench([set_range(BASE, BASE + 16), set_range(BASE + 256, BASE + 260, "rw-p", "file_priv", FILE)], spaces=64)
    stopped = ""
    try:
        bench.run(_everything(bench))
    except (HangError, AssertionError) as error:
        stopped = str(error)
    complaints = "\n".join([*bench.complaints(), stopped])
    assert re.search(message, complaints), complaints
