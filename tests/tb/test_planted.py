"""Planted bugs in the RTL: for each missing safeguard the golden checker must name the step that it let through; without a bug it must agree."""

import pytest

from seqfault_tb.planted import Plant

from .stress_model import stress

SEEDS = range(1, 31)
"""A race needs its moment: the first seed whose run shows the bug counts."""
SHOWN_BY = {Plant.FENCE_FORGETS_UPDATES: 15, Plant.REREAD_RECORD: 9}
"""Seeds that are tried first, to save time."""
EXPECTED = {
    Plant.NO_RECHECK: "passed although the sequence",
    Plant.RECHECK_BEFORE_LOCK: "C3 passed although the sequence",
    Plant.REREAD_RECORD: "R17 commits",
    Plant.ODD_ACCEPTED: "R2 accepted the odd sequence",
    Plant.ZAP_WITHOUT_LOCK: "which agent",
    Plant.FILL_AFTER_INVALIDATE: "was no valid translation since the last INVALIDATE",
    Plant.FRAME_LOST: "UNDO leaks frame",
    Plant.WRONG_RIGHTS: "R17 commits",
    Plant.MM_LOCK_IGNORED: "a reader takes the mm lock of space 0, which a writer holds",
    Plant.RACED_IGNORED: "C4 passed although the entry",
    Plant.TLB_KEPT: "was no valid translation since the last INVALIDATE",
    Plant.ENDLESS_SPECULATION: "attempt 3 is speculative",
    Plant.UPDATE_WITHOUT_LOCK: "which agent",
    Plant.DIRTY_LOADS: "no request needs",
    Plant.FENCE_FORGETS_UPDATES: "FENCE completed while the A/D update",
    Plant.FENCE_FORGETS_FAULTS: "FENCE completed while",
    Plant.ABORT_NOT_COUNTED: "the engine's counter outcomes[ODD] says",
    Plant.ATTEMPTS_COUNTED: "the engine's counter fault_cycles says",
}
UPDATES = (Plant.UPDATE_WITHOUT_LOCK, Plant.DIRTY_LOADS, Plant.FENCE_FORGETS_UPDATES)
"""Bugs that show where hardware sets A and D."""


def test_every_plant_has_an_expectation() -> None:
    assert set(EXPECTED) == set(Plant) - {Plant.NONE}


@pytest.mark.parametrize("plant", EXPECTED, ids=lambda plant: plant.name.lower())
def test_planted_bug_is_named(plant: Plant) -> None:
    for seed in sorted(SEEDS, key=lambda seed: seed != SHOWN_BY.get(plant)):
        result = stress(seed, plant=plant, adue=plant in UPDATES, aging=plant in UPDATES)
        if result["outcome"] == "difference":
            assert EXPECTED[plant] in result["message"]
            return
    pytest.fail(f"the checker accepted {plant.name} with all of {len(SEEDS)} seeds")


@pytest.mark.parametrize("policy", ["spec", "vma-lock", "mm-lock"])
@pytest.mark.parametrize("seed", [1, 2])
def test_without_a_bug_it_agrees(policy: str, seed: int) -> None:
    result = stress(seed, policy=policy)
    assert result["outcome"] == "ok", result["message"]
    assert result["steps"] > 5000
    counts = result["counts"]
    if policy == "mm-lock":
        assert counts["speculative"] == counts["retried"] == 0
        assert counts["classic"] > 50
    else:
        assert counts["speculative"] > 50
        assert result["aborts"]["odd"] > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_updates_without_a_bug_agree(seed: int) -> None:
    """Aging, PROTECT and ZAP against loads and stores that set A and D."""
    result = stress(seed, faults=1000, aging=True, adue=True)
    assert result["outcome"] == "ok", result["message"]
    assert result["coverage"]["step"]["AD_UPDATE OK"] > 50
