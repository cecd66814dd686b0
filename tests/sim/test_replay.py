"""Replays on the `GoldenMachine`: the packaged trace, and small made ones for each thing that a program can do to its memory."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfault.replay import OUTCOMES, Percentiles, ReplayResult, replay
from seqfault.replay_plan import make_plan
from seqfault.trace import Trace, load_trace
from seqfault_tb.checked import watched_kernel
from seqfault_tb.golden_machine import GoldenMachine
from seqfault_tb.kernel import Kernel
from seqfault_tb.memory_audit import audit

PAGE = 4096
A = 0x7F0000000000
STACK = 0x7FFD00000000
FIXED, ANON_PRIVATE = 0x10, 0x22


class Script:
    """Writes a trace: every call appends an event, `step` ns after the one before unless `at` says when."""

    def __init__(self, path: Path, maps: list[list[Any]] | None = None) -> None:
        self._path, self._now, self._threads = path, 1000, 1
        self.maps = maps if maps is not None else [[f"{A:#x}", f"{A + 16 * PAGE:#x}", "rw-p", 0, "anon", "", 0]]
        self.events: list[dict[str, Any]] = []

    def add(self, ev: str, *, tid: int = 0, mm: int = 0, at: int | None = None, **fields: Any) -> int:
        """Append an event; returns its time."""
        self._now = at if at is not None else self._now + 1000
        self._threads = max(self._threads, tid + 1)
        self.events.append({"t_ns": self._now, "tid": tid, "mm": mm, "cpu": 0, "ev": ev, **fields})
        return self._now

    def fault(self, page: int, access: str = "w", base: int = A, **fields: Any) -> int:
        fields = {"prot": 0, "dur_ns": 500, "user": 1, "major": 0, "kind": "anon", **fields}
        return self.add("fault", addr=f"{base + page * PAGE + 8:#x}", ip="k", write=int(access == "w"), exec=int(access == "x"), **fields)

    def call(self, name: str, *lines: tuple, dur_ns: int = 2000, **fields: Any) -> None:
        """A call that holds mmap_lock, with its `vma` lines: (op, first page, last page + 1, perm[, base])."""
        who = {key: fields[key] for key in ("tid", "mm") if key in fields}
        began = self.add(name, dur_ns=dur_ns, wlock_ns=[100, dur_ns - 100] if lines else [], **fields)
        for number, line in enumerate(lines):
            self.line(*line, at=began + 500 + number, **who)
        self._now = began + dur_ns

    def line(self, op: str, start: int, end: int, perm: str = "rw-p", base: int = A, **who: Any) -> None:
        more = {} if op == "clear" else {"perm": perm}
        if op == "set":
            more |= {
                "pgoff": base // PAGE + start,
                "vmflags": "0x100" if base == STACK else "0x73",
                "kind": "stack" if base == STACK else "anon",
            }
        self.add("vma", op=op, start=f"{base + start * PAGE:#x}", end=f"{base + end * PAGE:#x}", **more, **who)

    def clone(self, child: int, child_mm: int, *, flags: int = 0, **fields: Any) -> None:
        self._threads = max(self._threads, child + 1)
        now, mm = self._now + 1000, fields.get("mm", 0)
        more = {"t_copy_ns": now + 300} if child_mm != mm else {}
        self.add(
            "clone", call="clone", dur_ns=2000, child=child, child_pid=child, child_mm=child_mm, flags=f"{flags:#x}", thread=0,
            t_child_ns=now + 1000, ret=0, **more, **fields,
        )  # fmt: skip
        self._now += 2000

    def trace(self, limit: int | None = None) -> Trace:
        header = {
            "format": "mmtrace-1", "name": "made", "root": {"tid": 0, "pid": 0, "mm": 0, "path": "/x", "brk": "0x1000"}, "maps": self.maps,
            "prefaulted": [], "tids": [[tid, tid, 0] for tid in range(self._threads)],
        }  # fmt: skip
        lines = [header, *sorted(self.events, key=lambda event: event["t_ns"])]
        self._path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
        return load_trace(self._path, limit)


def run(trace: Trace, *, spaces: int = 64, turn_ns: float = 10, **engine: int) -> tuple[ReplayResult, Kernel]:
    """Replay, a turn taking so many ns of the trace's time: checker and machine have nothing to complain about, every fault has one outcome."""
    machine = GoldenMachine(strict=True, spaces=spaces, **engine)
    kernel, checker, _ = watched_kernel(machine, spaces=spaces)
    result = asyncio.run(replay(trace, kernel, machine, clock_mhz=1000 / turn_ns))
    checker.finish(machine.read64)
    assert checker.first_difference is None
    assert checker.agreed or not trace.events
    assert machine.violations + audit(machine) == []
    assert result.total == len(result.recorded) == sum(type(event).__name__ == "Fault" for event in trace.events)
    return result, kernel


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "made.jsonl.gz")


