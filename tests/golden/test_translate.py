"""Translation against walks that Spike computed (the short sets of `seqfault walk`), and the table of exceptions."""

import pytest

from seqfault.vectors import load_vectors
from seqfault_golden import (
    EXCEPTION,
    REASON,
    Access,
    BusError,
    Cause,
    Features,
    Outcome,
    PagingMode,
    Privilege,
    Refusal,
    translate,
)

PAGE_FAULTS = (12, 13, 15)
TRANSLATED, PAGE_FAULT, ACCESS_FAULT = range(3)
ALL = Features(adue=True, pbmte=True, napot=True)


def run(mode, root, va, access, words, limit=1 << 56, **options):
    def read(address):
        if address >= limit:
            raise BusError
        return words.get(address, 0)

    return translate(mode, root, va, access, read, **options)


@pytest.mark.parametrize("mode", PagingMode, ids=lambda mode: mode.name.lower())
def test_vectors(mode):
    vectors = load_vectors(mode.name.lower())
    counted, updates = {TRANSLATED: 0, PAGE_FAULT: 0, ACCESS_FAULT: 0}, 0
    for vector in vectors.vectors:
        control, words = vector.control, vectors.images[vector.image]
        result = run(
            mode, vector.root, vector.va, control.access, words, vectors.limit, privilege=Privilege(control.supervisor), sum=control.sum,
            mxr=control.mxr, features=Features(control.adue, control.pbmte, control.napot),
        )  # fmt: skip
        assert result.reads == vector.reads, vector
        if vector.status == TRANSLATED:
            assert not isinstance(result, Refusal), vector
            assert (result.pa, result.level, result.update) == (vector.pa, mode.levels - len(vector.reads), vector.update), vector
            assert result.pte == words[vector.reads[-1]], vector
            updates += result.update is not None
        else:
            assert isinstance(result, Refusal), vector
            assert result.exception == vector.cause, vector
            assert (result.exception in PAGE_FAULTS) == (vector.status == PAGE_FAULT), vector
        counted[vector.status] += 1
    assert min(*counted.values(), updates) >= 20, (counted, updates)


GOOD = 0x48 << 10 | 0xD7
ROOT, MIDDLE, LEAF = 0x1000, 0x2000, 0x3000


def translate_page(leaf, access=Access.STORE, features=Features(), middle=3 << 10 | 1):  # noqa: B008
    return run(PagingMode.SV39, 1, 0x5123, access, {ROOT: 2 << 10 | 1, MIDDLE: middle, LEAF + 0x28: leaf}, features=features)


@pytest.mark.parametrize(
    ("bit", "cause"),
    [(0, Cause.NOT_VALID), (1, Cause.MALFORMED), (4, Cause.PRIVILEGE), (6, Cause.CLEAR_A_OR_D), (7, Cause.CLEAR_A_OR_D),
     (54, Cause.MALFORMED), (60, Cause.MALFORMED), (61, Cause.MALFORMED), (63, Cause.MALFORMED)],
)  # fmt: skip
def test_each_bit_of_a_leaf_counts(bit, cause):
    assert translate_page(GOOD).pa == 0x48123
    result = translate_page(GOOD ^ 1 << bit)
    assert (result.cause, result.exception) == (cause, 15)


@pytest.mark.parametrize("bit", [4, 6, 7, 54, 61, 62, 63])
def test_bits_that_a_pointer_must_not_have(bit):
    assert translate_page(GOOD, features=ALL, middle=3 << 10 | 1 | 1 << bit).cause is Cause.MALFORMED


def test_page_of_64_kib():
    napot = 1 << 63 | GOOD
    assert translate_page(napot, features=ALL).pa == 0x45123
    assert translate_page(napot).cause is Cause.MALFORMED
    assert translate_page(napot ^ 1 << 10, features=ALL).cause is Cause.MALFORMED


def test_memory_type():
    for kind in (1, 2):
        assert translate_page(GOOD | kind << 61, features=ALL).pbmt == kind
        assert translate_page(GOOD | kind << 61).cause is Cause.MALFORMED
    assert translate_page(GOOD | 3 << 61, features=ALL).cause is Cause.MALFORMED


def test_hardware_update():
    unused = GOOD & ~0xC0
    assert translate_page(unused, features=ALL).update == (LEAF + 0x28, GOOD)
    assert translate_page(unused, Access.LOAD, features=ALL).update == (LEAF + 0x28, unused | 0x40)
    assert translate_page(GOOD & ~0x80, Access.LOAD, features=ALL).update is None


@pytest.mark.parametrize(
    ("mode", "va", "canonical"),
    [(PagingMode.SV32, 0xFFFF_F000, True), (PagingMode.SV32, 1 << 32, False), (PagingMode.SV39, 1 << 38, False),
     (PagingMode.SV57, 1 << 55, True), (PagingMode.SV57, 0xFF << 56, True), (PagingMode.SV57, 1 << 56, False)],
)  # fmt: skip
def test_canonical_addresses(mode, va, canonical):
    assert mode.is_canonical(va) == canonical
    assert run(mode, 1, va, Access.LOAD, {}).cause is (Cause.NOT_VALID if canonical else Cause.NON_CANONICAL)


def test_every_refusal_has_one_exception_number_and_a_reason():
    assert len(EXCEPTION) == len(Access) * len(Cause)
    assert {EXCEPTION[access, Cause.BUS_ERROR] for access in Access} == {1, 5, 7}
    assert {number for (_, cause), number in EXCEPTION.items() if cause is not Cause.BUS_ERROR} == set(PAGE_FAULTS)
    assert set(REASON) == set(Cause)
    assert Outcome.OK not in REASON.values()
