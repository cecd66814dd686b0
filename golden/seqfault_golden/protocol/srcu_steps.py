"""SRCU: sleepable read sections, and grace periods of two scans with a flip between them. [protocol.md 3]

A step is one access to what CPUs share: a reader's lock is two steps, and the worker sums counters one by one. Steps are sequentially consistent
here; the barriers A to E are what makes them so on a CPU.
"""

from collections.abc import Iterable
from typing import Protocol

from .world import Safeguard

__all__ = [
    "Counters", "Srcu", "add_locks", "add_unlocks", "call_srcu", "end", "fetch_index", "first_bank", "flip", "lock", "second_bank", "start", "unlock",
]  # fmt: skip


class Counters(Protocol):
    """What one CPU has counted in one bank; both only grow."""

    lock: int
    unlock: int


class Srcu(Protocol):
    """The structure; callbacks are bits of a mask."""

    removed: frozenset[Safeguard]
    idx: int
    """The low bit of the counter: the bank that new readers use."""
    waiting: int
    """Callbacks that no grace period has taken yet."""
    batch: int
    """Callbacks that run at the end of this grace period."""

    def counters(self, cpu: int, bank: int) -> Counters:
        """The CPU's counters of a bank."""


# --- readers ----------------------------------------------------------------------------------------------------------


def fetch_index(srcu: Srcu) -> int:
    """ "Reader lock: `i = idx & 1`": the bank. A reader may stall here for as long as it likes: "No test, no loop"."""
    return srcu.idx


def lock(srcu: Srcu, cpu: int, bank: int) -> None:
    """ "`lock[i]++` (this CPU)": from here on the section has begun."""
    srcu.counters(cpu, bank).lock += 1


def unlock(srcu: Srcu, cpu: int, bank: int) -> None:
    """ "`unlock[i]++` (whatever CPU)": in the bank that the lock returned."""
    srcu.counters(cpu, bank if Safeguard.SRCU_SAME_BANK not in srcu.removed else srcu.idx).unlock += 1


# --- updaters ---------------------------------------------------------------------------------------------------------


def call_srcu(srcu: Srcu, callback: int) -> None:
    """ "returns at once; fn runs in process context after a full GP"."""
    srcu.waiting |= 1 << callback


# --- grace periods ----------------------------------------------------------------------------------------------------


def start(srcu: Srcu) -> None:
    """A grace period begins for the callbacks that wait now; those that come later wait for the next one."""
    srcu.batch, srcu.waiting = srcu.waiting, 0


def first_bank(srcu: Srcu) -> int:
    """ "SCAN1: wait until bank `idx^1` idle (readers that fetched an old idx long ago)"."""
    return srcu.idx ^ 1


def add_unlocks(srcu: Srcu, total: int, cpu: int, bank: int) -> int:
    """ "`u = sum(unlock[i])`"; "Unlocks must be summed first"."""
    return total + srcu.counters(cpu, bank).unlock


def add_locks(srcu: Srcu, total: int, cpu: int, bank: int) -> int:
    """ "`l = sum(lock[i])`; idle iff `l == u`"."""
    return total + srcu.counters(cpu, bank).lock


def flip(srcu: Srcu) -> None:
    """ "`idx++`": "Readers arriving after the flip use the other bank, so SCAN2 is not starved"."""
    srcu.idx ^= 1


def second_bank(srcu: Srcu, active: int) -> int:
    """ "SCAN2: wait until the bank that was active before the flip is idle": found from `idx` as it is now, as the kernel does."""
    return srcu.idx ^ 1 if Safeguard.SRCU_BANK_FROM_IDX not in srcu.removed else active


def end(srcu: Srcu) -> Iterable[int]:
    """ "End; run callbacks": those that the grace period began with."""
    ready = srcu.batch
    if Safeguard.SRCU_BATCH in srcu.removed:
        ready |= srcu.waiting
        srcu.waiting = 0
    srcu.batch = 0
    return [callback for callback in range(ready.bit_length()) if ready >> callback & 1]