def test_sqlite_whole() -> None:
    """Every fault is speculative, but for the first store to a shared page of a file, which software has to agree to."""
    trace = load_trace("sqlite-mmap")
    result, kernel = run(trace)
    assert result.total == 2546
    assert (result.mismatched, result.first_mismatch, result.already_mapped) == (0, None, 0)
    software = result.faults["software"]
    assert result.faults == {"speculative": 2546 - software, "retried": 0, "classic": 0, "software": software, "refused": 0}
    assert result.page_requests == {"NOT_WRITABLE": software}
    assert 0 < software == sum(OUTCOMES[outcome] == "software" and kind == "file_shared" for _, outcome, kind, _ in result.recorded) < 40
    assert result.commands["ATS.PRGR"] == software
    assert set(result.reconciled) == {"mapped"}
    assert result.reconciled["mapped"] < 40
    assert result.commands["SEQ.BEGIN"] == result.commands["SEQ.END"] > 50
    assert kernel.mms == {}
    assert 0 < result.latency(kind="heap").p50 <= result.latency(kind="file_priv").p50


@pytest.mark.parametrize("limit", [0, 1, 100, 1500])
def test_sqlite_in_part(limit: int) -> None:
    result, kernel = run(load_trace("sqlite-mmap", limit=limit))
    assert result.mismatched == 0
    assert result.events == limit
    assert list(kernel.mms) == [0]


def test_slow_engine_changes_no_outcome() -> None:
    """A turn of 20 us, so a fault of 200 us: everything drifts, the outcomes stay."""
    fast, _ = run(load_trace("sqlite-mmap", limit=600))
    slow, _ = run(load_trace("sqlite-mmap", limit=600), turn_ns=20_000)
    assert slow.faults == fast.faults
    assert slow.latency().p50 * 20_000 >= 200_000 > fast.latency().max * 10


def test_mprotect_then_segv_then_back(script: Script) -> None:
    for page in range(4):
        script.fault(page)
    script.call("mprotect", ("set", 0, 2, "---p"), ("set", 2, 16), addr=f"{A:#x}", len=2 * PAGE, prot=0, ret=0)
    script.fault(1, res="segv")
    script.fault(1, "r", res="segv")
    script.fault(5)
    script.call("mprotect", ("set", 0, 16), addr=f"{A:#x}", len=2 * PAGE, prot=3, ret=0)
    script.fault(1, prot=1)
    result, kernel = run(script.trace())
    assert result.mismatched == 0
    assert result.faults == {"speculative": 6, "retried": 0, "classic": 0, "software": 0, "refused": 2}
    assert result.reconciled == {}
    assert len(kernel.mms[0].layout.vmas) == 1


def test_dontneed_gives_new_pages(script: Script) -> None:
    script.fault(0)
    script.fault(1)
    script.call("madvise", addr=f"{A:#x}", len=PAGE, advice=4, ret=0)
    script.fault(0)
    result, _ = run(script.trace())
    assert result.faults["speculative"] == 3
    assert result.reconciled == {}
    assert result.commands["ZAP"] == 1
    assert result.commands["SEQ.BEGIN"] == 0


