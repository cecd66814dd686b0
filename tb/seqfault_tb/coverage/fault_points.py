"""Cover points of faults: what kind, how served, where its attempts ended."""

from seqfault_golden import Outcome, Step
from seqfault_golden.check.readers import SHAPES

from .declare import Cross, Left, Point
from .names import FLAGS, HOWS, shape_name
from .tracked import KINDS, UNKNOWN

__all__ = ["ABORTS", "FAULT_POINTS", "POLICIES", "SERVED_MODES"]

POLICIES = ("spec", "vma-lock", "mm-lock")
SERVED_MODES = ("Sv39", "Sv48", "Sv57")
SERVED_HOWS = ("speculative", "retried", "classic")
ACCESSES = ("load", "store", "fetch")
STORES = ("anon-write", "cow-zero", "cow", "file-write", "shared-write", "upgrade-shared")
FILES = ("file-read", "file-write", "shared-write", "upgrade-shared")
CHANGED = tuple(kind for kind in KINDS if kind != "mapped")
"""Kinds that write an entry."""
CLEARED = ("cow-zero", "cow")
FROM_POOL = ("anon-write", "cow-zero", "cow", "file-write", "table")
NOT_ATOMIC = ("cow", "file-write", "table")
WAYS_OUT = (Step.UNDO, Step.HANDOVER, Step.ANSWER, Step.MM_READ_UNLOCK, Step.AROUND, Step.R0)
RETRIED = ("R2 ODD", "R2 CHANGED", "R8 CHANGED", "R11 CHANGED_C1", "R12 WALK_C2", "R13 PTL_BUSY", "R14 CHANGED_C3", "R16 RACED", "CLEAR RACED")
"""Aborts after which another attempt is made."""
BY_SEQUENCE = ("R2 ODD", "R2 CHANGED", "R8 CHANGED", "R11 CHANGED_C1", "R14 CHANGED_C3")
BUSY, WAIT, REFUSED_LOCK = "R13 PTL_BUSY", "R13 PTL_WAIT", "MM_READ_LOCK MM_BUSY"


def _aborts() -> tuple[str, ...]:
    """Every (step, outcome) that can end an attempt, and the one that parks it."""
    names: dict[str, None] = {}
    for (first, last), outcomes in SHAPES.items():
        if first not in WAYS_OUT:
            names |= {shape_name(last, last, outcome): None for outcome in sorted(outcomes) if outcome not in (Outcome.OK, Outcome.MAPPED)}
    return tuple(sorted(names, key=lambda name: ([step.name for step in Step].index(name.split()[0]), name)))


ABORTS = _aborts()
_of = {name: frozenset(abort for abort in ABORTS if abort.split()[0] in steps) for name, steps in {
    "early": ("MM_READ_LOCK", "R1", "R2", "R3", "R5", "R6", "R7"), "page": ("PAGE",), "fill": ("FILL",), "end": ("FLUSH", "TABLE", "R18"),
}.items()}  # fmt: skip
NO_CAUSE = Left("the testbench kernel gives no cause for this failure, which is met in tests/rtl/test_fault_unit.py", never=False)
WRITE_ERROR = Left(
    "a write that fails, and the regression lets reads fail only; met in tests/rtl/test_fault_unit.py and tests/rtl/test_engine_errors.py",
    never=False,
)
NEVER_CAUSED = tuple(
    abort for abort in ABORTS if abort.split()[1] in ("BAD_TABLE", "BAD_TREE") or abort in ("R3 UNSUPPORTED", "R7 HUGE", "PAGE USERFAULT")
)
FAILING_WRITES = tuple(sorted(_of["end"]))
EXCLUDED = {**dict.fromkeys(NEVER_CAUSED, NO_CAUSE), **dict.fromkeys(FAILING_WRITES, WRITE_ERROR)}
SELDOM = Left("two rare things at once: tests/rtl/test_fault_unit.py, tests/rtl/test_engine_errors.py", never=False)
UNDER_LOCK = Left("under the mm lock the sequence is not looked at")
ROUNDS = Left("only ATOMIC does not wait for the lock; others give up after `lock_rounds` times, as in tests/rtl/test_fault_unit.py", never=False)

