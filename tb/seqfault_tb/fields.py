"""Structs of the RTL's ports as dictionaries of numbers: cocotb sees a `data.Struct` port as one packed vector."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

__all__ = ["pack", "unpack"]


def _nested(shape: Any) -> data.Layout | None:
    try:
        return data.Layout.cast(shape)
    except TypeError:
        return None


def pack(struct: Any, values: Mapping[str, Any]) -> int:
    """The bits of `struct` (a `data.Struct` class or layout) with these fields: numbers, enum members, dictionaries for nested structs.

    Fields not named are 0.

    Raises
    ------
    KeyError : no such field. ValueError : a value does not fit in its field.
    """
    layout = data.Layout.cast(struct)
    bits = 0
    for name, value in values.items():
        field = layout[name]
        number = pack(field.shape, value) if isinstance(value, Mapping) else int(getattr(value, "value", value))
        if not 0 <= number < 1 << field.width:
            raise ValueError(f"{name} must fit in {field.width} bits, not {number:#x}")
        bits |= number << field.offset
    return bits


def unpack(struct: Any, bits: int) -> dict[str, Any]:
    """The fields of `struct` in `bits`, nested structs as dictionaries, enums as numbers."""
    layout = data.Layout.cast(struct)
    values: dict[str, Any] = {}
    for name, field in layout:
        number = int(bits) >> field.offset & (1 << field.width) - 1
        inner = None if isinstance(field.shape, Shape) else _nested(field.shape)
        values[str(name)] = number if inner is None else unpack(inner, number)
    return values
