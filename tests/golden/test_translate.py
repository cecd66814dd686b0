"""Translation against walks that Spike computed (tests/data/walks.csv), and the table of exceptions."""

from pathlib import Path

import pytest

from seqfault_golden import EXCEPTION, Access, BusError, Cause, PagingMode, Privilege, Refusal, translate

VECTORS = Path(__file__).parents[1] / "data" / "walks.csv"
PAGE_FAULTS = (12, 13, 15)
TRANSLATED, PAGE_FAULT, ACCESS_FAULT = range(3)


def vectors():
    for line in VECTORS.read_text().splitlines():
        if line.startswith("#"):
            continue
        mode, root, va, control, tag, status, cause, pa, reads = line.split(",")
        entries = [pair.split("=") for pair in reads.split()]
        words = {int(address, 16): None if value == "x" else int(value, 16) for address, value in entries}
        order = tuple(int(address, 16) for address, _ in entries)
        yield (
            PagingMode[mode.upper()],
            int(root, 16),
            int(va, 16),
            int(control, 16),
            tag,
            int(status),
            int(cause),
            int(pa, 16),
            words,
            order,
        )


def run(mode, root, va, control, words):
    def read(address):
        if words[address] is None:  # a read that Spike did not make: KeyError
            raise BusError
        return words[address]

    access, privilege = Access(control & 3), Privilege(control >> 2 & 1)
    return translate(mode, root, va, access, read, privilege=privilege, sum=bool(control >> 3 & 1), mxr=bool(control >> 4 & 1))


def test_vectors():
    counted = {TRANSLATED: 0, PAGE_FAULT: 0, ACCESS_FAULT: 0}
    for mode, root, va, control, tag, status, cause, pa, words, order in vectors():
        result = run(mode, root, va, control, words)
        where = f"{mode.name} {va:#x} {tag}"
        assert result.reads == order, where
        if status == TRANSLATED:
            assert not isinstance(result, Refusal), where
            assert (result.pa, result.level, result.pte) == (pa, mode.levels - len(order), words[order[-1]]), where
        else:
            assert isinstance(result, Refusal), where
            assert result.exception == cause, where
            assert (result.exception in PAGE_FAULTS) == (status == PAGE_FAULT), where
        counted[status] += 1
    assert min(counted.values()) >= 20, counted


@pytest.mark.parametrize(
    ("bit", "cause"),
    [(0, Cause.NOT_VALID), (1, Cause.MALFORMED), (4, Cause.PRIVILEGE), (6, Cause.CLEAR_A_OR_D), (7, Cause.CLEAR_A_OR_D),
     (54, Cause.MALFORMED), (61, Cause.MALFORMED), (63, Cause.MALFORMED)],
)  # fmt: skip
def test_each_bit_of_a_leaf_counts(bit, cause):
    good = 0x42 << 10 | 0xD7
    words = {0x1000: 2 << 10 | 1, 0x2000: 3 << 10 | 1, 0x3000: good}
    assert run(PagingMode.SV39, 1, 0x123, Access.STORE, words).pa == 0x42123
    result = run(PagingMode.SV39, 1, 0x123, Access.STORE, words | {0x3000: good ^ 1 << bit})
    assert (result.cause, result.exception) == (cause, 15)


def test_every_refusal_has_one_exception_number():
    assert len(EXCEPTION) == len(Access) * len(Cause)
    assert {EXCEPTION[access, Cause.BUS_ERROR] for access in Access} == {1, 5, 7}
    assert {number for (_, cause), number in EXCEPTION.items() if cause is not Cause.BUS_ERROR} == set(PAGE_FAULTS)
