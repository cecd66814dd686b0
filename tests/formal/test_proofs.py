"""The proofs that take seconds, each with its planted bugs."""

import pytest

from seqfault.prove import prove, selected
from seqfault_tb.formal.catalogue import PROOFS, Proof

SECONDS = 600


@pytest.mark.parametrize("proof", selected(None, quick=True), ids=lambda proof: proof.name)
def test_statement_holds_for_all_time_and_its_planted_bugs_are_found(proof: Proof) -> None:
    (result,) = prove([proof], solver="bitwuzla", timeout=SECONDS)
    assert (result.result, result.bound, result.broken) == ("proved", None, ())
    assert result.planted
    assert result.missed == []


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_every_proof_states_something_and_has_a_planted_bug_that_says_what_it_is(proof: Proof) -> None:
    assert proof.statement.endswith(".")
    assert proof.bugs
    assert all(bug.__doc__ and bug.__doc__ != proof.block.__doc__ for bug in proof.bugs.values())
