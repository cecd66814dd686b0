"""Cover points of the command unit, its races with faults, and of queues."""

from .declare import Cross, Left, Point, left_out

__all__ = ["COMMAND_POINTS", "PHASES", "QUEUES"]

RACING = (
    "MM_LOCK", "MM_UNLOCK", "SEQ_BEGIN", "SEQ_END", "PTE_LOCK", "PTE_CLEAR", "PTE_PROTECT", "PTE_UNLOCK", "INVALIDATE", "SPACE_VMAS", "FENCE",
)  # fmt: skip
IN_TABLE = ("PTE_LOCK", "PTE_CLEAR", "PTE_PROTECT", "PTE_UNLOCK")
PHASES = ("R0", "R6", "R7", "PAGE", "R9", "FILL", "R12", "waits", "R13", "R15", "R17", "CLEAR", "FLUSH", "AROUND", "TABLE", "UNDO", "HANDOVER")
"""The last step that a speculative fault has taken; `waits`: it waits for a PTE lock."""
LOCKED = ("R13", "R15", "R17", "CLEAR", "FLUSH", "AROUND")
NO_ENTRY = ("R0", "R6", "TABLE")
QUEUES = (
    "command queue full", "command queue wrapped", "page-request queue full", "page-request queue wrapped", "free ring empty", "free ring full",
    "free ring wrapped", "released ring full", "released ring wrapped",
)  # fmt: skip

COMMAND_POINTS: tuple[Point, ...] = (
    Cross.make(
        "command meets fault",
        "The command unit took this step while a speculative fault was after that one, in its VMA (SEQ), table (PTE), page (INVALIDATE) or space.",
        RACING, PHASES,
        (IN_TABLE, LOCKED, Left("the fault holds the lock of that table")),
        (IN_TABLE, NO_ENTRY, Left("the fault has no entry yet")),
        (("SEQ_BEGIN", "SEQ_END"), ("UNDO", "HANDOVER"), Left("the fault is at no VMA any more")),
        (IN_TABLE, ("UNDO", "HANDOVER"), Left("the fault is at no entry any more")),
        (("INVALIDATE",), ("UNDO", "HANDOVER"), Left("the fault is at no entry any more")),
    ),
    Point(
        name="mode", sentence="A space was given a table of this mode.", bins=("no table", "Sv32", "Sv39", "Sv48", "Sv57"),
        excluded=left_out("the fault unit does not serve Sv32: tests/rtl/test_translator.py, tests/sim/test_walk.py", "Sv32", never=False),
    ),
    Point(
        name="features", sentence="A space was given a table with this feature.", bins=("none", "ADUE", "PBMTE", "NAPOT"),
        excluded=left_out("the testbench kernel does not use it: tests/sim/test_walk.py", "PBMTE", "NAPOT", never=False),
    ),
    Point(
        name="invalidation", sentence="An INVALIDATE had this range.", bins=("1 page", "a range", "everything", "every space"),
        excluded=left_out("software names the space: tests/rtl/test_command_unit.py, test_translator.py", "every space", never=False),
    ),
    Point(
        name="response", sentence="Software has ended a page request with this code.", bins=("success", "invalid", "failure"),
        excluded=left_out("the testbench kernel has no use for it: tests/rtl/test_command_unit.py", "failure", never=False),
    ),
    Point(
        name="page request", sentence="A page request was written, or dropped.", bins=("written", "dropped, queue full", "dropped, bus error"),
        excluded=left_out("a write that fails: tests/rtl/test_engine_errors.py", "dropped, bus error", never=False),
    ),
    Cross.make(
        "command by load", "The command unit took this step while faults were running, or none was.",
        ("MM_LOCK", "MM_UNLOCK", "SEQ_BEGIN", "SEQ_END", "PTE_LOCK", "PTE_CLEAR", "PTE_PROTECT", "PTE_UNLOCK", "INVALIDATE", "FENCE", "SPACE_TABLE",
         "SPACE_VMAS", "PAGE_RESPONSE"), ("faults running", "idle"),
    ),
    Point(name="queue", sentence="A queue or ring in memory was in this state when software looked.", bins=QUEUES),
)  # fmt: skip
