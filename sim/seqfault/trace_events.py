"""What a trace consists of. Addresses are integers, in bytes; times are ns. [formats.md, Traces: mmtrace-1]"""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["REFUSED", "Call", "Clone", "Event", "Exec", "Exit", "Fault", "Map", "MmExit", "Trace", "VmaLine"]

REFUSED = ("segv", "sigbus", "nofault")
"""Results of faults that Linux did not resolve."""


@dataclass(slots=True)
class Fault:
    """A page fault. `present`: the page was mapped. `major`: it had to be read in. `result`: "" resolved, "segv", "sigbus", "nofault", or "open" (not
    finished).
    """

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
    major: bool = False

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
    """A system call. `t_ns` is its entry; `ret` None: unknown. `locks`: (got, released) of mmap_lock for writing, from `t_ns`."""

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
