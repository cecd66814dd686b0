"""The golden model of seqfault, from the specifications: RISC-V translation and the lock-free fault protocol. Imports nothing of ours."""

from .checker import Checker
from .layout import Access, How, Outcome, Status, Step, StepEvent
from .protocol import READER_STEPS, WRITER_STEPS
from .state import Fault, NotAllowed, Phase, State
from .translate import EXCEPTION, REASON, BusError, Cause, Features, PagingMode, Privilege, Refusal, Translation, translate

__all__ = [
    "EXCEPTION", "READER_STEPS", "REASON", "WRITER_STEPS", "Access", "BusError", "Cause", "Checker", "Fault", "Features", "How",
    "NotAllowed", "Outcome", "PagingMode", "Phase", "Privilege", "Refusal", "State", "Status", "Step", "StepEvent", "Translation",
    "translate",
]  # fmt: skip
