"""The races and bugs of protocol.md section 8, and the cases that show each."""

from dataclasses import dataclass

__all__ = ["RACES", "Race"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """`cases`: (scenario, removed safeguards as on the command line) that show it; `reason`: why it cannot be expressed, if it has none."""

    number: str
    title: str
    cases: tuple[tuple[str, str], ...] = ()
    reason: str = ""


RACES: tuple[Race, ...] = (
    Race(number="R1", title="mremap destination window", cases=(("mremap", "destination-odd"), ("mremap", "section-covers-move"))),
    Race(number="R2", title="fork copy loses a write", cases=(("fork", "flush-in-section"), ("fork", "sequence"))),
    Race(number="R3", title="huge collapse", cases=(("collapse", "c2+sequence"),)),
    Race(number="R4", title="deadlock of PTE lock and IPI", cases=(("munmap-ipi", "trylock"),)),
    Race(number="R5", title="fast mremap uses a table after it is gone", cases=(("table-move", "exclusive-reference"),)),
    Race(number="R6", title="PTE lock freed while held", cases=(("munmap", "zap-lock"),)),
    Race(number="R7", title="unstable upper entry", cases=(("munmap", "walk-pin"),)),
    Race(number="R8", title="two writers on one sequence", cases=(("two-writers", "exclusive-writer"),)),
    Race(number="R9", title="notifier registration against a speculative copy", cases=(("notifier", "sequence"),)),
    Race(number="R10", title="anon_vma tested before the lock", cases=(("mprotect", "predicates-after-snapshot"),)),
    Race(number="R11", title="a bump is missing (dup_anon_vma, mbind)", cases=(("mprotect", "sequence"),)),
    Race(
        number="R12",
        title="unlock without release, check without acquire",
        cases=(("mprotect", "release"), ("mprotect", "predicates-after-snapshot")),
    ),
    Race(number="R13", title="StackRot", cases=(("stack-rot", "expansion-write-lock"),)),
    Race(number="R14", title="VMA visible before it is final", cases=(("insert", "insert-odd"),)),
    Race(number="R15", title="refcount put, then wake on a dead mm", cases=(("vma-refcount", "pin-foreign-mm"),)),
    Race(number="R16", title="stale TLB after mremap", cases=(("mremap-truncate", "flush-under-lock"),)),
    Race(number="R17", title="whole-table move against retract_page_tables", cases=(("table-move-retract", "recheck-pmd"),)),
    Race(number="R18", title="munmap of VM_PFNMAP against unmap_mapping_range", cases=(("driver-page", "flush-before-rmap"),)),
    Race(number="R19", title="userfault write-protection with the flush put off", cases=(("write-protect", "pending-flush"),)),
    Race(number="R20", title="GUP-fast against collapse", cases=(("gup-collapse", "wait-for-walkers"), ("gup-collapse-rcu", "gup-pmd-recheck"))),
    Race(number="R21", title="GUP-fast pin against fork", cases=(("gup-fork", "write-protect-seq"),)),
    Race(number="R22", title="userfault loses its wake-up", cases=(("userfault", "enqueue-first"), ("userfault", "state-first"))),
    Race(number="R23", title="userfault, MADV_DONTNEED and a single retry", cases=(("userfault-dontneed", "keep-allow-retry"),)),
    Race(number="R24", title="spurious error from speculation", cases=(("split", "errors-to-slow-path"),)),
    Race(number="R25", title="leaked reference on abort", cases=(("file-fault", "undo"),)),
)
