"""Random programs of mm operations and faults, interleaved at random: every result equals that of some sequential order."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqfault_golden import NotAllowed, Safeguard
from seqfault_golden.explore.parts import Violation

from .mm_operations import CHANGES, FAULTS, PAGES, Machine, Operation, PageState, Ran, apply, explanation

OPERATIONS = st.lists(st.builds(Operation, st.sampled_from((*FAULTS, *FAULTS, *CHANGES)), st.integers(0, PAGES - 1)), min_size=2, max_size=7)
PROFILE = settings(max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def run(operations, seed, **options):
    machine = Machine(operations, **options)
    machine.run(random.Random(seed))
    return machine


@pytest.mark.parametrize("policy", ["spec", "vma-lock", "mm-lock"])
def test_every_concurrent_result_is_a_sequential_one(policy):
    @PROFILE
    @given(operations=OPERATIONS, seed=st.integers(0, 2**32))
    def check(operations, seed):
        machine = run(operations, seed, policy=policy)
        assert explanation(machine.ran, machine.pages()) is not None, (machine.ran, machine.pages())

    check()


@pytest.mark.parametrize(
    ("removed", "kinds"),
    [
        ("c3", "store read-only"), ("c3", "load munmap"), ("c4", "store store"), ("even-sequence", "store read-only"), ("undo", "store read-only"),
        ("sequence", "store read-only"), ("cow-flush", "load store load"),
    ],
)  # fmt: skip
def test_a_removed_safeguard_is_found(removed, kinds):
    """The same property fails without it, by an order that does not exist or by a rule that a step breaks."""
    operations = [Operation(kind, 0) for kind in kinds.split()]
    wrong = 0
    for seed in range(2000):
        try:
            machine = run(operations, seed, removed=frozenset((Safeguard(removed),)))
            wrong += explanation(machine.ran, machine.pages()) is None
        except (Violation, NotAllowed):
            wrong += 1
    assert wrong


# --- the judge judged -------------------------------------------------------------------------------------------------


def ran(kind, began, ended, result, page=0):
    return Ran(Operation(kind, page), began, ended, result)


def test_explanation_keeps_the_order_of_time():
    overlapping = [ran("munmap", 1, 9, True), ran("store", 2, 3, True)]
    assert [each.operation.kind for each in explanation(overlapping, (PageState("none"), PageState()))] == ["store", "munmap"]
    one_after_the_other = [ran("munmap", 1, 2, True), ran("store", 3, 4, True)]
    assert explanation(one_after_the_other, (PageState("none"), PageState())) is None


def test_explanation_wants_the_right_end_and_the_right_results():
    operations = [ran("store", 1, 2, True)]
    assert explanation(operations, (PageState("rw", "rw"), PageState())) == operations
    assert explanation(operations, (PageState("rw", ""), PageState())) is None
    assert explanation([ran("store", 1, 2, False)], (PageState(), PageState())) is None


@pytest.mark.parametrize(
    ("before", "kind", "after", "result"),
    [
        (PageState("rw"), "store", PageState("rw", "rw"), True),
        (PageState("ro"), "store", PageState("ro"), False),
        (PageState("ro"), "load", PageState("ro", "r"), True),
        (PageState("rw", "r"), "store", PageState("rw", "rw"), True),
        (PageState("rw", "rw"), "read-only", PageState("ro", "r"), True),
        (PageState("ro", "r"), "read-write", PageState("rw", "r"), True),
        (PageState("rw", "rw"), "dontneed", PageState("rw"), True),
        (PageState("rw", "rw"), "munmap", PageState("none"), True),
        (PageState("none"), "load", PageState("none"), False),
        (PageState("none"), "mmap", PageState("rw"), True),
        (PageState("ro", "r"), "mmap", PageState("ro", "r"), False),
    ],
)
def test_the_oracle(before, kind, after, result):
    assert apply(before, kind) == (after, result)
