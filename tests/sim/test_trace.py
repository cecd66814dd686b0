"""The trace reader: what it reads, and the one line that it says about what it cannot read."""

import gzip
import json
from pathlib import Path

import pytest

from seqfault.trace import Call, Fault, MmExit, TraceError, VmaLine, load_trace, packaged_traces

HEADER = {
    "format": "mmtrace-1", "name": "made", "root": {"tid": 0, "pid": 0, "mm": 0, "path": "/x", "brk": "0x1000"},
    "maps": [["0x1000", "0x3000", "rw-p", 1, "anon", "", 0]], "prefaulted": ["0x1010"], "tids": [[0, 100, 0]],
}  # fmt: skip
FAULT = {
    "t_ns": 5, "tid": 0, "mm": 0, "cpu": 0, "ev": "fault", "addr": "0x2008", "ip": "k", "write": 1, "exec": 0, "user": 1, "prot": 0,
    "major": 0, "dur_ns": 7, "kind": "anon",
}  # fmt: skip
CLEAR = {"t_ns": 6, "tid": 0, "mm": 0, "cpu": 0, "ev": "vma", "op": "clear", "start": "0x1000", "end": "0x2000"}


def write(path: Path, *lines: object) -> Path:
    """A gzip file of these JSON lines; a str is written as it is."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_packaged_trace_is_read_whole() -> None:
    trace = load_trace("sqlite-mmap")
    kinds = trace.header["events"]
    assert sum(kinds.values()) == len(trace.events)
    assert sum(isinstance(event, Fault) for event in trace.events) == kinds["fault"] == 2546
    assert sum(isinstance(event, VmaLine) for event in trace.events) == kinds["vma"]
    first = trace.events[0]
    assert isinstance(first, Fault)
    assert (first.t_ns, first.addr, first.exec, first.write) == (621542, 0x7FBA28D8FB70, 1, 0)
    assert isinstance(trace.events[-1], MmExit)
    assert trace.maps[0].start == 0x55BAAF45E000
    assert "sqlite-mmap" in packaged_traces()


def test_limit_keeps_the_first_events() -> None:
    whole = load_trace("sqlite-mmap")
    assert load_trace("sqlite-mmap", limit=17).events == whole.events[:17]
    assert load_trace("sqlite-mmap", limit=0).events == []
    assert load_trace("sqlite-mmap", limit=10**9).events == whole.events


def test_unknown_calls_are_kept(tmp_path: Path) -> None:
    call = {"t_ns": 5, "tid": 0, "mm": 0, "ev": "mseal", "dur_ns": 3, "args": ["0x1"], "ret": 0}
    unfinished = {"t_ns": 6, "tid": 0, "mm": 0, "ev": "mmap", "dur_ns": -1, "args": ["0x1"], "res": "open", "ret": None}
    trace = load_trace(write(tmp_path / "t.gz", HEADER, call, unfinished))
    assert [(event.name, event.ret, event.dur_ns) for event in trace.events if isinstance(event, Call)] == [
        ("mseal", 0, 3),
        ("mmap", None, 0),
    ]


def test_lock_holds_are_a_pair_or_a_list_of_pairs(tmp_path: Path) -> None:
    one = {"t_ns": 5, "tid": 0, "mm": 0, "ev": "munmap", "dur_ns": 3, "addr": "0x1000", "len": 4096, "ret": 0, "wlock_ns": [1, 2]}
    two = one | {"t_ns": 9, "wlock_ns": [[1, 2], [3, 4]]}
    trace = load_trace(write(tmp_path / "t.gz", HEADER, one, two))
    assert [event.locks for event in trace.events if isinstance(event, Call)] == [[(1, 2)], [(1, 2), (3, 4)]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: the file is empty"),
        (["{"], "line 1: not JSON"),
        ([HEADER | {"format": "mmtrace-2"}], "line 1: the format is 'mmtrace-2', not 'mmtrace-1'"),
        ([{"format": "mmtrace-1"}], "line 1: the header has no root"),
        ([HEADER | {"maps": [["0x1000"]]}], "line 1: maps: not [start, end"),
        ([HEADER, FAULT, "nonsense"], "line 3: not JSON"),
        ([HEADER, "[1]"], "line 2: not a JSON object"),
        ([HEADER, {key: value for key, value in FAULT.items() if key != "addr"}], "line 2: fault: addr is missing"),
        ([HEADER, FAULT | {"addr": 17}], "line 2: fault: addr must be a hex address, not 17"),
        ([HEADER, FAULT | {"addr": "zz"}], "line 2: fault: addr must be a hex address, not 'zz'"),
        ([HEADER, FAULT | {"write": 2}], "line 2: fault: write must be 0 or 1, not 2"),
        ([HEADER, FAULT | {"dur_ns": 1.5}], "line 2: fault: dur_ns must be an integer, not 1.5"),
        ([HEADER, FAULT | {"res": "lost"}], "line 2: fault: res is 'lost'"),
        ([HEADER, FAULT | {"tid": 9}], "line 2: fault of thread 9, which the header does not name"),
        ([HEADER, FAULT | {"mm": 3}], "line 2: fault in mm 3, which does not exist yet"),
        ([HEADER, FAULT, CLEAR | {"t_ns": 2}], "line 3: t_ns 2 after 5"),
        ([HEADER, CLEAR | {"op": "move"}], "line 2: vma: op is 'move'"),
        ([HEADER, CLEAR | {"end": "0x1000"}], "line 2: vma: 0x1000-0x1000 is not a range of pages"),
        ([HEADER, CLEAR | {"op": "prot", "perm": "rwx"}], "line 2: vma: perm must be like r-xp, not 'rwx'"),
        ([HEADER, {"t_ns": 1}], "line 2: ev is missing"),
        (
            [HEADER, {"t_ns": 5, "tid": 0, "mm": 0, "ev": "munmap", "dur_ns": 3, "addr": "0x1000", "ret": 0}],
            "line 2: munmap: len is missing",
        ),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, lines: list[object], message: str) -> None:
    path = write(tmp_path / "bad.jsonl.gz", *lines)
    with pytest.raises(TraceError) as caught:
        load_trace(path)
    assert message in str(caught.value)
    assert "bad.jsonl.gz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_lists_the_packaged_traces() -> None:
    with pytest.raises(TraceError, match=r"no-such-trace: no such file.*sqlite-mmap"):
        load_trace("no-such-trace")


def test_not_gzip(tmp_path: Path) -> None:
    path = tmp_path / "plain.gz"
    path.write_text(json.dumps(HEADER))
    with pytest.raises(TraceError, match="not a gzip file"):
        load_trace(path)


def test_cut_off_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.gz", HEADER, *[FAULT | {"t_ns": 10 + n, "ip": f"{n * n:#x}"} for n in range(2000)])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TraceError, match=r"cut off or damaged after line \d+"):
        load_trace(path)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="is a folder"):
        load_trace(tmp_path)
