"""All proofs, by name: specification, block and its parameters, planted bugs, and how deep to look."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring

from seqfault_rtl.config import EngineConfig
from seqfault_rtl.l2_tlb import L2Tlb
from seqfault_rtl.mm_locks import MmLocks
from seqfault_rtl.mmu import Mmu
from seqfault_rtl.page_walk_cache import PageWalkCache
from seqfault_rtl.pte_locks import PteLocks
from seqfault_rtl.round_robin import RoundRobin
from seqfault_rtl.sequence_table import SequenceTable
from seqfault_rtl.srcu import Srcu
from seqfault_rtl.stream_merge import StreamMerge
from seqfault_rtl.tlb import Tlb
from seqfault_rtl.walk_stale import WalkStale
from seqfault_rtl.walker import Walker

from . import l2_tlb, mm_locks, mmu, page_walk_cache, pte_locks, round_robin, sequence_table, srcu, stream_merge, tlb, walk_stale, walker
from .spec import Spec

__all__ = ["PROOFS", "Proof"]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One statement about one block.

    Parameters
    ----------
    spec : the specification; its docstring's first paragraph is the statement.
    block : what it is about.
    parameters : how the block is made, for the block and for the planted bugs.
    planted : versions of the block with a bug that breaks the statement; or that of `planted_spec`, the same with smaller numbers.
    depth : cycles from reset that are searched for a counter-example, also in the planted bugs.
    induction : the largest k that is tried; 0: the statement is checked for `depth` cycles only.
    quick : takes a few seconds; part of the tests.
    """

    name: str
    spec: type[Spec]
    block: Callable[..., wiring.Component]
    parameters: tuple[Any, ...]
    planted: tuple[type[wiring.Component], ...]
    depth: int
    induction: int
    quick: bool = True
    planted_spec: type[Spec] | None = None

    @property
    def statement(self) -> str:
        """What is proved, in one sentence."""
        return " ".join((self.spec.__doc__ or "").split("\n\n")[0].split())

    def top(self, bug: str | None = None, *, lemmas: bool = True) -> Spec:
        """The design to look at: the block, or the one with the planted bug of this name (which no lemma may find), in its specification."""
        if bug is None:
            return self.spec(self.block(*self.parameters), lemmas=lemmas)
        return (self.planted_spec or self.spec)(self.bugs[bug](*self.parameters), lemmas=False)

    @property
    def bugs(self) -> dict[str, type[wiring.Component]]:
        """The planted bugs by name."""
        return {re.sub(r"(?<!^)(?=[A-Z])", "-", bug.__name__).lower(): bug for bug in self.planted}


SMALL = EngineConfig(contexts=3, spaces=4, sequence_entries=4)
"""Enough of everything for interference: three readers and a writer, four rows of a table."""
CALLS = EngineConfig(srcu_calls=4)
"""Two grace periods with two calls each, one in the other's way."""
CACHES = EngineConfig(spaces=4, levels=3, walk_cache=4)
"""Sv32 and Sv39, four pointers per level."""
TLB = EngineConfig(spaces=4, levels=3, tlb_entries=3)
"""Three entries for pages of six sizes (Sv32, Sv39, Svnapot)."""
WALKS = EngineConfig(ports=1, spaces=4, levels=3, walks=2, walk_cache=2, svadu=False, l2_sets=0)
"""Two walks in flight."""
MMU = EngineConfig(
    ports=1, spaces=2, levels=3, tlb_entries=2, port_misses=2, walks=2, walk_cache=2, sv32=False, svadu=False, l2_sets=0,
)  # fmt: skip
"""One port and no L2 TLB, which is proved by itself."""
L2 = l2_tlb.with_sets(EngineConfig(spaces=2, levels=3, l2_sets=16, l2_ways=2, sv32=False), 2)
"""Two sets for 4 KiB pages with two ways each, and two for each other size."""

