"""The kinds of fault of `seqfault bench fault`: the VMA, what is there before the fault, and the entry that has to be there after it.

The bits of entries are written down here on their own. [Priv 12.4.1; docs/software-contract.md, Frames]
"""

from collections.abc import Callable
from dataclasses import dataclass

from .bench_engine import BenchEngine
from .kernel import AddressSpace
from .kernel.constants import Access

__all__ = ["KINDS_OF_FAULT", "FaultKind"]

V, R, W, U, A, D, EXCLUSIVE = (1 << bit for bit in (0, 1, 2, 4, 6, 7, 8))
READABLE, OWN = V | R | U | A, V | R | W | U | A | D | EXCLUSIVE
PPN_SHIFT = 10
AROUND = 16
"""Pages of a fault-around window."""

Prepare = Callable[[BenchEngine, AddressSpace, int], int]
"""Makes a page what it is before its fault, unseen by the engine; returns the frame that the fault has to map, or 0 for one of its own."""


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """Parameters: `access`; `perm`, `vma` of the VMA as in a trace; `bits` of the entry afterwards; `prepare`; `stride` between measured pages."""

    access: Access
    bits: int
    prepare: Prepare
    perm: str = "rw-p"
    vma: str = "anon"
    stride: int = 1
    unzeroed: bool = False


def _nothing(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    return 0


def _zero(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    return engine.kernel.frames.zero


def _cached(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    """The page, which is the first of its window, and those after it are in the page cache."""
    vma = mm.layout.find(vpn)
    assert vma is not None
    frames = [engine.kernel.frames.cache.add(vma.page(page)) for page in range(vpn, min(vpn + AROUND, vma.end))]
    return frames[0]


def _cached_alone(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    """The page is in the page cache; a fault that copies it has a frame of its own."""
    vma = mm.layout.find(vpn)
    assert vma is not None
    engine.kernel.frames.cache.add(vma.page(vpn))
    return 0


def _shared(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    vma = mm.layout.find(vpn)
    assert vma is not None
    return engine.kernel.frames.cache.add(vma.page(vpn))


def _mapped_read_only(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    """A page of the cache is mapped: it is not this VMA's own."""
    mm.table.write(vpn, _shared(engine, mm, vpn) << PPN_SHIFT | READABLE)
    return 0


def _own_read_only(engine: BenchEngine, mm: AddressSpace, vpn: int) -> int:
    """A page of the VMA's own has lost its right to write, as by mprotect."""
    frame = engine.kernel.frames.take()
    mm.table.write(vpn, frame << PPN_SHIFT | READABLE | EXCLUSIVE)
    return frame


KINDS_OF_FAULT = {
    "anon-read": FaultKind(access=Access.LOAD, bits=READABLE, prepare=_zero),
    "anon-write": FaultKind(access=Access.STORE, bits=OWN, prepare=_nothing),
    "anon-write-unzeroed": FaultKind(access=Access.STORE, bits=OWN, prepare=_nothing, unzeroed=True),
    "file-read": FaultKind(access=Access.LOAD, bits=READABLE, prepare=_cached, vma="file_priv", stride=AROUND),
    "shared-write": FaultKind(access=Access.STORE, bits=OWN & ~EXCLUSIVE, prepare=_shared, perm="rw-s", vma="shm"),
    "file-write": FaultKind(access=Access.STORE, bits=OWN, prepare=_cached_alone, vma="file_priv"),
    "cow": FaultKind(access=Access.STORE, bits=OWN, prepare=_mapped_read_only, vma="file_priv"),
    "upgrade": FaultKind(access=Access.STORE, bits=OWN, prepare=_own_read_only),
}
