"""The testbench kernel on the `GoldenMachine`: what the engine asks of it, above all pages of files."""

import re

import pytest

from seqfault_tb.kernel import AddressSpace, LayoutChange
from seqfault_tb.kernel import commands as cmd
from seqfault_tb.kernel.constants import Slot
from seqfault_tb.kernel.eviction import evict

from .kernel_bench import BASE, EXCLUSIVE, FILE, LOAD, STORE, Bench, W, set_range


@pytest.mark.parametrize(
    ("kind", "perm", "store"), [("file_priv", "rw-p", "speculative"), ("file_shared", "rw-s", "software"), ("shm", "rw-s", "speculative")]
)
def test_file_pages_come_from_the_page_cache(kind: str, perm: str, store: str) -> None:
    """Software reads the page in, once for all who show it; only a shared page of a file has to be made writable."""
    bench = Bench([set_range(BASE, BASE + 4, perm, kind, FILE), set_range(BASE + 256, BASE + 260, perm, kind, FILE)])

    async def program() -> list[str]:
        outcomes = [(await bench.fault(BASE + page, LOAD)).outcome for page in (0, 256)]
        assert bench.frame(BASE) == bench.frame(BASE + 256), "both map page 0 of the file"
        assert not bench.entry(BASE) & W
        outcomes += [(await bench.fault(vpn)).outcome for vpn in (BASE, BASE + 256, BASE + 256 + 1)]
        assert (bench.frame(BASE) == bench.frame(BASE + 256)) == perm.endswith("s"), "a private write copies"
        assert bench.entry(BASE) & bench.entry(BASE + 256) & bench.entry(BASE + 257) & W
        return outcomes

    assert bench.run(program()) == [["software", "speculative", store, "speculative", "software"]]
    assert bench.kernel.page_requests.reasons == {"NOT_CACHED": 2} | ({"NOT_WRITABLE": 2} if store == "software" else {})
    assert bench.complaints() == []


def test_a_busy_page_is_waited_for() -> None:
    bench = Bench([set_range(BASE, BASE + 4, "r--p", "file_priv", FILE)])
    page = bench.mm.layout.vmas[0].page(BASE + 1)
    bench.kernel.frames.cache.add(page)
    bench.kernel.frames.cache.change(page, add=Slot.LOCKED)
    assert bench.run(bench.fault(BASE + 1, LOAD))[0].outcome == "software"
    assert bench.kernel.page_requests.reasons == {"PAGE_BUSY": 1}
    assert not bench.kernel.frames.cache.slot(page) & Slot.LOCKED
    assert bench.complaints() == []


def test_what_linux_had_in_its_cache_is_there_and_is_mapped_around() -> None:
    bench = Bench([set_range(BASE, BASE + 32, "r--p", "file_priv", FILE)])
    child = bench.kernel.new_mm(1, [set_range(BASE, BASE + 32, "r--p", "file_priv", FILE)])

    async def program() -> list[str]:
        outcomes = [(await bench.fault(BASE + page, LOAD, cached=True)).outcome for page in (3, 5, 17)]
        return [*outcomes, (await bench.fault(BASE + 4, LOAD, mm=child, cached=True)).outcome]

    assert bench.run(program()) == [["speculative"] * 4]
    assert [page for page in range(32) if bench.entry(BASE + page)] == [3, 5, 17]
    assert [page for page in range(32) if bench.entry(BASE + page, child)] == [3, 4, 5], "17 is in other 64 KiB"
    assert bench.complaints() == []


def test_pages_mapped_around_are_unmapped_with_the_others() -> None:
    bench = Bench([set_range(BASE, BASE + 32, "r--p", "file_priv", FILE)])
    for page in range(32):
        bench.kernel.frames.cache.add(bench.mm.layout.vmas[0].page(BASE + page))

    async def program() -> None:
        await bench.fault(BASE + 7, LOAD)
        assert [page for page in range(32) if bench.entry(BASE + page)] == list(range(16))
        await bench.mm.change([LayoutChange(op="clear", start=BASE + 4, end=BASE + 32)])
        assert [page for page in range(32) if bench.entry(BASE + page)] == list(range(4))

    bench.run(program())
    assert bench.complaints() == []


