"""The protocol itself: one small function per step, which names the sentence that it implements. [protocol.md 0.2, 0.3; contract]

The checker of the engine's events, the exploration of all interleavings and the functional replay take their steps from here. What a step reads
from memory is an argument; what it may change it reaches through `World` and `Fault`.
"""

from . import commit_steps, exit_steps, find_steps, retry_steps, srcu_steps, writer_steps
from .plan import Plan
from .world import POLICIES, RETRIED, Fault, NotAllowed, NotYet, Phase, Safeguard, World

__all__ = [
    "POLICIES", "RETRIED", "Fault", "NotAllowed", "NotYet", "Phase", "Plan", "Safeguard", "World", "commit_steps", "exit_steps", "find_steps",
    "retry_steps", "srcu_steps", "writer_steps",
]  # fmt: skip
