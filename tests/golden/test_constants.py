"""Golden and RTL write the numbers of docs/software-contract.md on their own; here they are compared."""

import pytest
from amaranth.lib import data

import seqfault_golden as golden
from seqfault_golden import layout
from seqfault_rtl import messages, paging


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (golden.Step, messages.Step),
        (golden.Outcome, messages.Outcome),
        (golden.Status, messages.AnswerStatus),
        (golden.How, messages.How),
        (golden.Access, paging.Access),
    ],
)
def test_enumerations(ours, theirs):
    assert {member.name: member.value for member in ours} == {member.name: member.value for member in theirs}


def test_event_fields():
    assert golden.StepEvent._fields == tuple(name for name, _ in data.Layout.cast(messages.Event))


def test_paging_modes():
    assert {mode.value: mode.levels for mode in paging.PagingMode if mode.levels} == layout.LEVELS
    assert {mode.value: mode.levels for mode in golden.PagingMode} == layout.LEVELS


def test_pte_bits():
    masks = (layout.PTE_V, layout.PTE_R, layout.PTE_W, layout.PTE_X, layout.PTE_U, layout.PTE_A, layout.PTE_D)
    bits = dict(zip("vrwxuad", masks, strict=True))
    for name, mask in bits.items():
        assert paging.Pte.const({name: 1}).as_value().value == mask
    assert paging.Pte.const({"rsw": 1 << paging.EXCLUSIVE}).as_value().value == layout.PTE_EXCLUSIVE
    assert layout.pte_ppn(paging.Pte.const({"ppn": 0x123_4567_89AB}).as_value().value) == 0x123_4567_89AB
