"""The functional cover points, declared once; `plan` says which test points they stand for. Words of docs/software-contract.md."""

from seqfault_golden import How, Outcome, Status, Step
from seqfault_golden.check.readers import SHAPES

from .command_points import COMMAND_POINTS
from .declare import Cross, Left, Point, left_out
from .fault_points import FAULT_POINTS
from .names import FLAGS, TELLING, shape_name

__all__ = ["BY_NAME", "POINTS"]

NO_CAUSE = "the testbench kernel gives no cause for this failure, which is met in tests/rtl/test_fault_unit.py"
WRITE_ERROR = "a write that fails, and the regression lets reads fail only; met in tests/rtl/test_fault_unit.py and tests/rtl/test_engine_errors.py"
SPLIT = "the engine does R1 to R6 in one event; the checker would take them in two"
ELSEWHERE = ((Step.R3, Outcome.UNSUPPORTED), (Step.R7, Outcome.HUGE), (Step.PAGE, Outcome.USERFAULT))
"""Failures that VMAs and entries of the testbench kernel do not have: GROWSDOWN is software's own, entries are of 4 KiB, files have no userfaults."""
KERNEL_NEVER = {Outcome.BAD_TABLE, Outcome.BAD_TREE}
WRITER_STEPS = (
    Step.MM_LOCK, Step.MM_UNLOCK, Step.SEQ_BEGIN, Step.SEQ_END, Step.PTE_LOCK, Step.PTE_CLEAR, Step.PTE_PROTECT, Step.PTE_UNLOCK, Step.INVALIDATE,
    Step.FENCE, Step.SPACE_TABLE, Step.SPACE_VMAS, Step.SRCU_CALL, Step.PAGE_RESPONSE, Step.AD_LOCK,
)  # fmt: skip
FAILING_WRITES = ((Step.FLUSH, Step.FLUSH), (Step.TABLE, Step.TABLE), (Step.R18, Step.R18))


def _shapes() -> tuple[tuple[str, ...], dict[str, Left]]:
    """Every event that the contract has, and those that random programs cannot give."""
    names, excluded = [], {}
    for (first, last), outcomes in SHAPES.items():
        for outcome in sorted(outcomes):
            if first in TELLING:
                continue
            name = shape_name(first, last, outcome)
            names.append(name)
            if first == Step.R3 or (first, last, outcome) == (Step.R1, Step.R2, Outcome.OK):
                excluded[name] = Left(SPLIT)
            elif (last, outcome) in ELSEWHERE or outcome in KERNEL_NEVER:
                excluded[name] = Left(NO_CAUSE, never=False)
            elif outcome == Outcome.BUS_ERROR and (first, last) in FAILING_WRITES:
                excluded[name] = Left(WRITE_ERROR, never=False)
    names += [step.name for step in sorted(TELLING)]
    for step in WRITER_STEPS:
        names.append(shape_name(step, step, Outcome.OK))
    for step, outcome in ((Step.AD_UPDATE, Outcome.OK), (Step.AD_UPDATE, Outcome.RACED), (Step.AD_UPDATE, Outcome.BUS_ERROR)):
        names.append(shape_name(step, step, outcome))
    for step, outcome in ((Step.SRCU_CALL, Outcome.QUEUE_FULL), (Step.ILLEGAL, Outcome.ILLEGAL)):
        names.append(shape_name(step, step, outcome))
    return tuple(names), excluded


def _step_point() -> Point:
    bins, excluded = _shapes()
    excluded |= left_out("only wrong commands are: tests/rtl/test_command_unit.py", "ILLEGAL ILLEGAL", never=False)
    excluded |= left_out("SRCU.CALL has its own programs: tests/rtl/test_engine_srcu.py", "SRCU_CALL OK", "SRCU_CALL QUEUE_FULL", never=False)
    excluded |= left_out("the table of an update's walk fails: tests/rtl/test_ad_update.py", "AD_UPDATE BUS_ERROR", never=False)
    return Point(name="step", sentence="The event port has told this event: steps first to last, with this outcome.", bins=bins, excluded=excluded)


ANSWERS = (*(f"{Status.OK.name} {how.name}" for how in How if how != How.SOFTWARE), "RETRY SOFTWARE", "RETRY TRANSLATED", "FAULT TRANSLATED")
RETRY_TRANSLATED = Left("an A/D update that others overtake 8 times: tests/rtl/test_ad_update.py", never=False)
COMES_BACK = Left("a fault of a request that nobody comes back for, or that may not wait, is refused")

REASONS = tuple(outcome.name for outcome in Outcome if outcome not in (Outcome.OK, Outcome.PTL_WAIT, Outcome.ILLEGAL, Outcome.MAPPED))
IN_S_MODE = Left("of requests in S-mode, which the harness does not make: tests/rtl/test_engine_faults.py", never=False)
BY_SEQUENCE = ("ODD", "CHANGED", "CHANGED_C1", "CHANGED_C3")
LAST_OF_ALL = Left("only after attempt 7: tests/rtl/test_fault_unit.py", never=False)

REQUEST_POINTS: tuple[Point, ...] = (
    Point(name="request", sentence="A port has made a request with these flags (the one that decides).", bins=FLAGS),
    Point(name="tried", sentence="A request came for the first time, or again after software's work.", bins=("first time", "TRIED")),
    Point(
        name="answer", sentence="A request was answered so (status, how).", bins=ANSWERS, excluded={"RETRY TRANSLATED": RETRY_TRANSLATED},
    ),
    Cross.make(
        "answer by flags", "A request with these flags was answered so.", ANSWERS, FLAGS,
        (("RETRY TRANSLATED",), None, RETRY_TRANSLATED),
        (("RETRY SOFTWARE",), ("ATOMIC", "none"), COMES_BACK),
    ),
    Cross.make(
        "answer by access", "A request of this access was answered so.", ANSWERS, ("load", "store", "fetch"),
        (("RETRY TRANSLATED",), None, RETRY_TRANSLATED),
    ),
    Cross.make(
        "reason by status", "A request was answered RETRY (and has a page request) or FAULT for this reason.", REASONS, ("RETRY", "FAULT"),
        (("BAD_TABLE", "BAD_TREE", "UNSUPPORTED"), None, Left(NO_CAUSE, never=False)),
        (("NOT_VALID", "AD_CLEAR"), None, IN_S_MODE),
        (BY_SEQUENCE, ("RETRY",), Left("an attempt under the mm lock follows, which does not look at the sequence")),
        (("WALK_C2", "PTL_BUSY", "RACED"), ("RETRY",), LAST_OF_ALL),
        (("NO_TABLE",), ("RETRY",), Left("ATOMIC makes no table, and is refused: tests/rtl/test_fault_unit.py", never=False)),
        (("PRESENT",), ("RETRY",), Left("software replaces no page that is mapped: tests/rtl/test_fault_unit.py", never=False)),
        (("CHANGED_C3",), ("FAULT",), Left("the last attempt of an ATOMIC fault, and at C3: tests/rtl/test_fault_unit.py", never=False)),
        (("QUEUE_FULL",), ("FAULT",), Left("what is refused has no page request")),
    ),
    Point(name="update", sentence="Hardware has set these bits of an entry (Svadu).", bins=("A", "A and D")),
)  # fmt: skip

POINTS: tuple[Point, ...] = (_step_point(), *FAULT_POINTS, *REQUEST_POINTS, *COMMAND_POINTS)
BY_NAME = {point.name: point for point in POINTS}
