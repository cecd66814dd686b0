"""What a regression runs: seeds, profiles, programs from files, and the commands that repeat a case."""

import json
import shlex
from pathlib import Path

import pytest

from seqfault import regress_command
from seqfault.cli import run_command
from seqfault.errors import UsageError
from seqfault.regress_plan import Case, case_name, case_program, parse_seeds, plan, read_program, repeat_command
from seqfault_rtl.config import PRESETS
from seqfault_tb.regression.generate import PROFILES, Shape, generate, make_program
from seqfault_tb.regression.program import OPERATIONS, Action, Conditions, Program, Region, Thread

FIXED = {"policy": None, "latency": None, "plant": None}


def one(**changes):
    options = {"profiles": ["mixed"], "presets": ["small"], "settings": {}, "faults": 50, "fixed": FIXED} | changes
    return plan([3], **options)[0]


@pytest.mark.parametrize(("text", "seeds"), [("3", [1, 2, 3]), ("7:9", [7, 8, 9]), ("5:5", [5])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize("text", ["", "x", "3:", ":3", "9:7", "0", "-1", "1:2:3", "\u00b2", "1:3000000000"])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


def test_every_seed_with_every_profile_and_preset() -> None:
    cases = plan([1, 2], profiles=["races", "files"], presets=["small", "default"], settings={}, faults=50, fixed=FIXED)
    assert len({(case["seed"], case["profile"], case["preset"]) for case in cases}) == len(cases) == 8
    assert {len([action for thread in case_program(case).threads if not thread.repeat for action in thread.actions]) for case in cases} == {50}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profiles": ["dance"]}, "unknown profile 'dance'; known: mixed, races"),
        ({"fixed": {**FIXED, "policy": "hope"}}, r"'hope' - at `\$.conditions.policy`"),
        ({"fixed": {**FIXED, "plant": "TREE"}}, "unknown planted bug 'TREE'; known: NONE, NO_RECHECK"),
        ({"fixed": {**FIXED, "adue": True}}, "small with these settings has no svadu"),
        ({"fixed": {**FIXED, "mode": "sv57"}}, "small with these settings has no sv57"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        one(**changes)


def test_a_seed_always_makes_the_same_program() -> None:
    assert generate(5, preset="small") == generate(5, preset="small") != generate(6, preset="small")
    assert generate(5, profile="races", preset="small") != generate(5, preset="small")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("preset", ["small", "default"])
def test_a_profile_keeps_to_its_choices(profile: str, preset: str) -> None:
    config, choices = PRESETS[preset], PROFILES[profile].choices
    for seed in range(20):
        program = generate(seed, profile=profile, preset=preset, faults=40)
        conditions = program.conditions
        assert program.faults == 40
        assert Program.from_json(json.loads(json.dumps(program.to_json()))) == program
        assert conditions.mode.upper() in config.modes
        assert config.svadu or not conditions.adue
        for name in ("policy", "latency", "pressure", "small_rings", "unzeroed", "error_rate"):
            assert name not in choices or getattr(conditions, name) in choices[name]


def test_mixed_programs_have_everything() -> None:
    programs = [generate(seed, faults=40) for seed in range(60)]
    operations = {action.do for program in programs for thread in program.threads for action in thread.actions}
    assert operations == set(OPERATIONS)
    wanted = {"policy": {"spec", "vma-lock", "mm-lock"}, "mode": {"sv39", "sv48", "sv57"}, "pressure": {0, 30}, "adue": {True, False}}
    for name, values in wanted.items():
        assert {getattr(program.conditions, name) for program in programs} == values
    assert {region.kind for program in programs for region in program.regions} == {"anon", "file_priv", "file_shared", "shm"}


def test_regions_of_other_kinds_leave_one_of_plain_memory() -> None:
    program = make_program(1, Shape(regions=2, files=5), Conditions())
    assert len(program.regions) == 6
    assert program.regions[0].kind == "anon"


def test_the_command_that_repeats_a_case_makes_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    case = one(settings={"contexts": "3"}, fixed={"policy": "mm-lock", "latency": 7, "plant": None})
    again: list[Case] = []
    monkeypatch.setattr(regress_command, "_regress", lambda cases, *_: again.extend(cases))
    assert run_command([*shlex.split(repeat_command(case))[1:-2]]) == 0
    assert [case_program(one) for one in again] == [case_program(case)]
    assert case_name(case) == "mixed seed 3, small"


def test_a_program_from_a_file(tmp_path: Path) -> None:
    program = generate(4, preset="small", faults=10)
    path = tmp_path / "program.json"
    path.write_text(json.dumps(program.to_json()))
    case = read_program(path)
    assert case_program(case) == program
    assert repeat_command(case) == f"seqfault regress --program {path} --waves failure.vcd"
    assert repeat_command(case | {"file": "a b.json"}, since=7) == "seqfault regress --program 'a b.json' --waves failure.vcd --waves-from 7"


THREADS = {"threads": [{"actions": [{"do": "fault", "region": 2}]}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "missing required field `seed`"),
        ('{"seed": 1, "profile": "x", "conditions": {"latency": 0}}', r"`int` >= 1 - at `\$.conditions.latency`"),
        ('{"seed": 1, "profile": "x", "conditions": {"preset": "huge"}}', "unknown preset 'huge'; known: default, small, core"),
        ('{"seed": 1, "profile": "x", "conditions": {"speed": 1}}', r"unknown field `speed` - at `\$.conditions`"),
        (json.dumps({"seed": 1, "profile": "x", "conditions": {}, **THREADS}), "thread 0: there is no region 2"),
    ],
)
def test_a_file_that_is_no_program_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "program.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"program.json: .*{message}"):
        read_program(path)


def test_a_missing_file() -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_program(Path("nowhere.json"))


def test_only_faults_in_a_child() -> None:
    region = Region(space=0, start=1, pages=1)
    program = Program(
        seed=1, profile="", conditions=Conditions(), regions=(region,), threads=(Thread(actions=(Action(do="fork", child=(Action(do="unmap"),)),)),)
    )
    with pytest.raises(ValueError, match="a child only makes faults, no 'unmap'"):
        Program.from_json(program.to_json())