def _taken_out() -> list[str]:
    """A page that two processes show is taken out, while faults go on. What is wrong then."""
    shown = set_range(BASE, BASE + 8, "rw-s", "shm", FILE)
    bench = Bench([shown])
    child = bench.kernel.new_mm(1, [shown])
    page = bench.mm.layout.vmas[0].page(BASE + 3)
    pages = [(bench.mm, BASE + 3), (child, BASE + 3)]

    async def program() -> None:
        for mm, vpn in pages:
            await bench.fault(vpn, mm=mm)
        await evict(bench.kernel, page)
        assert not bench.kernel.frames.cache.slot(page)
        assert [bench.entry(vpn, mm) & 1 for mm, vpn in pages] == [0, 0]
        assert (await bench.fault(BASE + 3)).outcome == "software"

    async def meanwhile() -> None:
        for vpn in (*range(BASE, BASE + 3), *range(BASE + 4, BASE + 8)):
            await bench.fault(vpn, mm=child, port=1)

    bench.run(program(), meanwhile())
    return bench.complaints()


def test_a_page_that_is_taken_out_is_mapped_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _taken_out() == []
    monkeypatch.setattr(AddressSpace, "open_sections", lambda self, ids: self._kernel.commands.post(cmd.mm_lock(self.space)))
    monkeypatch.setattr(AddressSpace, "close_sections", lambda self, ids: self._kernel.commands.post(cmd.mm_unlock(self.space)))
    assert re.search(r"software takes page 0x7f0\w* from VMA 1 outside a section", "\n".join(_taken_out()))


def test_a_userfault_gets_its_page_from_software() -> None:
    change = LayoutChange(op="set", start=BASE, end=BASE + 4, perm="rw-p", vmflags=0x200)
    bench = Bench([change, set_range(BASE + 4, BASE + 8)])

    async def program() -> list[str]:
        return [(await bench.fault(BASE + page)).outcome for page in (1, 5, 1)] + [(await bench.fault(BASE + 2, LOAD)).outcome]

    assert bench.run(program()) == [["software", "speculative", "software", "software"]]
    assert bench.kernel.page_requests.reasons == {"USERFAULT": 2}
    assert bench.kernel.faults.already_mapped == 1
    assert bench.entry(BASE + 1) & EXCLUSIVE
    assert bench.frame(BASE + 2) == bench.kernel.frames.zero
    assert bench.complaints() == []


def test_a_stack_is_served_in_hardware_and_grown_by_software() -> None:
    bench = Bench([set_range(BASE, BASE + 4, kind="stack")])

    async def grow() -> None:
        await bench.mm.change([set_range(BASE - 3, BASE + 4, kind="stack")])

    async def program() -> list[str]:
        outcomes = [(await bench.fault(BASE + 3)).outcome, (await bench.fault(BASE - 1)).outcome]
        return [*outcomes, (await bench.fault(BASE - 3, grow=grow)).outcome, (await bench.fault(BASE - 2)).outcome]

    assert bench.run(program()) == [["speculative", "refused", "software", "speculative"]]
    assert bench.kernel.page_requests.reasons == {"NO_VMA": 2}
    assert bench.complaints() == []


def test_every_page_request_is_responded_to() -> None:
    """Who asked gets a response before it comes back: success, or invalid when it is refused."""
    bench = Bench([set_range(BASE, BASE + 4, "r--p", "file_priv", FILE)])
    responses = bench.machine.responses

    async def program() -> None:
        await bench.fault(BASE, LOAD, port=2)
        assert len(responses) == 1
        await bench.fault(BASE + 1, STORE, port=3)

    bench.run(program())
    assert [(port, code) for port, _, code in responses] == [(2, 0), (3, 1)]
    assert bench.complaints() == []
