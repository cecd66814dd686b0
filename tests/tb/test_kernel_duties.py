"""The testbench kernel on the `GoldenMachine`: each of its duties is missed when it is left out."""

import re
from collections.abc import Callable, Coroutine

import pytest

from seqfault_tb.errors import HangError
from seqfault_tb.kernel import Kernel, LayoutChange
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.kernel import kernel as kernel_module
from seqfault_tb.kernel.frames import Frames
from seqfault_tb.kernel.memory_layout import FreeRing, Quarantine
from seqfault_tb.kernel.page_table import PageTable
from seqfault_tb.kernel.tasks import Future

from .kernel_bench import BASE, FILE, LOAD, Bench, set_range


def _no_operation(space: int, *_: int, **__: object) -> cmd.Command:
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


def _skip_share(patch: pytest.MonkeyPatch) -> None:
    protect = cmd.protect
    patch.setattr(cmd, "protect", lambda space, vpn, count, rights, **_: protect(space, vpn, count, rights))


def _forget_around(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PageTable, "touch", lambda self, vpn: self.touched.setdefault(vpn >> 9, set()).add(vpn))


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
    "no SHARE": (_skip_share, "is EXCLUSIVE, and mapped at"),
    "pages around not known": (_forget_around, "is mapped, no VMA covers it"),
    "no references": (_skip_references, "which belongs to|which is free|is EXCLUSIVE, and mapped at"),
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
        for perm in ("---p", "rw-p"):
            await bench.mm.change([LayoutChange(op="prot", start=BASE + 6, end=BASE + 7, perm=perm)])
        await bench.mm.change([], drops=((BASE + 8, BASE + 9),))
        for page in (8, 9):
            await bench.fault(BASE + page)
        await bench.mm.fork(child)
        for mm in (child, bench.mm):
            await bench.fault(BASE, mm=mm)
        await bench.mm.change([LayoutChange(op="clear", start=BASE + 12, end=BASE + 14)])
        await bench.fault(BASE + 256)
        await bench.fault(BASE + 257, LOAD, cached=True)
        await bench.mm.change([LayoutChange(op="clear", start=BASE + 258, end=BASE + 260)])
        for page in range(32):
            await bench.fault(BASE + 512 + page)

    return program()


def _bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """For `_everything`; the free ring is so small that frames are soon used again."""
    monkeypatch.setattr(kernel_module, "FreeRing", lambda machine, base: FreeRing(machine, base, 4))
    ranges = [set_range(BASE, BASE + 16), set_range(BASE + 256, BASE + 260, "rw-p", "file_priv", FILE), set_range(BASE + 512, BASE + 544)]
    bench = Bench(ranges, spaces=64)
    bench.kernel.frames.cache.add(bench.mm.layout.vmas[1].page(BASE + 259))
    return bench


def test_nothing_left_out_is_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = _bench(monkeypatch)
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
    bench = _bench(monkeypatch)
    stopped = ""
    try:
        bench.run(_everything(bench))
    except (HangError, AssertionError) as error:
        stopped = str(error)
    complaints = "\n".join([*bench.complaints(), stopped])
    assert re.search(message, complaints), complaints
