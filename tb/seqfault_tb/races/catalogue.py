"""The races of protocol.md 8, all of them, as they are here."""

from .changing import EarlyVma, NewBacking, RegisteredVma, SpuriousError, TornRecord, TwoWriters
from .lookups import ReplacedNodes, ReusedRecord
from .moving import FastMove, MovedTable, MremapDestination, StaleAfterMove
from .pages import AbortedCopy, BusyLock, CopyAndDrop, GoneFilePage, LostWakeUp
from .scenario import ORDERS, Race
from .sharing import DeviceStore, ForkCopy, OtherTranslation, WriteProtected
from .tables import Collapse, FreedDirectory, FreedTable, WalkOfCollapsed

__all__ = ["RACES"]


SECTION, FLUSH, FENCE, WAIT = ("SEQ.BEGIN", "SEQ.END"), ("IOTINVAL.VMA",), ("PR",), ("wait",)


def _met(*names: str) -> frozenset[str]:
    return ORDERS | frozenset(names)


_RACES = (
    Race(
        number="R1", title="mremap destination window",
        safeguard=SECTION, scenario=MremapDestination, plant="NO_RECHECK", meets=_met("odd", "changed", "retried", "classic"),
        here="a store at the destination of MREMAP_FIXED",
        operation="mremap: section of both VMAs, new tree, ZAP, fence, entries moved, IOTINVAL.VMA",
        holds="the page that moved is there with the last data written, none is left at the source",
    ),
    Race(
        number="R2", title="fork copy loses a write",
        safeguard=FLUSH, scenario=ForkCopy, plant="TLB_KEPT", meets=_met("odd", "changed", "walk_c2", "retried"),
        here="a store of one thread, while another one writes through its TLB all the time",
        operation="fork: section, PROTECT with SHARE, IOTINVAL.VMA, fence, entries copied",
        holds="the parent's page has the last write of either thread, the child's what was there at some moment of the fork",
    ),
    Race(
        number="R3", title="huge collapse",
        safeguard=SECTION, scenario=Collapse, plant="NO_RECHECK", meets=_met("odd", "changed"),
        here="a store to a page of the range",
        operation="collapse: section, fence, table taken out, IOTINVAL.VMA, fence, pages copied, huge page put in",
        holds="every page's data are in the huge page",
    ),
    Race(
        number="R4", title="deadlock of PTE lock and IPI",
        scenario=BusyLock, plant="ZAP_WITHOUT_LOCK", meets=_met("ptl_wait", "ptl_busy"),
        here="two stores, one ATOMIC, that want the PTE lock which a long ZAP holds; the fence behind it waits for them, as the IPI does",
        operation="MADV_DONTNEED of the neighbours, fence",
        holds="all end; the store is served",
    ),
    Race(
        number="R5", title="fast mremap uses a table after it is gone",
        safeguard=SECTION, scenario=FastMove, plant="NO_RECHECK", meets=_met("no_vma", "speculative", "refused"),
        here="a store at the source of a whole table's move",
        operation="mremap: section, new tree, fence, table moved, IOTINVAL.VMA",
        holds="the store's page is in the table that moved if it was served, and nowhere if it was refused",
    ),
    Race(
        number="R6", title="PTE lock freed while held",
        scenario=FreedTable, plant="ZAP_WITHOUT_LOCK", meets=_met("no_vma", "speculative", "refused"),
        here="a load that maps pages around its own in a table that goes; the lock is a place in the engine, not in the table",
        operation="munmap: section, new tree, ZAP, fence, table taken out, IOTINVAL.VMA",
        holds="no entry is written to the table after it is free",
    ),
    Race(
        number="R7", title="unstable upper entry",
        safeguard=WAIT, scenario=FreedDirectory, plant="NO_RECHECK", meets=_met("no_vma", "speculative", "refused"),
        here="a store below two levels of tables that go, and have garbage in them as soon as their fence has completed",
        operation="munmap: section, new tree, ZAP, fence, both tables taken out, IOTINVAL.VMA, fence, reuse",
        holds="nobody follows or overwrites the garbage",
    ),
    Race(
        number="R8", title="two writers on one sequence",
        safeguard=SECTION, scenario=TwoWriters, plant="ODD_ACCEPTED", meets=_met("odd", "changed", "speculative", "refused"),
        here="a store while two ids of one sequence entry are written, one within the other; the entry counts its writers",
        operation="SEQ.BEGIN a, SEQ.BEGIN b, SEQ.END b, fence, record read-only, PROTECT, IOTINVAL.VMA, SEQ.END a",
        holds="no writable entry in a read-only VMA; the sequence is even again",
    ),
    Race(
        number="R9", title="notifier registration against a speculative copy",
        scenario=OtherTranslation, plant="FILL_AFTER_INVALIDATE", meets=_met("speculative", "raced", "ptl_wait"),
        here="a copy on write; the device is another requester port, whose TLB hears of every FLUSH without registering",
        operation="the other port's first load of the page",
        holds="a load after the copy gets the copy",
    ),
    Race(
        number="R10", title="anon_vma tested before the lock",
        safeguard=SECTION, scenario=RegisteredVma, plant="ODD_ACCEPTED", meets=_met("odd", "changed", "userfault"),
        here="a predicate (userfault, missing) that changes after the VMA was found",
        operation="UFFDIO_REGISTER: section, fence, record edited in place",
        holds="a page that was not there at its end comes from user space",
    ),
    Race(
        number="R11", title="a bump is missing (dup_anon_vma, mbind)",
        safeguard=SECTION, scenario=NewBacking, plant="ODD_ACCEPTED", meets=_met("odd", "changed", "classic"),
        here="what the record points to (the page cache of its file) is replaced, as mbind replaces the policy",
        operation="MAP_FIXED: section, new tree, ZAP, IOTINVAL.VMA, fence",
        holds="no page of the old file is mapped or translated",
    ),
    Race(
        number="R12", title="unlock without release, check without acquire",
        safeguard=SECTION, scenario=TornRecord, plant="ODD_ACCEPTED", meets=_met("odd", "changed"),
        here="the words of a record written with pauses between them: a reader sees any mixture, and memory is ordered by commands and fences",
        operation="section, fence, four words of the record, ZAP, IOTINVAL.VMA",
        holds="offset and rights of an entry are of one version",
    ),
    Race(
        number="R13", title="StackRot",
        safeguard=FENCE, scenario=ReplacedNodes, plant="FENCE_FORGETS_FAULTS", meets=_met("speculative"),
        here="a store whose VMA stays, while the nodes above it are replaced; old ones have garbage in them as soon as their fence has completed",
        operation="munmap of both neighbours: section, new tree, ZAP, fence",
        holds="the store is served, and not by software",
    ),
    Race(
        number="R14", title="VMA visible before it is final",
        safeguard=SECTION, scenario=EarlyVma, plant="ODD_ACCEPTED", meets=_met("odd", "changed", "bounds", "access"),
        here="a store to a VMA that is published writable and becomes read-only in the same section",
        operation="mmap: section of the new id, new tree, fence, record edited",
        holds="no store is served, no entry is writable",
    ),
    Race(
        number="R15", title="refcount put, then wake on a dead mm",
        safeguard=WAIT, scenario=ReusedRecord, plant="NO_RECHECK", spaces=2, meets=_met("no_vma", "speculative", "refused"),
        here="a fault has no count to put; the record and the id that it uses go to another address space, behind a fence",
        operation="munmap, fence, the record and the id reused by another address space",
        holds="neither address space has an entry of the other's VMA",
    ),
    Race(
        number="R16", title="stale TLB after mremap",
        safeguard=FLUSH, scenario=StaleAfterMove, plant="FILL_AFTER_INVALIDATE", meets=_met("software", "refused"),
        here="a load through a TLB that has the old address; loads without flags, so that what the TLB says is the answer",
        operation="mremap of the page, MADV_DONTNEED of its new place",
        holds="no load after the move's fence is translated",
    ),
    Race(
        number="R17", title="whole-table move against retract_page_tables",
        safeguard=SECTION, scenario=MovedTable, plant="MM_LOCK_IGNORED", meets=_met("odd", "changed", "classic"),
        here="the engine makes a table where software is to move one: the upper entry is looked at after the fence",
        operation="mremap onto a VMA: section, new tree, ZAP, fence, table moved, IOTINVAL.VMA",
        holds="the page that moved is there, a page of before is not, no table is lost",
    ),
    Race(
        number="R18", title="munmap of VM_PFNMAP against unmap_mapping_range",
        safeguard=FLUSH, scenario=GoneFilePage, plant="TLB_KEPT", meets=_met("odd", "changed", "refused"),
        here="loads of a file's page through two mappings; munmap of one, then the page goes out of the page cache by way of the other alone",
        operation="munmap; then section of the other VMA, ZAP, IOTINVAL.VMA, fence, slot cleared",
        holds="no load after that gets the old frame",
    ),
    Race(
        number="R19", title="userfault write-protection with the flush put off",
        safeguard=FLUSH, scenario=WriteProtected, plant="TLB_KEPT", meets=_met("userfault", "refused"),
        here="a store of one thread, while another one writes through its TLB until it is refused; the flush cannot be put off beyond the section",
        operation="UFFDIO_WRITEPROTECT: section, fence, entries with UFFD_WP, IOTINVAL.VMA",
        holds="the page has the last write of either thread",
    ),
    Race(
        number="R20", title="GUP-fast against collapse",
        safeguard=FLUSH, scenario=WalkOfCollapsed, plant="TLB_KEPT", meets=_met("odd", "changed"),
        here="a walk of the engine is GUP-fast: it takes no lock; the withdrawn table has garbage in it behind the fence",
        operation="collapse, as R3",
        holds="the walk gets the page's frame of before or after",
    ),
    Race(
        number="R21", title="GUP-fast pin against fork",
        safeguard=FLUSH, scenario=DeviceStore, plant="TLB_KEPT", spaces=2, meets=_met("changed", "speculative"),
        here="another requester gets a translation for stores; there are no pins, it must ask again after IOTINVAL.VMA",
        operation="fork, as R2",
        holds="the requester and its process use one page, the child another",
    ),
    Race(
        number="R22", title="userfault loses its wake-up",
        safeguard=SECTION, scenario=LostWakeUp, plant="ODD_ACCEPTED", meets=_met("userfault", "changed", "odd", "software"),
        here="two userfaults; the queue is the page-request queue, the wake-up ATS.PRGR",
        operation="UFFDIO_COPY: section, fence, entry, IOTINVAL.VMA",
        holds="both are served, with one page",
    ),
    Race(
        number="R23", title="userfault, MADV_DONTNEED and a single retry",
        safeguard=SECTION, scenario=CopyAndDrop, plant="ODD_ACCEPTED", meets=_met("userfault", "changed", "odd", "software"),
        here="two userfaults whose page comes and goes; TRIED does not take ALLOW_RETRY away",
        operation="UFFDIO_COPY, then MADV_DONTNEED",
        holds="nobody is refused",
    ),
    Race(
        number="R24", title="spurious error from speculation",
        safeguard=SECTION, scenario=SpuriousError, plant="ODD_ACCEPTED", meets=_met("odd", "changed", "access", "refused"),
        here="stores without flags, whose errors are final: one in the part of a VMA that stays writable, one where the right is granted",
        operation="mprotect of both: section, new tree or record, PROTECT, IOTINVAL.VMA",
        holds="the first is never refused, the second only if it was made before the right was granted",
    ),
    Race(
        number="R25", title="leaked reference on abort",
        scenario=AbortedCopy, plant="FRAME_LOST", meets=_met("odd", "changed", "changed_c1"),
        here="a private copy of a file's page; attempts that have filled a frame are undone",
        operation="MADV_DONTNEED: section, ZAP, IOTINVAL.VMA, fence",
        holds="every frame is somewhere (checked for all races); what is mapped is a whole copy",
    ),
)  # fmt: skip
RACES: dict[str, Race] = {race.number: race for race in _RACES}
"""By number."""