FAULT_POINTS: tuple[Point, ...] = (
    Point(name="kind", sentence="A fault of this kind was served by the engine.", bins=KINDS),
    Cross.make(
        "kind by access", "A fault of this kind was served for this access.", KINDS, ACCESSES,
        (STORES, ("load", "fetch"), Left("the kind is a store's")),
        (("anon-read", "file-read"), ("store",), Left("the kind is no store's")),
    ),
    Cross.make(
        "kind by flags", "A fault of this kind was served for a request with these flags.", KINDS, FLAGS,
        (NOT_ATOMIC, ("ATOMIC",), Left("ATOMIC neither copies a frame nor makes a table")),
    ),
    Cross.make("kind by how", "A fault of this kind was served in the first attempt, a later one, or under the mm lock.", KINDS, SERVED_HOWS),
    Cross.make("kind by mode", "A fault of this kind was served in this paging mode.", KINDS, SERVED_MODES),
    Cross.make("kind by policy", "A fault of this kind was served under this policy.", KINDS, POLICIES),
    Point(name="abort", sentence="An attempt has ended (or, PTL_WAIT, waited) at this step for this reason.", bins=ABORTS, excluded=EXCLUDED),
    Cross.make(
        "abort by kind", "An attempt at a fault of this kind has ended so.", ABORTS, (UNKNOWN, *KINDS),
        (_of["early"], KINDS, Left("the kind is known when the walk has ended")),
        (None, ("mapped",), Left("nothing is done about an entry that suffices")),
        (tuple(set(ABORTS) - _of["early"]), (UNKNOWN,), Left("from here on the kind is known")),
        (_of["page"], tuple(set(KINDS) - set(FILES)), Left("the page cache is looked up for pages of files only")),
        (("PAGE NOT_WRITABLE",), ("file-read", "file-write"), Left("only a store to a shared page needs WRITABLE")),
        (("PAGE PRESENT",), ("file-read", "shared-write"), Left("ATOMIC copies no page; or the entry maps another frame than the slot's")),
        (("PAGE PRESENT",), ("upgrade-shared",), Left("software replaces no page that is mapped: tests/rtl/test_fault_unit.py", never=False)),
        (("FLUSH BUS_ERROR",), tuple(set(KINDS) - {*CLEARED, "upgrade", "upgrade-shared"}), Left("its entry was not valid, so nothing is flushed")),
        (("TABLE BUS_ERROR",), tuple(set(KINDS) - {"table"}), Left("it makes no table")),
        (("R18 BUS_ERROR",), ("table",), Left("after TABLE its walk goes on")),
        (NEVER_CAUSED, None, NO_CAUSE),
        (FAILING_WRITES, None, WRITE_ERROR),
        (("R9 POOL_EMPTY",), tuple(set(KINDS) - set(FROM_POOL)), Left("it takes no frame of the pool")),
        (_of["fill"], ("anon-write", "cow-zero", "table"), WRITE_ERROR),
        (_of["fill"], tuple(set(KINDS) - {"cow", "file-write"}), Left("it fills no frame")),
        ((BUSY,), NOT_ATOMIC, ROUNDS),
        (("R16 RACED",), CLEARED, Left("its C4 is that of CLEAR")),
        (("CLEAR RACED", "CLEAR RELEASED_FULL"), tuple(set(KINDS) - set(CLEARED)), Left("its entry is not cleared first")),
        (("CLEAR RELEASED_FULL",), ("cow-zero",), Left("the zero frame is not released")),
    ),
    Cross.make(
        "abort by attempt", "A speculative attempt, or one under the mm lock, has ended so.", ABORTS, ("speculative", "classic"),
        (NEVER_CAUSED, None, NO_CAUSE),
        (FAILING_WRITES, None, WRITE_ERROR),
        (BY_SEQUENCE, ("classic",), UNDER_LOCK),
        ((REFUSED_LOCK,), ("speculative",), Left("a speculative attempt takes no mm lock")),
        (("CLEAR RELEASED_FULL",), ("classic",), SELDOM),
    ),
    Cross.make(
        "first abort by how", "A fault whose first attempt ended so has ended like this.", ABORTS, HOWS,
        ((WAIT,), None, Left("a wait ends no attempt")),
        (None, ("speculative",), Left("its first attempt did not serve it")),
        (("R7 NO_TABLE", "R7 PRESENT"), ("software",), Left("ATOMIC faults are refused; of others: tests/rtl/test_fault_unit.py", never=False)),
        ((BUSY,), ("classic", "software"), ROUNDS),
        (("CLEAR RACED",), ("refused",), SELDOM),
        (tuple(set(ABORTS) - set(RETRIED)), ("retried", "classic"), Left("no other attempt can help")),
        (NEVER_CAUSED, None, NO_CAUSE),
        (FAILING_WRITES, None, WRITE_ERROR),
    ),
    Cross.make(
        "flags by how", "A fault of a request with these flags has ended like this.", FLAGS, HOWS,
        (("ALLOW_RETRY", "NOWAIT"), ("refused",), Left("software can still repair it, and somebody comes back")),
        (("ATOMIC", "none"), ("software",), Left("nobody comes back for it, or it may not wait")),
    ),
    Point(
        name="last attempt", sentence="A fault has ended in its attempt of this number; under the mm lock; or was given up.",
        bins=("first", "second", "third", "classic", "classic again", "given up speculatively", "given up under the mm lock"),
    ),
    Point(
        name="fill", sentence="A frame was copied into, or zeroed (control.unzeroed).",
        bins=("copied OK", "zeroed OK", "copied BUS_ERROR", "zeroed BUS_ERROR"), excluded={"zeroed BUS_ERROR": WRITE_ERROR},
    ),
    Point(name="after a wait", sentence="An attempt that had waited for a PTE lock went on so.", bins=("R12 OK", "R11 CHANGED_C1", "R12 WALK_C2")),
    Point(name="around", sentence="Fault-around has set entries of so many other pages.", bins=("no other page", "some", "all 15 others")),
    Point(name="tables", sentence="A fault has made so many tables (four: only in Sv57).", bins=("0", "1", "2", "3", "4")),
    Point(name="policy", sentence="A fault was served under this policy.", bins=POLICIES),
    Point(name="busy", sentence="A fault began, and so many contexts were busy then.", bins=("one", "some", "all")),
)  # fmt: skip
