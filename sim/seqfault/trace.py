"""Reads mmtrace-1 files: what a real program did to its memory, event by event. [formats.md, Traces: mmtrace-1]

One gzip file of JSON lines: a header, then events by ascending time. Addresses become integers, in bytes. Calls that this version does not know
are kept as `Call` with their raw fields.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError

__all__ = [
    "Call",
    "Clone",
    "Event",
    "Exec",
    "Exit",
    "Fault",
    "Map",
    "MmExit",
    "Trace",
    "TraceError",
    "VmaLine",
    "load_trace",
    "packaged_traces",
]

FORMAT = "mmtrace-1"
SUFFIX = ".jsonl.gz"
DATA = Path(__file__).parent / "data"
REFUSED = ("segv", "sigbus", "nofault")


class TraceError(UsageError):
    """The trace cannot be read; the message is one line that says where and why."""


@dataclass(slots=True)
class Fault:
    """A page fault. `present`: the page was mapped. `result`: "" resolved, "segv", "sigbus", "nofault", or "open" (not finished)."""

    t_ns: int
    tid: int
    mm: int
    addr: int
    write: int
    exec: int
    user: int
    present: int
    dur_ns: int
    kind: str
    result: str = ""
    grow: bool = False

    @property
    def refused(self) -> bool:
        return self.result in REFUSED


@dataclass(slots=True)
class VmaLine:
    """A change of the VMA tree; `op` set, clear or prot. `source`: (file name, inode) of a file mapping."""

    t_ns: int
    tid: int
    mm: int
    op: str
    start: int
    end: int
    perm: str = "---p"
    pgoff: int = 0
    vmflags: int = 0
    kind: str = "anon"
    source: tuple[str, int] | None = None


@dataclass(slots=True)
class Call:
    """A system call. `t_ns` is its entry; `ret` is None when unknown. `locks`: (got, released) of mmap_lock for writing, offsets from `t_ns`."""

    t_ns: int
    tid: int
    mm: int
    name: str
    dur_ns: int
    ret: int | None
    locks: list[tuple[int, int]]
    lock_wait_ns: int
    fields: dict[str, Any]

    def address(self, name: str) -> int:
        """A field that is a hex address; 0 if it is not there."""
        return int(self.fields.get(name, "0"), 16)


@dataclass(slots=True)
class Clone:
    """A new thread or process. `t_copy_ns`: when the layout was copied (None: the mm is shared). `nofork`: ranges that were not."""

    t_ns: int
    tid: int
    mm: int
    dur_ns: int
    child: int
    child_mm: int
    flags: int
    t_child_ns: int
    t_copy_ns: int | None
    nofork: list[tuple[int, int]]


@dataclass(slots=True)
class Map:
    """A line of `maps`: the layout after an exec."""

    start: int
    end: int
    perm: str
    pgoff: int
    kind: str
    source: tuple[str, int] | None


@dataclass(slots=True)
class Exec:
    t_ns: int
    tid: int
    mm: int
    maps: list[Map]
    prefaulted: list[int]


@dataclass(slots=True)
class Exit:
    """The end of a thread."""

    t_ns: int
    tid: int
    mm: int | None


@dataclass(slots=True)
class MmExit:
    """The end of an address space."""

    t_ns: int
    tid: int
    mm: int


Event = Fault | VmaLine | Call | Clone | Exec | Exit | MmExit


@dataclass(slots=True)
class Trace:
    """A recorded program.

    Attributes
    ----------
    name : its name. mm, tid : address space and thread at the start. maps, prefaulted : the layout then, and addresses touched already.
    events : by ascending `t_ns`. header : the header line as it is.
    """

    name: str
    mm: int
    tid: int
    maps: list[Map]
    prefaulted: list[int]
    events: list[Event]
    header: dict[str, Any] = field(repr=False, default_factory=dict)


def packaged_traces() -> list[str]:
    """Names of the traces that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DATA.glob(f"*{SUFFIX}"))


def load_trace(path_or_name: str | Path, limit: int | None = None) -> Trace:
    """Read a trace: a path, or the name of a packaged one; `limit` keeps the first N events.

    Raises `TraceError`: not found, not gzip, cut off, not JSON, another format, a field missing or ill-typed, an unknown thread or mm.
    """
    path = _find(path_or_name)
    reader = _Reader(path.name, limit)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return reader.read(file)
    except gzip.BadGzipFile:
        raise TraceError(f"{path}: not a gzip file") from None
    except (EOFError, zlib.error):
        raise TraceError(f"{path}: the gzip file is cut off or damaged after line {reader.line}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: line {reader.line + 1} is not text") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error})") from None


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    packaged = DATA / f"{path_or_name}{SUFFIX}"
    if path.name == str(path_or_name) and packaged.is_file():
        return packaged
    if path.is_dir():
        raise TraceError(f"{path}: is a folder")
    raise TraceError(f"{path_or_name}: no such file, and no trace of that name comes with the package ({', '.join(packaged_traces())})")


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("an integer")
    return value


