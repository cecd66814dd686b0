"""One measurement of `seqfault bench`, and the JSON that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqfault_rtl.config import EngineConfig

__all__ = ["Task"]

DIGITS = 4
"""Decimal places of a value."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One measurement.

    Parameters
    ----------
    bench : name of the benchmark. config : what is built. measure : method that does it.
    params : its parameters, as in the JSON. units : metrics to be kept of its result, with their units.
    faults : faults to be measured, on the whole engine; 0: the measurement is one of the Mmu.
    settings : parameters of the measurement that the JSON does not show.
    each : a parameter of the JSON by which a metric has a list of values, and what it is for each of them; None: it has one value.
    """

    bench: str
    config: EngineConfig
    measure: str
    params: dict[str, Any]
    units: dict[str, str]
    faults: int = 0
    settings: Mapping[str, Any] | None = None
    each: tuple[str, tuple[Any, ...]] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keywords of the method."""
        return {**self.params, **(self.settings or {})}

    def records(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The JSON of `bench` (formats.md) for what the method returned."""
        found = []
        for metric, unit in self.units.items():
            points = [(self.params, values[metric])]
            if self.each is not None:
                name, settings = self.each
                points = [({**self.params, name: setting}, value) for setting, value in zip(settings, values[metric], strict=True)]
            for params, value in points:
                found.append({"bench": self.bench, "params": params, "metric": metric, "value": round(value, DIGITS), "unit": unit})
        return found
