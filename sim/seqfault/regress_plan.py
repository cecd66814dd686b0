"""What `seqfault regress` runs: a list of cases, each one simulation of one program. A case is JSON, so that it can go to another machine."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfault_tb.regression.conditions import config_of
from seqfault_tb.regression.generate import PROFILES, generate
from seqfault_tb.regression.program import Program

from .errors import UsageError

__all__ = ["Case", "build_options", "case_name", "case_program", "parse_seeds", "plan", "read_program", "repeat_command"]

MOST_SEEDS = 100_000
Case = dict[str, Any]
"""A program to be generated ("seed", "profile", "preset", "settings", "faults", "fixed" conditions), one as it is ("program", "file"), or
a directed race ("race" and what `regress_races` needs)."""


def parse_seeds(text: str) -> range:
    """`N`: the seeds 1 to N. `A:B`: A to B, both included. Raises `UsageError`."""
    first, colon, last = text.partition(":")
    numbers = [first, last] if colon else ["1", first]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise UsageError(f"--seeds: {text!r} is neither a number nor a range A:B")
    seeds = range(int(numbers[0]), int(numbers[1]) + 1)
    if not seeds:
        raise UsageError(f"--seeds: {text!r} has no seed in it")
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"--seeds: {text!r} are more than {MOST_SEEDS:,} seeds; give them in pieces")
    return seeds


def plan(
    seeds: Iterable[int], *, profiles: Sequence[str], presets: Sequence[str], settings: Mapping[str, str], faults: int,
    fixed: Mapping[str, Any],
) -> list[Case]:  # fmt: skip
    """Every seed with every profile and preset. Raises `UsageError` for an unknown profile, or conditions that do not go together."""
    for profile in profiles:
        if profile not in PROFILES:
            raise UsageError(f"--profile: unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    cases = [
        {"seed": seed, "profile": profile, "preset": preset, "settings": dict(settings), "faults": faults, "fixed": dict(fixed)}
        for seed in seeds
        for profile in profiles
        for preset in presets
    ]
    for case in cases[: len(profiles) * len(presets)]:
        try:
            Program.from_json(case_program(case).to_json())  # what generates a program does not look at the conditions that it is given
        except ValueError as error:
            raise UsageError(f"{error}") from None
    return cases


def case_program(case: Case) -> Program:
    """The program of a case. Raises `UsageError`."""
    try:
        if "program" in case:
            program = Program.from_json(case["program"])
        else:
            program = generate(
                case["seed"], profile=case["profile"], preset=case["preset"], settings=case["settings"], faults=case["faults"], **case["fixed"],
            )  # fmt: skip
        config_of(program.conditions)
        return program
    except ValueError as error:
        raise UsageError(f"{case.get('file', 'the program')}: {error}") from None


def build_options(case: Case) -> dict[str, Any]:
    """What `build_for` is to build for a case; no program is generated for that."""
    code = case.get("code", False)
    if "race" in case:
        return {"preset": case["preset"], "settings": case["settings"], "planted": True}
    if "program" in case:
        conditions = case_program(case).conditions
        return {"preset": conditions.preset, "settings": conditions.settings, "planted": bool(conditions.plant), "code": code}
    return {"preset": case["preset"], "settings": case["settings"], "planted": bool(case["fixed"].get("plant")), "code": code}


def read_program(path: Path) -> Case:
    """The case of a program in a file. Raises `UsageError`, with the place in the file, for what is no program."""
    import msgspec

    try:
        value = msgspec.json.decode(path.read_bytes())
        case = {"program": value, "file": str(path)}
        case_program(case)
        return case
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: is no JSON ({error})") from None


def case_name(case: Case) -> str:
    """For a person: `mixed seed 3, small`."""
    if "race" in case:
        return f"race {case['race']}, {case['policy']}, latency {case['latency']}"
    if "program" in case:
        return str(case.get("file", "a program"))
    return f"{case['profile']} seed {case['seed']}, {case['preset']}"


def repeat_command(case: Case, waves: str = "failure.vcd", since: int = 0) -> str:
    """The command that runs this case alone and records its waveform, from about the cycle `since` on."""
    words = ["seqfault", "regress"]
    if "race" in case:
        words += ["--race", case["race"], "--policy", case["policy"], "--latency", case["latency"]]
        words += ["--plant", case["plant"]] if case.get("plant") else []
    elif "program" in case:
        words += ["--program", case.get("file", "program.json")]
    else:
        words += ["--seeds", f"{case['seed']}:{case['seed']}", "--profile", case["profile"], "--preset", case["preset"]]
        for key, value in case["settings"].items():
            words += ["--set", f"{key}={value}"]
        words += ["--faults", case["faults"]]
        for key, value in case["fixed"].items():
            words += [] if value is None else [f"--{key.replace('_', '-')}", value]
    words += ["--waves", waves]
    return shlex.join(map(str, [*words, "--waves-from", since] if since else words))