def _address(value: Any) -> int:
    if type(value) is not str:
        raise TypeError("a hex address")
    try:
        return int(value, 16)
    except ValueError:
        raise TypeError("a hex address") from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("a text")
    return value


def _bit(value: Any) -> int:
    if type(value) is not int or value not in (0, 1):
        raise TypeError("0 or 1")
    return value


def _perm(value: Any) -> str:
    if type(value) is not str or len(value) != 4 or value[3] not in "ps":
        raise TypeError("like r-xp")
    return value


_CONVERT = {"integer": _integer, "address": _address, "text": _text, "bit": _bit, "perm": _perm}
_COMMON = (("t_ns", _integer), ("tid", _integer), ("mm", _integer))
_FAULT = (
    *_COMMON, ("addr", _address), ("write", _bit), ("exec", _bit), ("user", _bit), ("prot", _bit), ("dur_ns", _integer), ("kind", _text),
)  # fmt: skip
_RANGE = (*_COMMON, ("op", _text), ("start", _address), ("end", _address))
_SET = (*_RANGE, ("perm", _perm), ("pgoff", _integer), ("vmflags", _address), ("kind", _text))
_CLONE = (*_COMMON, ("dur_ns", _integer), ("child", _integer), ("child_mm", _integer), ("flags", _address), ("t_child_ns", _integer))
_CALL_FIELDS = {
    "mmap": ("addr", "len", "ret"), "munmap": ("addr", "len"), "mprotect": ("addr", "len"), "pkey_mprotect": ("addr", "len"),
    "mremap": ("addr", "old_len", "new_len", "flags", "ret"), "madvise": ("addr", "len", "advice"), "brk": ("addr",),
}  # fmt: skip


