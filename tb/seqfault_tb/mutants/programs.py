"""The programs that a mutant must survive: all profiles of the regression, short, and a few long ones for what needs its moment."""

from collections.abc import Mapping

from ..regression.generate import PROFILES, generate
from ..regression.program import Program

__all__ = ["FAULTS", "LONG_FAULTS", "MORE_SEEDS", "programs"]

FAULTS = 300
"""Of a program. A mutant that shows does so early; two short programs find more than a long one."""
MORE_SEEDS = (2, 3)
LONG_FAULTS, LONG_SEED = 1500, 4
LONG = ("races", "aging", "policies")
"""Races with writers, with the setting of A and D, and with those who hold locks."""


def programs(preset: str, settings: Mapping[str, str]) -> list[Program]:
    """Each profile with seed 1, the one that mixes everything also with `MORE_SEEDS`; and those of `LONG`."""
    chosen = [(1, profile, FAULTS) for profile in PROFILES] + [(seed, "mixed", FAULTS) for seed in MORE_SEEDS]
    chosen += [(LONG_SEED, profile, LONG_FAULTS) for profile in LONG]
    return [generate(seed, profile=profile, faults=faults, preset=preset, settings=dict(settings)) for seed, profile, faults in chosen]
