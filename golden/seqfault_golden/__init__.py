"""The golden model of seqfault, from the specifications: RISC-V translation and the lock-free fault protocol. Imports nothing of ours."""

from .check import Checker, Fault, State
from .layout import Access, How, Outcome, Status, Step, StepEvent
from .protocol import NotAllowed, Phase, Safeguard
from .translate import EXCEPTION, REASON, BusError, Cause, Features, PagingMode, Privilege, Refusal, Translation, translate

__all__ = [
    "EXCEPTION", "REASON", "Access", "BusError", "Cause", "Checker", "Fault", "Features", "How", "NotAllowed", "Outcome", "PagingMode",
    "Phase", "Privilege", "Refusal", "Safeguard", "State", "Status", "Step", "StepEvent", "Translation", "translate",
]  # fmt: skip
