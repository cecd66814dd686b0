"""The fields of `WalkTop`'s two vectors by name, in one read and one write a cycle."""

from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from seqfault_rtl.config import EngineConfig

from .walk_top import from_host_layout, to_host_layout

__all__ = ["WalkHost"]


def _places(layout: data.Layout, prefix: str = "", offset: int = 0) -> dict[str, tuple[int, int]]:
    """Name (with dots) to offset and mask of every field that is no struct itself."""
    places: dict[str, tuple[int, int]] = {}
    for name, field in layout:
        inner = None if isinstance(field.shape, (Shape, int)) else _struct(field.shape)
        if inner is None:
            places[f"{prefix}{name}"] = offset + field.offset, (1 << field.width) - 1
        else:
            places |= _places(inner, f"{prefix}{name}.", offset + field.offset)
    return places


def _struct(shape: Any) -> data.Layout | None:
    try:
        return data.Layout.cast(shape)
    except TypeError:  # an enumeration
        return None


class WalkHost:
    """`set` inputs and `write` them before an edge; `read` after it and `get` outputs."""

    def __init__(self, dut: Any, config: EngineConfig) -> None:
        self._from_host, self._to_host = dut.from_host, dut.to_host
        self._inputs, self._outputs = _places(from_host_layout(config)), _places(to_host_layout(config))
        self._in = self._out = 0

    def set(self, name: str, value: int) -> None:
        """One input field. Raises `ValueError` when the value does not fit."""
        offset, mask = self._inputs[name]
        if not 0 <= value <= mask:
            raise ValueError(f"{name} must fit in {mask.bit_length()} bits, not {value:#x}")
        self._in = self._in & ~(mask << offset) | value << offset

    def set_all(self, **values: int) -> None:
        """Several input fields."""
        for name, value in values.items():
            self.set(name, value)

    def get(self, name: str) -> int:
        """One output field as of the last `read`."""
        offset, mask = self._outputs[name]
        return self._out >> offset & mask

    def write(self) -> None:
        """Set all inputs."""
        self._from_host.value = self._in

    def read(self) -> None:
        """Take over all outputs."""
        self._out = int(self._to_host.value)
