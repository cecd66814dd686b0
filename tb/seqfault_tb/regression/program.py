"""A random program as data: address spaces with their regions, threads of actions, and the conditions that it runs under.

Whatever an action finds when its turn comes, it has a meaning: so any part of a program is a program, and a failing one can be made smaller.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec

__all__ = ["OPERATIONS", "Action", "Conditions", "Program", "Region", "Thread"]

Operation = Literal["fault", "protect", "discard", "unmap", "map", "age", "move", "fork", "evict", "lock", "invalidate", "mlock", "bump"]
OPERATIONS: tuple[str, ...] = get_args(Operation)
"""What a thread can do: `docs/regress.md` says what each is in Linux."""
Natural = Annotated[int, msgspec.Meta(ge=0)]
Rights = Annotated[str, msgspec.Meta(pattern="^[r-][w-][x-][ps]$")]


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """JSON without what is as by default."""


class Region(_Record, frozen=True, kw_only=True):
    """`pages` pages from VPN `start` on in the program's address space number `space`, where a VMA of this kind is at first (and after each "map").

    `kind`, `perm` (as in /proc/PID/maps) and `vmflags` (Linux' flags) are those of `LayoutChange`; `pgoff` is the first page shown of `file`.
    """

    space: Natural
    start: Natural
    pages: Annotated[int, msgspec.Meta(ge=1)]
    kind: Literal["anon", "heap", "stack", "file_priv", "file_shared", "shm"] = "anon"
    perm: Rights = "rw-p"
    vmflags: Natural = 0
    file: str | None = None
    pgoff: Natural = 0


class Action(_Record, frozen=True, kw_only=True):
    """One thing that a thread does after `pause_ns`.

    Attributes
    ----------
    do : one of `OPERATIONS`. region : its place among the program's. first, pages : where in the region; a fault is on page `first`.
    access, flags : of a fault's request. perm : the new rights of "protect". child : faults of the child of "fork".
    """

    do: Operation
    region: Natural = 0
    first: Natural = 0
    pages: Natural = 0
    pause_ns: Natural = 0
    access: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0
    flags: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    perm: Rights = "rw-p"
    child: tuple["Action", ...] = ()


class Thread(_Record, frozen=True, kw_only=True):
    """Its actions in order. `repeat` : over and over, until all threads that do not repeat have ended."""

    actions: tuple[Action, ...] = ()
    repeat: bool = False


class Conditions(_Record, frozen=True, kw_only=True):
    """What the program runs on.

    Attributes
    ----------
    preset, settings : of the engine. policy : one of `POLICIES`. mode : paging mode, "sv39" to "sv57". latency : of memory in cycles.
    pressure : percentage of cycles in which memory and ports are not ready. error_rate : part of the words read for faults that fail.
    adue : hardware sets A and D. unzeroed : frames of the free ring have other content, and the engine is told so.
    small_rings : rings of three entries that software sees to seldom. plant : a bug of `planted.Plant` by name; "" is none, in an engine without.
    """

    preset: str = "default"
    settings: dict[str, str] = {}
    policy: Literal["spec", "vma-lock", "mm-lock"] = "spec"
    mode: Literal["sv39", "sv48", "sv57"] = "sv48"
    latency: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 20
    pressure: Annotated[int, msgspec.Meta(ge=0, le=95)] = 0
    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    adue: bool = False
    unzeroed: bool = False
    small_rings: bool = False
    plant: str = ""


class Program(_Record, frozen=True, kw_only=True):
    """`seed` and `profile` : where it comes from."""

    seed: int
    profile: str
    conditions: Conditions
    regions: tuple[Region, ...] = ()
    threads: tuple[Thread, ...] = ()

    @property
    def faults(self) -> int:
        """Of the threads that do not repeat."""
        return sum(action.do == "fault" for thread in self.threads if not thread.repeat for action in thread.actions)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    @staticmethod
    def from_json(value: Any) -> "Program":
        """Raises `ValueError`, with the place, for what is no program."""
        program = msgspec.convert(value, Program)
        for number, thread in enumerate(program.threads):
            for action in thread.actions:
                _check(program, action, f"thread {number}")
        return program


def _check(program: Program, action: Action, where: str) -> None:
    if action.region >= len(program.regions):
        raise ValueError(f"{where}: there is no region {action.region}")
    for fault in action.child:
        if fault.do != "fault":
            raise ValueError(f"{where}: a child only makes faults, no {fault.do!r}")
        _check(program, fault, where)
