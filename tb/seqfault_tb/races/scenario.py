"""What a race is: a scenario (set-up, fault, writer, what must hold at the end), and what a sweep of it must have met."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..kernel import FaultReport, LayoutChange
from ..kernel.constants import Status

if TYPE_CHECKING:
    from .bench import RaceBench

__all__ = ["BASE", "LOAD", "ORDERS", "PAGES", "STORE", "Race", "RaceLost", "Scenario", "clear", "moved", "vma"]

LOAD, STORE = 0, 1
ORDERS = frozenset({"fault first", "writer first", "at once"})
"""How fault and writer may lie in time."""
BASE = 0x7_0000_0000
"""VPN where the scenarios' memory begins: the first page of a GiB."""
PAGES = 8
"""Of the VMA that a scenario has if it says nothing else."""


class RaceLost(AssertionError):
    """What must hold does not: the message says what."""


class Scenario:
    """One run of a race, in an address space of its own: all pages, VMAs and tables are fresh. `fault` and `write` start at the swept moments.

    Attributes
    ----------
    bench : kernel and requesters. report : of `fault`. began, ended : cycles in which `write` started and had ended (its last fence); 0: not yet.
    over : both have ended.
    """

    def __init__(self, bench: "RaceBench") -> None:
        self.bench = bench
        self.report: FaultReport | None = None
        self.began = self.ended = 0
        self.over = False

    def layout(self) -> list[LayoutChange]:
        return [vma(BASE, PAGES)]

    async def set_up(self) -> None:
        """Before the run. Here: software has put the last page there, and so the tables; the engine's caches are cold."""
        await self.bench.give(BASE + PAGES - 1)
        self.bench.mm.table.touch(BASE)

    async def fault(self) -> None:
        """The fault. Here: the first store to the first page, with data."""
        self.report = await self.bench.store(BASE, 1)

    async def write(self) -> None:
        """The writer's operation."""
        raise NotImplementedError

    async def beside(self) -> None:
        """What others do meanwhile, until `over`."""

    async def check(self) -> None:
        """Both have ended. Raises `RaceLost`; it may make further requests."""

    async def tidy(self) -> None:
        """Before the address space goes."""

    # --- what checks say ------------------------------------------------------------------------------------------------

    @property
    def served(self) -> bool:
        """The fault got what it asked for."""
        assert self.report is not None
        return self.report.answer.status == Status.OK

    @property
    def came_late(self) -> bool:
        """The request that was answered last was made when the writer had ended."""
        assert self.report is not None
        return 0 < self.ended < self.report.answer.issued

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            raise RaceLost(what)

    def expect_frame(self, vpn: int, frame: int, what: str) -> None:
        found = self.bench.frame(vpn)
        self.expect(found == frame, f"{what}: page {vpn:#x} has frame {found:#x}, not {frame:#x}")

    def expect_gone(self, *pages: int) -> None:
        for vpn in pages:
            found = self.bench.frame(vpn)
            self.expect(not found, f"page {vpn:#x} is still mapped, to frame {found:#x}")


@dataclass(frozen=True, kw_only=True)
class Race:
    """A race of protocol.md 8.

    Parameters
    ----------
    number, title : there. here : what the engine and its contract have in its place. operation : the writer's. holds : what must hold at the end.
    safeguard : commands that keep the race from being lost, of the writer; "PR": that its fences wait. None: the engine's own.
    scenario : makes a run. spaces : of the engine that its address spaces share.
    meets : what a sweep under policy spec must have met: "fault first", "writer first", how faults ended, and why steps failed.
        Under the others, `ORDERS`. plant : the `Plant` of the RTL that a sweep notices.
    """

    number: str
    title: str
    here: str
    operation: str
    holds: str
    scenario: Callable[["RaceBench"], Scenario]
    safeguard: tuple[str, ...] = ()
    meets: frozenset[str]
    plant: str
    spaces: int = 1


def vma(start: int, pages: int, perm: str = "rw-p", kind: str = "anon", file: object = None, pgoff: int = 0, vmflags: int = 0) -> LayoutChange:
    """[start, start + pages) is one VMA."""
    return LayoutChange(op="set", start=start, end=start + pages, perm=perm, kind=kind, file=file, pgoff=pgoff, vmflags=vmflags)


def clear(start: int, pages: int) -> LayoutChange:
    return LayoutChange(op="clear", start=start, end=start + pages)


def moved(start: int, to: int, pages: int) -> list[LayoutChange]:
    """The layout after mremap of an anonymous writable VMA."""
    return [vma(to, pages), clear(start, pages)]