def test_map_fixed_replaces_the_pages(script: Script) -> None:
    script.fault(3)
    script.call(
        "mmap", ("clear", 2, 6), ("set", 0, 16), addr=f"{A + 2 * PAGE:#x}", len=4 * PAGE, prot=3, flags=f"{ANON_PRIVATE | FIXED:#x}", fd=-1,
        off=0, ret=f"{A + 2 * PAGE:#x}",
    )  # fmt: skip
    script.fault(3)
    script.fault(2)
    result, _ = run(script.trace())
    assert result.mismatched == 0
    assert result.reconciled == {}, "the old page is gone without a hint"
    assert result.faults["speculative"] == 3


def test_mremap_takes_the_pages_along(script: Script) -> None:
    to = 1000
    for page in range(3):
        script.fault(page)
    script.call(
        "mremap", ("set", to, to + 32), ("clear", 0, 16), addr=f"{A:#x}", old_len=16 * PAGE, new_len=32 * PAGE, flags=1, new_addr="0x0",
        ret=f"{A + to * PAGE:#x}",
    )  # fmt: skip
    script.fault(to + 16)
    script.fault(0, res="segv", kind="none")
    result, kernel = run(script.trace())
    assert result.mismatched == 0
    table = kernel.mms[0].table
    assert [table.read((A >> 12) + to + page) & 1 for page in range(4)] == [1, 1, 1, 0]
    assert result.faults["refused"] == 1


def test_fork_copies_on_write_and_children_end(script: Script) -> None:
    script.fault(0)
    script.fault(1)
    script.clone(1, 1)
    script.fault(0, tid=1, mm=1, prot=1)
    script.fault(0, prot=1)
    script.fault(2, tid=1, mm=1)
    script.add("exit", tid=1, mm=1, last=1)
    script.add("mm_exit", tid=1, mm=1)
    script.fault(1, prot=1)
    result, kernel = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {})
    assert result.faults == {"speculative": 6, "retried": 0, "classic": 0, "software": 0, "refused": 0}
    assert result.commands["PROTECT"] == 1
    assert list(kernel.mms) == [0]


def test_vfork_and_exec(script: Script) -> None:
    script.fault(0)
    script.clone(1, 0, flags=0x4100)
    script.fault(1, tid=1)
    maps = [
        [f"{A:#x}", f"{A + 4 * PAGE:#x}", "r-xp", 0, "file_priv", "sh", 5],
        [f"{STACK:#x}", f"{STACK + PAGE:#x}", "rw-p", 0, "stack", "", 0],
    ]
    script.add("exec", tid=1, mm=1, path="/sh", brk="0x1000", maps=maps, prefaulted=[f"{STACK:#x}"])
    script.fault(0, "x", tid=1, mm=1, kind="file_priv")
    script.fault(0, "w", tid=1, mm=1, kind="file_priv", res="segv", prot=1)
    script.fault(2)
    result, kernel = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {})
    assert result.faults["refused"] == 1
    assert kernel.mms[1].table.read(STACK >> 12) & 1
    assert kernel.mms[1].layout.find(A >> 12).kind == "file_priv"


def test_stack_grows(tmp_path: Path) -> None:
    script = Script(tmp_path / "grow.gz", [[f"{STACK:#x}", f"{STACK + 2 * PAGE:#x}", "rw-p", 0, "stack", "", 0]])
    at = script.fault(-3, base=STACK, kind="stack", grow=1)
    script.line("set", -3, 2, base=STACK, at=at + 100)
    script.fault(-2, base=STACK, kind="stack")
    result, kernel = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {})
    assert (result.faults["software"], result.faults["speculative"]) == (1, 1), "below it software is asked, then it is memory like any other"
    assert kernel.mms[0].layout.vmas[0].start == (STACK >> 12) - 3


