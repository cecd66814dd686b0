"""Turns the lines of an mmtrace-1 file into events, and says what is wrong with a line. [formats.md, Traces: mmtrace-1]"""

import json
from collections.abc import Iterator
from typing import Any

from .errors import UsageError
from .trace_events import REFUSED, Call, Clone, Event, Exec, Exit, Fault, Map, MmExit, Trace, VmaLine

__all__ = ["TraceError", "TraceReader"]

FORMAT = "mmtrace-1"


class TraceError(UsageError):
    """The trace cannot be read; the message is one line that says where and why."""


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


class TraceReader:
    """Reads one file; `name` for messages, `limit` on the events, `line` that it is at."""

    def __init__(self, name: str, limit: int | None) -> None:
        self.name, self.limit, self.line = name, limit, 0
        self._tids: set[int] = set()
        self._mms: set[int] = set()
        self._last: int | None = None

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
            t_ns, tid, mm = self._fields(record, _COMMON)
            self._mms.add(mm)
            event = Exec(t_ns, tid, mm, self._maps(record), self._addresses(record))
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
        fault.grow, fault.major = bool(record.get("grow")), bool(record.get("major"))
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
        t_ns, tid, mm, dur_ns, child, child_mm, flags, t_child_ns = self._fields(record, _CLONE)
        copied = None
        if child_mm != mm:
            copied = self._fields(record, (("t_copy_ns", _integer),))[0]
        try:
            ranges = [(_address(start), _address(end)) for start, end in record.get("nofork", [])]
        except (TypeError, ValueError):
            raise self._error("clone: nofork must be a list of address pairs") from None
        self._tids.add(child)
        self._mms.add(child_mm)
        return Clone(t_ns, tid, mm, dur_ns, child, child_mm, flags, t_child_ns, copied, ranges)

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
