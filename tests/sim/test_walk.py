"""`seqfault walk`: the short sets through the RTL and the golden model, what is printed, the cache, and planted bugs that it must report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfault.cli import run_command
from seqfault.errors import CheckFailed
from seqfault.simulator import Model
from seqfault.vectors import DATA, load_vectors, packaged_vectors
from seqfault.verilog_text import component_verilog, rtl_key
from seqfault.walk_model import TOP, Simulation, walk_config, walk_model
from seqfault_tb import planted_walk
from seqfault_tb.planted_walk import PlantedMmu, WalkPlant, planting
from seqfault_tb.walk_bench import PHASES
from seqfault_tb.walk_top import WalkTop

from ..long import in_short

SETS = ("sv32", "sv39", "sv48", "sv57")
LATENCY = "5"
LIMIT = 600
Capture = pytest.CaptureFixture[str]


def walk_json(capsys: Capture, *arguments: str) -> dict[str, Any]:
    status = run_command(["walk", *arguments, "--json", "-"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return json.loads(printed.out)


def check_record(record: dict[str, Any], name: str) -> None:
    vectors = load_vectors(name).vectors
    assert (record["vectors"], record["mismatches"], record["first"]) == (len(vectors), 0, [])
    assert set(record["by_tag"]) == {vector.tag for vector in vectors}
    assert sum(count for count, _ in record["by_tag"].values()) == len(vectors)
    assert not any(failed for _, failed in record["by_tag"].values())


def test_the_sets_that_come_with_the_package() -> None:
    assert packaged_vectors() == list(SETS)


@pytest.mark.parametrize("name", SETS)
def test_golden_agrees(capsys: Capture, name: str) -> None:
    record = walk_json(capsys, name, "--engine", "golden")
    check_record(record, name)
    assert record["engine"] == "golden"


@pytest.mark.parametrize("name", SETS)
def test_rtl_agrees_wherever_it_finds_the_translation(capsys: Capture, name: str) -> None:
    record = walk_json(capsys, name, "--latency", LATENCY)
    check_record(record, name)
    assert record["stray"] == []
    assert record["requests"] == len(PHASES) * record["vectors"]
    translated = sum(vector.status == 0 for vector in load_vectors(name).vectors)
    assert all(record["found"][place] > translated // 3 for place in ("same port again", "another port")), record["found"]


def test_result_of_an_earlier_run(capsys: Capture) -> None:
    arguments = ("sv39", "--limit", "20", "--latency", LATENCY)
    fresh = walk_json(capsys, *arguments, "--fresh")
    kept = walk_json(capsys, *arguments)
    assert (fresh["cached"], kept["cached"]) == (False, True)
    assert {**kept, "cached": False} == fresh
    assert run_command(["walk", *arguments]) == 0
    assert "from the cache" in capsys.readouterr().out.replace("\n", " ")
    assert walk_json(capsys, *arguments, "--fresh")["cached"] is False


def test_preset_that_does_not_build_the_mode(capsys: Capture) -> None:
    assert run_command(["walk", "sv57", "--preset", "core"]) == 2
    assert "--set levels=5" in capsys.readouterr().err


@pytest.fixture
def wrong_vectors(tmp_path: Path) -> Path:
    """The set sv39 with the first two physical addresses off by a page."""
    with np.load(DATA / "sv39.npz") as file:
        arrays = dict(file)
    wrong = np.flatnonzero(arrays["status"] == 0)[:2]
    arrays["pa"][wrong] ^= 1 << 12
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("engine", ["golden", "rtl"])
def test_mismatch_is_shown_and_is_status_1(capsys: Capture, wrong_vectors: Path, engine: str) -> None:
    assert run_command(["walk", str(wrong_vectors), "--engine", engine, "--limit", "60", "--latency", LATENCY]) == 1
    printed = capsys.readouterr()
    assert printed.err == "seqfault: 2 of 60 vector(s) ended otherwise than the vectors say\n"
    text = " ".join(printed.out.split())
    assert text.count("expected translated to 0x") == text.count("got translated to 0x") == 2
    assert "Sv39 0x" in text


# --- planted bugs ---------------------------------------------------------------------------------------------------

EXPECTED = {
    WalkPlant.PBMT_NOT_CHECKED: ("sv39", {"pbmt_rsvd"}),
    WalkPlant.NAPOT_FRAME: ("sv39", {"napot"}),
    WalkPlant.SUM_FOR_FETCH: ("sv39", {"u_sum"}),
    WalkPlant.CLEAN_STORE: ("sv48", {"ad_clear"}),
    WalkPlant.SV32_INDEX: ("sv32", {"plain", "unmapped"}),
    WalkPlant.MXR_ALWAYS: ("sv57", {"mxr_x"}),
    WalkPlant.MISALIGNED: ("sv32", {"misaligned"}),
    WalkPlant.HIT_REASON: ("sv39", {"ad_clear"}),
    WalkPlant.EAGER_D: ("sv48", {"ad_clear"}),
}


@pytest.fixture(scope="module")
def planted_model() -> Model:
    config = walk_config("default", {})

    def verilog() -> str:
        mmu = PlantedMmu(config)
        with planting(mmu):
            return component_verilog(WalkTop(config, mmu), name=TOP)

    return replace(walk_model(config), name="walk-planted", verilog=verilog, verilog_key=rtl_key(Path(planted_walk.__file__)))


def planted_walk_of(model: Model, plant: WalkPlant, name: str) -> dict[str, Any]:
    config = walk_config("default", {})
    return Simulation(
        load_vectors(name, LIMIT), config, preset="default", name=name, limit=LIMIT, seed=1, latency=int(LATENCY), model=model, plant=plant.value
    ).run()


def test_every_plant_has_an_expectation() -> None:
    assert set(EXPECTED) == set(WalkPlant) - {WalkPlant.NONE, WalkPlant.DEAF}


@pytest.mark.parametrize("plant", in_short(3, EXPECTED), ids=lambda plant: plant.name.lower())
def test_planted_bug_is_reported(planted_model: Model, plant: WalkPlant) -> None:
    name, tags = EXPECTED[plant]
    record = planted_walk_of(planted_model, plant, name)
    assert record["mismatches"] > 0
    assert tags <= {tag for tag, (_, failed) in record["by_tag"].items() if failed}
    if plant == WalkPlant.HIT_REASON:
        assert all(item["phase"] != "cold" for item in record["first"])


def test_walk_that_does_not_end_is_a_hang(planted_model: Model) -> None:
    with pytest.raises(CheckFailed, match=r"hang: no progress for .* vectors that wait for an answer"):
        planted_walk_of(planted_model, WalkPlant.DEAF, "sv39")


def test_without_a_bug_it_agrees(planted_model: Model) -> None:
    assert planted_walk_of(planted_model, WalkPlant.NONE, "sv39")["mismatches"] == 0