def test_shared_memory_between_processes(tmp_path: Path) -> None:
    script = Script(tmp_path / "shm.gz", [[f"{A:#x}", f"{A + 16 * PAGE:#x}", "rw-s", 0, "shm", "seg", 7]])
    script.fault(0, kind="shm")
    script.clone(1, 1)
    script.fault(0, "r", tid=1, mm=1, kind="shm")
    script.fault(1, "r", kind="shm", user=0, res="nofault")
    result, kernel = run(script.trace())
    assert result.mismatched == 0
    assert result.faults == {"speculative": 2, "retried": 0, "classic": 0, "software": 0, "refused": 1}
    words = [kernel.mms[mm].table.read(A >> 12) for mm in (0, 1)]
    assert words[0] >> 10 == words[1] >> 10
    assert len(result.recorded) == 3
    assert result.latency().max > 0


def test_files_are_in_the_cache_as_linux_had_them(tmp_path: Path) -> None:
    """A major fault reads the page in, a minor one finds it; what one process has shown is mapped around in the next one, unmapped for its fault."""
    file = [f"{A:#x}", f"{A + 16 * PAGE:#x}", "rw-p", 0, "file_priv", "lib", 7]
    script = Script(tmp_path / "files.gz", [file])
    script.fault(0, "r", kind="file_priv", major=1)
    script.fault(5, "r", kind="file_priv")
    script.fault(5, "w", kind="file_priv", prot=1)
    script.fault(6, "w", kind="file_priv")
    script.clone(1, 1)
    script.add("exec", tid=1, mm=2, path="/x", brk="0x1000", maps=[file], prefaulted=[])
    script.fault(1, "r", tid=1, mm=2, kind="file_priv")
    script.fault(6, "w", tid=1, mm=2, kind="file_priv", prot=1)
    script.fault(5, "r", tid=1, mm=2, kind="file_priv")
    result, kernel = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {"unmapped": 1})
    assert result.faults == {"speculative": 6, "retried": 0, "classic": 0, "software": 1, "refused": 0}
    assert result.page_requests == {"NOT_CACHED": 1}
    first, second = ([kernel.mms[mm].table.read((A >> 12) + page) for page in range(16)] for mm in (0, 2))
    assert [page for page in range(16) if first[page] & 1] == [0, 5, 6]
    assert [page for page in range(16) if second[page] & 1] == [0, 1, 5, 6]
    assert first[0] == second[0], "the same page of the file"
    assert len({word >> 10 for word in (first[5], second[5], first[6], second[6])}) == 4, "private copies, and the page itself"


def test_pages_of_shared_files_are_made_writable_once(tmp_path: Path) -> None:
    script = Script(tmp_path / "shared.gz", [[f"{A:#x}", f"{A + 16 * PAGE:#x}", "rw-s", 0, "file_shared", "db", 7]])
    script.clone(1, 1)
    script.fault(3, "r", kind="file_shared")
    script.fault(3, "w", kind="file_shared", prot=1)
    script.fault(3, "w", tid=1, mm=1, kind="file_shared")
    result, kernel = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {})
    assert result.page_requests == {"NOT_WRITABLE": 1}
    assert result.faults["speculative"] == 2
    assert kernel.mms[0].table.read((A >> 12) + 3) == kernel.mms[1].table.read((A >> 12) + 3)


def test_threads_race_a_protector(script: Script) -> None:
    """Three threads write a heap whose halves a fourth protects in turn; refused ones come back. The order that matters is kept."""
    for tid in (1, 2, 3):
        script.clone(tid, 0, flags=0x10100)
    for turn in range(30):
        low, high = (0, 8) if turn & 1 else (8, 16)
        other_low, other_high = (8, 16) if turn & 1 else (0, 8)
        fields = {"addr": f"{A + low * PAGE:#x}", "len": 8 * PAGE, "ret": 0}
        script.call("mprotect", ("set", low, high, "---p"), ("set", other_low, other_high), prot=0, **fields)
        for tid in (1, 2, 3):
            script.fault(low + tid, tid=tid, res="segv")
            script.fault(other_low + 2 * tid, tid=tid, prot=1 if turn > 1 else 0)
        script.call("mprotect", ("set", 0, 16), prot=3, **fields)
        for tid in (1, 2, 3):
            script.fault(low + tid, "r", tid=tid, prot=0)
    for turn_ns in (40, 3000):
        result, _ = run(script.trace(), turn_ns=turn_ns)
        assert (result.mismatched, result.first_mismatch) == (0, None)
        assert result.faults["refused"] == 90
        assert result.total == 270