_ALL = (
    Proof(
        name="tlb-no-stale", spec=tlb.NoStaleEntry, block=Tlb, parameters=(TLB,),
        planted=(tlb.KeepsSuperpages, tlb.FillWins, tlb.SparesGlobals), depth=8, induction=2,
    ),
    Proof(
        name="tlb-one-match", spec=tlb.OneMatch, block=Tlb, parameters=(TLB,), planted=(tlb.DoubleEntries,), depth=8, induction=2,
    ),
    Proof(
        name="round-robin", spec=round_robin.Fairness, block=RoundRobin, parameters=(5,),
        planted=(round_robin.KeepsTurn, round_robin.CountsFirst), depth=12, induction=4,
    ),
    Proof(
        name="stream-merge", spec=stream_merge.Conservation, block=StreamMerge, parameters=(stream_merge.Item, 3),
        planted=(stream_merge.Overwrites, stream_merge.TakesTwo), depth=12, induction=4,
    ),
    Proof(
        name="pte-locks", spec=pte_locks.Exclusion, block=PteLocks, parameters=(SMALL,),
        planted=(pte_locks.ForgetsCommand, pte_locks.LooksAtLowBits), depth=12, induction=4,
    ),
    Proof(
        name="mm-locks", spec=mm_locks.ReadersAndWriter, block=MmLocks, parameters=(SMALL,),
        planted=(mm_locks.IgnoresReaders, mm_locks.IgnoresWriter), depth=12, induction=4,
    ),
    Proof(
        name="sequence-table", spec=sequence_table.UnchangedMeansUntouched, block=SequenceTable, parameters=(SMALL,),
        planted=(sequence_table.EndRestores, sequence_table.SharedCount), depth=12, induction=4,
    ),
    Proof(
        name="srcu", spec=srcu.GracePeriod, block=Srcu, parameters=(CALLS,),
        planted=(srcu.NoFlip, srcu.FetchesEarly, srcu.LeavesActiveBank, srcu.JoinsRunning, srcu.OverwritesWhenFull), depth=12, induction=4,
    ),
    Proof(
        name="page-walk-cache", spec=page_walk_cache.NoStalePointer, block=PageWalkCache, parameters=(CACHES,),
        planted=(page_walk_cache.LeavesOthers, page_walk_cache.IgnoresHalf, page_walk_cache.KeepsTable), depth=10, induction=3,
    ),
    Proof(
        name="walk-stale", spec=walk_stale.StaleIfHit, block=WalkStale, parameters=(WALKS,),
        planted=(walk_stale.IgnoresNapot, walk_stale.SparesLevels), depth=10, induction=2,
    ),
    Proof(
        name="walker-once", spec=walker.AnswersOnce, block=Walker, parameters=(WALKS,),
        planted=(walker.AnswersTwice, walker.LosesRead), depth=8, induction=2,
    ),
    Proof(
        name="walker-in-time", spec=walker.EndsInTime, block=Walker, parameters=(WALKS,),
        planted=(walker.LosesRead,), planted_spec=walker.EndsInTimeSoon,
        depth=26, induction=26, quick=False,
    ),
    Proof(
        name="l2-tlb-no-stale", spec=l2_tlb.NoStaleEntry, block=L2Tlb, parameters=(L2,), planted=(l2_tlb.FillGoesOn, l2_tlb.StopsEarly),
        depth=12, induction=2, quick=False,
    ),
    Proof(
        name="mmu-fresh-leaf", spec=mmu.FreshLeaf, block=Mmu, parameters=(MMU,),
        planted=(mmu.FillsStale, mmu.JoinsOldWalk, mmu.FillsLate, mmu.KeepsEntry, mmu.TakesStoresForLoads, mmu.TakesNeighbour),
        depth=13, induction=0, quick=False,
    ),
)  # fmt: skip

PROOFS: dict[str, Proof] = {proof.name: proof for proof in _ALL}
