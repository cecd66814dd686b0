"""Planted bugs in the RTL: for each missing safeguard the golden checker must name the step that it let through; without a bug it must agree."""

from pathlib import Path

import pytest

from seqfault_tb.planted import Plant

from .stress_model import build, stress

SEEDS = range(1, 31)
"""A race needs its moment: the first seed whose run shows the bug counts."""
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
    Plant.ABORT_NOT_COUNTED: "the engine's counter outcomes[ODD] says",
    Plant.ATTEMPTS_COUNTED: "the engine's counter fault_cycles says",
}
UPDATES = (Plant.UPDATE_WITHOUT_LOCK, Plant.DIRTY_LOADS, Plant.FENCE_FORGETS_UPDATES)
"""Bugs that show where hardware sets A and D."""


@pytest.fixture(scope="module")
def model() -> Path:
    return build()


def test_every_plant_has_an_expectation() -> None:
    assert set(EXPECTED) == set(Plant) - {Plant.NONE}


@pytest.mark.parametrize("plant", EXPECTED, ids=lambda plant: plant.name.lower())
def test_planted_bug_is_named(model: Path, tmp_path: Path, plant: Plant) -> None:
    for seed in SEEDS:
        result = stress(model, tmp_path, seed, plant=plant, adue=plant in UPDATES)
        if result["difference"] is not None:
            assert EXPECTED[plant] in result["difference"]
            assert not result["agreed"]
            return
    pytest.fail(f"the checker accepted {plant.name} with all of {len(SEEDS)} seeds")


@pytest.mark.parametrize("policy", ["spec", "vma-lock", "mm-lock"])
@pytest.mark.parametrize("seed", [1, 2])
def test_without_a_bug_it_agrees(model: Path, tmp_path: Path, policy: str, seed: int) -> None:
    result = stress(model, tmp_path, seed, policy=policy)
    assert result["difference"] is None
    assert result["agreed"]
    assert result["steps"] > 5000
    counts = result["counts"]
    if policy == "mm-lock":
        assert counts["speculative"] == counts["retried"] == 0
        assert counts["classic"] > 50
    else:
        assert counts["speculative"] > 50
        assert result["aborts"]["odd"] > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_updates_without_a_bug_agree(model: Path, tmp_path: Path, seed: int) -> None:
    """Aging, PROTECT and ZAP against loads and stores that set A and D."""
    result = stress(model, tmp_path, seed, faults=1000, adue=True)
    assert result["difference"] is None
    assert result["agreed"]
    assert result["updates"]["OK"] > 50
