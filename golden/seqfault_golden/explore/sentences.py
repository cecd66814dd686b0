"""The steps of a fault in words, by what it does next."""

from ..protocol.world import Phase

__all__ = ["SENTENCES"]

SENTENCES = {
    Phase.R1: ("R1", "finds the VMA in the index and pins it"),
    Phase.R2: ("R2", "reads the VMA's sequence, which must be even"),
    Phase.R3: ("R3", "reads vma_flags; type filter"),
    Phase.R4: ("R4", "reads vma_page_prot"),
    Phase.R5: ("R5-R6", "bounds, and permission by the snapshot"),
    Phase.R7: ("R7", "walks: reads the entry of one level"),
    Phase.R8: ("R8", "reads the sequence again (early filter)"),
    Phase.PAGE: ("PAGE", "looks the page up in the page cache"),
    Phase.R9: ("R9", "allocates a frame, where it needs one"),
    Phase.FILL: ("FILL", "copies the page"),
    Phase.R10: ("R10", "pins the walker"),
    Phase.R11: ("C1", "R11: is the VMA linked, and its sequence as it was?"),
    Phase.R12: ("C2", "R12: does the pmd entry still point to the same table?"),
    Phase.R13: ("R13", "tries the PTE lock"),
    Phase.R14: ("C3", "R14: under the PTE lock: linked, and sequence as it was?"),
    Phase.R15: ("R15", "unpins the walker"),
    Phase.R16: ("C4", "R16: is the pte still what R7 saw?"),
    Phase.R17: ("R17", "commits: writes the pte"),
    Phase.CLEAR: ("CLEAR", "C4: is the pte still what R7 saw? clears it, and releases its frame"),
    Phase.FLUSH: ("FLUSH", "the TLBs of all CPUs are flushed of the page"),
    Phase.AROUND: ("AROUND", "maps the other pages of its window that are in the page cache"),
    Phase.TABLE: ("TABLE", "drops the lock of the table that has the entry; walks again"),
    Phase.R18: ("R18", "drops the PTE lock; the CPU walks again and loads the translation"),
    Phase.FAILED: ("UNDO", "gives back what it holds"),
    Phase.MAPPED: ("ANSWER", "the page was mapped already"),
    Phase.COMMITTED: ("MM_READ_UNLOCK", "drops the mm lock; the fault is resolved"),
}
