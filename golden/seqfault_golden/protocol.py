"""The protocol as a transition system over plain state: every step by its name. [protocol.md 0.2, 0.3; contract, Steps and outcomes]

A step function takes the state, for a reader's step the fault, and what the step observed; it raises `NotAllowed` or makes the change.
"""

from collections.abc import Callable

from . import commit_steps, exit_steps, find_steps, writer_steps
from .layout import Step

__all__ = ["READER_STEPS", "WRITER_STEPS"]

READER_STEPS: dict[Step, Callable[..., None]] = {
    Step.R0: find_steps.r0,
    Step.R1: find_steps.r1,
    Step.R2: find_steps.r2,
    Step.R3: find_steps.r3,
    Step.R4: find_steps.r4,
    Step.R5: find_steps.r5,
    Step.R6: find_steps.r6,
    Step.R7: find_steps.r7,
    Step.R8: commit_steps.r8,
    Step.R9: commit_steps.r9,
    Step.R10: commit_steps.r10,
    Step.R11: commit_steps.r11,
    Step.R12: commit_steps.r12,
    Step.R13: commit_steps.r13,
    Step.R14: commit_steps.r14,
    Step.R15: commit_steps.r15,
    Step.R16: commit_steps.r16,
    Step.R17: commit_steps.r17,
    Step.R18: commit_steps.r18,
    Step.UNDO: exit_steps.undo,
    Step.HANDOVER: exit_steps.handover,
    Step.ANSWER: exit_steps.answer,
    Step.MM_READ_LOCK: exit_steps.mm_read_lock,
    Step.MM_READ_UNLOCK: exit_steps.mm_read_unlock,
}
"""Steps of a fault: `step(state, fault, ...)`."""

WRITER_STEPS: dict[Step, Callable[..., None]] = {
    Step.MM_LOCK: writer_steps.mm_lock,
    Step.MM_UNLOCK: writer_steps.mm_unlock,
    Step.SEQ_BEGIN: writer_steps.seq_begin,
    Step.SEQ_END: writer_steps.seq_end,
    Step.PTE_LOCK: writer_steps.pte_lock,
    Step.PTE_CLEAR: writer_steps.pte_clear,
    Step.PTE_PROTECT: writer_steps.pte_protect,
    Step.PTE_UNLOCK: writer_steps.pte_unlock,
    Step.INVALIDATE: writer_steps.invalidate,
    Step.FENCE: writer_steps.fence,
    Step.SPACE_TABLE: writer_steps.space_table,
    Step.SPACE_VMAS: writer_steps.space_vmas,
}
"""Steps of the command unit: `step(state, ...)`."""
