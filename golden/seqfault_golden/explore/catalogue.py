"""The catalogue: every scenario, every case with its expected verdict, and where each known race is found in it. [protocol.md 0.5, 8]"""

from ..protocol.world import Safeguard
from .races import RACES, Race
from .scenario import Case, Scenario
from .scenarios import MODULES

__all__ = ["CASES", "RACES", "SCENARIOS", "Case", "Race", "find_case"]

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for module in MODULES for scenario in module.SCENARIOS}
CASES: tuple[Case, ...] = tuple(each for module in MODULES for each in module.CASES)


def find_case(scenario: str, mutation: str | None) -> Case:
    """The case of the catalogue; for a combination that is not in it, a case without expectation (`expected` is "").

    Raises `ValueError` with a sentence that names what there is.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"there is no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    try:
        removed = frozenset(map(Safeguard, mutation.split("+"))) if mutation else frozenset()
    except ValueError as unknown:
        raise ValueError(f"there is no safeguard {str(unknown).split()[0]}; there are {', '.join(Safeguard)}") from None
    for each in CASES:
        if each.scenario == scenario and each.removed == removed:
            return each
    return Case(scenario=scenario, removed=removed, expected="")