class _Reader:
    """Turns lines into events; knows the line it is at."""

    def __init__(self, name: str, limit: int | None) -> None:
        self.name, self.limit, self.line = name, limit, 0
        self._tids: set[int] = set()
        self._mms: set[int] = set()
        self._last = None

    def read(self, file: Iterator[str]) -> Trace:
        text = next(file, None)
        self.line = 1
        if text is None:
            raise self._error("the file is empty")
        header = self._json(text)
        if header.get("format") != FORMAT:
            raise self._error(f"the format is {header.get('format')!r}, not {FORMAT!r}")
        root = header.get("root")
        if not isinstance(root, dict):
            raise self._error("the header has no root")
        tid, mm = self._fields(root, (("tid", _integer), ("mm", _integer)))
        for entry in self._list(header, "tids"):
            if not isinstance(entry, list) or not entry or type(entry[0]) is not int:
                raise self._error("tids must hold lists of integers")
            self._tids.add(entry[0])
        self._tids.add(tid)
        self._mms.add(mm)
        trace = Trace(str(header.get("name", self.name)), mm, tid, self._maps(header), self._addresses(header), [], header)
        for text in file:
            if self.limit is not None and len(trace.events) >= self.limit:
                break
            self.line += 1
            trace.events.append(self._event(self._json(text)))
        return trace

    def _error(self, what: str) -> TraceError:
        return TraceError(f"{self.name}: line {self.line}: {what}")

    def _json(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            raise self._error("not JSON") from None
        if not isinstance(value, dict):
            raise self._error("not a JSON object")
        return value

    def _fields(self, record: dict[str, Any], wanted: tuple) -> list[Any]:
        values = []
        for name, convert in wanted:
            try:
                values.append(convert(record[name]))
            except KeyError:
                raise self._error(f"{record.get('ev', 'the header')}: {name} is missing") from None
            except TypeError as error:
                raise self._error(f"{record.get('ev', 'the header')}: {name} must be {error}, not {record[name]!r}") from None
        return values

    def _list(self, record: dict[str, Any], name: str) -> list[Any]:
        value = record.get(name)
        if not isinstance(value, list):
            raise self._error(f"{record.get('ev', 'the header')}: {name} must be a list")
        return value

    def _maps(self, record: dict[str, Any]) -> list[Map]:
        maps = []
        for entry in self._list(record, "maps"):
            try:
                start, end, perm, pgoff, kind, file, inode = entry
                source = (file, inode) if kind.startswith("file") or kind == "shm" else None
                maps.append(Map(_address(start), _address(end), _perm(perm), _integer(pgoff), _text(kind), source))
            except (TypeError, ValueError, AttributeError):
                raise self._error(f"maps: not [start, end, perm, pgoff, kind, file, inode]: {entry!r}") from None
        return maps

    def _addresses(self, record: dict[str, Any]) -> list[int]:
        try:
            return [_address(value) for value in self._list(record, "prefaulted")]
        except TypeError:
            raise self._error("prefaulted must be a list of hex addresses") from None

    def _event(self, record: dict[str, Any]) -> Event:
        kind = record.get("ev")
        if kind == "fault":
            event: Event = self._fault(record)
        elif kind == "vma":
            event = self._vma(record)
        elif kind == "exec":
            values = self._fields(record, _COMMON)
            self._mms.add(values[2])
            event = Exec(*values, self._maps(record), self._addresses(record))
        elif kind == "exit":
            t_ns, tid = self._fields(record, _COMMON[:2])
            mm = record.get("mm")
            event = Exit(t_ns, tid, None if mm is None else self._fields(record, _COMMON[2:])[0])
        elif kind == "mm_exit":
            event = MmExit(*self._fields(record, _COMMON))
        elif kind == "clone" and "child" in record:
            event = self._clone(record)
        elif isinstance(kind, str):
            event = self._call(record, kind)
        else:
            raise self._error("ev is missing")
        if event.tid not in self._tids and not (isinstance(event, MmExit) and event.tid == -1):
            raise self._error(f"{kind} of thread {event.tid}, which the header does not name")
        if event.mm not in self._mms and event.mm is not None:
            raise self._error(f"{kind} in mm {event.mm}, which does not exist yet")
        if self._last is not None and event.t_ns < self._last:
            raise self._error(f"t_ns {event.t_ns} after {self._last}: events must ascend")
        self._last = event.t_ns
        return event

    def _fault(self, record: dict[str, Any]) -> Fault:
        fault = Fault(*self._fields(record, _FAULT))
        if "res" in record:
            fault.result = _text(record["res"])
            if fault.result not in (*REFUSED, "open"):
                raise self._error(f"fault: res is {fault.result!r}, not one of {', '.join(REFUSED)}, open")
        fault.grow = bool(record.get("grow"))
        return fault

    def _vma(self, record: dict[str, Any]) -> VmaLine:
        op = record.get("op")
        if op == "set":
            line = VmaLine(*self._fields(record, _SET))
            if "ino" in record:
                line.source = (str(record.get("file")), self._fields(record, (("ino", _integer),))[0])
        elif op == "clear":
            line = VmaLine(*self._fields(record, _RANGE))
        elif op == "prot":
            line = VmaLine(*self._fields(record, (*_RANGE, ("perm", _perm))))
        else:
            raise self._error(f"vma: op is {op!r}, not set, clear or prot")
        if line.start >= line.end or line.start & 4095 or line.end & 4095:
            raise self._error(f"vma: {line.start:#x}-{line.end:#x} is not a range of pages")
        return line

    def _clone(self, record: dict[str, Any]) -> Clone:
        values = self._fields(record, _CLONE)
        copy = self._fields(record, (("t_copy_ns", _integer),))[0] if "t_copy_ns" in record else None
        try:
            ranges = [(_address(start), _address(end)) for start, end in record.get("nofork", [])]
        except (TypeError, ValueError):
            raise self._error("clone: nofork must be a list of address pairs") from None
        self._tids.add(values[4])
        if values[5] != values[2] and copy is None:
            raise self._error("clone: t_copy_ns is missing")
        self._mms.add(values[5])
        return Clone(*values, copy if values[5] != values[2] else None, ranges)

    def _call(self, record: dict[str, Any], name: str) -> Call:
        t_ns, tid, mm, dur_ns = self._fields(record, (*_COMMON, ("dur_ns", _integer)))
        result = record.get("ret")
        ret = int(result, 16) if isinstance(result, str) else result if type(result) is int else None
        if ret is not None and ret >= 0:
            self._fields(record, tuple((key, _address if key in ("addr", "new_addr") else _any) for key in _CALL_FIELDS.get(name, ())))
        locks = record.get("wlock_ns") or []
        try:
            pairs = [(_integer(a), _integer(b)) for a, b in (locks if locks and isinstance(locks[0], list) else [locks] if locks else [])]
        except (TypeError, ValueError):
            raise self._error(f"{name}: wlock_ns must be [got, released], or a list of such pairs") from None
        return Call(t_ns, tid, mm, name, max(dur_ns, 0), ret, pairs, record.get("lock_wait_ns", 0), record)


def _any(value: Any) -> Any:
    if not isinstance(value, int | str):
        raise TypeError("a number")
    return value
