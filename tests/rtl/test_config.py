"""Parameters of the engine: what is refused, with the reason."""

import pytest

from seqfault_rtl.config import PRESETS, EngineConfig


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ports": 0}, "ports must be an integer from 1 to 64, not 0"),
        ({"contexts": 63}, "contexts must be an integer from 1 to 62, not 63"),
        ({"spaces": 48}, "spaces must be a power of two, not 48"),
        ({"walks": True}, "walks must be an integer from 1 to 63, not True"),
        ({"events": 1}, "events must be true or false, not 1"),
    ],
)
def test_bad_parameters_are_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EngineConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"portz": "4"}, "unknown parameter 'portz'; known: contexts"),
        ({"ports": "four"}, "ports must be an integer, not 'four'"),
        ({"events": "maybe"}, "events must be true or false, not 'maybe'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EngineConfig().with_settings(settings)


def test_settings_change_only_what_they_name() -> None:
    changed = PRESETS["small"].with_settings({"contexts": "0x6", "events": "False"})
    assert (changed.contexts, changed.events) == (6, False)
    assert changed.with_settings({"contexts": "4", "events": "true"}) == PRESETS["small"]
    assert PRESETS["small"].space_bits == 4