def test_faults_go_on_during_a_change(script: Script) -> None:
    """While one thread changes a VMA again and again, another's faults in another VMA are neither refused nor held up for a call."""
    script.maps.append([f"{A + 100 * PAGE:#x}", f"{A + 400 * PAGE:#x}", "rw-p", 0, "anon", "", 0])
    script.clone(1, 0, flags=0x10100)
    start = script.fault(99 + 1, tid=1) + 1000
    for turn in range(40):
        script.fault(101 + turn, tid=1, at=start + 700 * turn)
    script.events.sort(key=lambda event: event["t_ns"])
    for turn in range(10):
        began = script.add("mprotect", at=start + 2500 * turn, dur_ns=2400, wlock_ns=[100, 2300], addr=f"{A:#x}", len=PAGE, prot=1, ret=0)
        script.line("prot", 0, 16, "r--p" if turn % 2 == 0 else "rw-p", at=began + 2300)
    result, _ = run(script.trace(), turn_ns=40)
    assert result.mismatched == 0
    assert result.faults["speculative"] == 41
    assert result.latency(outcome="speculative").max < 50


def test_a_difference_from_linux_is_counted_and_named(script: Script) -> None:
    """Guard of the guard: Linux refused a fault that the VMA allows, and resolved one that it does not."""
    script.fault(0)
    script.fault(1, res="segv")
    result, _ = run(script.trace())
    assert result.mismatched == 1
    assert result.first_mismatch is not None
    assert result.first_mismatch.startswith(f"write of {A + PAGE + 8:#x} by thread 0 in mm 0")
    assert "Linux gave segv" in result.first_mismatch


def test_a_fault_without_vma_gets_one_and_is_counted(script: Script) -> None:
    script.fault(40)
    result, _ = run(script.trace())
    assert (result.mismatched, result.reconciled) == (0, {"vma": 1})


def test_more_processes_than_spaces(script: Script) -> None:
    script.fault(0)
    for child in range(1, 7):
        script.clone(child, child)
    for page in range(4, 8):
        for child in range(7):
            script.fault(page, tid=child, mm=child)
    result, _ = run(script.trace(), spaces=2)
    assert (result.mismatched, result.reconciled) == (0, {})
    assert result.evictions > 4


def test_order_is_only_what_matters(script: Script) -> None:
    """The plan: a fault waits for the change that made it possible, and the change that ends it waits for the fault; others are free."""
    script.clone(1, 0, flags=0x10100)
    script.call("mprotect", ("set", 0, 4, "r--p"), ("set", 4, 16), addr=f"{A:#x}", len=4 * PAGE, prot=1, ret=0)
    script.fault(1, tid=1, res="segv")
    script.fault(5, tid=1)
    script.call("mprotect", ("set", 0, 16), addr=f"{A:#x}", len=4 * PAGE, prot=3, ret=0)
    plan = make_plan(script.trace())
    refused, free = plan.threads[1]
    assert (refused.after, free.after) == (1, 0)
    first, second = (operation for item in plan.threads[0] for operation in item.operations)
    assert (first.ticket, second.ticket) == (1, 2)
    assert (first.wait_for, second.wait_for) == ({}, {1: 0})


def test_percentiles_are_measured_values() -> None:
    values = np.arange(1, 1001)
    assert Percentiles.of(values) == Percentiles(p50=500, p99=990, p999=999, max=1000)
    assert Percentiles.of(np.array([], dtype=np.int64)) == Percentiles(p50=0, p99=0, p999=0, max=0)
    assert Percentiles.of(np.array([7])) == Percentiles(p50=7, p99=7, p999=7, max=7)
